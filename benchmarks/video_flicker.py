"""How restless results are from frame to frame: bicubic, the default model, the model of real photographs.

    python benchmarks/video_flicker.py photo.png

Two shots of one photo, each upscaled frame by frame:

* "noisy": nothing moves, each frame has its own noise of some standard deviation (levels of 255). Flicker
  is the standard deviation over time of the result's luma, mean over the pixels.
* "moving": the photo moves by one pixel of the result per frame and is shrunk then, without noise. Flicker
  is the same, along the motion.

Also measured: frames blended with the one before by a fixed share, as a smoothing option would do, and how
much that takes from the detail (standard deviation of the result's luma less its blur). Records
results/video/flicker.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from conditions import record
from escsr.data.pictures import read_rgb
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.upscaler import Upscaler

LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
BLEND = 0.5
Upscale = Callable[[Tensor], Tensor]


def main() -> None:
    """Measures, prints and records."""
    options = _options()
    keep_freed_memory()
    photo = torch.from_numpy(read_rgb(options.photo)).permute(2, 0, 1) / 255
    contenders = _contenders(options.device)
    shots: dict[str, dict[str, dict[str, float]]] = {}
    for name, (scale, upscale) in contenders.items():
        moving = _moving(photo, scale, options)
        for shot, frames in (
            *((f"noisy {sigma:g}", _noisy(photo, sigma, options)) for sigma in options.sigmas),
            ("moving", moving),
        ):
            results = [_luma(upscale(frame)) for frame in frames]
            step = int(shot == "moving")
            shots.setdefault(f"{shot}, x{scale}", {})[name] = figures = _figures(results, step)
            print(f"{shot:10} x{scale}  {name:20} {figures}", flush=True)
    values = {"side": options.side, "frames": options.frames, "blend": BLEND, "shots": shots}
    print(record("video/flicker", values))


def _contenders(device: str) -> dict[str, tuple[int, Upscale]]:
    def bicubic(scale: int) -> Upscale:
        return lambda lr: F.interpolate(lr, scale_factor=scale, mode="bicubic").clamp(0, 1)

    light, real = Upscaler("esc-light-x2", device=device), Upscaler("real", device=device, scale=4)
    return {
        "bicubic x2": (2, bicubic(2)),
        light.name: (2, light),
        "bicubic x4": (4, bicubic(4)),
        "real x4, strength 0": (4, Upscaler("real", device=device, scale=4, strength=0)),
        f"real x4, strength {real.strength:g}": (4, real),
    }


def _noisy(photo: Tensor, sigma: float, options: argparse.Namespace) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    lr = photo[None, :, : options.side, : options.side]
    noises = (torch.randn(lr.shape, generator=generator) for _ in range(options.frames))
    return [((lr + sigma / 255 * noise).clamp(0, 1) * 255).round() / 255 for noise in noises]


def _moving(photo: Tensor, scale: int, options: argparse.Namespace) -> list[Tensor]:
    side = options.side * scale
    parts = (photo[None, :, :side, number : number + side] for number in range(options.frames))
    size = (options.side, options.side)
    return [
        (F.interpolate(part, size=size, mode="bicubic", antialias=True).clamp(0, 1) * 255).round() / 255
        for part in parts
    ]


def _luma(picture: Tensor) -> Tensor:
    return (picture[0] * LUMA).sum(0)


def _figures(results: list[Tensor], step: int) -> dict[str, float]:
    """Flicker and detail, as they are and blended; blending does not follow the motion."""
    blended = [results[0]]
    for result in results[1:]:
        blended.append(BLEND * blended[-1] + (1 - BLEND) * result)
    return {
        "flicker": _flicker(results, step),
        "detail": _detail(results),
        "blended_flicker": _flicker(blended, step),
        "blended_detail": _detail(blended),
    }


def _flicker(results: list[Tensor], step: int) -> float:
    """Levels of 255; frame n is shifted back by n steps, and a border of 16 pixels is left out."""
    count, width = len(results), results[0].shape[1] - step * (len(results) - 1)
    aligned = torch.stack(
        [
            result[:, step * (count - 1 - n) : step * (count - 1 - n) + width]
            for n, result in enumerate(results)
        ]
    )
    inner: Any = aligned[:, 16:-16, 16:-16]
    return round(float(255 * inner.std(0).mean()), 3)


def _detail(results: list[Tensor]) -> float:
    last = results[-1][None, None]
    return round(float(255 * (last - F.avg_pool2d(last, 5, 1, 2, count_include_pad=False)).std()), 3)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("--side", type=int, default=96, help="of the LR frames, pixels")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--sigmas", type=float, nargs="+", default=[2.0, 8.0])
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
