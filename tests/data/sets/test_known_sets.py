from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from escsr import images
from escsr.data.pictures import find_pairs, find_training_images
from escsr.data.sets.known_sets import KNOWN_SETS, KnownSet, Layout, locate
from escsr.errors import DataError
from samples import ROOT

LAYOUTS = [(known, layout) for known in KNOWN_SETS for layout in known.layouts]
NAMES = [f"{known.name} {layout.hr}" for known, layout in LAYOUTS]


def unpack(folder: Path, known: KnownSet, layout: Layout) -> Path:
    """A set of one picture, with LR ×2 and ×4 where it has LR."""
    root = folder / (known.folder_names[0] if known.folder_names else "pictures")
    images.write(images.Picture(np.zeros((8, 8, 3), np.uint8)), root / layout.hr / "0001.png")
    for scale in (2, 4) if layout.lr else ():
        lr = images.Picture(np.zeros((8 // scale, 8 // scale, 3), np.uint8))
        images.write(lr, root / str(layout.lr).format(scale=scale) / f"0001x{scale}.png")
    return root


@pytest.mark.parametrize(("known", "layout"), LAYOUTS, ids=NAMES)
def test_each_is_recognised(known: KnownSet, layout: Layout, tmp_path: Path) -> None:
    root = unpack(tmp_path, known, layout)
    for folder in (root, root / layout.hr):
        (located,) = locate(folder)
        assert located.known is known
        assert located.hr.resolve() == (root / layout.hr).resolve()
        assert sorted(located.lr) == ([2, 4] if layout.lr else [])
        for scale, lr in located.lr.items():
            ((large, small),) = find_pairs(located.hr, lr, scale)
            assert (large.name, small.name) == ("0001", f"0001x{scale}")


@pytest.mark.parametrize(("known", "layout"), LAYOUTS, ids=NAMES)
def test_only_its_hr_pictures_are_trained_on(known: KnownSet, layout: Layout, tmp_path: Path) -> None:
    root = unpack(tmp_path, known, layout)
    assert len(find_training_images(root / layout.hr)) == 1
    if layout.hr == ".":
        return
    with pytest.raises(DataError, match=f"holds {known.name} with more than its HR pictures; give .*"):
        find_training_images(root)


def test_names_in_large_letters_and_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Set5" / "GTmod12").mkdir(parents=True)
    assert [each.known.name for each in locate(tmp_path / "Set5")] == ["Set5"]
    monkeypatch.chdir(tmp_path / "Set5" / "GTmod12")
    assert [each.known.name for each in locate(".")] == ["Set5"]


def test_several_in_one_folder(tmp_path: Path) -> None:
    for name in ("DIV2K_train_HR", "DIV2K_valid_HR", "Flickr2K_HR"):
        (tmp_path / name).mkdir()
    assert [each.known.name for each in locate(tmp_path)] == ["DIV2K", "DIV2K validation", "Flickr2K"]


def test_what_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "HR").mkdir()  # the layout of Set5 under another name
    (tmp_path / "set5").mkdir()  # its name with another layout
    assert locate(tmp_path) == locate(tmp_path / "set5") == locate(tmp_path / "nowhere") == []


def test_the_page_lists_the_same() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    listed = page.split("<!-- sets -->")[1].split("<!-- /sets -->")[0].strip().splitlines()[2:]
    assert listed == [
        f"| [{known.name}]({known.homepage}) | {known.use} | "
        + ("" if known.num_images is None else f"{known.num_images:,} ")
        + f"| {' or '.join(f'`{layout.hr}`' for layout in known.layouts)} | {known.licence} |"
        for known in KNOWN_SETS
    ]


def test_the_table_is_whole() -> None:
    assert len({known.name for known in KNOWN_SETS}) == len(KNOWN_SETS)
    for known in KNOWN_SETS:
        assert known.licence
        assert known.homepage.startswith(("https://", "http://"))
        assert all(name == name.lower() for name in known.folder_names)
    paper = {"DIV2K", "Flickr2K", "LSDIR", "DiverSeg-IP", "DF2K-OST"}
    assert paper <= {known.name for known in KNOWN_SETS if known.use == "training"}
