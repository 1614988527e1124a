"""Everything a training run is made of, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from escsr.data.resizers import Resizer
from escsr.errors import ConfigError
from escsr.networks import NetworkConfig

__all__ = ["TrainingConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A recipe: what `escsr train` does, apart from where the pictures lie.

    Attributes:
        name: The recipe's name.
        network: Shape of the network. One of any scale (LTE) is trained on scales s ~ U[1, 4].
        iterations: Steps in all.
        batch_size: Patches a step, of all processes together.
        patch_size: LR side of a patch, pixels.
        queries: HR pixels of each patch that the loss looks at; for networks of any scale only.
        resizer: What makes LR from HR where LR is not given; for networks of a fixed scale only.
        flat_patches: Share of the patches, in [0, 1], in whose place flat ones come, so that flat pictures
            stay flat up to their border.
        accumulation: Parts that a process's share of the batch is computed in, one after the other;
            less memory, the same step but for rounding.
        optimizer: "adam" or "adamw" for all parameters, or "muon" for the matrices of the blocks and
            AdamW for the rest.
        learning_rate: Peak rate.
        betas: Averaging constants of Adam and AdamW.
        weight_decay: Decoupled decay.
        warmup: Steps of linear warm-up.
        schedule: "steps" (× `decay` after each milestone) or "cosine" (down to `final_ratio`).
        milestones: Steps after which the rate is multiplied, for "steps".
        decay: That factor.
        final_ratio: Last rate over the peak, for "cosine".
        clip_norm: Largest gradient norm, or None.
        ema_decay: Decay of the averaged weights, which are what is validated and kept.
        ema_ramp: Lower decay in the first steps (i / (i + 9)), so that they do not weigh for thousands.
        precision: "float32", "tf32" (products of GPUs rounded to 10 bits, as the reference has it), or
            "bfloat16" and "float16" (autocast; weights, loss and averages stay float32; the loss is
            scaled for float16).
        compile: Compile the blocks (`torch.compile`): faster on GPUs, minutes to begin.
        patience: Steps in a row that may come out without finite numbers, and are left out, before the
            run goes back to its last checkpoint and stops.
        seed: Seed of weights and patches.
        validate_every: Steps between validations and checkpoints.
        validation_scales: Scales to validate a network of any scale at.
        keep_checkpoints: Checkpoints to keep, beside the best.
        start: Model to start from instead of random weights (bundled name or file), or None; see
            `starting_weights` for what is made to fit.
    """

    name: str
    network: NetworkConfig
    iterations: int
    batch_size: int
    patch_size: int
    queries: int = 2304
    resizer: Resizer = "matlab-bicubic"
    flat_patches: float = 0.0
    accumulation: int = 1
    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.9)
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: tuple[int, ...] = ()
    decay: float = 0.5
    final_ratio: float = 0.02
    clip_norm: float | None = None
    ema_decay: float = 0.999
    ema_ramp: bool = False
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    patience: int = 5
    seed: int = 0
    validate_every: int = 5000
    validation_scales: tuple[float, ...] = (2.0, 3.0, 4.0)
    keep_checkpoints: int = 2
    start: str | None = None

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be positive, not {self.learning_rate}.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay must be in [0, 1), not {self.ema_decay}.")
        if not 0 <= self.flat_patches <= 1:
            raise ConfigError(f"flat_patches must be in [0, 1], not {self.flat_patches}.")
        if self.seed < 0 or self.warmup < 0:
            raise ConfigError("seed and warmup must not be negative.")
        if self.network.scale is None and self.queries > self.patch_size**2:
            raise ConfigError(
                f"queries must be at most patch_size² = {self.patch_size**2}, the pixels at ×1, not "
                f"{self.queries}."
            )
        for name in ("resizer", "optimizer", "schedule", "precision"):
            accepted = typing.get_args(_hints()[name])
            if getattr(self, name) not in accepted:
                raise ConfigError(f"{name} must be {' or '.join(accepted)}, not {getattr(self, name)!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: A key is unknown or a value impossible.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigError(_unknown(key, known))
        tuples = {key: tuple(values[key]) for key in _TUPLES if key in values}
        network = values["network"]
        if not isinstance(network, NetworkConfig):
            network = NetworkConfig.from_dict(network)
        return cls(**{**values, **tuples, "network": network})

    def with_settings(self, settings: Iterable[str]) -> TrainingConfig:
        """Applies settings as typed on a command line.

        Args:
            settings: "key=value" texts; keys of the network as "network.key".

        Returns:
            The changed configuration.

        Raises:
            ConfigError: A key is unknown (the nearest is named), or a value does not fit its type.
        """
        values, network = self.to_dict(), self.network.to_dict()
        for text in settings:
            key, equals, value = text.partition("=")
            key = key.strip()
            if not equals:
                raise ConfigError(f"A setting reads key=value, not {text!r}.")
            inner = key.removeprefix("network.")
            target, owner = (network, NetworkConfig) if inner != key else (values, type(self))
            if inner not in target or key == "network":
                known = [*values, *(f"network.{name}" for name in network)]
                raise ConfigError(_unknown(key, known))
            target[inner] = _parse(key, value.strip(), typing.get_type_hints(owner)[inner])
        return self.from_dict({**values, "network": network})


_COUNTS = (
    "iterations",
    "batch_size",
    "patch_size",
    "queries",
    "accumulation",
    "patience",
    "validate_every",
    "keep_checkpoints",
)
_TUPLES = ("betas", "milestones", "validation_scales")


def _hints() -> dict[str, Any]:
    return typing.get_type_hints(TrainingConfig)


def _unknown(key: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(key, list(known), n=1, cutoff=0.3)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return f"Unknown setting {key!r}.{hint}"


def _parse(key: str, text: str, hint: Any) -> Any:
    """Text to a value of the hinted type."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None if text.lower() == "none" else text
    for option in typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,):
        if option is float and type(value) is int:
            return float(value)
        if typing.get_origin(option) is tuple and isinstance(value, list):
            return tuple(value)
        if (
            value in typing.get_args(option)
            if typing.get_origin(option) is Literal
            else type(value) is option
        ):
            return value
    raise ConfigError(f"{key}={text} does not fit: expected {_type_name(hint)}.")


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    return getattr(hint, "__name__", None) or str(hint)
