"""Key names of the published weights, derived from ours, and the configuration read off their shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from escsr.errors import ForeignNetworkError
from escsr.networks.config import VARIANTS, NetworkConfig
from escsr.networks.esc import ESC
from escsr.networks.implicit_bias import COORDINATE_FEATURES

__all__ = [
    "detect_config",
    "detect_own_config",
    "from_published",
    "has_own_names",
    "published_name",
    "state_keys",
    "to_published",
]

_TAIL = {"0": "1", "1": "4", "2": "6", "3": "8"}
_SKIP = {"expand": "0", "depthwise": "1", "reduce": "3"}
_FFN = {"expand": "proj", "depthwise": "dwc", "reduce": "aggr"}

_RULES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"(.*)conv_attns(.*)\.estimator\.(\d)", lambda m: f"{m[1]}pconvs{m[2]}.plk.dwc_proj.{int(m[3]) + 1}"),
    (r"upsampler\.convs\.(\d)", lambda m: f"to_img.{_TAIL[m[1]]}"),
    (r"shortcut\.(\w+)\.", lambda m: f"skip.{_SKIP[m[1]]}."),
    (r"(.*conv_ffn.*\.)(expand|depthwise|reduce)\.", lambda m: f"{m[1]}{_FFN[m[2]]}."),
    (r"large_kernel\.weight", "plk_filter"),
    (r"large_kernel\.(channel|spatial)", r"lk_\1"),
    (r"shallow\.", "proj."),
    (r"(blocks\.\d+)\.norm_first\.", r"\1.ln_proj."),
    (r"(blocks\.\d+)\.conv_ffn_first\.", r"\1.proj."),
    (r"(blocks\.\d+)\.norm_attention\.", r"\1.ln_attn."),
    (r"(blocks\.\d+)\.attention\.(qkv|out)\.", r"\1.attn.to_\2."),
    (r"(blocks\.\d+)\.attention\.bias_table", r"\1.attn.relative_position_bias"),
    (r"(blocks\.\d+)\.attention\.bias_query", r"\1.attn.flashbias_q"),
    (r"(blocks\.\d+)\.attention\.bias_key", r"\1.attn.flashbias_k"),
    (r"(blocks\.\d+)\.attention\.implicit_bias\.", r"\1.attn."),
    (r"(blocks\.\d+\.attn)\.hidden_weight", r"\1.to_hidden"),
    (r"(blocks\.\d+\.attn)\.hidden_bias", r"\1.hidden_b"),
    (r"(blocks\.\d+\.attn)\.(query|key)", lambda m: f"{m[1]}.to_{m[2][0]}"),
    (r"(blocks\.\d+)\.attention\.gate\.depthwise\.", r"\1.attn.gate.0."),
    (r"(blocks\.\d+)\.attention\.gate\.project\.", r"\1.attn.gate.1."),
    (r"(blocks\.\d+)\.norms\.", r"\1.lns."),
    (r"(blocks\.\d+)\.conv_ffns\.", r"\1.convffns."),
    (r"(blocks\.\d+\.)conv_attns\.(\d+)\.fuse\.", r"\1pconvs.\2.aggr."),
    (r"(blocks\.\d+)\.norm_last\.", r"\1.ln_out."),
    (r"(blocks\.\d+)\.conv_last\.", r"\1.conv_out."),
    (r"norm_last\.", "ln_last."),
    (r"upsampler\.conv\.", "to_img."),
    (r"upsampler\.imnet\.", "imnet.layers."),
    (r"upsampler\.(coef|freq|phase)\.", r"\1."),
]

_RIB = {"ln_last.": "last.0.", "last.": "last.1.", "to_img.": "upsampler.up_conv."}
"""What ESC-RIB's checkpoints call the ends of the network, where the others' say the former."""


def published_name(key: str, config: NetworkConfig) -> str:
    """The published name of one of our state-dict keys.

    Args:
        key: A key of `ESC(config).state_dict()`.
        config: The network's configuration.

    Returns:
        The key under which the authors' checkpoints hold that tensor.
    """
    name = key
    for pattern, replacement in _RULES:
        name = re.sub(rf"^{pattern}", replacement, name)
    if config.large_kernel == "decomposed":
        name = name.replace(".plk.dwc_proj.", ".plk.proj.")
    if config.bias_hidden_dim is not None:
        found = next((end for end in _RIB if name.startswith(end)), "")
        return _RIB.get(found, "") + name.removeprefix(found)
    if config.upsampler == "lte" and not key.startswith("upsampler."):
        return f"encoder.{name}"
    return name


def from_published(weights: Mapping[str, Tensor], config: NetworkConfig) -> dict[str, Tensor]:
    """Renames published weights to ours.

    Args:
        weights: Tensors under published names.
        config: The configuration, see `detect_config`.

    Returns:
        Tensors under our names; unknown keys are kept, for the loader to report.
    """
    ours = {published_name(key, config): key for key in state_keys(config)}
    return {ours.get(key, key): value for key, value in weights.items()}


def to_published(weights: Mapping[str, Tensor], config: NetworkConfig) -> dict[str, Tensor]:
    """Renames our weights to the published names; the inverse of `from_published`."""
    return {published_name(key, config): value for key, value in weights.items()}


def detect_config(weights: Mapping[str, Tensor]) -> NetworkConfig:
    """Reads the whole configuration off the names and shapes of published weights.

    Args:
        weights: Tensors under published names.

    Returns:
        The configuration.

    Raises:
        ForeignNetworkError: The weights are not those of a network of this family.
    """
    try:
        return NetworkConfig.from_dict(_read_settings(weights))
    except (LookupError, ValueError, ArithmeticError) as error:
        sample = ", ".join(sorted(weights)[:3])[:200] or "no tensors"
        raise ForeignNetworkError(
            f"These are not weights of an ESC network ({error}); found {len(weights)} tensors: {sample}, "
            "... Accepted are checkpoints of ESC, ESC-light, ESC-FP, ESC-XL, ESC-Real, ESC+LTE and ESC-RIB."
        ) from error


def has_own_names(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights bear our names, not the published ones."""
    return "shallow.weight" in weights


def detect_own_config(weights: Mapping[str, Tensor]) -> NetworkConfig:
    """`detect_config` for weights under our names, where no file says what network they are.

    The shapes of the paper's ablations are not told apart this way, nor is the window of ESC-RIB; their
    files say them.

    Args:
        weights: Tensors under our names.

    Returns:
        The configuration.

    Raises:
        ForeignNetworkError: The weights are not those of a published variant, whatever its widths.
    """
    named_by = NetworkConfig()
    if "large_kernel.spatial" in weights:
        named_by = named_by.replace(large_kernel="decomposed")
    if "blocks.0.attention.implicit_bias.query" in weights:
        named_by = named_by.replace(bias_rank=1, bias_hidden_dim=1)
    if "upsampler.imnet.0.weight" in weights:
        named_by = named_by.replace(scale=None, upsampler="lte", shortcut="bilinear")
    return detect_config(to_published(weights, named_by))


def state_keys(config: NetworkConfig) -> list[str]:
    """Names of all tensors of a network."""
    with torch.device("meta"):
        return list(ESC(config).state_dict())


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for key in weights if (match := re.match(pattern, key))})


def _ratio(encoder: Mapping[str, Tensor], layer: str, dim: int) -> float:
    """Hidden width of a ConvFFN over `dim`: the quotient that gives that width back, rounded down."""
    hidden = encoder[f"blocks.0.{layer}.proj.weight"].shape[0]
    ratio = hidden / dim
    return ratio if int(dim * ratio) == hidden else math.nextafter(ratio, math.inf)


def _read_settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    any_scale = any(key.startswith("encoder.") for key in weights)
    encoder = {key.removeprefix("encoder."): value for key, value in weights.items()}
    dim = encoder["proj.weight"].shape[0]
    decomposed = "lk_spatial" in encoder
    large_kernel = encoder["lk_spatial" if decomposed else "plk_filter"]
    settings: dict[str, Any] = {
        "dim": dim,
        "attended_dim": large_kernel.shape[0],
        "large_kernel": "decomposed" if decomposed else "dense",
        "large_kernel_size": large_kernel.shape[-1],
        "num_blocks": _count(encoder, r"blocks\.(\d+)\."),
        "num_conv_attn": _count(encoder, r"blocks\.0\.pconvs\.(\d+)\."),
        "ffn_ratio_first": _ratio(encoder, "proj", dim),
        "ffn_ratio": _ratio(encoder, "convffns.0", dim),
        "norm_before_ffn": "blocks.0.lns.0.weight" in encoder,
        "norm_last": not {"ln_last.weight", "last.0.weight"}.isdisjoint(encoder),
        "attention_gate": "blocks.0.attn.gate.0.weight" in encoder,
        **_read_bias(encoder),
    }
    if any_scale:
        return settings | {"scale": None, "upsampler": "lte", "shortcut": "bilinear"}
    if "to_img.1.weight" in encoder:
        return settings | {"scale": 4, "upsampler": "nearest_conv", "shortcut": "conv"}
    output = "upsampler.up_conv" if "bias_hidden_dim" in settings else "to_img"
    scale = round((encoder[f"{output}.weight"].shape[0] / 3) ** 0.5)
    return settings | {"scale": scale, "shortcut": "bicubic" if decomposed else "nearest"}


def _read_bias(encoder: Mapping[str, Tensor]) -> dict[str, Any]:
    if "blocks.0.attn.flashbias_q" in encoder:
        heads, pixels, rank = encoder["blocks.0.attn.flashbias_q"].shape
        return {"num_heads": heads, "window_size": round(pixels**0.5), "bias_rank": rank}
    if "blocks.0.attn.to_hidden" in encoder:
        features, hidden = encoder["blocks.0.attn.to_hidden"].shape
        if features != COORDINATE_FEATURES:
            raise ValueError(f"{features} features of coordinates, not {COORDINATE_FEATURES}")
        heads, _, rank = encoder["blocks.0.attn.to_q"].shape
        window = VARIANTS["esc-rib"].window_size  # no tensor depends on it
        return {"num_heads": heads, "window_size": window, "bias_rank": rank, "bias_hidden_dim": hidden}
    heads, entries = encoder["blocks.0.attn.relative_position_bias"].shape
    return {"num_heads": heads, "window_size": (round(entries**0.5) + 1) // 2}
