"""Trainings of a second or two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from escsr import images
from escsr.images import Picture
from escsr.training.records import latest_checkpoint
from samples import flowers

TINY = [
    "network.dim=16",
    "network.attended_dim=8",
    "network.num_heads=2",
    "network.num_blocks=1",
    "network.num_conv_attn=1",
    "network.window_size=8",
    "patch_size=16",
    "queries=200",
    "batch_size=4",
    "validate_every=4",
    "warmup=3",
]

REAL = [
    *TINY[:-4],  # all but what other objectives have
    "objective.margin=2",
    "objective.perceptual.network=none",
    "batch_size=4",
    "validate_every=4",
    "schedule.warmup=3",
    "iterations=8",
    "precision=float32",
]
"""For the recipes of real photographs."""

GAN = [
    *REAL,
    "objective.adversarial.features=8",
    "objective.adversarial.discriminator=unet",
    "objective.adversarial.type=vanilla",
    "objective.perceptual.layers=none",
    "objective.ldl=0.5",
]
"""For those of the second stage."""


def write_pictures(folder: Path) -> Path:
    """Three pictures of 96×128 pixels."""
    pixels = flowers()
    for index, top in enumerate((0, 200, 400)):
        images.write(Picture(pixels[top : top + 96, 100:228]), folder / f"{index}.png")
    return folder


def tiny_arguments(data: Path, output: Path, settings: Sequence[str]) -> list[str]:
    """Arguments of `escsr train` for ESC-light with these settings, validated on its own data."""
    command = ["train", "--recipe", "esc-light-x2-quick", "--device", "cpu"]
    command += ["--data", str(data), "--validate", str(data), "--output", str(output)]
    return [*command, *(part for setting in settings for part in ("--set", setting))]


def newest_in(run: Path, *, until: int | None = None) -> Path | None:
    """The file that a run goes on from."""
    saved = latest_checkpoint(run, until=until)
    return None if saved is None else saved.path
