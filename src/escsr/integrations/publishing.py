"""A model as a folder to publish: weights that other programs know, shape, card, licence, and more."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from escsr._version import __version__
from escsr.errors import CheckpointError, ConfigError, ForeignNetworkError, OutputError
from escsr.evaluation.comparison import Quality, read_quality
from escsr.files import atomic_path, is_part, read_json, remove_stale_parts, sha256_of
from escsr.integrations.model_card import card_text, licence_text
from escsr.models.bundled import WEIGHTS_FILE, find_model, model_name
from escsr.models.checkpoints import CONFIG_FILE, DEGRADATION, Checkpoint, network_of, read_checkpoint
from escsr.models.published import RELEASED
from escsr.models.published_keys import detect_config, to_published
from escsr.models.saving import save_network
from escsr.networks import variant_name

__all__ = ["MODEL_TYPE", "Publication", "publish"]

MODEL_TYPE = "esc"
"""What `config.json` calls networks of this family."""

_DATABASE = "openmodeldb"


@dataclass(frozen=True)
class Publication:
    """What a published model says of itself.

    Attributes:
        name: Of the model.
        author: Who publishes it; "" where that is not said.
        licence: SPDX name of the licence of its weights.
        url: Where its weights will lie; "" where that is not known yet.
        checkpoint: The weights.
        quality: Figures on sets of pictures, from the card beside the weights.
        training: How the weights came about.
    """

    name: str
    author: str
    licence: str
    url: str
    checkpoint: Checkpoint
    quality: tuple[Quality, ...]
    training: str

    @property
    def database_id(self) -> str | None:
        """Name of its entry in OpenModelDB, like 2x-esc-light; None for a model of any scale."""
        scale = self.checkpoint.config.scale
        words = re.findall("[A-Za-z0-9]+", re.sub(rf"[-_]x{scale}$", "", self.name))
        return None if scale is None else "-".join((f"{scale}x", *words))


def publish(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    name: str | None = None,
    author: str = "",
    licence: str = "",
    url: str = "",
) -> list[Path]:
    """Writes a folder that is one model: for the Hugging Face Hub, spandrel, and this package alike.

    `model.safetensors` bears the authors' key names, by which any program that knows ESC detects it;
    `config.json` the shape; `README.md` is the model's card with the hub's fields, `LICENSE` the terms;
    `openmodeldb/NAME.json` an entry for OpenModelDB, which has no place for models of any scale; entries
    there of what was published before are removed.

    Args:
        model: As for `load_network`.
        output: The folder: new, empty, or one that was written so before, be it only in part.
        name: Of the published model; None for the model's own.
        author: Who publishes it.
        licence: SPDX name of the licence of the weights, as "MIT"; "" for that stated by their file.
        url: Address that the weights will have, for the database.

    Returns:
        The files written.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: It cannot be read, or is an ablation, for which the authors have no names.
        ConfigError: No licence is stated, or the name is impossible.
        OutputError: The folder holds other things, or cannot be written.

    Example:
        >>> publish("esc-light-x2", "published/esc-light-x2", author="escsr")  # doctest: +SKIP
    """
    publication = _describe(model, name=name, author=author, licence=licence, url=url)
    folder, checkpoint = Path(output), publication.checkpoint
    _check_folder(folder)
    for each in (folder, folder / _DATABASE):
        remove_stale_parts(each, seconds=0)  # else they would be uploaded
    weights, fields = folder / WEIGHTS_FILE, _fields(publication)
    half = all(value.dtype == torch.float16 for value in checkpoint.weights.values())
    network = network_of(checkpoint, name=publication.name)
    damage = {key: value for key, value in fields.items() if key == DEGRADATION}
    metadata = {
        "format": "pt",
        "name": publication.name,
        "training": publication.training,
        "licence": publication.licence,
        "escsr": __version__,
        **damage,
    }
    _write(folder / CONFIG_FILE, _json(fields))  # first: it says whose folder this is, should the rest fail
    _remove_entries(folder / _DATABASE)
    save_network(network, weights, half=half, published_names=True, metadata=metadata)
    texts = {"README.md": card_text(publication), "LICENSE": licence_text(publication)}
    if publication.database_id is not None:
        texts[f"{_DATABASE}/{publication.database_id}.json"] = _json(_database_entry(publication, weights))
    for file, text in texts.items():
        _write(folder / file, text)
    return [weights, folder / CONFIG_FILE, *(folder / file for file in texts)]


def _describe(
    model: str | os.PathLike[str], *, name: str | None, author: str, licence: str, url: str
) -> Publication:
    path = find_model(model)
    checkpoint = read_checkpoint(path)
    released = RELEASED.get(os.fspath(model))
    licence = (
        licence or checkpoint.metadata.get("licence", "") or (released.weights_licence if released else "")
    )
    if not licence:
        raise ConfigError(f"{model} does not state its licence; give one, like --licence MIT.")
    name = name or model_name(path).replace("/", "-")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}", name, re.ASCII):
        raise ConfigError(
            f"A name has only ASCII letters, digits, '.', '_' and '-', not {name!r}; give another with "
            "--name."
        )
    if not _is_told_by_names(checkpoint):
        raise CheckpointError(
            f"{model}: the authors' key names do not tell its shape, so no other program could load it."
        )
    card = read_quality(path) if path.suffix == ".safetensors" else ()
    training = checkpoint.metadata.get("training", "") or (released.summary if released else "")
    return Publication(name, author, licence, url, checkpoint, card, training)


def _is_told_by_names(checkpoint: Checkpoint) -> bool:
    """Whether the published names and their shapes say which network it is."""
    with suppress(ForeignNetworkError):
        return detect_config(to_published(checkpoint.weights, checkpoint.config)) == checkpoint.config
    return False


def _fields(publication: Publication) -> dict[str, Any]:
    config, metadata = publication.checkpoint.config, publication.checkpoint.metadata
    damage = {DEGRADATION: metadata[DEGRADATION]} if DEGRADATION in metadata else {}
    return {
        "model_type": MODEL_TYPE,
        "name": publication.name,
        "variant": variant_name(config) or "custom",
        "scale": config.scale,
        **damage,
        "config": config.to_dict(),
        "escsr": __version__,
    }


def _write(file: Path, text: str) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _remove_entries(folder: Path) -> None:
    """Removes what tells of weights that are being replaced, maybe under another name."""
    try:
        for entry in folder.glob("*.json"):
            entry.unlink()
    except OSError as error:
        raise OutputError(f"Cannot remove {error.filename}: {error.strerror}.") from error


def _check_folder(folder: Path) -> None:
    """Refuses a folder that holds other things: a README there would be lost."""
    try:
        if not folder.exists() or all(map(is_part, folder.iterdir())):
            return
        if read_json(folder / CONFIG_FILE).get("model_type") == MODEL_TYPE:
            return
    except (OSError, ValueError):
        pass
    raise OutputError(f"{folder} holds other files than a published model; choose a new folder.")


def _database_entry(publication: Publication, weights: Path) -> dict[str, Any]:
    """By OpenModelDB's scheme; pictures and, where it is not given, the address are for people to add."""
    config = publication.checkpoint.config
    restores = DEGRADATION in publication.checkpoint.metadata
    author = "-".join(re.findall("[A-Za-z0-9]+", publication.author)).lower() or "anonymous"
    return {
        "name": publication.name,
        "author": author,
        "license": publication.licence,
        "tags": ["general-upscaler", "photo", *(["denoise", "jpeg", "restoration"] if restores else [])],
        "description": f"{variant_name(config) or 'ESC'} ×{config.scale}. {publication.training}".strip(),
        "date": date.today().isoformat(),
        "architecture": MODEL_TYPE,
        "size": [f"{config.dim}nf", f"{config.num_blocks}nb"],
        "scale": config.scale,
        "inputChannels": 3,
        "outputChannels": 3,
        "resources": [
            {
                "platform": "pytorch",
                "type": "safetensors",
                "size": weights.stat().st_size,
                "sha256": sha256_of(weights),
                "urls": [publication.url] if publication.url else [],
            }
        ],
        "images": [],
    }


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"
