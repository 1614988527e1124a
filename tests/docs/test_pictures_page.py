"""docs/pictures.md says what the code does."""

from __future__ import annotations

import re

import pytest

from escsr import diagnosis
from escsr.images import FORMATS, Format
from escsr.images.writing import _QUALITY
from samples import ROOT

PAGE = (ROOT / "docs" / "pictures.md").read_text()
ROWS = {
    cells[0]: cells
    for line in PAGE.splitlines()
    if line.startswith("| ")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}
FIRST_FRAME_ONLY = ("PNG", "AVIF")
DEPTHS = {"uint8": "8", "uint16": "16"}
LOSSLESS = {"always": "always", "option": "`--lossless`", "never": "never"}


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_every_format_has_its_row(format: Format) -> None:
    others = "first" if format.name in FIRST_FRAME_ONLY else ""
    assert ROWS[format.name] == [
        format.name,
        " ".join(format.suffixes),
        ", ".join(DEPTHS.get(depth, depth) for depth in format.depths),
        "yes" if format.has_alpha else "no",
        "yes" if format.has_grey else "as RGB",
        "all" if format.is_animated else others,
        "kept" if "ICC" in format.keeps else "to sRGB",
        "kept" if {"EXIF", "XMP"} <= set(format.keeps) else "left out",
        LOSSLESS[format.lossless],
        f"{format.max_side:,}",
        f"`{format.extra}`" if format.extra else "",
    ]


def test_there_are_no_other_rows() -> None:
    assert set(ROWS) - {"format"} == {format.name for format in FORMATS}


def test_qualities() -> None:
    (sentence,) = re.findall(r"\*\*Default quality\*\*: (.*?)\. Colour", PAGE, re.DOTALL)
    for name, quality in _QUALITY.items():
        assert re.search(rf"{name}[^\d]* {quality}\b", sentence), name


def test_extras_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for extra in {format.extra for format in FORMATS if format.extra}:
        assert f"\n{extra} = [" in project


def test_doctor_names_the_line_for_every_extra() -> None:
    named = {extra for _, extras in diagnosis._EXTRAS.values() for extra in extras}
    assert {format.extra for format in FORMATS if format.extra} <= named
