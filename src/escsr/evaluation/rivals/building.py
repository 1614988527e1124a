"""From a rival's name to its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import nn

from escsr.errors import ConfigError
from escsr.evaluation.rivals.asid import ASID
from escsr.evaluation.rivals.elan import ELAN
from escsr.evaluation.rivals.encoders import EncoderWithLTE
from escsr.evaluation.rivals.hit import HiTSRF
from escsr.evaluation.rivals.mambair import MambaIR
from escsr.evaluation.rivals.mambairv2 import MambaIRv2
from escsr.evaluation.rivals.packages import atd_encoder, packaged_network
from escsr.evaluation.rivals.rdn import RDN
from escsr.evaluation.rivals.table import RIVALS, rival_named

__all__ = ["build_rival"]

_OWN: Mapping[str, Callable[[int], nn.Module]] = {
    "rdn": RDN,
    "elan-lt": ELAN,
    "hit-srf": HiTSRF,
    "asid-d8": ASID,
    "mambair-lt": MambaIR,
    "mambairv2-lt": MambaIRv2,
}
"""Definitions of our own, by the names in `RIVALS`: scale → network."""

_ENCODERS: Mapping[str, Callable[[], nn.Module]] = {
    "rdn": partial(RDN, None),
    "atd-lt": atd_encoder,
    "hit-srf": partial(HiTSRF, None),
}
"""Those that stand before an LTE upsampler."""


def build_rival(
    name: str,
    scale: float,
    *,
    device: str | torch.device = "cpu",
    upsampler: Literal["fixed", "lte"] = "fixed",
) -> nn.Module:
    """A rival's network with random weights, in eval mode; see `load_rival_weights` for others.

    Args:
        name: In `RIVALS`, or as the paper prints it.
        scale: 2, 3 or 4; with LTE any number from 1, and that of a call without `size`.
        device: Where it is; "meta" for its shapes alone.
        upsampler: Its own of one scale, or LTE of any scale (Tables 5 and 6).

    Returns:
        A module: (B, 3, H, W) in [0, 1], of any size from 1×1 → (B, 3, rH, rW), about [0, 1].

    Raises:
        ConfigError: There is no such rival, scale or upsampler, or a package is missing.

    Example:
        >>> network = build_rival("rdn", 2, device="meta")
        >>> sum(parameter.numel() for parameter in network.parameters())
        22123395
    """
    rival = rival_named(name)
    key = name.strip().lower()
    if upsampler == "lte":
        if not rival.lte or scale < 1:
            encoders = ", ".join(each.name for each in RIVALS.values() if each.lte)
            raise ConfigError(
                f"LTE stands on {encoders} and takes scales from 1, not on {rival.name} at {scale:g}."
            )
        build: Callable[[], nn.Module] = lambda: EncoderWithLTE(_ENCODERS[key](), scale)  # noqa: E731
    elif upsampler != "fixed":
        raise ConfigError(f"upsampler must be fixed or lte, not {upsampler!r}.")
    elif scale not in rival.scales:
        raise ConfigError(
            f"{rival.name} has the scales {', '.join(map(str, rival.scales))}, not {scale:g}."
        )
    else:
        build = (
            partial(_OWN[key], int(scale)) if key in _OWN else partial(packaged_network, key, int(scale))
        )
    if rival.source != "escsr":  # definitions of packages compute with values as they are built
        return build().eval().to(device)
    with torch.device(device):
        return build().eval()
