"""Every kind of image comes back as the same kind, and all kinds of one picture as the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import escsr
from escsr import images
from escsr.errors import ConfigError, ImageError
from escsr.images import Animation, Picture
from escsr.models.saving import save_network
from escsr.models.selection import choose_model
from escsr.upscaling.upscaler import Upscaler
from samples import flowers, small_network

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_network(small_network("esc"), path)
    return Upscaler(path, device="cpu")


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return flowers()[200:220, 300:331]


def test_arrays(upscaler: Upscaler, pixels: Pixels) -> None:
    larger = upscaler(pixels)
    assert np.array_equal(upscaler(np.stack([pixels, pixels[::-1]]))[0], larger)
    assert upscaler(pixels[None]).shape == (1, 40, 62, 3)
    deep = upscaler(pixels.astype(np.float64) / 255)
    assert deep.dtype == np.float64
    assert np.abs(deep * 255 - larger).max() <= 0.501


def test_tensors(upscaler: Upscaler, pixels: Pixels) -> None:
    larger = torch.from_numpy(upscaler(pixels)).permute(2, 0, 1)
    lr = torch.from_numpy(pixels).permute(2, 0, 1)
    sr = upscaler(lr)
    assert sr.dtype == torch.uint8
    assert torch.equal(sr, larger)
    assert torch.equal(upscaler(lr[None])[0], larger)
    floating = upscaler(lr / 255)
    assert floating.shape == (3, 40, 62)
    assert (floating * 255 - larger).abs().max() <= 0.501


def test_files_and_lists(upscaler: Upscaler, pixels: Pixels, tmp_path: Path) -> None:
    larger = upscaler(pixels)
    path = tmp_path / "a.png"
    images.write(Picture(pixels), path)
    for each in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        assert np.array_equal(upscaler(each), larger)
    several = upscaler([path, pixels, Image.fromarray(pixels)])
    assert [type(each).__name__ for each in several] == ["ndarray", "ndarray", "Image"]
    assert all(np.array_equal(np.asarray(each), larger) for each in several)
    assert upscaler([]) == []
    done: list[float] = []
    upscaler([pixels, pixels], on_progress=done.append)
    assert done == sorted(done)
    assert done[-1] == 1
    with pytest.raises(ImageError, match="there is no such file"):
        upscaler("nowhere.png")
    with pytest.raises(ImageError, match="it is text"):
        upscaler(b"no picture")
    with pytest.raises(ConfigError, match="An image must be a numpy array"):
        upscaler(3)  # type: ignore[call-overload]


def test_a_crop_is_equal_to_that_part_of_the_whole(
    upscaler: Upscaler, pixels: Pixels, tmp_path: Path
) -> None:
    """Opacity and colour alike; an animation too."""
    alpha = np.linspace(0, 255, 20 * 31).astype(np.uint8).reshape(20, 31, 1)
    rgba = np.concatenate([pixels, alpha], axis=2)
    path = tmp_path / "a.png"
    images.write(Picture(rgba), path)
    whole = upscaler(rgba, scale=3)
    cropping = Upscaler(upscaler._path, device="cpu", crop="5,4,10,8", scale=3)
    part = whole[12:36, 15:45]
    assert np.array_equal(cropping(rgba), part)
    assert np.array_equal(np.asarray(cropping(Image.fromarray(rgba))), part)
    target = cropping.upscale_file(path)
    assert target.name == "a_x3_crop.png"
    assert np.array_equal(images.read(target).pixels, part)
    moving = cropping.upscale_picture(Animation(np.stack([rgba, rgba]), (50, 50)))
    assert np.array_equal(moving.frames[1], part)
    outside = Upscaler(upscaler._path, device="cpu", crop=(25, 0, 10, 8))
    with pytest.raises(ConfigError, match="beyond the picture"):
        outside(rgba)


def test_what_is_cut_to_a_frame_keeps_its_opacity_in_place(upscaler: Upscaler, pixels: Pixels) -> None:
    alpha = np.zeros((20, 31, 1), np.uint8)
    alpha[:, 12:20] = 255
    rgba = np.concatenate([pixels, alpha], axis=2)
    framed = Upscaler(upscaler._path, device="cpu", size="40x40", fit="cover")(rgba)
    assert np.array_equal(framed, upscaler(rgba, scale=2)[:, 11:51])


def test_each_call_takes_the_model_for_its_size(pixels: Pixels) -> None:
    upscaler = Upscaler("auto", device="cpu")
    assert upscaler.name == "esc-light-x2"
    for scale in (3, 4):
        own = Upscaler(f"esc-light-x{scale}", device="cpu")
        assert np.array_equal(upscaler(pixels, scale=scale), own(pixels))
    wide = upscaler(pixels, size="93x60")
    assert np.array_equal(wide, Upscaler("esc-light-x3", device="cpu")(pixels))
    assert repr(upscaler) == "<Upscaler esc-light-x2: ×2, cpu, float32>"
    assert Upscaler(scale=4, device="cpu").scale == 4
    fixed = Upscaler(choose_model("auto", 2), device="cpu")
    assert not np.array_equal(fixed(pixels, scale=4), upscaler(pixels, scale=4))


def test_upscale_is_short_for_all_of_it(pixels: Pixels, tmp_path: Path) -> None:
    images.write(Picture(pixels), tmp_path / "a.png")
    larger = escsr.upscale(tmp_path / "a.png", scale=4, device="cpu")
    assert np.array_equal(larger, Upscaler(scale=4, device="cpu")(pixels))
    assert escsr.upscale(pixels, model="esc-light-x3", device="cpu").shape == (60, 93, 3)
    assert {"upscale", "Upscaler", "batch"} <= set(dir(escsr))


def test_images_of_classes_derived_from_those_of_pil(upscaler: Upscaler, pixels: Pixels) -> None:
    class Photo(Image.Image):
        """As plugins and other libraries have them."""

    photo = Image.fromarray(pixels)
    expected = upscaler(photo)
    photo.__class__ = Photo
    assert np.array_equal(np.asarray(upscaler(photo)), np.asarray(expected))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "u2"])
def test_arrays_of_either_byte_order(upscaler: Upscaler, pixels: Pixels, kind: str) -> None:
    values = pixels.astype(kind) * 257 if kind == "u2" else (pixels / 255).astype(kind)
    expected = upscaler(values)
    for order in ("<", ">"):
        larger = upscaler(values.astype(order + kind))
        assert larger.dtype == np.dtype(order + kind)
        assert np.array_equal(larger, expected)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_alpha_of_floating_arrays_is_a_share(upscaler: Upscaler, colours: int, dtype: type) -> None:
    levels: NDArray[Any] = np.random.default_rng(0).uniform(0, 255, (9, 7, colours + 1)).astype(dtype)
    for alpha in (levels[..., -1], np.full((9, 7), np.nan), np.full((9, 7), -0.5), np.full((9, 7), 1.1)):
        levels[..., -1] = alpha
        for image in (levels, levels[None], [levels]):
            with pytest.raises(ConfigError, match=r"alpha of floating pixels must be in \[0, 1\]"):
                upscaler(image)
    levels[..., -1] = 1.005
    assert (upscaler(levels)[..., -1] == 1).all(), "a resizer's overshoot is clamped"
    levels[..., -1] = levels[::-1, :, 0] / 255
    assert 0 < upscaler(levels)[..., -1].mean() < 1


def test_alpha_of_files_may_be_beyond(upscaler: Upscaler) -> None:
    pixels = np.random.default_rng(0).uniform(0, 1.2, (9, 7, 4)).astype(np.float32)
    larger = upscaler.upscale_picture(Picture(pixels)).pixels
    assert 0 <= larger[..., 3].min() < larger[..., 3].max() <= 1


def test_tensors_in_other_ranges(upscaler: Upscaler) -> None:
    lr = torch.rand(3, 9, 9)
    for wrong in (lr * 255, lr * 255 - 128, (lr * 255).half()):
        with pytest.raises(ConfigError, match="divide values up to 255 by 255"):
            upscaler(wrong)
    upscaler(lr * 2.5 - 0.5)
    with pytest.raises(ConfigError, match="not finite"):
        upscaler(lr / 0)


def test_options_hold_in_the_short_form(pixels: Pixels) -> None:
    options = escsr.UpscaleOptions(model="esc-light-x4", scale=4, device="cpu")
    larger = escsr.upscale(pixels, options=options)
    assert np.array_equal(larger, Upscaler(options=options)(pixels))
    assert escsr.upscale(pixels, options=options, scale=3, model="esc-light").shape == (60, 93, 3)


def test_bytes_that_are_no_picture_are_called_so(upscaler: Upscaler) -> None:
    with pytest.raises(ImageError, match=r"^the bytes given"):
        upscaler(b"garbage")
