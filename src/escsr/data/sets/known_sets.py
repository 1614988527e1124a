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
_OWNERS = "academic research only; the pictures belong to their owners"
_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_SCALES = (2, 3, 4, 8)


def _benchmark(name: str, count: int, homepage: str, licence: str, *other_folders: str) -> KnownSet:
    """A test set, which unpacks in one of two ways into a folder of its name."""
    layouts = (Layout("HR", "LR_bicubic/X{scale}"), Layout("GTmod12", "LRbicx{scale}"))
    return KnownSet(name, "test", count, licence, homepage, layouts, (name.lower(), *other_folders))


# fmt: off
KNOWN_SETS: tuple[KnownSet, ...] = (
    KnownSet("DIV2K", "training", 800, _OWNERS, _DIV2K,
             (Layout("DIV2K_train_HR", "DIV2K_train_LR_bicubic/X{scale}"),)),
    KnownSet("DIV2K validation", "test", 100, _OWNERS, _DIV2K,
             (Layout("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X{scale}"),)),
    KnownSet("Flickr2K", "training", 2650,
             "none stated; photographs of Flickr users, each under its own terms",
             "https://github.com/LimBee/NTIRE2017",
             (Layout("Flickr2K_HR", "Flickr2K_LR_bicubic/X{scale}"),)),
    KnownSet("LSDIR", "training", 84_991, "none stated; conditions to accept before the download",
             "https://huggingface.co/ofsoundof/LSDIR", (Layout("HR/train", "X{scale}/train"),), ("lsdir",)),
    KnownSet("DiverSeg-IP", "training", None,
             "its parts': ImageNet, non-commercial research and education only; PASS, CC BY per picture",
             "https://github.com/gohtanii/DiverSeg-dataset", (Layout("."),), ("diverseg-ip",)),
    KnownSet("OST", "training", 10_324, _NO_LICENCE, "https://github.com/xinntao/SFTGAN",
             (Layout("OutdoorSceneTrain_v2"),)),
    KnownSet("DF2K-OST", "training", None, "its parts': DIV2K, Flickr2K and OST",
             "https://github.com/xinntao/Real-ESRGAN", (Layout("GT"),),
             ("df2k_ost", "df2k-ost", "df2k+ost")),
    _benchmark("Set5", 5, "https://doi.org/10.5244/C.26.135", _NO_LICENCE),
    _benchmark("Set14", 14, "https://doi.org/10.1007/978-3-642-27413-8_47", _NO_LICENCE),
    _benchmark("B100", 100, "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
               "non-commercial research and education only", "bsd100", "bsds100"),
    _benchmark("Urban100", 100, "https://github.com/jbhuang0604/SelfExSR", _NO_LICENCE),
    _benchmark("Manga109", 109, "http://www.manga109.org/en/",
               "academic research, on application; no redistribution"),
)
# fmt: on
"""The sets that the paper trains and measures on."""


def locate(folder: str | os.PathLike[str]) -> list[LocatedSet]:
    """Recognises known sets by their layout.

    Args:
        folder: An unpacked root ("DIV2K", which holds "DIV2K_train_HR" and perhaps LR pictures), or an
            HR folder itself.

    Returns:
        The sets and their folders, as many as lie there; none where it is something else.
    """
    sets = []
    for known in KNOWN_SETS:
        roots = ((_root(Path(folder), known, layout), layout) for layout in known.layouts)
        located = next(((root, layout) for root, layout in roots if root is not None), None)
        if located is not None:
            root, layout = located
            sets.append(LocatedSet(known, root / layout.hr, _lr_folders(root, layout)))
    return sets


def _root(folder: Path, known: KnownSet, layout: Layout) -> Path | None:
    """The set's root, where `folder` is it or is its HR folder."""
    hr = Path(layout.hr).parts
    whole = folder.absolute()
    candidates = [folder]
    if hr and whole.parts[-len(hr) :] == hr:
        candidates.append(whole.parents[len(hr) - 1])
    for root in candidates:
        named = not known.folder_names or root.absolute().name.lower() in known.folder_names
        if named and (root / layout.hr).is_dir():
            return root
    return None


def _lr_folders(root: Path, layout: Layout) -> dict[int, Path]:
    if layout.lr is None:
        return {}
    folders = {scale: root / layout.lr.format(scale=scale) for scale in _SCALES}
    return {scale: folder for scale, folder in folders.items() if folder.is_dir()}
