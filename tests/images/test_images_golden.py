"""Mode × depth × format × alpha × profile × orientation: what goes through comes out, enlarged.

The network repeats pixels, so that every result is known; Pillow is the independent witness.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, ImageSequence

from escsr import images
from escsr.errors import ImageError, OutputError
from escsr.images import FORMATS, Animation, Format, Picture, WriteOptions
from escsr.models.saving import save_network
from escsr.upscaling.upscaler import Upscaler
from samples import nearest_network

LOSSLESS = WriteOptions(lossless=True)
PACKAGES = {"jxl": "OpenImageIO", "exr": "OpenImageIO", "heic": "pillow_heif"}
LOSSLESS_CASES = [
    pytest.param(format, depth, channels, id=f"{format.name}-{depth}-{channels}")
    for format in FORMATS
    if format.lossless != "never"
    for depth in format.depths
    for channels in (1, 2, 3, 4)
]


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path = tmp_path_factory.mktemp("models") / "nearest.safetensors"
    save_network(nearest_network(), path)
    return Upscaler(path, device="cpu", precision="float32")


def need(format: Format) -> None:
    if format.extra is not None:
        pytest.importorskip(PACKAGES[format.extra], reason=f'needs pip install "escsr[{format.extra}]"')


def noise(channels: int, depth: str, *, height: int = 6, width: int = 9) -> np.ndarray:
    """Random pixels; with alpha, a third of them fully transparent and a third fully opaque."""
    random = np.random.default_rng(channels)
    dtype = np.dtype(depth)
    peak = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    pixels = random.random((height, width, channels)) * peak
    if channels in (2, 4):
        pixels[: height // 3, :, -1], pixels[-(height // 3) :, :, -1] = 0, peak
    return pixels.astype(dtype)


def twice(pixels: np.ndarray) -> np.ndarray:
    return pixels.repeat(2, 0).repeat(2, 1)


def as_held(pixels: np.ndarray, format: Format, read_channels: int) -> np.ndarray:
    """Grey as R = G = B where a format, or its library, has no such grey."""
    grey, alpha = pixels[..., :1], pixels[..., 1:]
    wide = pixels.shape[2] < 3 <= read_channels
    assert not wide or not format.has_grey or format.name == "JPEG XL"
    return np.concatenate([grey, grey, grey, alpha], 2) if wide else pixels


@pytest.mark.parametrize(("format", "depth", "channels"), LOSSLESS_CASES)
def test_pixels_are_bit_equal(
    upscaler: Upscaler, tmp_path: Path, format: Format, depth: str, channels: int
) -> None:
    need(format)
    pixels = noise(channels, depth)
    if format.is_linear and channels in (2, 4):
        pixels[..., :-1] *= pixels[..., -1:]
    source, target = (tmp_path / f"{name}{format.suffixes[0]}" for name in ("a", "b"))
    picture = Picture(
        pixels, linear=format.is_linear, premultiplied=format.is_linear and channels in (2, 4)
    )
    images.write(picture, source, LOSSLESS)
    before = images.read(source)
    upscaler.upscale_file(source, target, write_options=LOSSLESS)
    after = images.read(target)
    assert before.pixels.dtype == after.pixels.dtype == depth
    expected = as_held(pixels, format, before.pixels.shape[2])
    if format.name == "AVIF" and depth == "uint16":
        assert np.abs(before.pixels.astype(int) - expected).max() <= 8, "12 bits"
        expected = before.pixels
    assert np.array_equal(before.pixels, expected)
    if format.is_linear and depth == "float32":  # the curve of displays has no more digits
        np.testing.assert_allclose(after.pixels, twice(expected), rtol=2e-6)
    else:
        assert np.array_equal(after.pixels, twice(expected))
    assert images.read_header(target).channels == after.pixels.shape[2]


@pytest.mark.parametrize(
    "format", [f for f in FORMATS if f.lossless == "never" and f.is_written], ids=lambda f: f.name
)
def test_lossy_formats_are_close(upscaler: Upscaler, tmp_path: Path, format: Format) -> None:
    need(format)
    ramp = np.linspace(0.2, 0.8, 48)
    pixels = np.stack([np.add.outer(ramp[:32], ramp) / 2] * 3, -1)
    picture = Picture((pixels * 255).astype(np.uint8))
    source, target = (tmp_path / f"{name}{format.suffixes[0]}" for name in ("a", "b"))
    images.write(picture, source)
    upscaler.upscale_file(source, target)
    images.write(images.read(target), tmp_path / "c.png")
    result = images.read(tmp_path / "c.png").colour
    scale = np.iinfo(result.dtype).max / 255
    assert np.abs(result / scale - twice(picture.pixels)).max() < 8
    assert np.abs(result / scale - twice(picture.pixels)).mean() < 2


def test_float_beyond_one_and_below_zero(upscaler: Upscaler, tmp_path: Path) -> None:
    pixels = noise(3, "float32") * 300 - 1
    images.write(Picture(pixels), tmp_path / "a.tif")
    upscaler.upscale_file(tmp_path / "a.tif", tmp_path / "b.tif")
    result = images.read(tmp_path / "b.tif").pixels
    assert np.array_equal(result, twice(np.maximum(pixels, 0)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_modes(upscaler: Upscaler, tmp_path: Path, mode: str, suffix: str) -> None:
    if (mode, suffix) == ("CMYK", ".png"):
        pytest.skip("PNG has no CMYK")
    image = Image.fromarray(noise(3, "uint8"))
    if mode == "I;16":
        image = Image.fromarray(noise(1, "uint16")[..., 0])
    image = image.convert(mode) if mode != "I;16" else image
    image.save(tmp_path / f"a{suffix}")
    said: list[str] = []
    upscaler.upscale_file(tmp_path / f"a{suffix}", tmp_path / "b.png", on_note=said.append)
    result = images.read(tmp_path / "b.png").pixels
    if mode == "CMYK":
        assert said == ["CMYK, converted to sRGB through a usual profile, as it has none"]
        assert result.shape == (12, 18, 3)
        return
    assert not said
    plain = image.convert({"1": "L", "P": "RGB"}.get(mode, mode))
    expected = np.asarray(plain).reshape(6, 9, -1)
    assert result.dtype == expected.dtype
    assert np.array_equal(result, twice(expected))


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 4])
def test_opaque_alpha_is_no_hindrance(
    upscaler: Upscaler, tmp_path: Path, depth: str, channels: int
) -> None:
    pixels = noise(channels, depth)
    pixels[..., -1] = 1 if depth == "float32" else np.iinfo(depth).max
    images.write(Picture(pixels), tmp_path / "a.tif")
    result = images.read(upscaler.upscale_file(tmp_path / "a.tif", tmp_path / "b.jpg"))
    assert result.pixels.shape == (12, 18, channels - 1)
    kept = images.read(upscaler.upscale_file(tmp_path / "a.tif", tmp_path / "b.tif"))
    assert np.array_equal(kept.pixels, twice(pixels))
    pixels[3, 4, -1] = pixels[3, 4, -1] * 0.99
    images.write(Picture(pixels), tmp_path / "a.tif")
    with pytest.raises(OutputError, match="cannot hold transparency"):
        upscaler.upscale_file(tmp_path / "a.tif", tmp_path / "c.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientations(upscaler: Upscaler, tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(3, "uint8", height=16, width=24)).save(tmp_path / f"a{suffix}", exif=exif)
    with Image.open(tmp_path / f"a{suffix}") as source:
        upright = np.asarray(ImageOps.exif_transpose(source))
    target = upscaler.upscale_file(tmp_path / f"a{suffix}", tmp_path / "b.png")
    with Image.open(target) as result:
        assert result.getexif().get(0x0112, 1) == 1
        assert result.size == (upright.shape[1] * 2, upright.shape[0] * 2)
        assert np.abs(np.asarray(result).astype(int) - twice(upright)).max() <= (
            3 if suffix == ".jpg" else 0
        )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_metadata_fits_the_result(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0100], exif[0x0101], exif[0x010F], exif[0x0112] = 24, 16, "Maker", 6
    exif.get_ifd(0x8769).update({0xA002: 24, 0xA003: 16, 0x9003: "2021:02:03 04:05:06"})
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:rights="me">'
        b"<exif:PixelXDimension>24</exif:PixelXDimension></rdf:Description></x:xmpmeta>"
    )
    Image.fromarray(noise(3, "uint8", height=16, width=24)).save(tmp_path / "a.jpg", exif=exif, xmp=xmp)
    target = upscaler.upscale_file(tmp_path / "a.jpg", tmp_path / f"b{suffix}")
    with Image.open(target) as result:
        assert result.size == (32, 48)
        tags = result.getexif()
        assert (tags[0x010F], tags[0x0112]) == ("Maker", 1)
        assert tags.get(0x0100, 32) == 32
        assert tags.get(0x0101, 48) == 48
        inner = tags.get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003], inner[0x9003]) == (32, 48, "2021:02:03 04:05:06")
    kept = images.read(target).metadata["xmp-data"]
    assert b'tiff:Orientation="1"' in kept
    assert b"<exif:PixelXDimension>32<" in kept
    assert b'dc:rights="me"' in kept
    upscaler.upscale_file(tmp_path / "a.jpg", target, write_options=WriteOptions(strip=True))
    assert set(images.read(target).metadata) <= {"icc-profile-data"}
    with Image.open(target) as result:
        assert 0x010F not in result.getexif()


def test_thumbnails_go(upscaler: Upscaler, tmp_path: Path) -> None:
    thumbnail = b"\xff\xd8" + b"an old face" * 50 + b"\xff\xd9"
    second = struct.pack("<H", 2) + struct.pack("<HHII", 0x0201, 4, 1, 56)
    second += struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    first = struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHII", 0x0112, 3, 1, 1)
    block = b"Exif\0\0" + first + struct.pack("<I", 26) + second + thumbnail
    Image.fromarray(noise(3, "uint8", height=16, width=24)).save(tmp_path / "a.jpg", exif=block)
    assert b"an old face" in (tmp_path / "a.jpg").read_bytes()
    for suffix in (".jpg", ".png", ".webp", ".tif", ".avif"):
        target = upscaler.upscale_file(tmp_path / "a.jpg", tmp_path / f"b{suffix}")
        assert b"an old face" not in target.read_bytes()


@pytest.mark.parametrize("source", [".gif", ".webp"])
@pytest.mark.parametrize("target", [".gif", ".webp"])
@pytest.mark.parametrize("transparent", [False, True])
def test_animations_play_equal(
    upscaler: Upscaler, tmp_path: Path, source: str, target: str, transparent: bool
) -> None:
    delays, frames = [50, 70, 100, 240], []
    for index in range(4):
        stripes = (np.indices((20, 30)).sum(0) + 3 * index) % 7 < 3
        plane = np.where(stripes, 60 * index + 40, 10).astype(np.uint8)
        alpha = np.where(stripes | (not transparent), 255, 0).astype(np.uint8)
        frames.append(Image.fromarray(np.stack([plane, plane // 2, 255 - plane, alpha], -1)))
    path = tmp_path / f"a{source}"
    how = {"lossless": True} if source == ".webp" else {"disposal": 2}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays, loop=3, **how)
    options = LOSSLESS if target == ".webp" else None
    upscaler.upscale_file(path, tmp_path / f"b{target}", write_options=options)
    assert images.read_header(tmp_path / f"b{target}").frames == 4
    assert images.read_animation(tmp_path / f"b{target}").loops == images.read_animation(path).loops
    with Image.open(path) as before, Image.open(tmp_path / f"b{target}") as after:
        pairs = zip(ImageSequence.Iterator(before), ImageSequence.Iterator(after), strict=True)
        for (old, new), delay in zip(pairs, delays, strict=True):
            expected, seen = twice(np.asarray(old.convert("RGBA"))), np.asarray(new.convert("RGBA"))
            visible = expected[..., 3:] > 0
            assert np.array_equal(seen[..., 3], expected[..., 3])
            assert np.array_equal(seen * visible, expected * visible)
            assert new.info["duration"] == delay
    said: list[str] = []
    still = upscaler.upscale_file(path, tmp_path / "still.png", on_note=said.append)
    assert images.read(still).pixels.shape[:2] == (40, 60)
    assert said == ["the first of 4 frames"]


def test_an_animation_needs_a_format_for_it(tmp_path: Path) -> None:
    animation = Animation(np.zeros((2, 4, 4, 3), np.uint8), (10, 10))
    with pytest.raises(OutputError, match=r"choose \.gif or \.webp"):
        images.write(animation, tmp_path / "a.png")
    images.write(Picture(noise(3, "uint8")), tmp_path / "a.png")
    with pytest.raises(ImageError, match="hold no animation"):
        images.read_animation(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [10, 12])
def test_bits_of_avif_are_kept(upscaler: Upscaler, tmp_path: Path, bits: int) -> None:
    levels = np.rint(np.arange(64) * 65535 / (2**bits - 1)).astype(np.uint16)
    pixels = np.repeat(levels.reshape(8, 8, 1), 3, 2)
    images.write(Picture(pixels, bits=bits), tmp_path / "a.avif", LOSSLESS)
    assert np.array_equal(images.read(tmp_path / "a.avif").pixels, pixels)
    target = upscaler.upscale_file(tmp_path / "a.avif", tmp_path / "b.avif", write_options=LOSSLESS)
    assert images.read(target).bits == bits
    assert np.array_equal(images.read(target).pixels, twice(pixels))
