"""Degradations by name."""

from __future__ import annotations

from escsr.data.degradations.config import (
    Bicubic,
    Jpeg,
    Kernels,
    Mixture,
    Noise,
    Order,
    Resizing,
    SecondOrder,
    Shuffled,
)

__all__ = ["PRESETS"]

_FULL = SecondOrder()
_GENTLE = SecondOrder(
    first=Order(
        blur=Kernels(sigma=(0.2, 2.0), size=(7, 15)),
        resize=Resizing(up=0.2, down=0.5, factor=(0.25, 1.3)),
        noise=Noise(probability=0.6, sigma=(1.0, 15.0), scale=(0.05, 1.5)),
        jpeg=Jpeg(probability=0.8, quality=(40.0, 95.0)),
    ),
    second=Order(
        blur=Kernels(probability=0.6, sigma=(0.2, 1.0), size=(7, 11)),
        resize=Resizing(up=0.3, down=0.4, factor=(0.5, 1.2)),
        noise=Noise(probability=0.6, sigma=(1.0, 8.0), scale=(0.05, 1.0)),
        jpeg=Jpeg(probability=0.8, quality=(50.0, 95.0)),
    ),
    second_probability=0.5,
    final_sinc=0.4,
)
_COMPRESSED = SecondOrder(
    first=Order(
        blur=Kernels(probability=0.3, sigma=(0.2, 1.0), size=(7, 11)),
        resize=Resizing(up=0.1, down=0.3, factor=(0.5, 1.2)),
        noise=Noise(probability=0.1, sigma=(1.0, 5.0)),
        jpeg=Jpeg(quality=(20.0, 85.0)),
    ),
    second=Order(
        blur=Kernels(probability=0.0),
        resize=Resizing(up=0.0, down=0.0),
        noise=Noise(probability=0.0),
        jpeg=Jpeg(quality=(30.0, 90.0)),
    ),
    second_probability=0.0,
    final_sinc=0.3,
)
_CLEAN = Bicubic()
_WEB = Bicubic(jpeg=Jpeg(probability=1.0, quality=(70.0, 97.0)))

PRESETS: dict[str, Mixture] = {
    "bicubic": Mixture(parts=((1.0, _CLEAN),)),
    "real-esrgan": Mixture(parts=((1.0, _FULL),), sharpen_target=True),
    "gentle": Mixture(parts=((0.85, _GENTLE), (0.15, _CLEAN))),
    "compressed": Mixture(parts=((1.0, _COMPRESSED),)),
    "bsrgan": Mixture(parts=((1.0, Shuffled()),)),
    "mixed": Mixture(
        parts=((0.1, _CLEAN), (0.1, _WEB), (0.1, _COMPRESSED), (0.45, _GENTLE), (0.25, _FULL)),
    ),
}
"""`real-esrgan` is the paper's, number by number; `gentle` is for photographs that are not ruined,
`compressed` for those from the web; `bsrgan` is the other classic; `mixed` is what our models train on."""
