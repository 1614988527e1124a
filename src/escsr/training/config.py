"""Everything a training run is made of, in one frozen model of nested settings."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from escsr.data.degradations.presets import named_mixture
from escsr.errors import ConfigError
from escsr.networks import NetworkConfig
from escsr.runtime.choices import Precision
from escsr.runtime.settings import Settings, did_you_mean, setting_names, validated
from escsr.training.objective_settings import (
    OBJECTIVES,
    ArbitraryScaleSettings,
    ObjectiveSettings,
    OptimizerSettings,
    PixelSettings,
    RealSettings,
)

__all__ = [
    "ArbitraryScaleSettings",
    "EmaSettings",
    "OptimizerSettings",
    "PixelSettings",
    "RealSettings",
    "ScheduleSettings",
    "TrainingConfig",
    "flat",
]

_Count = Annotated[int, Field(ge=1, lt=2**63)]
_Natural = Annotated[int, Field(ge=0, lt=2**63)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Decay = Annotated[float, Field(ge=0, lt=1)]
_Scales = Annotated[tuple[Annotated[float, Field(ge=1, le=1000)], ...], Field(min_length=1)]


class ScheduleSettings(Settings):
    """The learning rate's course."""

    type: Literal["steps", "cosine"] = "steps"
    """Of "steps" (× `decay` after each milestone) or "cosine" (down to `final_ratio`)."""
    warmup: _Natural = 0
    """Steps of linear warm-up."""
    milestones: tuple[_Natural, ...] = ()
    """Steps after which the rate is multiplied, for "steps"."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """That factor."""
    final_ratio: _Share = 0.02
    """Last rate over the peak, for "cosine"."""


class EmaSettings(Settings):
    """The averaged weights, which are what is validated and kept."""

    decay: _Decay = 0.999
    """Their decay."""
    ramp: bool = False
    """Lower decay in the first steps (i / (i + 9)), so that they do not weigh for thousands."""


class TrainingConfig(Settings):
    """A recipe: what `escsr train` does, apart from where the images lie."""

    name: str
    """The recipe's name."""
    network: NetworkConfig
    """Shape of the network."""
    objective: ObjectiveSettings
    """What a step makes better; "arbitrary_scale" for a network of any scale (LTE), else "pixel", or "real"
    for damaged photographs."""
    iterations: _Count
    """Steps in all."""
    batch_size: _Count
    """Patches a step, of all processes together."""
    patch_size: _Count
    """LR side of a patch, pixels."""
    accumulation: _Count = 1
    """Micro-batches that a process's share of the batch is computed in, one after the other; less memory,
    the same step but for rounding."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """How gradients change the weights."""
    schedule: ScheduleSettings = ScheduleSettings()
    """The learning rate's course."""
    ema: EmaSettings = EmaSettings()
    """The averaged weights."""
    precision: Precision = "float32"
    """Of "float32", "tf32" (products of GPUs rounded to 10 bits, as the reference has it), "bfloat16" and
    "float16" (autocast; weights, loss and averages stay float32; the loss is scaled for float16). "auto" is
    bfloat16 where the device has such products, else float32."""
    compile: bool = False
    """Compile the blocks (`torch.compile`): faster on GPUs, minutes to begin."""
    patience: _Count = 5
    """Steps in a row that may come out without finite numbers, and are left out, before the run goes back
    to its last checkpoint and stops."""
    seed: _Natural = 0
    """Seed of weights and patches."""
    validate_every: _Count = 5000
    """Steps between validations and checkpoints."""
    validation_scales: _Scales = (2.0, 3.0, 4.0)
    """Scales to validate a network of any scale at."""
    keep_checkpoints: _Count = 2
    """Checkpoints to keep, beside the best."""
    start: str | None = None
    """Model to start from instead of random weights (bundled name or file), or None; see
    `starting_weights` for what is made to fit."""

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        objective, scale = self.objective, self.network.scale
        if self.batch_size % self.accumulation:
            raise ConfigError(
                f"batch_size must be a multiple of accumulation: {self.batch_size} cannot be computed in "
                f"{self.accumulation} equal parts."
            )
        if (objective.type == "arbitrary_scale") != (scale is None):
            raise ConfigError(
                f"objective.type {objective.type!r} does not go with network.scale {scale!r}: "
                f"'arbitrary_scale' is for networks of any scale, 'pixel' and 'real' for those of one."
            )
        if isinstance(objective, ArbitraryScaleSettings) and objective.queries > self.patch_size**2:
            raise ConfigError(
                f"objective.queries must be at most patch_size² = {self.patch_size**2}, the pixels at ×1, "
                f"not {objective.queries}."
            )
        return self

    @property
    def newest_is_best(self) -> bool:
        """Whether PSNR does not tell the best: it falls while features or a discriminator sharpen."""
        if not isinstance(self.objective, RealSettings):
            return False
        perceptual = self.objective.perceptual
        sees = perceptual.network is not None and perceptual.weight > 0
        return sees or self.objective.adversarial.weight > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, ready for JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """The inverse of `to_dict`.

        Args:
            values: Nested values; also those of the flat recipes that were written up to version 0.1.

        Raises:
            ConfigError: A key is unknown or a value impossible.
        """
        return validated(cls, _merged({}, values))

    def replace(self, changes: Mapping[str, Any]) -> TrainingConfig:
        """A copy with some values changed, checked like a new one.

        Args:
            changes: Keys to values, nested ones with dots ("optimizer.learning_rate"). A network of
                another kind of scale takes the objective along.

        Returns:
            The changed configuration.

        Raises:
            ConfigError: A key is unknown (the nearest is named), or a value impossible.
        """
        return validated(type(self), _merged(self.to_dict(), changes))

    def with_settings(self, settings: Iterable[str]) -> TrainingConfig:
        """Applies settings as typed, "key=value" each, values as in JSON or Python; see `replace`."""
        return self.replace(dict(map(_parse, settings)))


def flat(
    values: Mapping[str, Any],
    whole: Callable[[str, Mapping[str, Any]], bool] | None = None,
    *,
    prefix: str = "",
) -> dict[str, Any]:
    """Nested keys joined by dots.

    Args:
        values: Nested values.
        whole: Whether a group, by its joined key, stays one value; None for no group.
        prefix: What stands before each key.
    """
    joined: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        if isinstance(value, Mapping) and not (whole is not None and whole(name, value)):
            joined |= flat(value, whole, prefix=f"{name}.")
        else:
            joined[name] = value
    return joined


_GROUPS: dict[type[Settings], str] = {
    PixelSettings: "objective",
    ArbitraryScaleSettings: "objective",
    OptimizerSettings: "optimizer",
    ScheduleSettings: "schedule",
}
_MOVED = {
    key: f"{group}.{key}" for kind, group in _GROUPS.items() for key in kind.model_fields.keys() - {"type"}
} | {
    "optimizer": "optimizer.type",
    "schedule": "schedule.type",
    "ema_decay": "ema.decay",
    "ema_ramp": "ema.ramp",
    "keep": "keep_checkpoints",
}
"""Keys of the flat recipes up to version 0.1, which commands and folders of runs still have."""


def _merged(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with changes put in their places, those under old keys too; whole groups come first."""
    placed = {key: _place_of(key, value).split(".") for key, value in changes.items()}
    for key, (*groups, name) in sorted(placed.items(), key=lambda item: len(item[1])):
        target, value = values, changes[key]
        for group in groups:
            if target.get(group) is None:
                target[group] = {}
            target = target[group]
            if not isinstance(target, dict):
                raise ConfigError(
                    f"Unknown setting {key!r}.{did_you_mean(key, setting_names(TrainingConfig))}"
                )
        target[name] = value.to_dict() if isinstance(value, NetworkConfig) else value
        _name_to_degradation(values)
    _fit_objective(values, changes)
    return values


def _place_of(key: str, value: Any) -> str:
    """Where a setting belongs, with dots, which older recipes kept elsewhere."""
    return key if isinstance(value, Mapping | NetworkConfig) else _MOVED.get(key, key)


def _name_to_degradation(values: dict[str, Any]) -> None:
    """The name of a preset becomes its settings."""
    objective = values.get("objective")
    if isinstance(objective, dict) and isinstance(name := objective.get("degradation"), str):
        values["objective"] = {**objective, "degradation": named_mixture(name).model_dump(mode="json")}


def _fit_objective(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """The objective follows the network's scale; what it lacks is dropped; both unless asked for."""
    network, objective = values.get("network"), values.setdefault("objective", {})
    if not isinstance(network, Mapping) or not isinstance(objective, dict) or "objective" in changes:
        return
    kind, any_scale = objective.get("type", "pixel"), network.get("scale", 2) is None
    if "objective.type" not in changes and kind in OBJECTIVES and any_scale != (kind == "arbitrary_scale"):
        objective["type"] = "arbitrary_scale" if any_scale else "pixel"
    objective.setdefault("type", "pixel")
    own = OBJECTIVES.get(objective["type"], PixelSettings).model_fields
    asked = {key.split(".")[1] for key in changes if key.startswith("objective.")}
    values["objective"] = {k: value for k, value in objective.items() if k in own or k in asked}


def _parse(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"A setting reads key=value, not {text!r}.")
    value = value.strip()
    for read in (json.loads, ast.literal_eval):  # 1e-3, true and [1, 2], as well as .001, True and (1, 2)
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return key.strip(), read(value)
    return key.strip(), None if value.lower() == "none" else value
