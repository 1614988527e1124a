"""How long a recipe takes on this machine's processor, roughly: enough to choose by, without PyTorch."""

from __future__ import annotations

from escsr.networks import variant_name
from escsr.runtime.processor import has_bfloat16, num_cores
from escsr.training.config import RealSettings, TrainingConfig

__all__ = ["estimate_seconds", "spoken"]

_CORE_SECONDS = {
    "esc-light": 46,
    "esc": 82,
    "esc-fp": 87,
    "esc-lte": 87,
    "esc-real": 230,
    "esc-xl": 1150,
    "esc-rib": 250,
}
"""Seconds of one core with bfloat16 products for a megapixel of LR patches in training: of the first four
those of the recorded runs (results/training) over 1.74, what native kernels gain
(results/speed/training-cpu-native.json); of the others by their multiply-accumulates beside ESC's."""

_WITHOUT_BFLOAT16 = 2.5
"""How much slower float32 is, on a core with such products or without."""

_EMULATED = 25
"""How much slower bfloat16 is on a core that only emulates its products."""

_DEGRADING, _DISCRIMINATOR = 1.2, 3.5
"""How much longer a step takes that makes damaged pictures, and one that trains a discriminator too."""


def estimate_seconds(config: TrainingConfig) -> float:
    """Seconds that a training takes here, on the processor, within a factor of two or three.

    Args:
        config: The recipe.

    Returns:
        An estimate from the size of its patches, its network and the number of cores.
    """
    name = variant_name(config.network) or "esc"
    megapixels = config.batch_size * config.patch_size**2 / 1e6
    seconds = config.iterations * megapixels * _CORE_SECONDS.get(name, _CORE_SECONDS["esc"]) / num_cores()
    if not has_bfloat16():
        seconds *= _EMULATED if config.precision == "bfloat16" else _WITHOUT_BFLOAT16
    elif config.precision not in ("auto", "bfloat16"):
        seconds *= _WITHOUT_BFLOAT16
    if isinstance(config.objective, RealSettings):
        seconds *= _DISCRIMINATOR if config.objective.adversarial.weight else _DEGRADING
    return seconds


def spoken(seconds: float) -> str:
    """A rough time in words: 40 min, 1.5 hours, 3 days, 5 months."""
    for size, unit in _UNITS:
        if seconds >= 0.95 * size:
            number = seconds / size
            rounded = (
                f"{number:.1f}".removesuffix(".0") if number < 3 and unit != "minute" else f"{number:.0f}"
            )
            return f"{rounded} {unit}{'' if rounded == '1' else 's'}"
    return "1 minute"


_UNITS = (
    (365 * 86_400, "year"),
    (30 * 86_400, "month"),
    (86_400, "day"),
    (3600, "hour"),
    (60, "minute"),
)
