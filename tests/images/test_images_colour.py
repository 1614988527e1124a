"""Colours: profiles kept or converted, CMYK, and formats that know no profiles."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms
from test_images_golden import need, noise, twice

from escsr import images
from escsr.images import FORMATS, Format, Picture, WriteOptions
from escsr.images.colour import from_pixels
from escsr.images.icc import profile_space
from escsr.images.metadata import DAMAGED_PROFILE, ICC
from escsr.models.saving import save_network
from escsr.upscaling.upscaler import Upscaler
from samples import nearest_network

LOSSLESS = WriteOptions(lossless=True)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path = tmp_path_factory.mktemp("models") / "nearest.safetensors"
    save_network(nearest_network(), path)
    return Upscaler(path, device="cpu", precision="float32")


def wide_gamut() -> bytes:
    """sRGB's profile with red and green exchanged: colours that are told apart from sRGB's at a glance."""
    profile = bytearray(SRGB)
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    profile[84:100] = bytes(16)  # the checksum
    return bytes(profile)


def grey_profile() -> io.BytesIO:
    """A profile of grey in linear light."""
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    curve = struct.pack(">4s4xI", b"curv", 0)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 12)
    body = tags + white + curve
    head = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + len(body), b"", 0x02200000, b"mntr", b"GRAY", b"XYZ ", b"", b"acsp"
    )
    return io.BytesIO(
        head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061).ljust(60, b"\0") + body
    )


@pytest.mark.parametrize("format", [f for f in FORMATS if "ICC" in f.keeps], ids=lambda f: f.name)
def test_profiles(upscaler: Upscaler, tmp_path: Path, format: Format) -> None:
    need(format)
    profile = wide_gamut()
    flat = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.png", icc_profile=profile)
    kept, converted = (tmp_path / f"{name}{format.suffixes[0]}" for name in ("kept", "converted"))
    options = None if format.lossless == "never" else LOSSLESS
    upscaler.upscale_file(tmp_path / "a.png", kept, write_options=options)
    picture = images.read(kept)
    assert picture.metadata["icc-profile-data"] == profile
    assert np.abs(picture.pixels.mean((0, 1)) - (200, 60, 30)).max() < 2
    upscaler.upscale_file(tmp_path / "a.png", converted, to_srgb=True, write_options=options)
    picture = images.read(converted)
    assert picture.metadata.get("icc-profile-data") != profile
    assert np.abs(picture.pixels.mean((0, 1)) - (60, 200, 30)).max() < 3, "red and green exchanged"


@pytest.mark.parametrize(
    "format", [f for f in FORMATS if "ICC" not in f.keeps and f.is_written], ids=lambda f: f.name
)
def test_formats_without_profiles_hold_srgb(upscaler: Upscaler, tmp_path: Path, format: Format) -> None:
    need(format)
    flat = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    images.write(Picture(flat, {"icc-profile-data": wide_gamut()}), tmp_path / "a.png")
    target = upscaler.upscale_file(tmp_path / "a.png", tmp_path / f"b{format.suffixes[0]}")
    images.write(images.read(target), tmp_path / "seen.png")
    seen = images.read(tmp_path / "seen.png")
    values = seen.colour.mean((0, 1)) / np.iinfo(seen.pixels.dtype).max * 255
    assert np.abs(values - (60, 200, 30)).max() < 3


WHOLE = wide_gamut()
DAMAGED = {
    "too short": WHOLE[:100],
    "cut": WHOLE[:-8],
    "no signature": WHOLE[:36] + b"none" + WHOLE[40:],
    "connected to nothing": WHOLE[:20] + b"none" + WHOLE[24:],
    "tags without end": WHOLE[:128] + b"\xff" * 4 + WHOLE[132:],
    "a tag outside": WHOLE[:136] + b"\x7f" * 4 + WHOLE[140:],
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("source", [".jpg", ".webp", ".heic"])
def test_a_damaged_profile_ends_nothing(
    upscaler: Upscaler, tmp_path: Path, source: str, damage: str
) -> None:
    need(images.WRITABLE[source])
    images.write(Picture(noise(3, "uint8"), {ICC: DAMAGED[damage]}), tmp_path / f"a{source}")
    held = DAMAGED[damage] in (tmp_path / f"a{source}").read_bytes()
    for target in ("b.png", "b.gif", "b.jpg"):
        said: list[str] = []
        upscaler.upscale_file(tmp_path / f"a{source}", tmp_path / target, to_srgb=True, on_note=said.append)
        assert said == ([DAMAGED_PROFILE] if held else [])


def test_what_stands_behind_a_profile_is_cut_off(upscaler: Upscaler, tmp_path: Path) -> None:
    images.write(Picture(noise(3, "uint8"), {ICC: WHOLE + b"more"}), tmp_path / "a.jpg")
    target = upscaler.upscale_file(tmp_path / "a.jpg", tmp_path / "b.png")
    assert images.read(target).metadata[ICC] == WHOLE


def test_a_profile_nobody_can_use_is_as_good_as_none(tmp_path: Path) -> None:
    """Whole as a file, but without the curves that a conversion needs."""
    useless = WHOLE.replace(b"rTRC", b"none").replace(b"gTRC", b"none").replace(b"bTRC", b"none")
    pixels = np.full((8, 8, 3), (200, 60, 30), np.uint8)
    images.write(Picture(pixels, {ICC: useless}), tmp_path / "a.gif")
    assert np.abs(images.read(tmp_path / "a.gif").colour.astype(int) - (200, 60, 30)).max() < 3


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_goes_through_its_profile(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(60, 190, 24)
    plane = np.add.outer(ramp[:16], ramp) / 2
    pixels = np.stack([plane, plane[::-1], np.full_like(plane, 120)], -1).astype(np.uint8)
    cmyk = from_pixels(pixels).icc_export(
        output_profile="cmyk", intent="relative", black_point_compensation=True
    )
    cmyk.write_to_file(str(tmp_path / f"a{suffix}"), **({"Q": 100} if suffix == ".jpg" else {}))
    said: list[str] = []
    target = upscaler.upscale_file(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", on_note=said.append)
    assert said == ["CMYK, converted to sRGB through its profile"]
    result = images.read(target)
    assert result.pixels.shape == (32, 48, 3)
    assert profile_space(result.metadata["icc-profile-data"]) == "RGB"
    assert np.abs(result.pixels.astype(int) - twice(pixels)).mean() < 3


@pytest.mark.parametrize("suffix", [".heic", ".jxl", ".avif", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_every_format_is_converted_to_srgb(tmp_path: Path, suffix: str, depth: str) -> None:
    need(images.WRITABLE[suffix])
    peak = np.iinfo(depth).max
    flat = np.full((16, 16, 3), np.array([200, 60, 30]) / 255 * peak).astype(depth)
    path = tmp_path / f"a{suffix}"
    images.write(Picture(flat, {"icc-profile-data": wide_gamut()}), path)
    picture = images.read(path, to_srgb=True)
    peak = np.iinfo(picture.pixels.dtype).max
    assert np.abs(picture.pixels.mean((0, 1)) / peak * 255 - (60, 200, 30)).max() < 3
    assert picture.metadata.get("icc-profile-data") != wide_gamut()


def test_grey_is_converted_to_srgb_and_stays_grey(tmp_path: Path) -> None:
    linear = ImageCms.ImageCmsProfile(grey_profile()).tobytes()
    pixels = np.stack([np.full((4, 4), 55, np.uint8), np.arange(16, dtype=np.uint8).reshape(4, 4)], -1)
    images.write(Picture(pixels, {"icc-profile-data": linear}), tmp_path / "a.png")
    assert images.read(tmp_path / "a.png").metadata["icc-profile-data"] == linear
    picture = images.read(tmp_path / "a.png", to_srgb=True)
    assert picture.pixels.shape == (4, 4, 2)
    assert np.abs(picture.pixels[..., 0].astype(int) - 128).max() <= 2, "22 % of light"
    assert np.array_equal(picture.pixels[..., 1], pixels[..., 1])
    images.write(Picture(pixels, {"icc-profile-data": linear}), tmp_path / "a.webp", LOSSLESS)
    picture = images.read(tmp_path / "a.webp")
    assert np.abs(picture.colour.astype(int) - 128).max() <= 2, "WebP knows no grey profile"


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("format", [f for f in FORMATS if f.has_alpha], ids=lambda f: f.name)
def test_grey_keeps_its_tones_in_every_format(
    tmp_path: Path, format: Format, channels: int, depth: str
) -> None:
    need(format)
    suffix = format.suffixes[0]
    peak = np.iinfo(depth).max
    pixels = np.full((16, 16, channels), round(55 / 255 * peak), depth)
    pixels[..., 1:] = peak
    images.write(Picture(pixels, {ICC: grey_profile().getvalue()}), tmp_path / "a.png")
    picture = images.read_for(f"b{suffix}", tmp_path / "a.png")
    assert picture.notes == ()
    images.write(picture, tmp_path / f"b{suffix}", LOSSLESS)
    images.write(images.read(tmp_path / f"b{suffix}"), tmp_path / "c.png")
    seen = images.read(tmp_path / "c.png", to_srgb=True)
    values = seen.colour / np.iinfo(seen.pixels.dtype).max * 255
    assert np.abs(values - 128).max() <= 2, "22 % of light"


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("depth", ["float16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_floats_for_displays_are_no_light_in_jxl(
    tmp_path: Path, channels: int, depth: str, lossless: bool
) -> None:
    need(images.WRITABLE[".jxl"])
    pixels = np.ones((16, 16, channels), depth)
    pixels[..., : channels - (channels in (2, 4))] = 0.5
    images.write(Picture(pixels), tmp_path / "a.jxl", WriteOptions(lossless=lossless))
    picture = images.read(tmp_path / "a.jxl")
    assert picture.pixels.dtype == depth
    assert picture.is_grey == (channels == 1)
    images.write(picture, tmp_path / "b.png")
    seen = images.read(tmp_path / "b.png", to_srgb=True)
    assert np.abs(seen.colour / 65535 - 0.5).max() < 0.01
    images.write(Picture(pixels, linear=True), tmp_path / "a.jxl", WriteOptions(lossless=lossless))
    images.write(images.read(tmp_path / "a.jxl"), tmp_path / "b.png")
    seen = images.read(tmp_path / "b.png", to_srgb=True)
    assert np.abs(seen.colour / 65535 - 0.735).max() < 0.01, "half of the light"


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_a_profile_of_another_space_is_not_passed_on(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(noise(1, "uint8")[..., 0]).save(tmp_path / f"a{suffix}", icc_profile=SRGB)
    picture = images.read(tmp_path / f"a{suffix}")
    assert "icc-profile-data" not in picture.metadata
    (note,) = picture.notes
    assert "does not fit its pixels" in note


def test_a_damaged_profile_of_a_png_is_noted(tmp_path: Path) -> None:
    Image.fromarray(noise(3, "uint8")).save(tmp_path / "a.png", icc_profile=b"x" * 300)
    (note,) = images.read(tmp_path / "a.png").notes
    assert note.startswith("its colour profile is damaged")


@pytest.mark.parametrize(
    ("count", "words"), [(5, "1 channel beside colour and alpha is"), (6, "2 channels")]
)
def test_further_channels_are_noted(tmp_path: Path, count: int, words: str) -> None:
    pixels = np.arange(4 * 4 * count, dtype=np.uint8).reshape(4, 4, count)
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    image.tiffsave(str(tmp_path / "a.tif"))
    (note,) = images.read(tmp_path / "a.tif").notes
    assert note.startswith(words)
    image.copy(interpretation="cmyk").tiffsave(str(tmp_path / "b.tif"))
    assert ("1 channel beside colour and alpha is dropped" in images.read(tmp_path / "b.tif").notes) == (
        count == 6
    )
