"""Animations beyond the matrix: turned, with profiles, damaged; and files whose further frames are left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from test_images_colour import wide_gamut
from test_images_golden import noise, twice
from test_images_safety import error_of, mutated

from escsr import images
from escsr.images import Animation, WriteOptions
from escsr.models.saving import save_network
from escsr.upscaling.upscaler import Upscaler
from samples import nearest_network

LOSSLESS = WriteOptions(lossless=True)


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path = tmp_path_factory.mktemp("models") / "nearest.safetensors"
    save_network(nearest_network(), path)
    return Upscaler(path, device="cpu", precision="float32")


def moving(path: Path, **options: object) -> list[np.ndarray]:
    """Writes three frames by Pillow; returns them."""
    frames = [np.roll(noise(3, "uint8"), shift, 1) for shift in range(3)]
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=[40, 50, 60], **options)  # type: ignore[arg-type]
    return frames


def turned(frame: np.ndarray, orientation: int) -> np.ndarray:
    """As Pillow turns a frame upright."""
    image = Image.fromarray(frame)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@given(orientation=st.integers(1, 8), height=st.integers(1, 5), width=st.integers(1, 6))
def test_frames_are_turned_as_pillow_turns_them(
    tmp_path_factory: pytest.TempPathFactory, orientation: int, height: int, width: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("turned") / "a.webp"
    image, other = Image.fromarray(frame), Image.fromarray(255 - frame)
    image.save(path, save_all=True, append_images=[other], exif=exif, lossless=True)
    expected = turned(frame, orientation)
    assert np.array_equal(images.read_animation(path).frames, np.stack([expected, 255 - expected]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_animations_come_out_upright(upscaler: Upscaler, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    frames = moving(tmp_path / "a.webp", exif=exif, lossless=True)
    expected = np.stack([turned(twice(frame), orientation) for frame in frames])
    header = images.read_header(tmp_path / "a.webp")
    assert (2 * header.height, 2 * header.width) == expected.shape[1:3]
    target = upscaler.upscale_file(tmp_path / "a.webp", write_options=LOSSLESS)
    assert np.array_equal(images.read_animation(target).frames, expected)
    with Image.open(target) as result:
        assert (result.getexif()[0x0112], result.getexif()[0x010F]) == (1, "Maker")
        assert getattr(result, "n_frames", 1) == 3


def test_colours_of_animations(upscaler: Upscaler, tmp_path: Path) -> None:
    flat = np.full((2, 16, 16, 3), (200, 60, 30), np.uint8)
    flat[1] //= 2
    animation = Animation(flat, (40, 50), 2, {"icc-profile-data": wide_gamut()})
    images.write(animation, tmp_path / "a.webp", LOSSLESS)
    kept = upscaler.upscale_file(tmp_path / "a.webp", tmp_path / "b.webp", write_options=LOSSLESS)
    assert images.read_animation(kept).metadata["icc-profile-data"] == wide_gamut()
    for target in ("c.webp", "c.gif"):  # GIF has no profiles
        is_webp = target == "c.webp"
        options = LOSSLESS if is_webp else None
        made = upscaler.upscale_file(
            tmp_path / "a.webp", tmp_path / target, to_srgb=is_webp, write_options=options
        )
        result = images.read_animation(made)
        assert np.abs(result.frames[0, ..., :3].mean((0, 1)) - (60, 200, 30)).max() < 3
        assert (result.delays_ms, result.loops) == ((40, 50), 2)


@pytest.mark.parametrize(
    ("delays", "kept"),
    [
        ((33, 33, 34, 1000), (30, 40, 30, 1000)),  # as long together
        ((16, 17, 17, 50), (20, 20, 20, 40)),
        ((12, 12, 40, 16), (20, 20, 20, 20)),
        ((20, 250), (20, 250)),
    ],
)
def test_delays_of_webp_in_gif(delays: tuple[int, ...], kept: tuple[int, ...], tmp_path: Path) -> None:
    flat = np.full((len(delays), 8, 8, 3), 255, np.uint8)
    flat[:, 0, :, 0] = 60 * np.arange(len(delays))[:, None]
    animation = Animation(flat, delays, 0, {})
    images.write(animation, tmp_path / "a.webp", LOSSLESS)
    assert images.read_animation(tmp_path / "a.webp").delays_ms == delays
    images.write(animation, tmp_path / "a.gif")
    assert images.read_animation(tmp_path / "a.gif").delays_ms == kept


@pytest.mark.parametrize("suffix", [".png", ".avif"])
def test_frames_that_are_left_out_are_said(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    frames = moving(tmp_path / f"a{suffix}")
    said: list[str] = []
    upscaler.upscale_file(tmp_path / f"a{suffix}", tmp_path / "b.png", on_note=said.append)
    assert said == ["the first frame of an animation"]
    assert images.read_size(tmp_path / "b.png") == (18, 12)
    if suffix == ".png":
        assert np.array_equal(images.read(tmp_path / "b.png").pixels, twice(frames[0]))
    Image.fromarray(frames[0]).save(tmp_path / f"still{suffix}")
    assert not images.read(tmp_path / f"still{suffix}").notes


def test_further_pictures_of_heic_and_tiff_are_said(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason='needs pip install "escsr[heic]"')
    first, second = (Image.fromarray(noise(3, "uint8", height=64, width=size)) for size in (80, 96))
    file = pillow_heif.from_pillow(first)
    file.add_from_pillow(second)
    file.save(tmp_path / "a.heic", primary_index=1)
    picture = images.read(tmp_path / "a.heic")
    assert picture.pixels.shape == (64, 96, 3)
    assert picture.notes == ("the main one of 2 pictures",)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert images.read(tmp_path / "a.tif").notes == ("the first of 2 pages",)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_damaged_animations(tmp_path: Path, suffix: str) -> None:
    moving(tmp_path / f"a{suffix}")
    whole = (tmp_path / f"a{suffix}").read_bytes()
    path = tmp_path / "mutated"

    @given(mutated(whole))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        problem = error_of(path)
        assert problem is None or (str(path) in str(problem) and "\n" not in str(problem))

    check()
