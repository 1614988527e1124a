"""One frozen dataclass describes every network of the family; a named variant is a value of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from escsr.errors import ConfigError

__all__ = ["MAX_SCALE", "VARIANTS", "NetworkConfig", "variant_config", "variant_name"]

MAX_SCALE = 16

_SHORTCUTS = {"pixel_shuffle": ("nearest", "bicubic"), "nearest_conv": ("conv",), "lte": ("bilinear",)}

_ACCEPTED: dict[str, range | tuple[bool | str, ...]] = {
    "scale": range(1, MAX_SCALE + 1),
    "dim": range(1, 4097),
    "attended_dim": range(1, 4097),
    "num_blocks": range(1, 1001),
    "num_attention": range(65),
    "num_conv_attn": range(65),
    "num_heads": range(1, 4097),
    "window_size": range(1, 257),
    "large_kernel_size": range(3, 256),
    "bias_rank": range(1, 4097),
    "bias_hidden_dim": range(1, 4097),
    "attention_gate": (True, False),
    "norm_before_ffn": (True, False),
    "norm_last": (True, False),
    "dynamic_kernel": (True, False),
    "large_kernel": ("dense", "decomposed", "unshared"),
    "upsampler": tuple(_SHORTCUTS),
}
"""What settings may be: integers beyond it are a slip or an attack, no network that a machine can run."""

_MAX_RATIO = 64


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a network (the paper's Fig. 3 and the table of variants in `docs/paper.md`).

    The defaults are ESC ×2.

    Attributes:
        scale: Per side; None where the upsampler takes any scale (LTE).
        dim: Channels C of the feature maps.
        attended_dim: First channels of a map that ConvAttn convolves; the rest pass as they are.
        num_blocks: Blocks N.
        num_attention: Self-attentions in each block, each behind a ConvFFN; with 0 the first ConvFFN
            stands alone. Other than 1 in the paper's ablations only.
        num_conv_attn: ConvAttn modules M in each block.
        num_heads: Attention heads; must divide `dim`.
        window_size: Side of an attention window, LR pixels.
        ffn_ratio_first: Hidden width of a block's first ConvFFN over `dim`.
        ffn_ratio: Hidden width of the other ConvFFNs over `dim`.
        norm_before_ffn: LayerNorm before each ConvFFN that precedes a ConvAttn.
        norm_last: LayerNorm before the last 3×3 convolution of the deep features.
        large_kernel: "dense" (C_a→C_a, averaged over its flips and rotations), "decomposed"
            (1×1 over channels, then depthwise; ESC-FP), or "unshared" (a plain convolution C_a→C_a in
            each ConvAttn; ablations only).
        large_kernel_size: Side of the large kernel, odd.
        dynamic_kernel: Whether small kernels are computed for each image; false in an ablation only.
        upsampler: U: "pixel_shuffle", "nearest_conv" (ESC-Real) or "lte" (any scale).
        shortcut: S, from the image itself: "nearest" or "bicubic" (pixel_shuffle), "conv"
            (nearest_conv), "bilinear" (lte).
        bias_rank: None for a table of relative position biases; an integer R for the low-rank
            bias φ_q·φ_kᵀ of FlashBias (NeurIPS 2025).
        bias_hidden_dim: None where φ_q and φ_k are learned as they are; an integer for the width of the
            hidden layer that makes them from coordinates (RIB, arXiv 2603.06738; see `ImplicitBias`).
        attention_gate: Whether what attention gives is multiplied by a gate made from its input (ESC-RIB).

    Raises:
        ConfigError: A value is impossible, alone or together with another.
    """

    __pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # noqa: RUF012

    scale: int | None = 2
    dim: int = 64
    attended_dim: int = 16
    num_blocks: int = 5
    num_attention: int = 1
    num_conv_attn: int = 5
    num_heads: int = 4
    window_size: int = 32
    ffn_ratio_first: float = 2.0
    ffn_ratio: float = 1.25
    norm_before_ffn: bool = False
    norm_last: bool = False
    large_kernel: Literal["dense", "decomposed", "unshared"] = "dense"
    large_kernel_size: int = 13
    dynamic_kernel: bool = True
    upsampler: Literal["pixel_shuffle", "nearest_conv", "lte"] = "pixel_shuffle"
    shortcut: Literal["nearest", "bicubic", "conv", "bilinear"] = "nearest"
    bias_rank: int | None = None
    bias_hidden_dim: int | None = None
    attention_gate: bool = False

    def __post_init__(self) -> None:
        self._check_each()
        self._check_together()

    @property
    def estimator_dim(self) -> int:
        """Hidden width of the dynamic-kernel estimator."""
        return self.attended_dim // (4 if self.large_kernel == "decomposed" else 2)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Builds a configuration from plain values, refusing keys it does not know.

        Args:
            values: Field names to values, as written by `to_dict`.

        Returns:
            The configuration.

        Raises:
            ConfigError: A key is unknown or a value impossible.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(
                f"Unknown network setting {', '.join(unknown)}; known are {', '.join(sorted(known))}."
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> NetworkConfig:
        """Returns a copy with some fields changed, checked like a new one."""
        return NetworkConfig.from_dict({**self.to_dict(), **changes})

    def _check_each(self) -> None:
        for name, accepted in _ACCEPTED.items():
            value = getattr(self, name)
            if value is None and name in ("scale", "bias_rank", "bias_hidden_dim"):
                continue
            if type(value) is not type(accepted[0]) or value not in accepted:
                words = f"one of {', '.join(map(repr, accepted))}"
                if isinstance(accepted, range):
                    words = f"an integer from {accepted[0]} to {accepted[-1]}"
                raise ConfigError(f"{name} must be {words}, not {value!r}.")
        for name in ("ffn_ratio_first", "ffn_ratio"):
            value = getattr(self, name)
            if type(value) is bool or not isinstance(value, (int, float)) or not 0 < value <= _MAX_RATIO:
                raise ConfigError(f"{name} must be a number up to {_MAX_RATIO}, not {value!r}.")
            if int(self.dim * value) < 1:
                raise ConfigError(f"{name} leaves no hidden channel: {value!r}.")

    def _check_together(self) -> None:
        if self.dim % self.num_heads:
            raise ConfigError(f"dim {self.dim} is not a multiple of num_heads {self.num_heads}.")
        if self.attended_dim >= self.dim:
            raise ConfigError(f"attended_dim {self.attended_dim} must be smaller than dim {self.dim}.")
        if self.large_kernel == "decomposed" and not self.dynamic_kernel:
            raise ConfigError("A decomposed large kernel goes with a dynamic kernel.")
        if self.estimator_dim < 1:
            raise ConfigError(f"attended_dim {self.attended_dim} is too small for the estimator.")
        if self.large_kernel_size % 2 == 0:
            raise ConfigError(f"large_kernel_size must be odd, not {self.large_kernel_size}.")
        if self.bias_hidden_dim is not None and self.bias_rank is None:
            raise ConfigError("bias_hidden_dim makes a bias of low rank: set bias_rank too.")
        upsampler, shortcuts = repr(self.upsampler), _SHORTCUTS[self.upsampler]
        if self.shortcut not in shortcuts:
            known = " or ".join(shortcuts)
            raise ConfigError(f"upsampler {upsampler} goes with shortcut {known}, not {self.shortcut!r}.")
        if self.upsampler == "lte" and self.scale is not None:
            raise ConfigError("upsampler 'lte' takes its scale at each call: set scale=None.")
        if self.upsampler != "lte" and self.scale is None:
            raise ConfigError(f"upsampler {upsampler} needs a scale, from 1 to {MAX_SCALE}.")
        if self.upsampler == "nearest_conv" and self.scale != 4:
            raise ConfigError(f"upsampler 'nearest_conv' has scale 4 only, not {self.scale}.")


_ESC = NetworkConfig()
_REAL = NetworkConfig(
    scale=4, num_blocks=10, ffn_ratio=2.0, norm_before_ffn=True, upsampler="nearest_conv", shortcut="conv"
)

VARIANTS: dict[str, NetworkConfig] = {
    "esc": _ESC,
    "esc-light": _ESC.replace(num_blocks=3),
    "esc-fp": _ESC.replace(
        dim=48,
        num_heads=3,
        ffn_ratio_first=1.5,
        norm_before_ffn=True,
        norm_last=True,
        large_kernel="decomposed",
        shortcut="bicubic",
    ),
    "esc-xl": _ESC.replace(
        dim=192, attended_dim=48, num_blocks=8, num_heads=12, window_size=48, norm_before_ffn=True
    ),
    "esc-real": _REAL,
    "esc-real-xl": _REAL.replace(dim=128, attended_dim=32, num_blocks=16, num_heads=8),
    "esc-lte": _ESC.replace(scale=None, upsampler="lte", shortcut="bilinear"),
    "esc-rib": _ESC.replace(
        window_size=64,
        ffn_ratio_first=4.0,
        norm_last=True,
        bias_rank=16,
        bias_hidden_dim=32,
        attention_gate=True,
    ),
}
"""Named variants, each at its smallest usual scale; change it with `variant_config`."""


def variant_config(name: str, *, scale: int | None = None, bias_rank: int | None = None) -> NetworkConfig:
    """Returns the configuration of a named variant.

    Args:
        name: One of `VARIANTS`.
        scale: Per side; None for the variant's own (×2; ESC-Real ×4; LTE any).
        bias_rank: Rank of the low-rank position bias; None for the variant's own (a table, except in
            ESC-RIB).

    Returns:
        The configuration.

    Raises:
        ConfigError: The name is unknown, or the variant has no such scale.

    Example:
        >>> variant_config("esc-light", scale=4).num_blocks
        3
    """
    if name not in VARIANTS:
        raise ConfigError(f"Unknown variant {name!r}; known are {', '.join(VARIANTS)}.")
    changes = {"scale": scale, "bias_rank": bias_rank}
    return VARIANTS[name].replace(**{key: value for key, value in changes.items() if value is not None})


def variant_name(config: NetworkConfig) -> str | None:
    """Returns the name of the variant a configuration is, whatever its scale and bias; else None."""
    for name, variant in VARIANTS.items():
        free = {"scale": variant.scale, "bias_rank": variant.bias_rank}
        if variant.to_dict() == {**config.to_dict(), **free}:
            return name
    return None
