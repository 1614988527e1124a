"""Rivals as encoders before an LTE upsampler, for any scale (Tables 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from escsr.networks import NetworkConfig
from escsr.networks.layers import Size
from escsr.networks.lte import LTE
from escsr.networks.upsamplers import whole_output

__all__ = ["EncoderWithLTE"]


class EncoderWithLTE(nn.Module):
    """An encoder and our LTE head.

    Args:
        encoder: Has `dim`, its channels C, and `features`, (B, 3, H, W) → (B, C, H, W).
        scale: Of a call without a size.
    """

    def __init__(self, encoder: nn.Module, scale: float) -> None:
        super().__init__()
        self.encoder, self.scale = encoder, scale
        shape = NetworkConfig(
            dim=cast("int", encoder.dim), scale=None, upsampler="lte", shortcut="bilinear"
        )
        self.upsampler = LTE(shape)

    def forward(self, lr: Tensor, *, size: Size | None = None) -> Tensor:
        """Upscales to any size.

        Args:
            lr: (B, 3, H, W), RGB in [0, 1].
            size: Output rows and columns; None for the scale's.

        Returns:
            (B, 3, *size), about [0, 1].
        """
        rows, columns = lr.shape[-2:]
        out_size = size or (round(rows * self.scale), round(columns * self.scale))
        low, high = self.upsampler.input_range
        lr = lr * (high - low) + low
        features = cast("Callable[[Tensor], Tensor]", self.encoder.features)
        return self.upsampler(features(lr), lr, whole_output(lr, out_size))

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Takes the names of the LTE authors' files too, where the head's parts are at the top."""
        heads = ("coef.", "freq.", "phase.", "imnet.")
        named = {
            f"upsampler.{key}".replace("imnet.layers.", "imnet.") if key.startswith(heads) else key: value
            for key, value in state_dict.items()
        }
        return super().load_state_dict(named, strict, assign)
