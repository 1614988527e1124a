"""Upscaler: a model on a device, from any kind of image to the same kind, larger."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from escsr import images
from escsr.errors import ConfigError, OutputError
from escsr.images import Animation, Picture, WriteOptions
from escsr.images.metadata import NOT_SQUARE, PIXEL_ASPECT, aspect_of, aspect_tags
from escsr.models.checkpoints import DEGRADATION
from escsr.models.selection import DEFAULT_MODEL, choose_model, choose_strength, is_family
from escsr.networks.layers import Size
from escsr.runtime.choices import Precision
from escsr.runtime.devices import choose_device
from escsr.runtime.fork import claim_threads
from escsr.runtime.progress import OnProgress
from escsr.upscaling.channels import upscale_frames, upscale_pixels
from escsr.upscaling.damage import hint_for
from escsr.upscaling.default_target import default_target
from escsr.upscaling.image_kinds import upscale_any
from escsr.upscaling.keep_colour import keep_colour_, mirrored, without_mirrored
from escsr.upscaling.opening import open_inference
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.preflight import check_memory, check_result
from escsr.upscaling.target_size import TargetSize

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Upscaler"]

_LOG = logging.getLogger(__name__)

Decoded = TypeVar("Decoded", bound="Picture | Animation")
AnyFile = str | os.PathLike[str] | bytes
AnySize = str | TargetSize | None
Report = OnProgress | None
AnyImage = TypeVar("AnyImage", "NDArray[Any]", Tensor, "Image")


class Upscaler:
    """Upscales images; loaded once, used as often as you like, also by several threads.

    Images larger than a tile are computed tile by tile, with exactly the same result. Only models of other
    architectures, which spandrel loads, are computed in overlapping tiles, nearly as the whole image.

    Args:
        model: "auto" (the default), "real", a bundled name, a file of weights, the folder of a training
            run, or others that `UpscaleOptions` takes. With "auto", and with a name without a scale
            ("esc-light"), each call takes the model that suits its size.
        options: See `UpscaleOptions`; None for the usual ones.
        weights: What `choose_model` returned for the model, where it has been asked already.
        settings: Options by name, in place of those in `options`. What concerns size and files is the
            default of each call.

    Attributes:
        device: Where it computes.
        name: Of the model.
        network: The network, in its inference form.
        options: As given.
        strength: Share of the model's GAN form, see `UpscaleOptions`; 0 for models without one.
        keeps_colour: Whether large-scale colours are kept as they are in the picture.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: The weights cannot be used.
        DeviceError: There is no such device.
        ConfigError: An option is impossible.

    Example:
        >>> upscaler = Upscaler("esc-light-x2", device="cpu")
        >>> upscaler(np.zeros((20, 30, 3), np.uint8)).shape
        (40, 60, 3)
        >>> Upscaler(scale=4)(np.zeros((20, 30, 3), np.uint8)).shape  # the bundled ×4 model
        (80, 120, 3)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        /,
        *,
        options: UpscaleOptions | None = None,
        weights: Path | None = None,
        **settings: Any,
    ) -> None:
        if model is not None:
            settings["model"] = model
        self.options = replace(options or UpscaleOptions(), **settings)
        self.device = choose_device(self.options.place)
        self._path = weights or choose_model(self.options.model, self.options.scale)
        self.strength = choose_strength(self.options.model, self._path, self.options.strength)
        self._has_family = is_family(self.options.model)
        self._others: dict[Path, Upscaler] = {}
        self._lock = threading.Lock()
        self.inference, metadata = open_inference(
            self._path,
            device=self.device,
            precision=self.options.precision,
            tile_size=self.options.tile_size,
            feature_storage=self.options.feature_storage,
            backend=self.options.backend,
            strength=self.strength,
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

    def __repr__(self) -> str:
        scale = "any scale" if self.scale is None else f"×{self.scale}"
        return f"<Upscaler {self.name}: {scale}, {self.device}, {self.precision}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied, or sent to another process, it is opened again: weights and locks stay here."""
        return partial(type(self), options=self.options, weights=self._path), ()

    @overload
    def __call__(
        self, image: AnyImage, *, scale: float | None = ..., size: AnySize = ..., on_progress: Report = ...
    ) -> AnyImage: ...

    @overload
    def __call__(
        self, image: AnyFile, *, scale: float | None = ..., size: AnySize = ..., on_progress: Report = ...
    ) -> NDArray[Any]: ...

    @overload
    def __call__(
        self,
        image: Sequence[Any],
        *,
        scale: float | None = ...,
        size: AnySize = ...,
        on_progress: Report = ...,
    ) -> list[Any]: ...

    def __call__(
        self,
        image: Any,
        *,
        scale: float | None = None,
        size: str | TargetSize | None = None,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """Upscales an image, or a list of images.

        Args:
            image: numpy array: (H, W), (H, W, C) or (N, H, W, C) with C 1 grey, 2 grey and alpha, 3 RGB or
                4 RGBA, of uint8, uint16, float16, float32 or float64, floating colours in any range from 0,
                floating alpha in [0, 1]; tensor: (3, H, W) or (B, 3, H, W), floating in [0, 1] or uint8;
                PIL image; path of a file; bytes of a file; or a list of these.
            scale: Factor of both sides; see `UpscaleOptions`. Without `scale` and `size` those of the
                options, or else the model's scale.
            size: A size instead of a scale, "1920x1080" or a `TargetSize`.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            An image of the same kind, shape and type, larger. Tensors are clamped to [0, 1] and on the
            device they came from. For a path or bytes, an array (H, W, C) in sRGB, of EXR and HDR of light
            as in the file; for a list, a list.

        Raises:
            ConfigError: The image is of another kind, shape or range, or the scale does not fit the model.
            ImageError: A file cannot be read.
            DeviceError: The memory does not suffice.
            CheckpointError: The model's results are not numbers.
        """
        claim_threads()
        wanted = self.target_size(scale, size)
        return upscale_any(image, partial(self._run, wanted), wanted.kept, on_progress)

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
        claim_threads()
        wanted = self.target_size(scale, size)
        run = partial(self._run, wanted)
        changed: dict[str, Any] = {
            "notes": (*_notes_of(picture, wanted), *self.inference.remarks(_sides(picture)))
        }
        if isinstance(picture, Animation):
            rows, columns = wanted.kept(*picture.frames.shape[1:3])
            frames = upscale_frames(picture.frames, run, on_progress=on_progress)
            changed["frames"] = frames[:, rows, columns]
        else:
            rows, columns = wanted.kept(*picture.pixels.shape[:2])
            values = {"linear": picture.linear, "premultiplied": picture.premultiplied}
            pixels = upscale_pixels(picture.pixels, run, **values, on_progress=on_progress)
            changed["pixels"] = np.ascontiguousarray(pixels[rows, columns])
            changed["metadata"] = _with_shape_of_pixels(picture, wanted)
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
            on_note: Takes what had to change (CMYK to sRGB, further pages left out), and with model "auto"
                that "real" would look better, in words; else it is logged.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The file written.

        Raises:
            ConfigError: The scale or the size does not fit the model or the picture.
            ImageError: The source cannot be read.
            OutputError: The target is the source, cannot hold the result, or cannot be written.
            DeviceError: The memory does not suffice.
        """
        wanted, options = self.target_size(scale, size), self.options
        source = Path(source)
        target = default_target(source, wanted) if target is None else Path(target)
        images.check_suffix(target)
        most = options.max_pixels if max_pixels is None else max_pixels
        header = images.read_header(source)
        model = self._fitting(wanted, header.height, header.width)
        lossless = (write_options or options).lossless
        check_result(header, target, wanted, scale=model.scale, max_pixels=most, lossless=lossless)
        if target.exists() and target.samefile(source):
            raise OutputError(f"{target} is the input itself; choose another name for the result.")
        picture = images.read_for(target, source, to_srgb=options.to_srgb if to_srgb is None else to_srgb)
        hint = hint_for(picture, 'model="real"') if options.model == DEFAULT_MODEL else ""
        notes = (*_notes_of(picture, wanted), *self.inference.remarks(_sides(picture)))
        for note in (*notes, *filter(None, [hint])):
            (on_note or partial(_LOG.warning, "%s: %s.", source))(note)
        larger = self.upscale_picture(picture, size=wanted, on_progress=on_progress)
        images.write(larger, target, write_options or options)
        return target

    def target_size(self, scale: float | None = None, size: str | TargetSize | None = None) -> TargetSize:
        """What results measure: as a call asks for, or else the options, or else the model's scale.

        Raises:
            ConfigError: The size is impossible, or the model takes any scale and none is given.
        """
        wanted = TargetSize.choose(scale=scale, size=size)
        if wanted is not None:
            return self.options.cropped(wanted)
        if self.options.target is not None:
            return self.options.target
        if self.scale is None:
            raise ConfigError("This model takes any scale: give one, with --scale or scale=.")
        return self.options.cropped(TargetSize(scale=self.scale))

    def _fitting(self, wanted: TargetSize, rows: int, columns: int) -> Upscaler:
        """This upscaler, or for a family of models ("auto", "esc-light") that of its model for the size."""
        if not self._has_family:  # the name of one model, a file or a folder is looked up once
            return self
        path = choose_model(self.options.model, wanted.scale_of(rows, columns))
        if path == self._path:
            return self
        with self._lock:
            if path not in self._others:
                self._others[path] = Upscaler(options=self.options, weights=path)
            return self._others[path]

    def _run(self, wanted: TargetSize, lr: Tensor, on_progress: OnProgress | None) -> Tensor:
        """(B, 3, H, W) in host memory → (B, 3, rows, columns) as wanted, clamped, in host memory."""
        model = self._fitting(wanted, lr.shape[-2], lr.shape[-1])
        if model is not self:
            return model._run(wanted, lr, on_progress)
        out_size = wanted.upscaled(*lr.shape[-2:])
        check_memory("The result", out_size, 4 * lr[:, :, 0, 0].numel() * math.prod(out_size))
        sr = self._result(lr, out_size if self.scale is None else None, on_progress)
        if sr.shape[-2:] != out_size:
            sr = functional.interpolate(sr, size=out_size, mode="bicubic", antialias=True)
        return sr.clamp_(0, 1)

    def _result(self, lr: Tensor, size: Size | None, on_progress: OnProgress | None) -> Tensor:
        """At the model's scale, or for one of any at a size; with the colours of `lr` if they are kept."""
        how: dict[str, Any] = {"self_ensemble": self.options.self_ensemble, "on_progress": on_progress}
        if not self.keeps_colour:
            return self.inference.run(lr, size=size, **how)
        if self.scale is None:
            sr = self.inference.run(lr, size=size, **how)
        else:
            sr = without_mirrored(self.inference.run(mirrored(lr), **how), self.scale)
        with torch.autocast("cpu", enabled=False):  # a caller's would blur in half precision
            return keep_colour_(sr, lr)


def _with_shape_of_pixels(picture: Picture, wanted: TargetSize) -> dict[str, bytes]:
    """A picture's metadata, with the shape that the pixels of its result have."""
    rest = {name: block for name, block in picture.metadata.items() if name != PIXEL_ASPECT}
    aspect = Fraction(aspect_of(picture.metadata))
    return rest | aspect_tags(wanted.shape_of_pixels(aspect, *_sides(picture)))


def _notes_of(picture: Picture | Animation, wanted: TargetSize) -> tuple[str, ...]:
    """A picture's notes; not that of the shape of its pixels, where those of its result are square."""
    rest = picture.notes
    if isinstance(picture, Picture) and PIXEL_ASPECT not in _with_shape_of_pixels(picture, wanted):
        rest = tuple(note for note in rest if not note.startswith(NOT_SQUARE))
    return rest


def _sides(picture: Picture | Animation) -> tuple[int, int]:
    """Rows and columns."""
    height, width = (picture.frames[0] if isinstance(picture, Animation) else picture.pixels).shape[:2]
    return height, width
