"""Training and test sets of the field: how they unpack, how many pictures, and their licences.

Nothing here downloads: pictures come from their holders, under their holders' terms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

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


_SCALES = (2, 3, 4, 8)

KNOWN_SETS = TypeAdapter(tuple[KnownSet, ...]).validate_json(
    Path(__file__).with_suffix(".json").read_bytes()
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
