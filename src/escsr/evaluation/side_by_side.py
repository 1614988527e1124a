"""Results of several models of one picture on a page, so that a person can judge by eye."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from escsr import images
from escsr.errors import ConfigError, OutputError
from escsr.evaluation.contenders import Contender, as_several, name_contenders, parse_contenders
from escsr.evaluation.crops import Crop, choose_crops, parse_crop
from escsr.evaluation.enlargement import MARGIN, Enlargement, read_rgb
from escsr.evaluation.page import Page, Shown
from escsr.evaluation.page_html import render_page
from escsr.evaluation.page_png import draw_page
from escsr.files import atomic_path, check_writable
from escsr.images import Picture
from escsr.images.text import has_font
from escsr.models.bundled import find_model
from escsr.models.selection import DEFAULT_MODEL
from escsr.runtime.choices import Precision
from escsr.runtime.progress import OnProgress, part_of
from escsr.upscaling.opening import model_scale

__all__ = ["Column", "SideBySide", "compare_picture"]

_DEFAULT_SCALE = 4
_MOST_PIXELS = 4_000_000
"""Of an input that is upscaled as a whole."""

_MOST_EMBEDDED = 16_000_000
"""Pixels of a result that HTML holds as a whole."""

_ENDINGS = (".png", ".html")
_INPUT = Contender("input", "nearest")


@dataclass(frozen=True)
class Column:
    """A column of the page.

    Attributes:
        label: What the page calls it: its name, or a letter.
        name: As the user calls it, or the model's name.
        model: Model or file, as given.
        seconds: Of computing, loading not counted; None for a picture of another tool.
        notes: What had to change, in words.
    """

    label: str
    name: str
    model: str
    seconds: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SideBySide:
    """What was made.

    Attributes:
        output: The page.
        picture: The input.
        size: Columns and rows of the input.
        scale: From the input to the results.
        columns: From left to right; the input is the first.
        crops: The places shown, in input pixels.
        on_whole: Whether the models saw the whole picture, or each crop with a margin.
        blind: The seed that the columns were shuffled by, or None.
        notes: What reading the picture had to change, and how it was computed.
    """

    output: str
    picture: str
    size: tuple[int, int]
    scale: float
    columns: tuple[Column, ...]
    crops: tuple[Crop, ...]
    on_whole: bool
    blind: int | None
    notes: tuple[str, ...]

    @property
    def key(self) -> dict[str, str]:
        """Which name each label of the page stands for."""
        return {column.label: column.name for column in self.columns}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "key": self.key}


def compare_picture(
    picture: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    model: str | Sequence[str] = (),
    scale: float | None = None,
    crop: str | Sequence[str] = (),
    blind: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    on_progress: Callable[[str, float], None] | None = None,
) -> SideBySide:
    """Writes a page that shows what several models make of a picture.

    A PNG has a row for each crop and a column for each model. An HTML file, which needs no other, is a
    viewer of the whole results (up to 16 megapixels each, else of the crops) with a wipe, zoom and keys.
    Up to 4 megapixels the whole picture is upscaled; of a larger one each crop with 64 pixels around it.

    Args:
        picture: The file to upscale. Colours are shown in sRGB with 8 bits, transparency on white.
        output: The page, ending in .png or .html.
        model: The columns, see `parse_contenders`; none for bicubic and the model of "auto". Before them
            stands the input.
        scale: At least 1; None for that of the models named, where they have one and the same, else 4.
        crop: Places, "X,Y,WIDTHxHEIGHT" in input pixels; none for three chosen by `choose_crops`.
        blind: A seed to shuffle the columns by; they are called A, B, C, ... and the page does not hold the
            key. The input stays the first.
        device: See `choose_device`.
        precision: See `Precision`.
        on_progress: Called with a column as the page calls it, and the share of the work done on all.

    Returns:
        What was made, with the key.

    Raises:
        ConfigError: A crop or the scale is impossible, or two columns have one name.
        ImageError: A picture cannot be read.
        ModelNotFoundError: There is no such model.
        CheckpointError: A model cannot be loaded.
        OutputError: The page's ending is another, or it cannot be written.
        DeviceError: There is no such device, or its memory does not suffice.

    Example:
        >>> compare_picture("photo.jpg", "page.html", model=["bicubic", "esc-x4"])  # doctest: +SKIP
    """
    source, target = Path(picture), Path(output)
    contenders = parse_contenders(as_several(model) or ("bicubic", DEFAULT_MODEL))
    _check_output(target, [source, *(each.picture for each in contenders if each.picture)])
    pixels, notes = read_rgb(source)
    rows, columns = pixels.shape[:2]
    crops = tuple(parse_crop(each, rows, columns) for each in as_several(crop)) or choose_crops(pixels)
    scale = _common_scale(contenders, (columns, rows)) if scale is None else scale
    if not 1 <= scale < float("inf"):
        raise ConfigError(f"scale must be at least 1, not {scale}.")
    names = name_contenders([_INPUT, *contenders], scale)
    order = list(zip(names[1:], contenders, strict=True))
    if blind is not None:
        random.Random(blind).shuffle(order)
    on_whole = rows * columns <= _MOST_PIXELS
    if not on_whole:
        notes.append(f"above 4 megapixels: each crop was upscaled with {MARGIN} pixels around it")
    enlargement = Enlargement(pixels, scale, crops, on_whole, device, precision)
    result_pixels = round(rows * scale) * round(columns * scale)
    embeds = target.suffix.lower() == ".html" and result_pixels <= _MOST_EMBEDDED
    made, shown = [], []
    for index, (name, contender) in enumerate([(_INPUT.name, _INPUT), *order]):
        label = name if blind is None or index == 0 else _letter(index - 1)
        enlarged = enlargement.by(contender, _reporting(on_progress, label, index, len(names)))
        made.append(Column(label, name, contender.model, enlarged.seconds, enlarged.notes))
        detail = _detail(made[-1], contender) if blind is None else ""
        shown.append(Shown(label, detail, enlarged.crops, enlarged.whole if embeds else None))
    lines = (f"{columns}×{rows} pixels, enlarged ×{scale:g}", *notes)
    _write(Page(_printable(source.name), lines, pixels, scale, crops, tuple(shown)), target)
    if target.suffix.lower() == ".png" and not has_font():
        notes.append(
            "this machine has no font: what is written is boxes; columns are in the order told here"
        )
    settings = {"on_whole": on_whole, "blind": blind, "notes": tuple(notes)}
    paths = os.fspath(output), os.fspath(picture)
    return SideBySide(*paths, (columns, rows), scale, tuple(made), crops, **settings)


def _check_output(target: Path, sources: Sequence[Path]) -> None:
    if target.suffix.lower() not in _ENDINGS:
        raise OutputError(f"Cannot write {target.name}: a page ends in {' or '.join(_ENDINGS)}.")
    if target.exists() and any(each.exists() and target.samefile(each) for each in sources):
        raise OutputError(f"{target} is one of the pictures to compare; choose another name for the page.")
    check_writable(target)


def _common_scale(contenders: Sequence[Contender], size: tuple[int, int]) -> float:
    """That of the models and results named, where they have one and the same."""
    own = {_own_scale(each, size) for each in contenders} - {None}
    return own.pop() or _DEFAULT_SCALE if len(own) == 1 else _DEFAULT_SCALE


def _own_scale(contender: Contender, size: tuple[int, int]) -> int | None:
    """None where it takes any, or is chosen by the scale."""
    if contender.picture is not None:
        width, height = images.read_size(contender.picture)
        factor = width // size[0]
        return factor if factor and (width, height) == (factor * size[0], factor * size[1]) else None
    if not contender.is_network or contender.model == DEFAULT_MODEL:
        return None
    path = find_model(contender.model, scale=2)
    if path != find_model(contender.model, scale=4):  # a family, of which the scale chooses one
        return None
    return model_scale(path)


def _reporting(
    on_progress: Callable[[str, float], None] | None, label: str, index: int, parts: int
) -> OnProgress | None:
    if on_progress is None:
        return None
    report = part_of(partial(on_progress, label), index, parts)
    if report is not None:
        report(0)
    return report


def _letter(index: int) -> str:
    return f"{chr(ord('A') + index % 26)}{index // 26 or ''}"


def _detail(column: Column, contender: Contender) -> str:
    seconds = [f"{column.seconds:.1f} s"] if contender.is_network and column.seconds is not None else []
    return "; ".join([*seconds, *column.notes])


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _write(page: Page, target: Path) -> None:
    if target.suffix.lower() == ".png":
        images.write(Picture(draw_page(page)), target)
        return
    text = render_page(page)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
