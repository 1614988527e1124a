"""The resolution for printing is the file's; where it has none, the result has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from escsr import images
from escsr.images import Picture

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
ENDINGS = [".png", ".jpg", ".tif"]


def dpi_of(path: Path) -> Any:
    with Image.open(path) as image:
        image.load()
        return image.info.get("dpi")


@pytest.mark.parametrize("source", [*ENDINGS, ".webp"])
@pytest.mark.parametrize("target", ENDINGS)
def test_none_is_made_up(tmp_path: Path, source: str, target: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"a{source}")
    picture = images.read(tmp_path / f"a{source}")
    assert picture.pixels_per_mm is None
    images.write(picture, tmp_path / f"b{target}")
    assert dpi_of(tmp_path / f"b{target}") is None
    again = images.read(tmp_path / f"b{target}")
    assert again.pixels_per_mm is None
    assert target == ".jpg" or np.array_equal(again.pixels, picture.pixels)


@pytest.mark.parametrize("target", ENDINGS)
def test_none_is_made_up_beside_exif(tmp_path: Path, target: str) -> None:
    """EXIF must have one: 72 dpi is its word for unknown."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    images.write(images.read(tmp_path / "a.png"), tmp_path / f"b{target}")
    assert dpi_of(tmp_path / f"b{target}") == ((72, 72) if target == ".jpg" else None)


@pytest.mark.parametrize("source", ENDINGS)
@pytest.mark.parametrize("dpi", [25.4, 72])
def test_usual_values_are_kept_where_a_file_states_them(tmp_path: Path, source: str, dpi: float) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"a{source}", dpi=(dpi, dpi))
    stated = dpi_of(tmp_path / f"a{source}")
    for target in ENDINGS:
        images.write(images.read(tmp_path / f"a{source}"), tmp_path / f"b{target}")
        assert dpi_of(tmp_path / f"b{target}") == pytest.approx(stated, abs=0.6)


@pytest.mark.parametrize("target", ENDINGS)
def test_what_exif_alone_states_is_kept(tmp_path: Path, target: str) -> None:
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 300.0, 2
    Image.fromarray(PIXELS).save(tmp_path / "a.webp", exif=exif)
    images.write(images.read(tmp_path / "a.webp"), tmp_path / f"b{target}")
    assert dpi_of(tmp_path / f"b{target}") == pytest.approx((300, 300), abs=0.1)


def test_an_aspect_is_no_resolution(tmp_path: Path) -> None:
    images.write(Picture(PIXELS), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.info == {"aspect": (1, 1)}
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", tiffinfo={282: 10.0, 283: 10.0, 296: 1})
    assert images.read(tmp_path / "a.tif").pixels_per_mm is None
