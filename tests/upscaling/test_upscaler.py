from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import escsr
from escsr import images
from escsr.errors import CheckpointError, ConfigError, DeviceError, ImageError, OutputError
from escsr.models.saving import save_network
from escsr.runtime.devices import choose_device
from escsr.upscaling.default_target import default_target
from escsr.upscaling.inference import Inference
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler
from samples import flowers, small_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_network(small_network("esc"), path)
    return path


@pytest.fixture
def upscaler(model: Path) -> Upscaler:
    return Upscaler(model, device="cpu")


def crop(height: int = 20, width: int = 31) -> np.ndarray:
    return flowers()[200 : 200 + height, 300 : 300 + width]


def test_arrays_are_the_networks_result_quantised(upscaler: Upscaler) -> None:
    pixels = crop()
    with torch.no_grad():
        sr = upscaler.network(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
    expected = (sr[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    result = upscaler(pixels)
    assert result.dtype == np.uint8
    assert np.array_equal(result, expected)


def test_sixteen_bits_stay_sixteen(upscaler: Upscaler) -> None:
    pixels = crop().astype(np.uint16) * 257
    result = upscaler(pixels)
    assert result.dtype == np.uint16
    assert np.abs(result / 257 - upscaler(crop())).max() <= 0.5 + 1e-6
    assert len(np.unique(result % 257)) > 100, "more than 8 bits of values"


def test_tensors(upscaler: Upscaler) -> None:
    lr = torch.rand(2, 3, 9, 7)
    sr = upscaler(lr)
    assert sr.shape == (2, 3, 18, 14)
    assert sr.min() >= 0
    assert sr.max() <= 1
    assert not sr.requires_grad
    assert upscaler(lr.double()).dtype == torch.float64
    torch.testing.assert_close(upscaler(lr[:1]), sr[:1], atol=1e-5, rtol=0)
    sr.add_(1)  # an ordinary tensor, which may be written to


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_pil_images(upscaler: Upscaler, mode: str) -> None:
    image = Image.fromarray(crop()).convert(mode)
    larger = upscaler(image)
    assert isinstance(larger, Image.Image)
    assert larger.size == (62, 40)
    assert larger.mode == (mode if mode in ("L", "LA", "RGB", "RGBA") else "RGB")


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_channels(upscaler: Upscaler, channels: int) -> None:
    pixels = np.concatenate([crop(), crop()[..., :1]], -1)
    pixels = pixels[..., :channels] if channels else pixels[..., 0]
    assert upscaler(pixels).shape == (40, 62, *pixels.shape[2:])


@pytest.mark.parametrize("level", [0, 77, 255])
def test_constant_alpha_stays_constant(upscaler: Upscaler, level: int) -> None:
    pixels = np.concatenate([crop(), np.full((20, 31, 1), level, np.uint8)], -1)
    result = upscaler(pixels)
    assert (result[..., 3] == level).all()
    assert np.array_equal(result[..., :3], upscaler(crop()))


def test_grey_is_what_its_rgb_gives(upscaler: Upscaler) -> None:
    grey = crop()[..., :1]
    as_rgb = upscaler(np.repeat(grey, 3, 2)).astype(float).mean(-1)
    assert np.abs(upscaler(grey)[..., 0] - as_rgb).max() <= 1


def test_tiles_do_not_show(model: Path) -> None:
    pixels = crop(70, 50)
    small, large = Upscaler(model, device="cpu", tile_size=16), Upscaler(model, device="cpu", tile_size=256)
    shares: list[float] = []
    tiled, whole = small(pixels, on_progress=shares.append), large(pixels)
    assert (tiled != whole).mean() < 1e-3  # ties of the rounding
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert shares[-1] == 1


def test_bfloat16_is_close(model: Path, upscaler: Upscaler) -> None:
    low = Upscaler(model, device="cpu", precision="bfloat16")
    difference = low(crop()).astype(float) - upscaler(crop())
    assert 0 < np.abs(difference).mean() < 2


def test_any_scale(tmp_path: Path) -> None:
    save_network(small_network("esc-lte"), tmp_path / "lte.safetensors")
    upscaler = Upscaler(tmp_path / "lte.safetensors", device="cpu", tile_size=8)
    assert upscaler.scale is None
    assert upscaler(crop(), scale=2.5).shape == (50, 78, 3)
    images.write(images.Picture(crop()), tmp_path / "a.png")
    assert upscaler.upscale_file(tmp_path / "a.png", scale=1.5).name == "a_x1.5.png"
    with pytest.raises(ConfigError, match="any scale"):
        upscaler.upscale_file(tmp_path / "a.png")


def test_threads_do_not_mix_pictures(model: Path) -> None:
    upscaler = Upscaler(model, device="cpu", tile_size=16)
    pictures = [np.roll(crop(40, 40), shift, 1) for shift in range(8)]
    serial = [upscaler(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as threads:
        parallel = list(threads.map(upscaler, pictures))
    assert all(np.array_equal(a, b) for a, b in zip(serial, parallel, strict=True))


def test_threads_write_the_files_that_one_writes(model: Path, tmp_path: Path) -> None:
    upscaler = Upscaler(model, device="cpu", tile_size=16)
    jobs = []
    for number, suffix in enumerate([".png", ".jpg", ".webp", ".tif", ".gif", ".png", ".webp", ".avif"]):
        source = tmp_path / f"{number}{suffix}"
        images.write(images.Picture(np.roll(crop(24, 40), number, 1)), source)
        jobs.append((source, tmp_path / f"serial {number}{suffix}", tmp_path / f"threads {number}{suffix}"))
    for source, serial, _ in jobs:
        upscaler.upscale_file(source, serial)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda job: upscaler.upscale_file(job[0], job[2]), jobs))
    for _, serial, parallel in jobs:
        assert np.array_equal(images.read(serial).pixels, images.read(parallel).pixels)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.int16),
        torch.zeros(2, 4, 4),
        torch.zeros(1, 3, 4, 4, dtype=torch.int32),
        torch.zeros(0, 3, 4, 4),
        {"picture": 1},
    ],
)
def test_other_kinds_are_refused(upscaler: Upscaler, image: object) -> None:
    with pytest.raises(ConfigError, match="must be"):
        upscaler(image)  # type: ignore[call-overload]


def test_files(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    images.write(images.Picture(crop()), source)
    assert escsr.upscale_file(source, model=model, device="cpu") == tmp_path / "photo_x2.png"
    assert images.read(tmp_path / "photo_x2.png").pixels.shape == (40, 62, 3)
    target = tmp_path / "new" / "large.tif"
    assert escsr.upscale_file(source, target, model=model, device="cpu") == target
    assert np.array_equal(images.read(target).pixels, images.read(tmp_path / "photo_x2.png").pixels)
    with pytest.raises(OutputError, match="is the input itself"):
        escsr.upscale_file(source, source, model=model, device="cpu")
    with pytest.raises(ImageError, match="no such file"):
        escsr.upscale_file(tmp_path / "none.png", model=model, device="cpu")
    assert not (tmp_path / "none_x2.png").exists()


def test_what_the_target_cannot_hold_is_said_before_the_work(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(images.Picture(np.concatenate([crop(), crop()[..., :1]], -1)), tmp_path / "a.png")
    monkeypatch.setattr(Inference, "run", None)
    with pytest.raises(OutputError, match="cannot hold transparency"):
        upscaler.upscale_file(tmp_path / "a.png", tmp_path / "a.jpg")


def test_default_names() -> None:
    assert default_target(Path("a/photo.JPG"), TargetSize(scale=2.0)) == Path("a/photo_x2.JPG")
    assert default_target(Path("anim.gif"), TargetSize(scale=2.5)) == Path("anim_x2.5.gif")


def test_settings_that_cannot_be(model: Path) -> None:
    with pytest.raises(DeviceError, match="there is"):
        choose_device("tpu")
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="precision"):
        Upscaler(model, device="cpu", precision="float8")
    for tile_size in (12, 8.0):
        with pytest.raises(ConfigError, match="multiple of 8"):
            Upscaler(model, device="cpu", tile_size=tile_size)


def test_damaged_weights_never_make_a_picture(tmp_path: Path) -> None:
    network = small_network("esc")
    with torch.no_grad():
        network.last.weight[0] = torch.nan
    save_network(network, tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match="not numbers"):
        Upscaler(tmp_path / "nan.safetensors", device="cpu")(crop())


def test_devices_and_sizes_of_any_type_are_taken_or_refused(model: Path) -> None:
    assert Upscaler(model, device=torch.device("cpu")).device.type == "cpu"
    assert Upscaler(model, device=None).name == "small"
    upscaler = Upscaler(model, device="cpu")
    for scale in ("2", float("nan"), 1e300, -1):
        with pytest.raises(ConfigError, match="scale must be at least 1"):
            upscaler(crop(), scale=scale)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="GiB of memory"):
        upscaler(crop(), scale=1e9)
    half = np.float32(1.5)
    assert upscaler(crop(), scale=half).shape == (30, 46, 3)  # type: ignore[call-overload]


def test_options_are_the_defaults_of_calls(model: Path, tmp_path: Path) -> None:
    options = UpscaleOptions(model=model, device="cpu", width=50, lossless=True)
    assert Upscaler(options=options)(crop()).shape == (32, 50, 3)
    assert Upscaler(model, options=options, width=None, scale=3)(crop()).shape == (60, 93, 3)
    images.write(images.Picture(crop()), tmp_path / "a.png")
    target = escsr.upscale_file(
        tmp_path / "a.png", tmp_path / "b.webp", options=options, width=None, size="40x90"
    )
    assert images.read_size(target) == (40, 26)
    with pytest.raises(ConfigError, match="Give only one of"):
        UpscaleOptions(scale=2, longest=5)
    with pytest.raises(TypeError, match="scal"):
        Upscaler(model, scal=3)


def test_copies_and_other_processes_open_it_again(model: Path) -> None:
    upscaler = Upscaler(model, device="cpu", size="40x60", tile_size=8)
    expected = upscaler(crop())
    for again in (copy.copy(upscaler), copy.deepcopy(upscaler), pickle.loads(pickle.dumps(upscaler))):
        assert again is not upscaler
        assert repr(again) == repr(upscaler)
        assert again.options == upscaler.options
        assert np.array_equal(again(crop()), expected)


def test_a_file_called_as_a_bundled_model_is_looked_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_network(small_network("esc"), tmp_path / "esc-light-x2.safetensors")
    monkeypatch.chdir(tmp_path)
    upscaler = Upscaler("esc-light-x2.safetensors", device="cpu")
    expected = upscaler(crop())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert np.array_equal(upscaler(crop()), expected)


@pytest.mark.parametrize("name", ["esc-light", "esc-light-x2", "auto", "real"])
def test_a_path_of_a_folder_is_no_bundled_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    save_network(small_network("esc"), tmp_path / name / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    upscaler = Upscaler(Path(name), device="cpu")
    assert upscaler.name == name
    assert upscaler.network.config.dim == 24
    assert upscaler(crop()).shape == (40, 62, 3)
    assert upscaler.strength == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"crop": 5},
        {"strength": "0.5"},
        {"max_pixels": "5"},
        {"model": torch.nn.Identity()},
    ],
)
def test_options_of_another_type(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(settings))} must be"):
        Upscaler(**settings)
