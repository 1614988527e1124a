"""Rivals whose definitions spandrel has, with the settings of their authors' light variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.evaluation.rivals.padding import PaddingMode, pad_to_multiple
from escsr.evaluation.rivals.table import RIVALS

__all__ = ["atd_encoder", "packaged_network"]

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


def packaged_network(name: str, scale: int) -> nn.Module:
    """A rival by a package's definition, for pictures of any size, with random weights.

    The names of its weights are the package's, which are those of the authors' files.

    Args:
        name: In `RIVALS`.
        scale: Output side per LR side.

    Returns:
        (B, 3, H, W) in [0, 1] → (B, 3, rH, rW), on the CPU.

    Raises:
        ConfigError: The package is not installed, or cannot be imported.
    """
    definition, base = _DEFINITIONS[name], _class_of(name)

    def forward(self: nn.Module, lr: Tensor) -> Tensor:
        padded = pad_to_multiple(lr, definition.multiple, definition.padding, smallest=definition.smallest)
        sr = base.forward(self, padded.clone())  # RCAN writes into its input
        return sr[..., : scale * lr.shape[-2], : scale * lr.shape[-1]]

    return type(base.__name__, (base,), {"forward": forward})(
        **definition.settings, **{definition.scale_name: scale}
    )


def atd_encoder() -> nn.Module:
    """ATD-light without an upsampler: `features`, (B, 3, H, W) → (B, 48, H, W).

    Raises:
        ConfigError: spandrel is not installed, or cannot be imported.
    """
    base, definition = _class_of("atd-lt"), _DEFINITIONS["atd-lt"]

    def features(self: Any, lr: Tensor) -> Tensor:
        padded = pad_to_multiple(lr, definition.multiple, definition.padding)
        mask = self.calculate_mask(padded.shape[-2:]).to(lr.device)
        shallow = self.conv_first(padded)
        where = {"attn_mask": mask, "rpi_sa": self.relative_position_index_SA}
        deep = self.conv_after_body(self.forward_features(shallow, where)) + shallow
        return deep[..., : lr.shape[-2], : lr.shape[-1]]

    members = {"features": features, "dim": definition.settings["embed_dim"]}
    encoder: nn.Module = type(base.__name__, (base,), members)(**{**definition.settings, "upsampler": ""})
    del encoder.conv_last
    return encoder


def _class_of(name: str) -> type[nn.Module]:
    """The package's class, or the line that installs the package."""
    kind, rival = _DEFINITIONS[name].kind, RIVALS[name]
    if rival.reason:
        raise ConfigError(rival.reason)
    try:
        return getattr(import_module(f"{rival.source}.architectures.{kind}"), kind)
    except Exception as error:  # a torchvision that does not fit its PyTorch raises anything
        raise ConfigError(
            f"{rival.name} requires {rival.source}, which cannot be imported ({error})."
        ) from error
