"""Upscaler: a model on a device, from any kind of picture to the same kind, larger."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from escsr import images
from escsr.errors import ConfigError, OutputError
from escsr.images import Animation, Picture, WriteOptions
from escsr.models.checkpoints import DEGRADATION
from escsr.models.selection import choose_model
from escsr.runtime.choices import Precision
from escsr.runtime.devices import choose_device
from escsr.runtime.progress import OnProgress
from escsr.upscaling.channels import upscale_frames, upscale_pil, upscale_pixels
from escsr.upscaling.keep_colour import keep_colour_
from escsr.upscaling.opening import open_inference
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.preflight import check_memory, check_result
from escsr.upscaling.target_size import TargetSize

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Upscaler", "default_target", "upscale_file"]

_LOG = logging.getLogger(__name__)

Decoded = TypeVar("Decoded", bound="Picture | Animation")
AnyImage = TypeVar("AnyImage", "NDArray[Any]", Tensor, "Image")


class Upscaler:
    """Upscales pictures with one model; threads may share it, it keeps nothing of a picture.

    A picture larger than a tile is computed by exact streaming: the result does not depend on the
    tile size. Models of other architectures, which spandrel loads, are computed in overlapping tiles.

    Args:
        model: Bundled name ("esc-light-x2"), a file of weights, or others that `UpscaleOptions` takes;
            None for that of the options, by default "esc-light-x2".
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`. What concerns size and files is the
            default of each call.

    Attributes:
        device: Where it computes.
        name: Of the model.
        network: The network, in its inference form.
        options: As given.
        keeps_colour: Whether results get the low frequencies of their pictures.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: The weights cannot be used.
        DeviceError: There is no such device.
        ConfigError: An option is impossible.

    Example:
        >>> upscaler = Upscaler("esc-light-x2", device="cpu")
        >>> upscaler(np.zeros((20, 30, 3), np.uint8)).shape
        (40, 60, 3)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        /,
        *,
        options: UpscaleOptions | None = None,
        **settings: Any,
    ) -> None:
        if model is not None:
            settings["model"] = model
        self.options = replace(options or UpscaleOptions(), **settings)
        self.device = choose_device(self.options.device)
        self.inference, metadata = open_inference(
            choose_model(self.options.model, self.options.scale),
            device=self.device,
            precision=self.options.precision,
            tile_size=self.options.tile_size,
            feature_storage=self.options.feature_storage,
            strength=self.options.strength,
        )
        self.name = self.inference.name
        self.network: nn.Module = self.inference.network
        keeps = self.options.keep_colour
        self.keeps_colour = DEGRADATION in metadata if keeps is None else keeps

    @property
    def precision(self) -> Precision:
        """The precision in use, which may have risen after an overflow."""
        return self.inference.precision_policy.precision

    @property
    def scale(self) -> int | None:
        """The model's factor of both sides; None where each call chooses."""
        return self.inference.scale

    def __call__(
        self,
        image: AnyImage,
        *,
        scale: float | None = None,
        size: str | TargetSize | None = None,
        on_progress: OnProgress | None = None,
    ) -> AnyImage:
        """Upscales a picture.

        Args:
            image: numpy array, (H, W), or (H, W, C) with 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA
                channels, uint8, uint16, float16 or float32; PIL image; or tensor (B, 3, H, W), float
                in [0, 1].
            scale: Factor of both sides; see `UpscaleOptions`. With `size` None too the options' size, or
                else the model's scale.
            size: A size instead of a scale, "1920x1080" or a `TargetSize`.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The same kind of picture, type and depth, larger; tensors are clamped to [0, 1] and on
            the device they came from.

        Raises:
            ConfigError: The picture is of another kind or shape, or the scale does not fit the model.
            DeviceError: The memory does not suffice.
            CheckpointError: The model's results are not numbers.
        """
        run = partial(self._run, self.target_size(scale, size))
        if isinstance(image, Tensor):
            plain = image.dim() == 4 and image.shape[1] == 3 and image.is_floating_point()
            if not (plain and image.numel()):
                raise ConfigError(
                    f"A tensor must be floating (B, 3, H, W), not {image.dtype} {tuple(image.shape)}."
                )
            sr = run(image.detach().to("cpu", torch.float32), on_progress)
            return sr.to(image.device, image.dtype)
        if isinstance(image, np.ndarray):
            return upscale_pixels(image, run, on_progress=on_progress)
        if type(image).__module__.startswith("PIL."):
            return upscale_pil(image, run, on_progress=on_progress)
        raise ConfigError(
            f"A picture must be a numpy array, a PIL image or a tensor, not {type(image).__name__}."
        )

    def upscale_picture(
        self,
        picture: Decoded,
        *,
        scale: float | None = None,
        size: str | TargetSize | None = None,
        on_progress: OnProgress | None = None,
    ) -> Decoded:
        """Upscales a decoded file; depth, alpha, profile, metadata and timing stay with it.

        Args:
            picture: As read by `escsr.images`; of an animation every frame is upscaled.
            scale: As for a call.
            size: As for a call.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The larger picture or animation.
        """
        run = partial(self._run, self.target_size(scale, size))
        changed: dict[str, Any] = {"notes": picture.notes + self.inference.remarks(_sides(picture))}
        if isinstance(picture, Animation):
            changed["frames"] = upscale_frames(picture.frames, run, on_progress=on_progress)
        else:
            values = {"linear": picture.linear, "premultiplied": picture.premultiplied}
            changed["pixels"] = upscale_pixels(picture.pixels, run, **values, on_progress=on_progress)
        return replace(picture, **changed)

    def upscale_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str] | None = None,
        *,
        scale: float | None = None,
        size: str | TargetSize | None = None,
        write_options: WriteOptions | None = None,
        to_srgb: bool | None = None,
        max_pixels: int | None = None,
        on_note: Callable[[str], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Upscales a picture file; an animation frame by frame, where the target's format holds one.

        Args:
            source: The file.
            target: File to write; None for `default_target`.
            scale: As for a call.
            size: As for a call.
            write_options: Quality of the file and the like; None for the options'.
            to_srgb: Convert the colours to sRGB, or keep the picture's profile; None for the options'.
            max_pixels: Refuse more pixels, before any work, see `check_result`; None for the options'.
            on_note: Takes what had to change (CMYK to sRGB, further pages left out); else it is logged.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The file written.

        Raises:
            ImageError: The source cannot be read.
            OutputError: The target is the source, cannot hold the result, or cannot be written.
            DeviceError: The memory does not suffice.
        """
        wanted, options = self.target_size(scale, size), self.options
        source = Path(source)
        target = default_target(source, wanted) if target is None else Path(target)
        images.check_suffix(target)
        most = options.max_pixels if max_pixels is None else max_pixels
        check_result(images.read_header(source), target, wanted, scale=self.scale, max_pixels=most)
        if target.exists() and target.samefile(source):
            raise OutputError(f"{target} is the input itself; choose another name for the result.")
        picture = images.read_for(target, source, to_srgb=options.to_srgb if to_srgb is None else to_srgb)
        for note in (*picture.notes, *self.inference.remarks(_sides(picture))):
            (on_note or partial(_LOG.warning, "%s: %s.", source))(note)
        larger = self.upscale_picture(picture, size=wanted, on_progress=on_progress)
        images.write(larger, target, write_options or options)
        return target

    def target_size(self, scale: float | None = None, size: str | TargetSize | None = None) -> TargetSize:
        """What results measure: as a call asks for, or else the options, or else the model's scale.

        Raises:
            ConfigError: The size is impossible, or the model takes any scale and none is given.
        """
        wanted = TargetSize.choose(scale=scale, size=size) or self.options.target
        if wanted is not None:
            return wanted
        if self.scale is None:
            raise ConfigError("This model takes any scale: give one, with --scale or scale=.")
        return TargetSize(scale=self.scale)

    def _run(self, wanted: TargetSize, lr: Tensor, on_progress: OnProgress | None) -> Tensor:
        """(B, 3, H, W) in host memory → (B, 3, rows, columns) as wanted, clamped, in host memory."""
        out_size = wanted.upscaled(*lr.shape[-2:])
        check_memory("The result", out_size, 4 * lr[:, :, 0, 0].numel() * math.prod(out_size))
        any_size = out_size if self.scale is None else None
        sr = self.inference.run(
            lr, size=any_size, self_ensemble=self.options.self_ensemble, on_progress=on_progress
        )
        if self.keeps_colour:
            keep_colour_(sr, lr)
        if sr.shape[-2:] != out_size:
            sr = functional.interpolate(sr, size=out_size, mode="bicubic", antialias=True)
        rows, columns = wanted.cropped(*out_size)
        return sr[..., rows, columns].clamp_(0, 1)


def _sides(picture: Picture | Animation) -> tuple[int, int]:
    """Rows and columns."""
    height, width = (picture.frames[0] if isinstance(picture, Animation) else picture.pixels).shape[:2]
    return height, width


def default_target(source: Path, size: TargetSize) -> Path:
    """Name of a result beside its source: photo.png at ×2 becomes photo_x2.png.

    The format stays; an unknown ending becomes .png.
    """
    suffix = source.suffix if source.suffix.lower() in images.WRITABLE else ".png"
    return source.with_name(f"{source.stem}_{size.label}{suffix}")


def upscale_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    options: UpscaleOptions | None = None,
    **settings: Any,
) -> Path:
    """Upscales one picture file; for several, use an `Upscaler` or `escsr.batch.upscale`.

    Args:
        source: The file.
        target: File to write; None for a name beside the source.
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`: `scale=4`, `quality=90`.

    Returns:
        The file written.

    Raises:
        EscError: Model, device, source or target are not as they should be.
    """
    options = replace(options or UpscaleOptions(), **settings)
    scale = options.scale
    if options.target is not None:
        header = images.read_header(source)
        scale = options.target.scale_of(header.height, header.width)
    return Upscaler(choose_model(options.model, scale), options=options).upscale_file(source, target)
