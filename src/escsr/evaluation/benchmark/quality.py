"""Quality beside cost: measured on the user's sets, or as the model's card says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from escsr.data.pictures import find_unmixed
from escsr.errors import ConfigError
from escsr.evaluation.benchmark.subjects import LTE_SUFFIX, Subject
from escsr.evaluation.comparison import quality_on_card, set_name
from escsr.evaluation.protocols import evaluate
from escsr.evaluation.rivals import RIVALS, build_rival, load_rival_weights

__all__ = ["Qualities", "check_data", "parse_weights", "quality_of"]

Qualities = Mapping[str, tuple[float, float | None]]
"""Y-PSNR in dB and SSIM by the name of a test set."""


def parse_weights(texts: Sequence[str]) -> dict[str, str]:
    """Reads NAME=FILE.

    Args:
        texts: As they are written.

    Returns:
        Files by the names of rivals, in lower case.

    Raises:
        ConfigError: A text is no such pair, or there is no such rival or file.
    """
    weights = {}
    for text in texts:
        name, _, file = (part.strip() for part in text.partition("="))
        if name.lower() not in RIVALS:
            raise ConfigError(
                f"weights reads NAME=FILE with a NAME of {', '.join(RIVALS)}, not {text!r}; a model of "
                "escsr, or another that spandrel knows, is named by its file alone."
            )
        if not Path(file).expanduser().is_file():
            raise ConfigError(f"weights of {name}: there is no file {file!r}.")
        weights[name.lower()] = str(Path(file).expanduser())
    return weights


def check_data(data: Sequence[str]) -> None:
    """Refuses folders that quality cannot be measured on, before the work on any network.

    Args:
        data: Folders of HR pictures.

    Raises:
        ConfigError: Two have one name.
        DataError: There is no such folder, or no picture in it.
    """
    if len({set_name(folder) for folder in data}) != len(data):
        raise ConfigError("Folders to measure on must have different names.")
    for folder in data:
        find_unmixed(Path(folder))


def quality_of(
    subject: Subject, data: Sequence[str], weights: Mapping[str, str], *, device: str
) -> tuple[Qualities, str]:
    """How good a network with trained weights is.

    Args:
        subject: The network.
        data: Folders of HR pictures; none for the card's figures.
        weights: From `parse_weights`.
        device: Where to measure, in float32.

    Returns:
        Figures by set, and where they are from: "measured", "card", or "" where there are none.

    Raises:
        CheckpointError: A file cannot be used.
        DataError: Pictures are missing.
    """
    name = subject.name.lower()
    if subject.scale is None or int(subject.scale) != subject.scale or name.endswith(LTE_SUFFIX):
        return {}, ""
    scale = int(subject.scale)
    model: nn.Module | str
    if name in weights:
        model = build_rival(name, scale)
        load_rival_weights(model, weights[name])
        model = model.to(device)
    elif subject.path is None:
        return {}, ""
    elif not data:
        card = quality_on_card(str(subject.path), scale)
        return {each.data: (each.psnr_y, each.ssim_y) for each in card}, "card" if card else ""
    else:
        model = str(subject.path)
    results = {set_name(folder): evaluate(model, folder, scale=scale, device=device) for folder in data}
    return {name: (each.psnr_y, each.ssim_y) for name, each in results.items()}, "measured" if data else ""
