"""Protocols `lte` and `lte-div2k`: PSNR at any scale, as LIIF and LTE measure it (ESC's Tables 5, 6)."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from escsr.data.pil_resize import pil_resize
from escsr.data.resize import imresize
from escsr.errors import DataError
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.pairs import Pair, to_tensor
from escsr.upscaling.super_resolver import SuperResolver, super_resolve

__all__ = ["DIV2K_BORDER", "MATLAB_SCALES", "lte_downscale", "lte_psnr"]

MATLAB_SCALES = (2, 3, 4)
"""Scales whose LR pictures the data sets publish, downscaled by MATLAB's bicubic."""

DIV2K_BORDER = 6
"""Pixels cropped at each side beside the scale's, from NTIRE's rules for DIV2K."""


def lte_psnr(model: SuperResolver, pair: Pair, scale: float, *, div2k: bool = False) -> dict[str, float]:
    """PSNR of luma with ⌈scale⌉ pixels cropped at each side; of RGB with ⌈scale⌉ + 6 for DIV2K.

    The result is clamped but not rounded.

    Args:
        model: A model of this scale or of any.
        pair: The picture.
        scale: At least 1.
        div2k: `lte-div2k`, for the validation set of DIV2K; else `lte`, for Set5, Set14, B100 and Urban100.

    Returns:
        psnr_rgb or psnr_y, dB.

    Raises:
        DataError: Nothing is left of the picture.
    """
    truth = to_tensor(pair.hr).double().expand(3, -1, -1)
    border = math.ceil(scale) + (DIV2K_BORDER if div2k else 0)
    if min(truth.shape[-2:]) <= 2 * border:
        raise DataError(f"{pair.name}: nothing is left of it where {border} pixels are cropped.")
    lr = to_tensor(lte_downscale(pair.hr, scale) if pair.lr is None else pair.lr).expand(3, -1, -1)
    # Tiles and chunks of queries follow from free memory; the figures do not depend on them.
    sr = super_resolve(model, lr.float()[None] / 255, (truth.shape[-2], truth.shape[-1]))
    both = [
        image[..., border:-border, border:-border] for image in (sr[0].double().clamp(0, 1) * 255, truth)
    ]
    return {"psnr_rgb": psnr(*both)} if div2k else {"psnr_y": psnr(*map(rgb_to_y, both))}


def lte_downscale(hr: NDArray[Any], scale: float) -> NDArray[Any]:
    """Downscales an HR image, already cropped to what its LR image covers, as the LTE papers do.

    At ×2, ×3 and ×4 by MATLAB's bicubic, with which the published LR pictures are made; at any other
    scale by Pillow's bicubic, as LIIF and LTE do.

    Args:
        hr: uint8 (H, W, C).
        scale: From LR to HR.

    Returns:
        uint8 (h, w, C), each side round(HR side / scale).
    """
    if scale in MATLAB_SCALES:
        return imresize(hr, 1 / scale)
    return pil_resize(hr, (round(hr.shape[0] / scale), round(hr.shape[1] / scale)))
