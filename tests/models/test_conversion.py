"""Tables that become biases of low rank: near at any rank, exact at the highest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from escsr.errors import ConfigError, OutputError
from escsr.models.checkpoints import load_network, read_checkpoint
from escsr.models.conversion import convert, low_rank_factors
from escsr.models.saving import save_network
from escsr.networks import variant_name
from escsr.networks.attention import relative_position_bias
from samples import call_options, small_network


@pytest.mark.parametrize("variant", ["esc", "esc-fp", "esc-lte"])
def test_a_full_rank_is_the_table(variant: str, tmp_path: Path) -> None:
    network = small_network(variant)
    save_network(network, tmp_path / "m.safetensors", training="by hand", licence="MIT")
    tables: list[tuple[int, int]] = []
    path = convert(
        tmp_path / "m.safetensors",
        bias_rank=64,
        output=tmp_path / "c.safetensors",
        on_table=lambda *at: tables.append(at),
    )
    converted, lr = load_network(path), torch.rand(1, 3, 13, 18)
    assert converted.config == network.config.replace(bias_rank=64)
    assert variant_name(converted.config.replace(bias_rank=None)) == variant_name(network.config)
    with torch.no_grad():
        difference = converted(lr, **call_options(network)) - network(lr, **call_options(network))
    assert difference.abs().max() <= 1e-5
    assert tables == [(1, 2), (2, 2)]
    metadata = read_checkpoint(path).metadata
    assert metadata["training"] == "by hand; position bias of rank 64 by SVD of m"
    assert metadata["licence"] == "MIT"


def test_what_a_file_told_of_itself_is_left_behind(tmp_path: Path) -> None:
    network, run = (
        small_network("esc"),
        {"training.state": "{}", "training.sha256": "0", "degradation": "own"},
    )
    for name, by_authors in (("run", False), ("authors", True)):
        path = tmp_path / f"{name}.safetensors"
        save_network(network, path, published_names=by_authors, metadata=run)
        converted = convert(path, bias_rank=4, output=tmp_path / "c.safetensors")
        fields = set(read_checkpoint(converted).metadata)
        assert fields == {"format", "config", "variant", "scale", "training", "licence", "degradation"}


def test_a_higher_rank_is_nearer() -> None:
    torch.manual_seed(0)
    table = torch.randn(2, 15**2).cumsum(1) / 10
    bias, errors = relative_position_bias(table, 8), []
    for rank in (2, 8, 32):
        query, key = low_rank_factors(table, 8, rank)
        assert query.shape == key.shape == (2, 64, rank)
        errors.append((query @ key.mT - bias).norm().item() / bias.norm().item())
    assert errors == sorted(errors, reverse=True)
    best = torch.linalg.svdvals(bias.double())[:, 8:].norm() / bias.norm()
    assert errors[1] == pytest.approx(best.item(), rel=1e-4)


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    for variant, rank in (("esc", 6), ("esc-rib", None)):
        save_network(small_network(variant, bias_rank=rank), tmp_path / f"{variant}.safetensors")
        with pytest.raises(ConfigError, match="has no table"):
            convert(tmp_path / f"{variant}.safetensors", bias_rank=4)
    save_network(small_network("esc"), tmp_path / "m.safetensors")
    for rank in (0, 65, True):
        with pytest.raises(ConfigError, match="from 1 to 64"):
            convert(tmp_path / "m.safetensors", bias_rank=rank)
    before = (tmp_path / "m.safetensors").read_bytes()
    with pytest.raises(OutputError, match="is what it would be made from"):
        convert(tmp_path / "m.safetensors", bias_rank=4, output=tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == before
