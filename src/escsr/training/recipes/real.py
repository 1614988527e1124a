"""ESC-Real: photographs as people have them, in two stages; the paper's recipes, and ours for a CPU.

Sources: ESC, ICCV 2025, section 4.4 and supplement 6.3; the reference configuration files, whose
degradations are those of Real-ESRGAN (ICCVW 2021).
"""

from __future__ import annotations

from escsr.data.degradations import PRESETS
from escsr.networks import variant_config
from escsr.training import config
from escsr.training.config import TrainingConfig
from escsr.training.recipes.quick import quick

__all__ = [
    "PAPER_TEXT",
    "esc_real",
    "esc_real_gan",
    "esc_real_light",
    "esc_real_light_features",
    "esc_real_light_gan",
    "esc_real_light_psnr",
]

_VGG19 = "vgg19-dcbb9e9d.pth"
_SQUEEZENET = "squeezenet1_0.npz"
_ADAM = config.OptimizerSettings(type="adam", learning_rate=1e-4, betas=(0.9, 0.99))

PAPER_TEXT = {"esc-real": {"iterations": 400_000}, "esc-real-gan": {}}
"""Values of the paper's text where they differ from the reference configuration."""


def esc_real() -> TrainingConfig:
    """ESC-Real ×4, stage 1: for fidelity (L1 to the sharpened target), on DF2K and OST.

    Command: `escsr train --recipe esc-real --data DF2K_multiscale --data OST --output RUN`.
    Hardware: large GPUs for days. Reached here: not run.

    Differs from the reference: what it draws for a whole batch is drawn for each sample, so that there is
    no pool of pairs; see `DegradedSampler`.
    """
    return TrainingConfig(
        name="esc-real",
        network=variant_config("esc-real"),
        objective=config.RealSettings(degradation=PRESETS["real-esrgan"], margin=18),
        iterations=1_000_000,
        batch_size=48,
        patch_size=64,
        schedule=config.ScheduleSettings(milestones=(100_000,), decay=0.4),
        precision="tf32",
    )


def esc_real_gan() -> TrainingConfig:
    """ESC-Real ×4, stage 2: a GAN with a perceptual loss, starting from stage 1.

    Command: `escsr train --recipe esc-real-gan --start STAGE1/best.safetensors --data DF2K_multiscale
    --data OST --output RUN --set objective.perceptual.network=vgg19-dcbb9e9d.pth` (the file that
    torchvision has for VGG19).
    Hardware: large GPUs for days. Expected (authors): NIQE 5.02 on RealSRSet+5. Reached here: not run.
    """
    return esc_real().replace(
        {
            "name": "esc-real-gan",
            "iterations": 400_000,
            "optimizer": _ADAM.model_dump(),
            "schedule": {"type": "steps"},
            "objective.perceptual": {"network": _VGG19, "weight": 1.0},
            "objective.adversarial": {"weight": 0.1, "features": 64, "optimizer": _ADAM.model_dump()},
        }
    )


def esc_real_light(scale: int) -> TrainingConfig:
    """Stage 1 for real photos: ESC-light learns to remove noise and JPEG blocks.

    From the bundled ESC-light of the scale, whose output layer it keeps. A sixth of the samples are clean
    or a good JPEG, so that clean pictures stay as sharp; the target is not sharpened.
    Command: `escsr train --recipe esc-real-light-x4 --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, twenty minutes (4.8 steps a second).
    """
    degraded = config.RealSettings(degradation=PRESETS["mixed"], flat_patches=0.03)
    changes = {"name": f"esc-real-light-x{scale}", "objective": degraded.model_dump(), "ema.decay": 0.998}
    recipe = quick("esc-light", scale, iterations=6000, batch_size=8, validate_every=250)
    return recipe.replace({**changes, "start": f"esc-light-x{scale}", "optimizer.learning_rate": 1e-3})


def esc_real_light_psnr(scale: int) -> TrainingConfig:
    """Stage 1 for real photos, its end: the result comes as near to the original as noise allows.

    PSNR in place of L1: of all pictures that may have been, their mean instead of their median.
    Command: `escsr train --recipe esc-real-light-psnr-x4 --data PICTURES --output RUN`. Where greys are off
    then, as at ×2: again from the result with `--start` and `--set objective.l1=1 --set
    objective.flat_patches=0.3 --set optimizer.learning_rate=1.5e-4 --set iterations=260`.
    Hardware: two cores with AMX, ten minutes (2.1 steps a second). Reached: see the card of
    esc-real-light-x4.
    """
    return esc_real_light(scale).replace(
        {
            "name": f"esc-real-light-psnr-x{scale}",
            "start": f"esc-real-light-x{scale}",
            "iterations": 1200,
            "optimizer.learning_rate": 3e-4,
            "objective.l1": 0.0,
            "objective.psnr": 0.003,
        }
    )


def esc_real_light_gan(scale: int) -> TrainingConfig:
    """Stage 2 for real photos: sharper, some detail invented (a GAN); starts from stage 1.

    Most of the detail comes from a perceptual loss like LPIPS to a sharpened target. The discriminator sees
    the same features, of each result and its own HR, so it learns within some hundred steps. Colours are
    held by a loss of their own, and so are grids.
    Command: `escsr train --recipe esc-real-light-gan-x4 --data PICTURES --output RUN --set
    objective.perceptual.network=FILE`, VGG16 or VGG19; docs/training.md says where from.
    Hardware: two cores with avx512_bf16, half an hour (1.3 steps a second). Reached: see the card of
    esc-real-light-gan-x4.
    """
    discriminator = config.OptimizerSettings(type="adam", learning_rate=5e-4, betas=(0.5, 0.99))
    return esc_real_light(scale).replace(
        {
            "name": f"esc-real-light-gan-x{scale}",
            "start": f"esc-real-light-x{scale}",
            "iterations": 2400,
            "validate_every": 200,
            "ema.decay": 0.999,
            "optimizer.learning_rate": 5e-4,
            "optimizer.weight_decay": 0.05,
            "objective.degradation.sharpen_target": True,
            "objective.perceptual": {
                "network": _VGG19,
                "type": "normalized",
                "weight": 0.08,
                "layers": {"conv1_2": 1.0, "conv2_2": 1.0, "conv3_3": 1.0, "conv4_3": 1.0},
            },
            "objective.adversarial": {
                "weight": 0.02,
                "type": "relativistic",
                "discriminator": "features",
                "optimizer": discriminator.model_dump(),
            },
            "objective.colour": 0.5,
            "objective.grid": 3.0,
            "objective.shift": True,
        }
    )


def esc_real_light_features(scale: int) -> TrainingConfig:
    """Stage 2 for real photos by features alone: nearer to the original to the eye, no discriminator.

    What a discriminator asks for changes with it; features ask for the same in every step, so that more
    steps go on helping. SqueezeNet costs little: a step takes hardly longer than in stage 1. PSNR beside it
    keeps the result above bicubic. At ×4 from the bundled GAN form, else from stage 1.
    Command: `escsr train --recipe esc-real-light-features-x4 --data PICTURES --output RUN --set
    objective.perceptual.network=FILE`, SqueezeNet 1.0; docs/training.md says where from.
    Hardware: two cores with AMX, 80 minutes (1.8 steps a second). Reached: see the card of
    esc-real-light-gan-x4.
    """
    return esc_real_light(scale).replace(
        {
            "name": f"esc-real-light-features-x{scale}",
            "start": "esc-real-light-gan-x4" if scale == 4 else f"esc-real-light-x{scale}",
            "iterations": 8500,
            "validate_every": 500,
            "ema.decay": 0.999,
            "optimizer.weight_decay": 0.05,
            "objective.l1": 0.0,
            "objective.psnr": 0.008,
            "objective.perceptual": {
                "network": _SQUEEZENET,
                "type": "normalized",
                "weight": 0.08,
                "layers": {"conv1": 1.0, "fire3": 1.0, "fire5": 1.0, "fire8": 1.0},
            },
            "objective.colour": 0.5,
            "objective.grid": 3.0,
            "objective.shift": True,
        }
    )
