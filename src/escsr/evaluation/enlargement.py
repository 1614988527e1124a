"""What each contender of a page makes of its picture: of the whole, or of each crop with a margin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from escsr import images
from escsr.evaluation.contenders import Contender
from escsr.evaluation.crops import Crop
from escsr.evaluation.page import Pixels
from escsr.images.conversion import held_by
from escsr.models.selection import choose_model
from escsr.runtime.choices import Precision
from escsr.runtime.progress import OnProgress, part_of
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.preflight import check_memory
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler

__all__ = ["MARGIN", "Enlarged", "Enlargement", "read_rgb"]

MARGIN = 64
"""Input pixels around a crop that is upscaled without the rest."""

_BYTES_PER_PIXEL = 16
"""Of a result: three of 8 bits, and a channel in float while it is made and rounded."""

_Enlarge = Callable[[Pixels, tuple[int, int], OnProgress | None], Pixels]
"""Pixels to so many rows and columns."""


@dataclass(frozen=True)
class Enlarged:
    """Results of one contender.

    Attributes:
        crops: One for each crop of the page.
        whole: The whole result; None where each crop was computed by itself.
        seconds: Of computing; None for a picture of another tool.
        notes: What had to change, in words.
    """

    crops: tuple[Pixels, ...]
    whole: Pixels | None
    seconds: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Enlargement:
    """How a picture is enlarged, the same for all contenders.

    Attributes:
        pixels: The picture.
        scale: From it to the results.
        crops: The places wanted, in pixels of the picture.
        on_whole: Enlarge the whole picture, or each crop with `MARGIN` around it.
        device: See `choose_device`.
        precision: See `Precision`.
    """

    pixels: Pixels
    scale: float
    crops: tuple[Crop, ...]
    on_whole: bool
    device: str
    precision: Precision

    def by(self, contender: Contender, on_progress: OnProgress | None = None) -> Enlarged:
        """Enlarges the picture.

        Args:
            contender: By what.
            on_progress: Takes the share of the work that is done.

        Raises:
            EscError: The model cannot be loaded or run, the picture of another tool not be read, or the
                memory does not suffice.
        """
        rows, columns = self.pixels.shape[:2]
        everything = Crop(0, 0, columns, rows)
        wide = [each.grown(MARGIN, rows, columns) for each in self.crops]
        areas = [everything] if self.on_whole else wide
        for area in (everything,) if contender.picture is not None else areas:
            place = area.scaled(self.scale)
            size = place.height, place.width
            check_memory("The result", size, _BYTES_PER_PIXEL * place.height * place.width)
        if contender.picture is not None:
            whole, notes = _fitted(contender.picture, everything.scaled(self.scale))
            crops = tuple(whole[crop.scaled(self.scale).slices].copy() for crop in self.crops)
            return Enlarged(crops, whole if self.on_whole else None, None, notes)
        enlarge, remarks = self._enlarge(contender, areas)
        start = time.perf_counter()
        results = []
        for index, area in enumerate(areas):
            place, report = area.scaled(self.scale), part_of(on_progress, index, len(areas))
            results.append(enlarge(self.pixels[area.slices], (place.height, place.width), report))
        seconds = time.perf_counter() - start
        if self.on_whole:
            areas, results = areas * len(self.crops), results * len(self.crops)
        parts = zip(self.crops, areas, results, strict=True)
        crops = tuple(
            result[crop.scaled(self.scale).within(area.scaled(self.scale)).slices].copy()
            for crop, area, result in parts
        )
        return Enlarged(crops, results[0] if self.on_whole else None, seconds, remarks)

    def _enlarge(self, contender: Contender, areas: list[Crop]) -> tuple[_Enlarge, tuple[str, ...]]:
        if contender.model == "nearest":
            return lambda pixels, size, _: _nearest(pixels, size), ()
        if contender.model == "bicubic":
            return lambda pixels, size, _: _bicubic(pixels, size), ()
        path = choose_model(contender.model, self.scale)
        options = UpscaleOptions(model=contender.model, device=self.device, precision=self.precision)
        upscaler = Upscaler(options=options, weights=path)
        own = upscaler.scale in (None, self.scale)
        largest = max(areas, key=lambda area: max(area.height, area.width))
        notes = upscaler.inference.remarks((largest.height, largest.width))
        if not own:
            notes = (f"computed at ×{upscaler.scale}, resized to ×{self.scale:g}", *notes)

        def enlarge(pixels: Pixels, size: tuple[int, int], report: OnProgress | None) -> Pixels:
            target = TargetSize(height=size[0], width=size[1], fit="exact")
            return upscaler(np.ascontiguousarray(pixels), size=target, on_progress=report)

        return enlarge, notes


def read_rgb(path: Path) -> tuple[Pixels, list[str]]:
    """Reads a picture as pages show it: sRGB, 8 bits, transparency on white.

    Args:
        path: The file.

    Returns:
        Its pixels, and what reading had to change.

    Raises:
        ImageError: It cannot be read.
    """
    picture = held_by(images.read(path, to_srgb=True), images.WRITABLE[".webp"])
    colour = picture.colour if not picture.is_grey else picture.colour.repeat(3, 2)
    notes = list(picture.notes)
    if picture.alpha is not None and not picture.is_opaque:
        share = picture.alpha / np.float32(255)
        colour = np.rint(colour * share + 255 * (1 - share)).astype(np.uint8)
        notes.append("transparency is shown on white")
    return np.ascontiguousarray(colour), notes


def _fitted(path: Path, whole: Crop) -> tuple[Pixels, tuple[str, ...]]:
    """A result of another tool at the size of the page's."""
    pixels, notes = read_rgb(path)
    rows, columns = pixels.shape[:2]
    if (rows, columns) != (whole.height, whole.width):
        notes.append(
            f"resized from {columns}×{rows} to {whole.width}×{whole.height} by bicubic interpolation"
        )
        pixels = _bicubic(pixels, (whole.height, whole.width))
    return pixels, tuple(notes)


def _nearest(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The pixel that the middle of each pixel of the result lies in."""
    down, across = (
        (2 * np.arange(out) + 1) * length // (2 * out)
        for out, length in zip(size, pixels.shape, strict=False)
    )
    return pixels[down[:, None], across]


def _bicubic(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Antialiased, a = −0.5, rounded once; channel by channel, as results may be large."""
    result = np.empty((*size, pixels.shape[2]), np.uint8)
    for channel in range(pixels.shape[2]):
        plane = torch.from_numpy(pixels[..., channel].astype(np.float32))[None, None]
        larger = functional.interpolate(plane, size, mode="bicubic", antialias=True)[0, 0]
        result[..., channel] = larger.round_().clamp_(0, 255).byte().numpy()
    return result
