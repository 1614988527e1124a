"""A trained model with another position bias: its table becomes one of low rank."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from escsr.errors import ConfigError
from escsr.files import check_not_source, check_writable
from escsr.models.bundled import TRAINING_PREFIX, find_model, model_name
from escsr.models.checkpoints import CONFIG_BESIDE_PUBLISHED, Checkpoint, network_of, read_checkpoint
from escsr.models.saving import check_weights_ending, save_network
from escsr.networks.attention import relative_position_bias

__all__ = ["convert", "low_rank_factors", "with_bias_rank"]

_TABLE = "attention.bias_table"


def convert(
    model: str | os.PathLike[str],
    *,
    bias_rank: int,
    output: str | os.PathLike[str] | None = None,
    on_table: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes a model whose attention has a position bias of low rank, as FlashBias has it.

    On a GPU such attention runs by fused kernels that take no bias. The result is near, not equal:
    what ranks cost is in docs/models.md.

    Args:
        model: Bundled name; a downloaded one; a file of weights; or the folder of a training run.
        bias_rank: Rank R of the bias of each head; the authors' own files have 48.
        output: The file; None for the model's name in the current folder, "esc-x2-rank48.safetensors".
        on_table: Called after each table with how many are done, and how many there are.

    Returns:
        The file written.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: Its weights cannot be used.
        ConfigError: It has no table, or the rank is impossible.
        OutputError: The file has another ending, cannot be written, or is the model's own.

    Example:
        >>> convert("esc-x2", bias_rank=48)  # doctest: +SKIP
        PosixPath('esc-x2-rank48.safetensors')
    """
    source = find_model(model)
    name = model_name(source)
    target = Path(f"{name.replace('/', '-')}-rank{bias_rank}.safetensors" if output is None else output)
    check_weights_ending(target)  # before a minute of work
    check_not_source(target, source)
    check_writable(target)
    checkpoint = with_bias_rank(read_checkpoint(source), bias_rank, on_table=on_table)
    kept = {key: value for key, value in checkpoint.metadata.items() if not _is_of_the_file(key)}
    how = f"position bias of rank {bias_rank} by SVD of {name}"
    training = "; ".join(part for part in (kept.pop("training", ""), how) if part)
    save_network(network_of(checkpoint, name=name), target, training=training, metadata=kept)
    return target


def _is_of_the_file(key: str) -> bool:
    """Whether a text field tells what is in its file, as the shape of its network or where a run stands."""
    return key in ("config", "format", CONFIG_BESIDE_PUBLISHED) or key.startswith(TRAINING_PREFIX)


def with_bias_rank(
    checkpoint: Checkpoint, bias_rank: int, *, on_table: Callable[[int, int], None] | None = None
) -> Checkpoint:
    """The same weights with `low_rank_factors` in the place of every table.

    Args:
        checkpoint: A model with tables of relative position biases.
        bias_rank: Rank R, up to w².
        on_table: See `convert`.

    Raises:
        ConfigError: There is no table, or the rank is impossible.
    """
    config = checkpoint.config
    if config.bias_rank is not None:
        raise ConfigError(
            f"This model's position bias is of rank {config.bias_rank} already; it has no table."
        )
    most = config.window_size**2
    if type(bias_rank) is not int or not 1 <= bias_rank <= most:
        raise ConfigError(f"bias_rank must be from 1 to {most}, the pixels of a window, not {bias_rank!r}.")
    tables = [key for key in checkpoint.weights if key.endswith(_TABLE)]
    weights: dict[str, Tensor] = {}
    for key, value in checkpoint.weights.items():
        if key not in tables:
            weights[key] = value
            continue
        query, key_factors = low_rank_factors(value, config.window_size, bias_rank)
        start = key.removesuffix("bias_table")
        weights |= {f"{start}bias_query": query, f"{start}bias_key": key_factors}
        if on_table is not None:
            on_table(tables.index(key) + 1, len(tables))
    return replace(checkpoint, config=config.replace(bias_rank=bias_rank), weights=weights)


def low_rank_factors(table: Tensor, window: int, rank: int) -> tuple[Tensor, Tensor]:
    """The two factors whose product is nearest to the bias of a table, by SVD of each head.

    Args:
        table: (heads, (2w − 1)²).
        window: Side w of the window.
        rank: Rank R.

    Returns:
        φ_q = U·√S and φ_k = V·√S, (heads, w², R) each, float32.
    """
    factors = []
    for head in table:
        bias = relative_position_bias(head.double()[None], window)[0]  # (w², w²)
        left, strengths, right = torch.linalg.svd(bias, full_matrices=False)
        root = strengths[:rank].sqrt()
        factors.append((left[:, :rank] * root, right[:rank].mT * root))
    query, key = (torch.stack(each).float() for each in zip(*factors, strict=True))
    return query, key
