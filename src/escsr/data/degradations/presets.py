"""Degradations by name."""

from __future__ import annotations

from escsr.data.degradations.config import (
    Bicubic,
    Degradation,
    Jpeg,
    Kernels,
    Mixture,
    Noise,
    Order,
    Part,
    Resizing,
    SecondOrder,
    Shuffled,
)
from escsr.errors import ConfigError
from escsr.runtime.settings import did_you_mean

__all__ = ["PRESETS", "named_mixture", "preset_name"]

_FULL = SecondOrder()
_RESSHIFT = SecondOrder(
    second=_FULL.second.model_copy(update={"blur": _FULL.second.blur.model_copy(update={"size": (7, 15)})}),
    second_probability=0.5,
)
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


def _mixture(*, sharpen_target: bool = False, **parts: tuple[float, Degradation]) -> Mixture:
    named = {name: Part(degradation=each, weight=weight) for name, (weight, each) in parts.items()}
    return Mixture(parts=named, sharpen_target=sharpen_target)


PRESETS: dict[str, Mixture] = {
    "bicubic": _mixture(clean=(1.0, _CLEAN)),
    "real-esrgan": _mixture(full=(1.0, _FULL), sharpen_target=True),
    "resshift": _mixture(resshift=(1.0, _RESSHIFT)),
    "gentle": _mixture(gentle=(0.85, _GENTLE), clean=(0.15, _CLEAN)),
    "compressed": _mixture(compressed=(1.0, _COMPRESSED)),
    "bsrgan": _mixture(bsrgan=(1.0, Shuffled())),
    "mixed": _mixture(
        clean=(0.12, _CLEAN),
        web=(0.06, _WEB),
        compressed=(0.2, _COMPRESSED),
        gentle=(0.45, _GENTLE),
        full=(0.17, _FULL),
    ),
}
"""`real-esrgan` is the paper's, number by number; `resshift` that of ResShift, half of it without a second
pass; `gentle` is for photographs that are not ruined, `compressed` for those from the web; `bsrgan` is the
other classic; `mixed` is what our models train on."""


def named_mixture(name: str) -> Mixture:
    """A preset by its name.

    Raises:
        ConfigError: There is no such preset.
    """
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS) or f" Use one of {', '.join(PRESETS)}."
        raise ConfigError(f"Unknown degradation {name!r}.{hint}")
    return PRESETS[name]


def preset_name(mixture: Mixture) -> str | None:
    """The preset that a mixture is, or None."""
    return next((name for name, preset in PRESETS.items() if preset == mixture), None)
