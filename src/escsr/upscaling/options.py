"""How pictures are upscaled: the options of `Upscaler`, `upscale_file`, `batch.upscale` and the command."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from escsr.errors import ConfigError
from escsr.images import WriteOptions
from escsr.models.selection import DEFAULT_MODEL, check_strength, choose_strength
from escsr.runtime.choices import Backend, FeatureStorageChoice, Fit, Precision
from escsr.upscaling.target_size import TargetSize, check_fit, parse_crop

if TYPE_CHECKING:
    import torch

__all__ = ["UpscaleOptions", "check_max_pixels"]


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(WriteOptions):
    """Which model, what size, how to compute; and how to write, see `WriteOptions`.

    Attributes:
        model: "auto", by the rule of `escsr.models.selection.choose_model`; "real" for noisy and compressed
            photographs; a bundled name, with or without its scale; a downloaded one; a file of weights; a
            folder that holds a model, or a training run; or "organisation/name" on the Hugging Face Hub.
            Models of other architectures load where spandrel is installed.
        scale: Factor of both sides, at least 1; None for the scale of the model named, or ×2. A factor that
            a model does not have is reached by resizing its result, before it is rounded.
        width: Pixels of the result, instead of a scale; the height follows, or see `fit`.
        height: Pixels of the result.
        size: Both, as "1920x1080"; or a `TargetSize`.
        fit: What width and height do to a picture of another shape, see `Fit`.
        longest: Pixels of the longer side.
        crop: Part of the picture to keep, "X,Y,W,H" (left, top, width, height in its pixels); the result is
            that part of the whole result, pixel for pixel. The network computes the whole picture all the
            same.
        to_srgb: Convert colours to sRGB; otherwise each picture keeps its profile.
        max_pixels: Refuse pictures and results of more pixels, before any work; see `check_result`.
        device: "auto" (CUDA, XPU, MPS, CPU, whichever comes first), "cpu", "cuda", "cuda:1", ...
        backend: What computes the network, see `Backend`.
        precision: See `Precision`; a result that overflows is computed again in a higher one, which the
            model then keeps.
        tile_size: Side of a tile, LR pixels, a multiple of the attention window; None to choose by
            threads, free memory and speed. Halved where the device runs out of memory. Results do not
            depend on it.
        feature_storage: How feature maps of a large picture are kept, see `FeatureStorageChoice`.
        self_ensemble: Mean over the eight flips and quarter turns: eight times the work.
        strength: Of model "real": 0 invents nothing, 1 is the sharpest, with some invented detail; between,
            the weights of both are blended. None for `DEFAULT_STRENGTH`, see `choose_strength`; of
            videos for 0. Up to ×2, where "real" has one form, it is 0.
        keep_colour: Keep large-scale colours as they are in the picture; None for models of real
            photographs only, which would shift them.

    Raises:
        ConfigError: A size, limit, strength or way to write is impossible, or sizes contradict each other.
    """

    model: str | os.PathLike[str] = DEFAULT_MODEL
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    size: str | TargetSize | None = None
    fit: Fit = "contain"
    longest: int | None = None
    crop: str | tuple[int, int, int, int] | None = None
    to_srgb: bool = False
    max_pixels: int | None = None
    device: str | torch.device | None = "auto"
    backend: Backend = "torch"
    precision: Precision = "auto"
    tile_size: int | None = None
    feature_storage: FeatureStorageChoice = "auto"
    self_ensemble: bool = False
    strength: float | None = None
    keep_colour: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.target  # which refuses what cannot be
        if self.crop is not None:
            parse_crop(self.crop)
        check_strength(self.strength)
        check_max_pixels(self.max_pixels)

    def of_file(self, path: Path) -> UpscaleOptions:
        """The same options with the file that their model stands for, and the strength that belongs to it.

        Args:
            path: What `choose_model` returned.

        Raises:
            ConfigError: The model has no GAN form, and the strength is above 0.
        """
        return replace(self, model=path, strength=choose_strength(self.model, path, self.strength))

    @property
    def place(self) -> str | torch.device | None:
        """The device to choose; "auto" is the CPU for backends that compute there only."""
        return "cpu" if self.backend != "torch" and self.device in ("auto", None) else self.device

    @property
    def limits(self) -> dict[str, Any]:
        """What `check_result` holds results to."""
        return {"max_pixels": self.max_pixels, "lossless": self.lossless}

    @cached_property
    def target(self) -> TargetSize | None:
        """What results measure; None for the model's scale."""
        sides = {"width": self.width, "height": self.height, "longest": self.longest}
        wanted = TargetSize.choose(scale=self.scale, size=self.size, fit=self.fit, **sides)
        if wanted is None:
            check_fit(self.fit)
            return None
        return self.cropped(wanted)

    def cropped(self, wanted: TargetSize) -> TargetSize:
        """A size, of the part that `crop` asks for."""
        return wanted if self.crop is None else replace(wanted, crop=parse_crop(self.crop))


def check_max_pixels(max_pixels: int | None) -> None:
    """Refuses a limit that nothing can keep.

    Raises:
        ConfigError: It is below 1, or no number.
    """
    if max_pixels is not None and not (isinstance(max_pixels, Real) and max_pixels >= 1):
        raise ConfigError(f"max_pixels must be at least 1, not {max_pixels!r}.")
