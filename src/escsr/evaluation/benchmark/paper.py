"""What the paper prints in its tables of cost: measured by its authors on an RTX 4090."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "ABLATION_FIGURES",
    "ATTENTION_FIGURES",
    "LTE_FIGURES",
    "NOTHING_PRINTED",
    "SETS",
    "PaperFigures",
    "paper_figures",
]

Pair = tuple[float, float | None]
"""Y-PSNR in dB, and SSIM where it is printed right."""


@dataclass(frozen=True)
class PaperFigures:
    """One row of a table; None for what it does not print, or what we have no reading of.

    Attributes:
        parameters_k: Parameters, 1e3.
        macs_g: "#FLOPs", which are multiply-accumulates, 1e9, for an output of 1280×720.
        latency_ms: On an RTX 4090.
        memory_mb: At most, on the same.
        quality: Y-PSNR and SSIM by test set, trained on DIV2K.
    """

    parameters_k: float | None = None
    macs_g: float | None = None
    latency_ms: float | None = None
    memory_mb: float | None = None
    quality: Mapping[str, Pair] = field(default_factory=dict)


NOTHING_PRINTED = PaperFigures()
"""Of a network that is in none of its tables."""

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""The test sets of Table 2."""

_COST: Mapping[str, Mapping[int, tuple[float, float, float, float]]] = {
    "esc": {2: (947, 592.0, 120.9, 831), 3: (955, 267.6, 41.4, 385), 4: (968, 149.2, 21.9, 215)},
    "esc-light": {2: (603, 359.4, 73.2, 830), 3: (612, 162.8, 25.2, 384), 4: (624, 91.0, 13.3, 213)},
    "esc-fp": {2: (524, 239.8, 94.3, 627), 3: (530, 110.0, 34.8, 291), 4: (539, 60.8, 21.7, 158)},
}
"""Table 2, our networks: parameters, multiply-accumulates, ms, MB."""

_QUALITY: Mapping[str, Mapping[int, str]] = {
    "esc": {
        2: "38.35/.9619 34.11/.9223 32.41/.9027 33.46/.9395 39.54/.9790",
        3: "34.84/.9308 30.74/.8493 29.34/.8118 29.28/.8739 34.66/.9512",
        4: "32.68/.9011 28.93/.7902 27.80/.7447 27.07/.8144 31.54/.9207",
    },
    "esc-light": {
        2: "38.24/.9615 33.98/.9211 32.35/.9020 33.05/.9363 39.33/.9786",
        3: "34.61/.9295 30.52/.8475 29.26/.8102 28.93/.8679 34.33/.9495",
        4: "32.52/.8995 28.87/.7878 27.72/.7423 26.76/.8058 31.26/.9173",
    },
    "esc-fp": {
        2: "38.27/.9617 34.09/.9219 32.37/.9022 33.22/.9375 39.40/.9784",
        3: "34.72/.9300 30.67/.8483 29.30/.8107 29.12/.8706 34.56",
        4: "32.56 28.87/.7889 27.75/.7435 26.90/.8098 31.40/.9192",
    },
}
"""Table 2, our networks: PSNR/SSIM on the five sets. SSIM of ESC-FP on Set5 ×4 and Manga109 ×3 is
misprinted there and left out."""

_URBAN100 = {
    "swinir-lt": (32.76, 26.47),
    "elan-lt": (32.76, 26.54),
    "omnisr": (33.05, 26.64),
    "srformer-lt": (32.91, 26.67),
    "atd-lt": (33.27, 26.97),
    "hit-srf": (33.13, 26.80),
    "asid-d8": (33.35, 26.89),
    "mambair-lt": (32.85, 26.52),
    "mambairv2-lt": (33.26, 26.82),
    "rdn": (32.89, 26.61),
    "rcan": (33.34, 26.82),
}
"""Table 2, the others: Y-PSNR at ×2 and ×4. Of the rest of their rows we have only what follows."""

_SRFORMER_MS = {2: 1456.3, 3: 530.5, 4: 287.2}
"""In Table 2; Table 4 prints 1838.1, 668.3 and 327.8 with the same memory."""


def paper_figures(name: str, scale: int) -> PaperFigures:
    """The row of Table 2 of one of our networks or of a rival.

    Args:
        name: Of a variant, or of a rival in lower case.
        scale: 2, 3 or 4.

    Returns:
        What is printed; parameters and multiply-accumulates of rivals are with them (`RIVALS`).

    Example:
        >>> paper_figures("esc", 4).latency_ms
        21.9
    """
    if name in _COST:
        printed = (each.partition("/") for each in _QUALITY[name][scale].split())
        pairs = ((float(psnr), float(ssim) if ssim else None) for psnr, _, ssim in printed)
        return PaperFigures(*_COST[name][scale], quality=dict(zip(SETS, pairs, strict=True)))
    psnr = dict(zip((2, 4), _URBAN100.get(name, ()), strict=False)).get(scale)
    return PaperFigures(
        latency_ms=_SRFORMER_MS[scale] if name == "srformer-lt" else None,
        quality={} if psnr is None else {"Urban100": (psnr, None)},
    )


def _ablation(
    latency: float, memory: float, macs: float, parameters: float, set5: float, urban: float
) -> PaperFigures:
    return PaperFigures(
        parameters, macs, latency, memory, {"Set5": (set5, None), "Urban100": (urban, None)}
    )


ABLATION_FIGURES: Mapping[str, PaperFigures] = {
    "attention-only": _ablation(128.2, 830, 456.6, 737, 38.27, 33.23),
    "conv-attn-only": _ablation(126.3, 514, 962.4, 1210, 38.18, 32.91),
    "large-kernel-9": _ablation(117.1, 831, 462.2, 924, 38.33, 33.42),
    "large-kernel-17": _ablation(126.6, 832, 768.9, 977, 38.32, 33.40),
    "unshared-static": _ablation(119.7, 835, 591.1, 1950, 38.32, 33.37),
    "unshared": _ablation(120.9, 835, 592.0, 1985, 38.32, 33.43),
    "window-16": _ablation(118.0, 807, 603.6, 1054, 38.24, 33.05),
    "window-24": _ablation(116.5, 801, 583.5, 995, 38.33, 33.28),
}
"""Table 3, by the names of `ABLATIONS`; its last row is ESC ×2 of Table 2."""

ATTENTION_FIGURES: Mapping[tuple[int, int], tuple[tuple[float, float], tuple[float, float]]] = {
    (64, 16): ((2.0, 46), (0.5, 11)),
    (64, 24): ((7.6, 111), (0.5, 14)),
    (64, 32): ((27.3, 157), (0.5, 11)),
    (288, 16): ((4.9, 758), (1.3, 223)),
    (288, 24): ((14.5, 1575), (2.0, 223)),
    (288, 32): ((44.7, 2717), (2.8, 223)),
}
"""Table 1, by side of the map and of the window: ms and MB without flash attention, and with it."""

LTE_FIGURES: Mapping[str, Mapping[float, float]] = {
    "esc-lte": {2: 35.13, 3: 31.38, 4: 29.37, 6: 27.08, 12: 23.97, 18: 22.40, 24: 21.38, 30: 20.64},
}
"""Table 5: PSNR of RGB on DIV2K's validation set by scale; of the other rows we have no reading."""
