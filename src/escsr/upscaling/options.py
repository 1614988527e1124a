"""How pictures are upscaled: the options of `Upscaler`, `upscale_file`, `batch.upscale` and the command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from escsr.errors import ConfigError
from escsr.images import WriteOptions
from escsr.models.selection import DEFAULT_MODEL
from escsr.runtime.choices import FeatureStorageChoice, Fit, Precision
from escsr.upscaling.target_size import TargetSize

if TYPE_CHECKING:
    import torch

__all__ = ["UpscaleOptions"]


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(WriteOptions):
    """Which model, what size, how to compute; and how to write, see `WriteOptions`.

    Attributes:
        model: "auto", by the rule of `escsr.models.selection.choose_model`; "real" for noisy and compressed
            photographs; a bundled name, with or without its scale; a downloaded one; a file of weights or a
            folder that holds them; or "organisation/name" of the Hugging Face Hub. Files of other
            architectures load where spandrel is installed.
        scale: Factor of both sides; None for ×2, or the scale of the model named. Another than a fixed
            model's own is reached by resizing its result in float, before it is rounded.
        width: Pixels of the result instead; the height follows, or see `fit`.
        height: Pixels of the result.
        size: Both, as "1920x1080"; or a `TargetSize`.
        fit: What width and height do to a picture of another shape, see `Fit`.
        longest: Pixels of the longer side.
        to_srgb: Convert colours to sRGB; else each picture keeps its profile.
        max_pixels: Refuse pictures and results of more pixels, before any work; see `check_result`.
        device: "auto" (CUDA, XPU, MPS, CPU, whichever comes first), "cpu", "cuda", "cuda:1", ...
        precision: See `Precision`; a result that overflows is computed again in a higher one, which the
            model then keeps.
        tile_size: Side of a tile, LR pixels, a multiple of the attention window; None to choose by
            free memory and speed. Halved where the device runs out of memory. Results do not depend on it.
        feature_storage: How feature maps of a large picture are kept, see `FeatureStorageChoice`.
        self_ensemble: Mean over the eight flips and quarter turns: eight times the work.
        strength: Of the detail that model "real" invents, 0 to 1; None for the model as it is.
        keep_colour: Give results the low frequencies of their pictures; None for models of real
            photographs only, which else shift colours.

    Raises:
        ConfigError: A size, a strength or a way to write is impossible, or sizes contradict each other.
    """

    model: str | os.PathLike[str] = DEFAULT_MODEL
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    size: str | TargetSize | None = None
    fit: Fit = "contain"
    longest: int | None = None
    to_srgb: bool = False
    max_pixels: int | None = None
    device: str | torch.device | None = "auto"
    precision: Precision = "auto"
    tile_size: int | None = None
    feature_storage: FeatureStorageChoice = "auto"
    self_ensemble: bool = False
    strength: float | None = None
    keep_colour: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.target  # which refuses what cannot be
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ConfigError(f"strength must be from 0 to 1, not {self.strength}.")

    @cached_property
    def target(self) -> TargetSize | None:
        """What results measure; None for the model's scale."""
        sides = {"width": self.width, "height": self.height, "longest": self.longest}
        return TargetSize.choose(scale=self.scale, size=self.size, fit=self.fit, **sides)
