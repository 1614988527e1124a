"""Rivals whose definitions spandrel has, with the settings of their authors' light variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.evaluation.rivals.padding import PaddingMode, pad_to_multiple
from escsr.evaluation.rivals.table import RIVALS

__all__ = ["packaged_network"]

_LIGHT = {"img_size": 64, "img_range": 1.0, "upsampler": "pixelshuffledirect", "resi_connection": "1conv"}
_SWIN = _LIGHT | {"depths": [6] * 4, "embed_dim": 60, "num_heads": [6] * 4, "mlp_ratio": 2}
_OMNISR = {"num_feat": 64, "res_num": 5, "block_num": 1, "bias": True, "window_size": 8, "pe": True}
_ATD = _LIGHT | {
    "embed_dim": 48,
    "depths": [6] * 4,
    "num_heads": [4] * 4,
    "window_size": 16,
    "category_size": 128,
    "num_tokens": 64,
    "reducted_dim": 8,
    "convffn_kernel_size": 7,
    "mlp_ratio": 1,
}
_RCAN = {"n_resgroups": 10, "n_resblocks": 20, "n_feats": 64, "reduction": 16, "rgb_range": 1}


@dataclass(frozen=True)
class _Definition:
    """A package's class.

    Attributes:
        kind: Its name.
        scale_name: What it calls the scale.
        settings: Of the light variant.
        multiple: Its pictures' sides are multiples of this.
        padding: What its authors make them so with.
        smallest: Least side that it computes.
    """

    kind: str
    scale_name: str
    settings: Mapping[str, Any]
    multiple: int = 1
    padding: PaddingMode = "reflect"
    smallest: int = 1


_DEFINITIONS: Mapping[str, _Definition] = {
    "swinir-lt": _Definition("SwinIR", "upscale", _SWIN | {"window_size": 8}, 8),
    "omnisr": _Definition("OmniSR", "up_scale", _OMNISR, 8, "zeros", smallest=16),
    "srformer-lt": _Definition("SRFormer", "upscale", _SWIN | {"window_size": 16}, 16),
    "atd-lt": _Definition("ATD", "upscale", _ATD, 16, "symmetric"),
    "rcan": _Definition("RCAN", "scale", _RCAN),
}


def packaged_network(name: str, scale: int, **changes: Any) -> nn.Module:
    """A rival by a package's definition, for pictures of any size, with random weights.

    The names of its weights are the package's, which are those of the authors' files.

    Args:
        name: In `RIVALS`.
        scale: Output side per LR side.
        **changes: Settings in place of the light variant's.

    Returns:
        (B, 3, H, W) in [0, 1] → (B, 3, rH, rW), on the CPU.

    Raises:
        ConfigError: The package is not installed, or cannot be imported.
    """
    definition, rival = _DEFINITIONS[name], RIVALS[name]
    if rival.reason:
        raise ConfigError(rival.reason)
    kind = definition.kind
    try:
        base: type[nn.Module] = getattr(import_module(f"{rival.source}.architectures.{kind}"), kind)
    except Exception as error:  # a torchvision that does not fit its PyTorch raises anything
        raise ConfigError(
            f"{rival.name} requires {rival.source}, which cannot be imported ({error})."
        ) from error
    any_size = type(kind, (base,), {"forward": _any_size(base.forward, scale, definition)})
    return any_size(**{**definition.settings, **changes, definition.scale_name: scale})


def _any_size(
    whole_windows: Callable[[nn.Module, Tensor], Tensor], scale: int, definition: _Definition
) -> Callable[[nn.Module, Tensor], Tensor]:
    """A `forward` that pads a picture of any size, as the authors pad those larger than a window."""

    def forward(self: nn.Module, lr: Tensor) -> Tensor:
        padded = pad_to_multiple(lr, definition.multiple, definition.padding, smallest=definition.smallest)
        sr = whole_windows(self, padded.clone())  # RCAN writes into its input
        return sr[..., : scale * lr.shape[-2], : scale * lr.shape[-1]]

    return forward
