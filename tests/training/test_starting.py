"""Starting from a trained model: what fits is taken over, and growing changes nothing at first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from escsr.errors import ConfigError
from escsr.models.checkpoints import Checkpoint, read_checkpoint
from escsr.models.published_keys import to_published
from escsr.networks import ESC
from escsr.training.starting import starting_weights
from samples import call_options, small_network


def as_checkpoint(network: ESC) -> Checkpoint:
    return Checkpoint(network.config, {k: v.half() for k, v in network.state_dict().items()})


@pytest.mark.parametrize("variant", ["esc-light", "esc-fp", "esc-lte", "esc-real"])
@pytest.mark.parametrize("num_blocks", [2, 3, 5])
def test_growing_keeps_the_output_and_every_block_learns(variant: str, num_blocks: int) -> None:
    trained = small_network(variant)
    start = as_checkpoint(trained)
    trained.load_state_dict({k: v.float() for k, v in start.weights.items()})
    grown = ESC(trained.config.replace(num_blocks=num_blocks))
    grown.load_state_dict(starting_weights(start, grown))
    lr = torch.rand(2, 3, 11, 14, generator=torch.Generator().manual_seed(1))
    options = call_options(grown)
    result = grown(lr, **options)
    assert torch.equal(result, trained(lr, **options))
    torch.autograd.backward([result.abs().mean()])
    for block in grown.blocks:
        gradient = block.get_parameter("conv_last.weight").grad
        assert gradient is not None
        assert gradient.abs().max() > 0


def test_new_blocks_differ_from_each_other() -> None:
    trained = small_network("esc-light")
    grown = ESC(trained.config.replace(num_blocks=4))
    weights = starting_weights(as_checkpoint(trained), grown)
    for old, new in ((0, 2), (1, 3)):
        key = "attention.qkv.weight"
        assert torch.equal(weights[f"blocks.{old}.{key}"], weights[f"blocks.{new}.{key}"])
    assert not torch.equal(weights[f"blocks.2.{key}"], weights[f"blocks.3.{key}"])


def test_an_any_scale_network_takes_the_encoder() -> None:
    trained, network = small_network("esc-light"), ESC(small_network("esc-lte").config)
    weights = starting_weights(as_checkpoint(trained), network)
    head = network.state_dict()["upsampler.coef.weight"]
    assert torch.equal(weights["upsampler.coef.weight"], head)
    network.load_state_dict(weights)
    trained.load_state_dict({k: v.half().float() for k, v in trained.state_dict().items()})
    lr = torch.rand(1, 3, 9, 12)
    inner = slice(1, -1)
    with torch.no_grad():
        expected, result = trained.shallow(lr), network.shallow(network.normalise(lr))
    torch.testing.assert_close(result[..., inner, inner], expected[..., inner, inner])
    back = starting_weights(Checkpoint(network.config, weights), trained)
    torch.testing.assert_close(back["shallow.bias"], trained.state_dict()["shallow.bias"])


@pytest.mark.parametrize("change", [{"dim": 12}, {"num_blocks": 1}, {"window_size": 16}])
def test_other_networks_are_refused(change: dict[str, int]) -> None:
    trained = small_network("esc-light")
    with pytest.raises(ConfigError, match="another network"):
        starting_weights(as_checkpoint(trained), ESC(trained.config.replace(**change)))


@pytest.mark.parametrize("variant", ["esc", "esc-fp"])
def test_published_checkpoints_are_a_start_too(variant: str, tmp_path: Path) -> None:
    trained = small_network(variant)
    weights = to_published(trained.state_dict(), trained.config)
    torch.save({"params_ema": weights}, tmp_path / "ESC_X2.pth")
    network = ESC(trained.config.replace(scale=3))
    network.load_state_dict(starting_weights(read_checkpoint(tmp_path / "ESC_X2.pth"), network))
    for key, value in trained.state_dict().items():
        if not key.startswith("upsampler."):
            assert torch.equal(network.state_dict()[key], value)
