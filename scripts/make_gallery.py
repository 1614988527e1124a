"""Draws docs/gallery: crops of free pictures as input, by bicubic, by bundled models, and as they were.

    python scripts/make_gallery.py examples FOLDER_WITH_DOG_AND_MIES

The pictures are flowers and city (in examples/), dog and mies, all CC0, from
github.com/gianni-rosato/gb82-image-set. The part of docs/gallery.md between its markers is written anew.
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

import escsr
from escsr import images
from escsr.data.resize import imresize
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.pairs import to_tensor

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gallery.md"
START, END = "<!-- crops -->", "<!-- /crops -->"
SIDE, ZOOM, GAP = 120, 2, 8
"""Side of a crop in pixels of the result, how often each is repeated, and the white between two crops."""

MODELS: dict[int, tuple[str, ...]] = {2: ("esc-light-x2",), 3: ("esc-light-x3",), 4: ("esc-light-x4",)}
"""Models to show, by scale."""

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Crop:
    """A square of a picture.

    Attributes:
        picture: Name of its file, without the ending.
        scale: From input to result.
        top: First row, pixels of the result.
        left: First column.
        shows: What is to be seen in it, good and bad.
        downscaled: Whether the picture is first downscaled by `scale`, so that the result can be compared
            with it; else the picture itself is upscaled.
    """

    picture: str
    scale: int
    top: int
    left: int
    shows: str
    downscaled: bool = True

    @property
    def file_name(self) -> str:
        """Name of its drawing."""
        kind = "downscaled" if self.downscaled else "upscaled"
        return f"{self.picture}-x{self.scale}-{kind}-{self.top}-{self.left}.png"


CROPS = (
    Crop("dog", 2, 150, 240, "Lashes and the fur's direction come back; its finest hairs stay soft."),
    Crop("flowers", 2, 90, 370, "Petals part from each other. Their inner shading is flatter than it was."),
    Crop(
        "city",
        2,
        400,
        250,
        "Straight joints between the panes. Letters and lamps of few pixels stay vague.",
    ),
    Crop(
        "mies",
        3,
        190,
        130,
        "Strokes have clean borders. The grain of the print is wiped out, and thin lines beside dark ones "
        "waver.",
    ),
    Crop(
        "city",
        3,
        130,
        456,
        "Where a window has about three pixels in the input it becomes a window; at the left, where it has "
        "two, windows run together into slanting smears, as crisp as the right ones.",
    ),
    Crop(
        "dog", 4, 250, 130, "Outline and nostril are sharp; fur and whiskers are gone, some as dark specks."
    ),
    Crop(
        "flowers", 4, 340, 250, "Large petals get their borders. Stems and buds between them melt together."
    ),
    Crop(
        "city",
        4,
        456,
        0,
        "Figures stand out from the street. The number on the shirt is not there in the input, and is not "
        "guessed: what comes out is no digit.",
    ),
    Crop(
        "city", 2, 900, 780, "Signs and emblem are crisper. Small print stays unreadable.", downscaled=False
    ),
    Crop(
        "dog",
        3,
        500,
        800,
        "Hairs are drawn out, and so are the camera's noise and coloured fringes, as short streaks.",
        downscaled=False,
    ),
    Crop(
        "mies",
        4,
        1500,
        1800,
        "Hardly better than bicubic: the picture has artefacts of compression, which are upscaled too.",
        downscaled=False,
    ),
)


def main() -> None:
    """Draws every crop and writes the page's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    folders = parser.parse_args().folders
    found = {
        path.stem: images.read(path).colour for folder in folders for path in images.find_images(folder)
    }
    target = PAGE.with_suffix("")
    target.mkdir(exist_ok=True)
    for old in target.glob("*.png"):
        old.unlink()
    entries = []
    for crop in CROPS:
        panels, figures = draw(crop, found[crop.picture])
        drawing = pyvips.Image.new_from_array(panels)
        drawing.pngsave(
            str(target / crop.file_name), compression=9, filter="paeth"
        )  # half of the usual size
        entries.append(entry(crop, figures))
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(f"{before}{START}\n{''.join(entries)}{END}{rest.split(END)[1]}")


def draw(crop: Crop, picture: Pixels) -> tuple[Pixels, dict[str, float]]:
    """The crop's panels side by side, and Y-PSNR (dB) of each whole picture where there is a truth."""
    scale = crop.scale
    lr = imresize(picture, 1 / scale) if crop.downscaled else picture
    larger = {"bicubic": imresize(lr, scale)}
    for name in MODELS[scale]:
        larger[name] = escsr.Upscaler(name, device="cpu")(lr)
    panels = [lr.repeat(scale, 0).repeat(scale, 1), *larger.values()]
    figures = {}
    if crop.downscaled:
        panels.append(picture)
        figures = {name: _psnr(sr, picture, scale) for name, sr in larger.items()}
    gap = np.full((SIDE * ZOOM, GAP, 3), 255, np.uint8)
    row = [part for panel in panels for part in (_cut(panel, crop), gap)]
    return np.concatenate(row[:-1], 1), figures


def entry(crop: Crop, figures: dict[str, float]) -> str:
    """The page's lines on a crop."""
    panels = ["input", "bicubic", *MODELS[crop.scale], *(["original"] if crop.downscaled else [])]
    told = f"\nWhole picture: {', '.join(f'{name} {value:.2f} dB' for name, value in figures.items())}."
    title = f"{crop.picture}, ×{crop.scale}{'' if crop.downscaled else ', as it is'}"
    return (
        f"\n### {title}\n\n"
        f"![{title}: {', '.join(panels)}](gallery/{crop.file_name})\n\n"
        f"*{' | '.join(panels)}*{told if figures else ''}\n\n{textwrap.fill(crop.shows, 108)}\n"
    )


def _cut(panel: Pixels, crop: Crop) -> Pixels:
    rows, columns = slice(crop.top, crop.top + SIDE), slice(crop.left, crop.left + SIDE)
    return panel[rows, columns].repeat(ZOOM, 0).repeat(ZOOM, 1)


def _psnr(sr: Pixels, truth: Pixels, border: int) -> float:
    inner = slice(border, -border)
    a, b = (rgb_to_y(to_tensor(pixels))[..., inner, inner] for pixels in (sr, truth))
    return psnr(a, b)


if __name__ == "__main__":
    main()
