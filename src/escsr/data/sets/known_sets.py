"""Training and test sets of the field: how they unpack, how many pictures, and their licences.

Nothing here downloads: pictures come from their holders, under their holders' terms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["KNOWN_SETS", "KnownSet", "Layout", "LocatedSet", "locate"]


@dataclass(frozen=True)
class Layout:
    """One way in which a set lies on disk.

    Attributes:
        hr: Folder of the HR pictures below the set's root.
        lr: Folder of the LR pictures of a scale, "{scale}" in it; None where the set has none.
    """

    hr: str
    lr: str | None = None


@dataclass(frozen=True)
class KnownSet:
    """A set of pictures.

    Attributes:
        name: As papers call it.
        use: What it is for.
        num_images: HR pictures; None where the holders do not say.
        licence: Terms of the pictures in a few words, or that none are stated.
        homepage: Where its holders tell about it.
        layouts: How it unpacks; the first that is there counts.
        folder_names: Names of the root, in small letters, where the layout alone could be any set's;
            empty where the layout tells enough.
    """

    name: str
    use: Literal["training", "test"]
    num_images: int | None
    licence: str
    homepage: str
    layouts: tuple[Layout, ...]
    folder_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocatedSet:
    """A known set on disk.

    Attributes:
        known: Which.
        hr: Folder of its HR pictures.
        lr: Folders of LR pictures by scale, those that are there.
    """

    known: KnownSet
    hr: Path
    lr: dict[int, Path]


_NO_LICENCE = "none stated by its holders; research use is customary"
_BENCHMARK = (Layout("HR", "LR_bicubic/X{scale}"), Layout("GTmod12", "LRbicx{scale}"))
_SCALES = (2, 3, 4, 8)

KNOWN_SETS: tuple[KnownSet, ...] = (
    KnownSet(
        "DIV2K",
        "training",
        800,
        "academic research only; the pictures belong to their owners",
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        (Layout("DIV2K_train_HR", "DIV2K_train_LR_bicubic/X{scale}"),),
    ),
    KnownSet(
        "DIV2K validation",
        "test",
        100,
        "academic research only; the pictures belong to their owners",
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        (Layout("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X{scale}"),),
    ),
    KnownSet(
        "Flickr2K",
        "training",
        2650,
        "none stated; photographs of Flickr users, each under its own terms",
        "https://github.com/LimBee/NTIRE2017",
        (Layout("Flickr2K_HR", "Flickr2K_LR_bicubic/X{scale}"),),
    ),
    KnownSet(
        "LSDIR",
        "training",
        84_991,
        "none stated; conditions to accept before the download",
        "https://huggingface.co/ofsoundof/LSDIR",
        (Layout("HR/train", "X{scale}/train"),),
        ("lsdir",),
    ),
    KnownSet(
        "DiverSeg-IP",
        "training",
        None,
        "its parts': ImageNet, non-commercial research and education only; PASS, CC BY per picture",
        "https://github.com/gohtanii/DiverSeg-dataset",
        (Layout("."),),
        ("diverseg-ip",),
    ),
    KnownSet(
        "OST",
        "training",
        10_324,
        _NO_LICENCE,
        "https://github.com/xinntao/SFTGAN",
        (Layout("OutdoorSceneTrain_v2"),),
    ),
    KnownSet(
        "DF2K-OST",
        "training",
        None,
        "its parts': DIV2K, Flickr2K and OST",
        "https://github.com/xinntao/Real-ESRGAN",
        (Layout("GT"),),
        ("df2k_ost", "df2k-ost", "df2k+ost"),
    ),
    KnownSet("Set5", "test", 5, _NO_LICENCE, "https://doi.org/10.5244/C.26.135", _BENCHMARK, ("set5",)),
    KnownSet(
        "Set14",
        "test",
        14,
        _NO_LICENCE,
        "https://doi.org/10.1007/978-3-642-27413-8_47",
        _BENCHMARK,
        ("set14",),
    ),
    KnownSet(
        "B100",
        "test",
        100,
        "non-commercial research and education only",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
        _BENCHMARK,
        ("b100", "bsd100", "bsds100"),
    ),
    KnownSet(
        "Urban100",
        "test",
        100,
        _NO_LICENCE,
        "https://github.com/jbhuang0604/SelfExSR",
        _BENCHMARK,
        ("urban100",),
    ),
    KnownSet(
        "Manga109",
        "test",
        109,
        "academic research, on application; no redistribution",
        "http://www.manga109.org/en/",
        _BENCHMARK,
        ("manga109",),
    ),
)
"""The sets that the paper trains and measures on."""


def locate(folder: str | os.PathLike[str]) -> list[LocatedSet]:
    """Recognises known sets by their layout.

    Args:
        folder: An unpacked root ("DIV2K", which holds "DIV2K_train_HR" and perhaps LR pictures), or an
            HR folder itself.

    Returns:
        The sets and their folders, as many as lie there; none where it is something else.
    """
    found = (_locate_one(Path(folder), known) for known in KNOWN_SETS)
    return [located for located in found if located is not None]


def _locate_one(folder: Path, known: KnownSet) -> LocatedSet | None:
    """The set, where `folder` is its root or its HR folder."""
    whole = folder.absolute()
    for layout in known.layouts:
        hr = Path(layout.hr).parts
        roots = [folder, whole.parents[len(hr) - 1]] if whole.parts[-len(hr) :] == hr else [folder]
        for root in roots:
            named = not known.folder_names or root.absolute().name.lower() in known.folder_names
            if named and (root / layout.hr).is_dir():
                lr = {scale: root / layout.lr.format(scale=scale) for scale in _SCALES} if layout.lr else {}
                there = {scale: folder for scale, folder in lr.items() if folder.is_dir()}
                return LocatedSet(known, root / layout.hr, there)
    return None
