"""Files of every kind people have, in and out; Pillow is the independent witness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from escsr import images
from escsr.errors import DataError, ImageError, OutputError
from escsr.images import Picture

LOSSLESS = [".png", ".tif"]


def noise(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def gradient(channels: int, dtype: type = np.uint8) -> np.ndarray:
    ramp = np.linspace(0.1, 0.9, 40)
    planes = [np.add.outer(ramp[:30], ramp * (c + 1)) / (c + 2) for c in range(channels)]
    return (np.stack(planes, -1) * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_round_trip(tmp_path: Path, channels: int, dtype: type, suffix: str) -> None:
    pixels = noise((21, 34, channels), dtype)
    path = tmp_path / f"picture{suffix}"
    images.write(Picture(pixels), path)
    again = images.read(path)
    assert again.pixels.dtype == dtype
    assert np.array_equal(again.pixels, pixels)
    assert again.has_alpha == (channels in (2, 4))
    assert images.read_size(path) == (34, 21)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossy_round_trip_is_close(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = gradient(3, dtype)
    path = tmp_path / f"picture{suffix.upper()}"
    images.write(Picture(pixels), path)
    again = images.read(path).pixels
    assert again.dtype == (np.uint16 if suffix == ".avif" and dtype == np.uint16 else np.uint8)
    difference = again / np.iinfo(again.dtype).max - pixels / np.iinfo(dtype).max
    assert np.abs(difference).max() < 0.02
    assert abs(difference.mean()) < 0.002


def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16) * 257
    pixels = np.repeat(levels.reshape(16, 16, 1), 3, 2)
    images.write(Picture(pixels), tmp_path / "a.jpg")
    eight = (pixels // 257).astype(np.uint8)
    images.write(Picture(eight), tmp_path / "b.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    pixels = gradient(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "in.png", exif=exif)
    with Image.open(tmp_path / "in.png") as source:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(source))
    picture = images.read(tmp_path / "in.png")
    assert np.array_equal(picture.pixels, upright)
    for suffix in (".png", ".tif", ".jpg"):
        images.write(picture, tmp_path / f"out{suffix}")
        with Image.open(tmp_path / f"out{suffix}") as result:
            assert result.getexif().get(0x0112, 1) == 1
            assert result.size == (upright.shape[1], upright.shape[0])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_metadata_is_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2021:02:03 04:05:06"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf/></x:xmpmeta>'
    source = tmp_path / "in.jpg"
    Image.fromarray(gradient(3)).save(source, exif=exif, icc_profile=profile, xmp=xmp, dpi=(300, 300))
    picture = images.read(source)
    larger = Picture(picture.pixels.repeat(2, 0).repeat(2, 1), picture.metadata, picture.pixels_per_mm)
    images.write(larger, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as result:
        assert result.info["icc_profile"] == profile
        kept = result.getexif()
        assert (kept[0x0112], kept[0x010F]) == (1, "Maker")
        assert kept.get_ifd(0x8769)[0x9003] == "2021:02:03 04:05:06"
        assert kept.get_ifd(0x8769)[0xA002] == result.width
        assert kept.get_ifd(0x8825)[1].strip("\0") == "N"
        if "dpi" in result.info:
            assert result.info["dpi"][0] == pytest.approx(300, abs=0.1)
    again = images.read(tmp_path / f"out{suffix}")
    assert again.metadata["xmp-data"] == xmp
    images.write(again, tmp_path / "back.jpg")
    with Image.open(tmp_path / "back.jpg") as back:
        assert back.getexif()[0x010F] == "Maker"
        assert back.getexif().get_ifd(0x8769)[0x9003] == "2021:02:03 04:05:06"


@pytest.mark.parametrize("source", [".png", ".jpg", ".tif"])
def test_resolution_is_kept(tmp_path: Path, source: str) -> None:
    Image.fromarray(gradient(3)).save(tmp_path / f"a{source}", dpi=(300, 150))
    picture = images.read(tmp_path / f"a{source}")
    for target in (".png", ".jpg", ".tif"):
        images.write(picture, tmp_path / f"b{target}")
        with Image.open(tmp_path / f"b{target}") as result:
            assert result.info["dpi"] == pytest.approx((300, 150), abs=0.1)
            assert np.array_equal(np.asarray(result), images.read(tmp_path / f"b{target}").pixels)


def test_absurd_resolutions_are_passed_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(gradient(3)).save(tmp_path / "a.png", dpi=(1e8, 1e8))
    picture = images.read(tmp_path / "a.png")
    assert picture.pixels_per_mm is None
    images.write(picture, tmp_path / "b.jpg")
    images.write(Picture(gradient(3), pixels_per_mm=(5000, 5000)), tmp_path / "c.jpg")
    assert capfd.readouterr() == ("", "")


def test_no_metadata_is_made_up(tmp_path: Path) -> None:
    Image.fromarray(gradient(3)).save(tmp_path / "in.png")
    picture = images.read(tmp_path / "in.png")
    assert not picture.metadata
    for suffix in (".jpg", ".png", ".webp", ".avif"):
        images.write(picture, tmp_path / f"out{suffix}")
        with Image.open(tmp_path / f"out{suffix}") as result:
            assert not result.getexif()


def test_palette_grey_bits_and_cmyk(tmp_path: Path) -> None:
    colour = Image.fromarray(gradient(3))
    colour.quantize(16).save(tmp_path / "palette.png")
    with Image.open(tmp_path / "palette.png") as palette:
        expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(images.read(tmp_path / "palette.png").pixels, expected)
    colour.quantize(16).save(tmp_path / "frame.gif")
    assert images.read(tmp_path / "frame.gif").colour.shape == (30, 40, 3)
    colour.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(images.read(tmp_path / "bits.png").pixels)) == {0, 255}
    colour.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    converted = images.read(tmp_path / "cmyk.jpg").pixels
    assert converted.shape == (30, 40, 3)
    assert np.abs(converted.astype(int) - gradient(3)).mean() < 30


def test_the_same_name_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    for value in (10, 200):
        images.write(Picture(np.full((8, 8, 3), value, np.uint8)), path)
        assert (images.read(path).pixels == value).all()


def test_unicode_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "größe 写真 [1] 100%.png"
    images.write(Picture(noise((4, 5, 3), np.uint8)), path)
    assert images.read(path).pixels.shape == (4, 5, 3)
    assert images.find_images(tmp_path) == [path]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif"])
def test_bad_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    images.write(Picture(noise((64, 64, 3), np.uint8)), path)
    whole = path.read_bytes()
    for content in (b"", b"hello, this is text", b"\x00" * 64, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name}: not a readable picture: "):
            images.read(path)


def test_what_is_not_a_picture_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        images.read(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="not a file"):
        images.read(tmp_path)
    (tmp_path / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    with pytest.raises(ImageError, match=r"not supported|not a readable"):
        images.read(tmp_path / "drawing.svg")


def test_find_images(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "deep/er/c.webp", ".hidden/d.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = [str(path.relative_to(tmp_path)) for path in images.find_images(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "deep/er/c.webp"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        images.find_images(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder"):
        images.find_images(tmp_path / "nowhere")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its ending must be one of"):
        images.write(Picture(noise((4, 4, 3), np.uint8)), tmp_path / "a.bmp")
    with pytest.raises(OutputError, match="cannot hold transparency"):
        images.write(Picture(noise((4, 4, 4), np.uint8)), tmp_path / "a.jpg")
    blocker = tmp_path / "blocker"
    blocker.write_text("a file, not a folder")
    with pytest.raises(OutputError, match="Cannot write"):
        images.write(Picture(noise((4, 4, 3), np.uint8)), blocker / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["blocker"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    images.write(Picture(noise((4, 4, 3), np.uint8)), path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="WebP holds up to 16383 pixels a side, not 20000×1"):
        images.write(Picture(np.zeros((1, 20_000, 3), np.uint8)), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.webp"]
