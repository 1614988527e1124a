"""Settings of what a step makes better, one kind for each objective."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from escsr.data.degradations.config import Mixture
from escsr.data.degradations.presets import PRESETS
from escsr.errors import ConfigError
from escsr.runtime.choices import AdversarialType, PerceptualType, Resizer
from escsr.runtime.settings import Settings

__all__ = [
    "OBJECTIVES",
    "AdversarialSettings",
    "ArbitraryScaleSettings",
    "ObjectiveSettings",
    "OptimizerSettings",
    "PerceptualSettings",
    "PixelSettings",
    "RealSettings",
]

_Count = Annotated[int, Field(ge=1, lt=2**63)]
_Natural = Annotated[int, Field(ge=0, lt=2**63)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Decay = Annotated[float, Field(ge=0, lt=1)]
_Weight = Annotated[float, Field(ge=0)]


class OptimizerSettings(Settings):
    """How gradients change the weights."""

    type: Literal["adam", "adamw", "muon"] = "adamw"
    """Adam or AdamW for all parameters; with "muon" that for the blocks' matrices, AdamW for the rest."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Peak rate."""
    betas: tuple[_Decay, _Decay] = (0.9, 0.9)
    """Averaging constants of Adam and AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled decay; with "adam" it is added to the gradient instead, as an L2 penalty."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm, or None."""


class PixelSettings(Settings):
    """Result and HR patch at one scale; see `PixelObjective`."""

    type: Literal["pixel"] = "pixel"
    """What a step makes better."""
    loss: Literal["l1", "psnr"] = "l1"
    """Their L1, or the negative PSNR in dB, for a last stage that is measured by it. Its gradient is some
    300 times that of L1, so a `clip_norm` must be as much larger."""
    resizer: Resizer = "matlab-bicubic"
    """What makes LR from HR where LR is not given."""
    flat_patches: _Share = 0.0
    """Share of the patches in whose place flat ones come, so that flat images stay flat to the border."""


class ArbitraryScaleSettings(Settings):
    """L1 at single pixels, each sample at a scale s ~ U[1, 4] of its own; see `ArbitraryScaleObjective`."""

    type: Literal["arbitrary_scale"] = "arbitrary_scale"
    """What a step makes better."""
    queries: _Count = 2304
    """HR pixels of each patch that the loss looks at."""
    flat_patches: _Share = 0.0
    """Share of the patches in whose place flat ones come."""


class PerceptualSettings(Settings):
    """Differences of features of a network that was trained to tell things apart; see `perceptual_loss`."""

    network: str | None = None
    """File of its weights: VGG19, VGG16 or SqueezeNet 1.0 (docs/training.md says which files); None for no
    perceptual loss."""
    type: PerceptualType = "l1"
    """L1, or squared differences of features of unit length ("normalized"), as in LPIPS."""
    weight: _Weight = 1.0
    """Of this loss."""
    layers: dict[str, _Weight] | None = None
    """Weights of layers; None for those usual for the network."""


class AdversarialSettings(Settings):
    """A discriminator, and how it learns; see `UNetDiscriminator` and `FeatureDiscriminator`."""

    weight: _Weight = 0.0
    """Of this loss in the generator's; 0 for no discriminator."""
    type: AdversarialType = "vanilla"
    """Binary cross-entropy of the logits, hinge, or each result against its HR ("relativistic")."""
    discriminator: Literal["unet", "features"] = "unet"
    """What judges: a U-Net, the paper's; or small networks on the layers of the perceptual network, which
    learn within some hundred steps."""
    features: _Count = 64
    """Channels of the discriminator's first layer."""
    steps: _Count = 1
    """Updates of the discriminator to one of the network, all by the same batch."""
    optimizer: OptimizerSettings = OptimizerSettings(type="adam", learning_rate=1e-4, betas=(0.9, 0.99))
    """Of the discriminator, without Muon; its rate follows the same schedule."""

    @model_validator(mode="after")
    def _check(self) -> AdversarialSettings:
        if self.optimizer.type == "muon":
            raise ConfigError(
                "Muon is for ESC's blocks; a discriminator's optimizer.type is adam or adamw."
            )
        return self


class RealSettings(Settings):
    """Damaged photographs at one scale; see `RealObjective`. A loss of weight 0 is not computed."""

    type: Literal["real"] = "real"
    """What a step makes better."""
    degradation: Mixture = PRESETS["real-esrgan"]
    """What makes LR from HR; to be set by the name of a preset too."""
    margin: _Natural = 4
    """LR pixels around a patch that are degraded with it and cut off."""
    flat_patches: _Share = 0.0
    """Share of the patches in whose place flat ones come, so that flat images stay flat to the border."""
    l1: _Weight = 1.0
    """Weight of L1 to the target, which the degradation may sharpen."""
    psnr: _Weight = 0.0
    """Weight of the negative PSNR to the target, dB: for a last stage that is measured by it."""
    perceptual: PerceptualSettings = PerceptualSettings()
    """Features of target and result."""
    adversarial: AdversarialSettings = AdversarialSettings()
    """The discriminator's part; what it takes for real is HR as it is."""
    ldl: _Weight = 0.0
    """Weight of L1 where the result has artefacts that its averaged weights have not (LDL)."""
    colour: _Weight = 0.0
    """Weight of L1 between result and HR, both shrunk to LR by box means: colours stay."""
    grid: _Weight = 0.0
    """Weight of L1 between local means of result and HR at each place within an LR pixel: no grids."""
    shift: bool = False
    """Whether discriminator and features see results without 8 rows and columns, at another offset each
    step. They halve images up to three times; so no pixel of a result always has the same place in that."""


ObjectiveSettings = Annotated[
    PixelSettings | ArbitraryScaleSettings | RealSettings, Field(discriminator="type")
]
"""Any of them, told apart by `type`."""

OBJECTIVES: dict[str, type[Settings]] = {
    "pixel": PixelSettings,
    "arbitrary_scale": ArbitraryScaleSettings,
    "real": RealSettings,
}
"""By `type`."""
