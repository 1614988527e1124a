"""The page of crops shows what its script draws, and is small."""

from __future__ import annotations

import re

import make_gallery


def test_page_and_folder_hold_the_crops() -> None:
    page = make_gallery.PAGE.read_text()
    shown = re.findall(r"\(gallery/(.+?)\)", page)
    drawn = list(make_gallery.PAGE.with_suffix("").glob("*.png"))
    assert shown == [crop.file_name for crop in make_gallery.CROPS]
    assert set(shown) == {path.name for path in drawn}
    assert sum(path.stat().st_size for path in drawn) < 1_500_000
    for names in make_gallery.MODELS.values():
        assert all(name in page for name in names)
