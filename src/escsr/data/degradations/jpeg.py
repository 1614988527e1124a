"""JPEG in degradations: libjpeg as real files have it, and the formulas of Real-ESRGAN's own."""

from __future__ import annotations

import math
from functools import cache
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

__all__ = ["differentiable_jpeg", "libjpeg"]

_Rows = tuple[tuple[float, ...], ...]

_LUMA: _Rows = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA: _Rows = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *4 * ((99,) * 8,),
)
_TO_YCBCR: _Rows = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB: _Rows = ((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0))


def libjpeg(image: Tensor, quality: int, *, chroma_halved: bool = True) -> Tensor:
    """Through a JPEG file in memory, as cameras and web sites write it.

    Args:
        image: (3, H, W) in [0, 1]; rounded to 8 bits.
        quality: 1 to 100.
        chroma_halved: 4:2:0, else 4:4:4.

    Returns:
        (3, H, W), multiples of 1/255.
    """
    pixels = (image.clamp(0, 1) * 255).round_().byte().permute(1, 2, 0).contiguous().numpy()  # (H, W, 3)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=2 if chroma_halved else 0)
    values = np.asarray(Image.open(file), np.float32)
    return torch.from_numpy(values).div_(255).permute(2, 0, 1)


def differentiable_jpeg(image: Tensor, quality: float) -> Tensor:
    """The JPEG that Real-ESRGAN trains with, its gradient apart.

    Differs from files: no rounding to 8 bits, quality is real-valued, tables are not rounded, the luma
    table is transposed, chroma comes back by repeated pixels, and sides are padded with black to
    multiples of 16.

    Args:
        image: (3, H, W) in [0, 1].
        quality: Above 0, below 100.

    Returns:
        (3, H, W) in [0, 1].
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, [0, -width % 16, 0, -height % 16]) * 255
    ycbcr = torch.einsum("ij,jhw->ihw", _tensor(_TO_YCBCR), padded)
    ycbcr[1:] += 128
    factor = 0.5 / quality * 100 if quality < 50 else 2 - quality / 50
    luma = _quantised(ycbcr[:1], _tensor(_LUMA).T * factor)
    chroma = _quantised(F.avg_pool2d(ycbcr[1:], 2), _tensor(_CHROMA) * factor)
    chroma = chroma.repeat_interleave(2, -1).repeat_interleave(2, -2) - 128
    rgb = torch.einsum("ij,jhw->ihw", _tensor(_TO_RGB), torch.cat((luma, chroma)))
    return rgb[:, :height, :width].clamp(0, 255) / 255


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Every 8×8 block to cosines, rounded to steps of the table, and back: (C, H, W) → (C, H, W)."""
    channels, height, width = planes.shape
    blocks = planes.reshape(channels, height // 8, 8, width // 8, 8).transpose(
        2, 3
    )  # (C, rows, columns, 8, 8)
    basis, steps = _cosines(), table.reshape(64)
    spectrum = (blocks.flatten(3) - 128) @ basis.T  # (C, rows, columns, 64)
    blocks = (spectrum / steps).round() * steps @ basis + 128
    return (
        blocks.reshape(channels, height // 8, width // 8, 8, 8)
        .transpose(2, 3)
        .reshape(channels, height, width)
    )


@cache
@torch.inference_mode(False)  # what is kept may be needed for gradients later
def _tensor(rows: _Rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32, device="cpu")


@cache
@torch.inference_mode(False)
def _cosines() -> Tensor:
    """The orthonormal DCT-II of 8×8 samples, (frequency, sample), both row by row: (64, 64)."""
    sample = torch.arange(8, dtype=torch.float64, device="cpu")
    frequency = sample[:, None]
    line = torch.cos((2 * sample + 1) * frequency * math.pi / 16) / 2
    line[0] /= math.sqrt(2)
    return torch.kron(line, line).float()
