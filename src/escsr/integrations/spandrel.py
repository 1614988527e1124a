"""Our networks in spandrel, which loads models for chaiNNer, ComfyUI and others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.models.bundled import TRAINING_PREFIX
from escsr.models.published_keys import (
    detect_config,
    detect_own_config,
    from_published,
    has_own_names,
)
from escsr.networks import ESC, NetworkConfig, variant_name
from escsr.networks.inference_form import WeightsWatch
from escsr.runtime.choices import Precision
from escsr.runtime.extras import install_line
from escsr.upscaling.inference import Inference

__all__ = ["ARCHITECTURE", "HostedESC", "install"]

ARCHITECTURE = "ESC"
"""spandrel's name for the networks of this family."""

_PRECISIONS: dict[torch.dtype, Precision] = {torch.float16: "float16", torch.bfloat16: "bfloat16"}

_PUBLISHED = ("proj.weight", "blocks.0.ln_proj.weight", "blocks.0.attn.to_qkv.weight")
_OURS = ("shallow.weight", "blocks.0.norm_first.weight", "blocks.0.attention.qkv.weight", "last.weight")
"""Keys that every network of this family has, under the authors' names and under ours."""


def install() -> None:
    """Lets spandrel load networks of this family, under the authors' key names and under ours.

    Programs that use spandrel in this process load them from then on. A second call changes nothing, nor
    does a first one where spandrel knows ESC by itself. Networks of any scale (LTE) are not loaded:
    spandrel has no place for them.

    Raises:
        ConfigError: spandrel is not installed.

    Example:
        >>> install()  # doctest: +SKIP
        >>> spandrel.ModelLoader().load_from_file("esc-light-x2/model.safetensors")  # doctest: +SKIP
    """
    try:
        import spandrel
    except ImportError as error:
        raise ConfigError(f"spandrel cannot be imported ({error}): {install_line('spandrel')}") from error
    support = spandrel.ArchSupport.from_architecture(_architecture(spandrel))
    spandrel.MAIN_REGISTRY.add(support, ignore_duplicates=True)


class HostedESC(nn.Module):
    """A network that a host calls as a plain module: pictures of any size, computed by exact streaming.

    A host chooses device and type by `to`, `half` and the like; computing follows it. In half precision a
    tile that overflows is computed again in a higher one, see `Inference`. No gradients.

    Args:
        config: The shape of the network.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.network = ESC(config)
        self.inference: Inference | None = None
        self._watch: WeightsWatch | None = None
        self.register_load_state_dict_post_hook(_forget_made)  # type: ignore[no-untyped-call]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, rH, rW), not clamped, of the type and on the device of `lr`."""
        if self.inference is None or (self._watch is not None and self._watch.has_changed()):
            self.inference = self._made()
        return self.inference.run(lr.to("cpu", torch.float32)).to(lr)

    def _made(self) -> Inference:
        """What computes: in float32 the network itself, which it follows, else a copy in float32."""
        dtype, network = next(self.network.parameters()).dtype, self.network
        self._watch = None
        if dtype != torch.float32:
            self._watch = WeightsWatch(network)
            network = copy.deepcopy(network).float()
        return Inference(network, precision=_PRECISIONS.get(dtype, "float32"))

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made of the weights, which a copy makes of its own."""
        return {**self.__dict__, "inference": None, "_watch": None}

    def _apply(self, *arguments: Any, **settings: Any) -> HostedESC:
        self._forget()
        super()._apply(*arguments, **settings)  # type: ignore[no-untyped-call]
        return self

    def _forget(self) -> None:
        """What was made from the weights, where and as they were."""
        self.inference = None


def _forget_made(module: HostedESC, _: object) -> None:
    """After loading; a function, so that a copy forgets its own."""
    module._forget()


def _architecture(spandrel: ModuleType) -> Any:
    """An architecture of spandrel, whose classes exist where it is installed only."""
    from spandrel.util import KeyCondition

    output = KeyCondition.has_any("to_img.weight", "to_img.1.weight", "upsampler.up_conv.weight")
    published = KeyCondition.has_all(
        *_PUBLISHED, KeyCondition.has_any("last.weight", "last.1.weight"), output
    )
    ours = KeyCondition.has_all(
        *_OURS, KeyCondition.has_any("upsampler.conv.weight", "upsampler.convs.0.weight")
    )

    class ESCArch(spandrel.Architecture):  # type: ignore[misc, name-defined]
        """Networks of this family with a scale of their own."""

        def __init__(self) -> None:
            super().__init__(id=ARCHITECTURE, detect=KeyCondition.has_any(published, ours))

        def load(self, state_dict: Mapping[str, Tensor]) -> Any:
            weights = {k: v for k, v in state_dict.items() if not k.startswith(TRAINING_PREFIX)}
            if has_own_names(weights):
                config = detect_own_config(weights)
            else:
                config = detect_config(weights)
                weights = from_published(weights, config)
            assert config.scale is not None
            return spandrel.ImageModelDescriptor(
                HostedESC(config),
                {f"network.{key}": value for key, value in weights.items()},
                architecture=self,
                purpose="SR" if config.scale > 1 else "Restoration",
                tags=[variant_name(config) or f"{config.dim}dim {config.num_blocks} blocks"],
                supports_half=True,  # what overflows is computed again in a higher precision
                supports_bfloat16=True,
                scale=config.scale,
                input_channels=3,
                output_channels=3,
                size_requirements=spandrel.SizeRequirements(),
                tiling=spandrel.ModelTiling.INTERNAL,
            )

    return ESCArch()
