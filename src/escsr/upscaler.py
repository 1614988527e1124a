"""Upscaler: a model on a device, from any kind of picture to the same kind, larger."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from escsr import images
from escsr.checkpoints import find_model, load_network
from escsr.devices import choose_device
from escsr.errors import ConfigError, OutputError
from escsr.images import Picture
from escsr.inference import Inference, MapChoice
from escsr.networks import ESC
from escsr.precision import Precision
from escsr.sizes import TargetSize

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DEFAULT_MODEL", "Upscaler", "default_target", "upscale_file"]

DEFAULT_MODEL = "esc-light"
"""The model where none is named; at ×2 where no scale is asked for."""

OnProgress = Callable[[float], None]
AnyImage = TypeVar("AnyImage", "NDArray[Any]", Tensor, "Image")


class Upscaler:
    """Enlarges pictures with one model; threads may share it, it keeps nothing of a picture.

    A picture larger than a tile is computed by exact streaming: the result does not depend on the
    tile size.

    Args:
        model: Bundled name ("esc-light-x2"), or a file of weights.
        device: "auto" (CUDA, XPU, MPS, CPU, whichever comes first), "cpu", "cuda", "cuda:1", ...
        precision: Arithmetic, see `Precision`; a result that overflows is computed again in a higher
            one, which the model then keeps.
        tile_size: Side of a tile, LR pixels, a multiple of the attention window; None to choose by
            free memory and speed. Halved where the device runs out of memory.
        maps: How feature maps of a large picture are kept, see `MapChoice`.
        ensemble: Mean over the eight flips and quarter turns: eight times the work.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: The weights cannot be used.
        DeviceError: There is no such device.
        ConfigError: Precision or tile size is impossible.

    Example:
        >>> upscaler = Upscaler("esc-light-x2", device="cpu")
        >>> upscaler(np.zeros((20, 30, 3), np.uint8)).shape
        (40, 60, 3)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "esc-light-x2",
        *,
        device: str = "auto",
        precision: Precision = "auto",
        tile_size: int | None = None,
        maps: MapChoice = "auto",
        ensemble: bool = False,
    ) -> None:
        self.device = choose_device(device)
        self.name = Path(model).stem
        self.network: ESC = load_network(model, device=self.device).requires_grad_(False)
        self.inference = Inference(self.network, precision=precision, tile_size=tile_size, maps=maps)
        self.ensemble = ensemble

    @property
    def scale(self) -> int | None:
        """Enlargement per side; None where each call chooses."""
        return self.network.config.scale

    def __call__(
        self,
        image: AnyImage,
        *,
        scale: float | None = None,
        size: TargetSize | None = None,
        on_progress: OnProgress | None = None,
    ) -> AnyImage:
        """Enlarges a picture.

        Args:
            image: numpy array, (H, W), or (H, W, C) with 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA
                channels, uint8 or uint16; PIL image; or tensor (B, 3, H, W), float in [0, 1].
            scale: Enlargement; None for the model's. Another than a fixed model's own is reached by
                resizing its result in float, before it is rounded.
            size: A size instead of a scale.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The same kind of picture, type and depth, larger; tensors are clamped to [0, 1] and on
            the device they came from.

        Raises:
            ConfigError: The picture is of another kind or shape, or the scale does not fit the model.
            DeviceError: The device's memory does not suffice.
            CheckpointError: The model's results are not numbers.
        """
        wanted = self._target(scale, size)
        if isinstance(image, Tensor):
            if (
                image.dim() != 4
                or image.shape[1] != 3
                or not image.is_floating_point()
                or not image.numel()
            ):
                raise ConfigError(
                    f"A tensor must be floating (B, 3, H, W), not {image.dtype} {tuple(image.shape)}."
                )
            sr = self._run(image.detach().to("cpu", torch.float32), wanted, on_progress)
            return sr.to(image.device, image.dtype)
        if isinstance(image, np.ndarray):
            pixels = image[..., None] if image.ndim == 2 else image
            larger = self._upscale_pixels(pixels, wanted, on_progress)
            return larger[..., 0] if image.ndim == 2 else larger
        if type(image).__module__.startswith("PIL."):
            return self._upscale_pil(image, wanted, on_progress)
        raise ConfigError(
            f"A picture must be a numpy array, a PIL image or a tensor, not {type(image).__name__}."
        )

    def upscale_picture(
        self,
        picture: Picture,
        *,
        scale: float | None = None,
        size: TargetSize | None = None,
        on_progress: OnProgress | None = None,
    ) -> Picture:
        """Enlarges a decoded file; depth, alpha, profile and metadata stay with it.

        Args:
            picture: As read by `escsr.images.read`.
            scale: Enlargement; None for the model's. Another than a fixed model's own is reached by
                resizing its result in float, before it is rounded.
            size: A size instead of a scale.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The larger picture.
        """
        pixels = self._upscale_pixels(picture.pixels, self._target(scale, size), on_progress)
        return Picture(pixels, picture.metadata, picture.pixels_per_mm)

    def upscale_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str] | None = None,
        *,
        scale: float | None = None,
        size: TargetSize | None = None,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Enlarges a picture file.

        Args:
            source: The file.
            target: File to write; None for `default_target`.
            scale: Enlargement; None for the model's. Another than a fixed model's own is reached by
                resizing its result in float, before it is rounded.
            size: A size instead of a scale.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            The file written.

        Raises:
            ImageError: The source cannot be read.
            OutputError: The target is the source, or cannot be written.
        """
        wanted = self._target(scale, size)
        source = Path(source)
        target = default_target(source, wanted) if target is None else Path(target)
        if target.exists() and source.exists() and target.samefile(source):
            raise OutputError(f"{target} is the input itself; choose another name for the result.")
        images.check_suffix(target)
        picture = images.read(source)
        images.check_suffix(target, has_alpha=picture.has_alpha)
        images.write(self.upscale_picture(picture, size=wanted, on_progress=on_progress), target)
        return target

    def _upscale_pixels(
        self, pixels: NDArray[Any], wanted: TargetSize, on_progress: OnProgress | None
    ) -> NDArray[Any]:
        """(H, W, C) of 8 or 16 bits; grey goes through as R = G = B, varying alpha as a grey picture."""
        if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
            raise ConfigError(f"An array must be (H, W) or (H, W, 1 to 4), not {pixels.shape}.")
        if pixels.dtype not in (np.uint8, np.uint16):
            raise ConfigError(f"An array must be uint8 or uint16, not {pixels.dtype}.")
        peak = np.iinfo(pixels.dtype).max
        planes = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1) / peak)
        has_alpha = pixels.shape[2] in (2, 4)
        colour, alpha = planes[: len(planes) - has_alpha], planes[len(planes) - has_alpha :]
        varied = has_alpha and bool((alpha != alpha[0, 0, 0]).any())
        batch = torch.stack([part.expand(3, -1, -1) for part in ((colour, alpha) if varied else (colour,))])
        sr = self._run(batch, wanted, on_progress)
        parts = [sr[0] if len(colour) == 3 else sr[0].mean(0, keepdim=True)]
        if has_alpha:
            parts.append(
                sr[1].mean(0, keepdim=True) if varied else alpha[:1, :1, :1].expand_as(parts[0][:1])
            )
        result = torch.cat(parts).mul_(peak).round_().permute(1, 2, 0).numpy()
        return np.ascontiguousarray(result.astype(pixels.dtype))

    def _upscale_pil(self, image: Any, wanted: TargetSize, on_progress: OnProgress | None) -> Any:
        from PIL import Image

        plain = {"L", "LA", "RGB", "RGBA"}
        has_alpha = image.mode in ("PA", "RGBa") or "transparency" in image.info
        source = image if image.mode in plain else image.convert("RGBA" if has_alpha else "RGB")
        pixels = np.asarray(source)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        result = self._upscale_pixels(pixels, wanted, on_progress)
        larger = Image.fromarray(result[..., 0] if source.mode == "L" else result)
        larger.info = {key: value for key, value in image.info.items() if key != "transparency"}
        return larger

    def _target(self, scale: float | None, size: TargetSize | None) -> TargetSize:
        if size is not None:
            if scale is not None:
                raise ConfigError("Say scale or size, not both.")
            return size
        factor = self.scale if scale is None else scale
        if factor is None:
            raise ConfigError("This model takes any scale: say which, with --scale or scale=.")
        return TargetSize(scale=factor)

    def _run(self, lr: Tensor, wanted: TargetSize, on_progress: OnProgress | None) -> Tensor:
        """(B, 3, H, W) in host memory → (B, 3, rows, columns) as wanted, clamped, in host memory."""
        out_size = wanted.enlarged(*lr.shape[-2:])
        any_size = out_size if self.scale is None else None
        sr = self.inference.run(lr, size=any_size, ensemble=self.ensemble, on_progress=on_progress)
        if sr.shape[-2:] != out_size:
            sr = functional.interpolate(sr, size=out_size, mode="bicubic", antialias=True)
        rows, columns = wanted.cropped(*out_size)
        return sr[..., rows, columns].clamp_(0, 1)


def default_target(source: Path, size: TargetSize) -> Path:
    """Name of a result beside its source: photo.png at ×2 becomes photo_x2.png.

    The format stays, except where it cannot be written (GIF), which becomes PNG.
    """
    suffix = source.suffix if source.suffix.lower() in images.WRITABLE else ".png"
    return source.with_name(f"{source.stem}_{size.label}{suffix}")


def upscale_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    scale: float | None = None,
    size: TargetSize | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    tile_size: int | None = None,
    maps: MapChoice = "auto",
    ensemble: bool = False,
) -> Path:
    """Enlarges one picture file; for several, use an `Upscaler` or `escsr.batch.upscale`.

    Args:
        source: The file.
        target: File to write; None for a name beside the source.
        model: Bundled name, with or without its scale, or file of weights.
        scale: Enlargement; a name without its scale chooses the bundled model for it.
        size: A size instead of a scale.
        device: See `Upscaler`.
        precision: See `Upscaler`.
        tile_size: See `Upscaler`.
        maps: See `Upscaler`.
        ensemble: See `Upscaler`.

    Returns:
        The file written.

    Raises:
        EscError: Model, device, source or target are not as they should be.
    """
    path = find_model(model, scale=scale if size is None else _enlargement(Path(source), size))
    upscaler = Upscaler(
        path, device=device, precision=precision, tile_size=tile_size, maps=maps, ensemble=ensemble
    )
    return upscaler.upscale_file(source, target, scale=scale, size=size)


def _enlargement(source: Path, size: TargetSize) -> float:
    columns, rows = images.read_size(source)
    return size.enlargement(rows, columns)
