"""Stages: each says what it computes, with which module, from which maps."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from escsr.errors import ConfigError
from escsr.networks import VARIANTS
from escsr.networks.layers import NO_MARGIN
from escsr.networks.stages import Operation, choose
from escsr.networks.upsamplers import whole_output
from samples import call_options, small_network


@pytest.mark.parametrize("variant", VARIANTS)
def test_stages_over_the_whole_picture_are_the_network(variant: str) -> None:
    """A backend that knows names, inputs and flags alone can run a network."""
    network = small_network(variant)
    lr, options = torch.rand(1, 3, 11, 14), call_options(network)
    with torch.no_grad():
        expected = network(lr, **options)
        maps = {"lr": network.normalise(lr)}
        pooled = None
        for stage in network.stages():
            function = choose(stage, lr.device)
            arguments: list[object] = [maps[name] for name in stage.inputs]
            if stage.operation == "upsample":
                arguments.append(whole_output(lr, network.output_size(11, 14, scale=options.get("scale"))))
            elif stage.halo:
                arguments.append(NO_MARGIN)
            if stage.takes_pooled:
                arguments.append(pooled)
            maps[stage.output] = function(*arguments)
            pooled = stage.pool(maps[stage.output]) if stage.pool else None
    assert torch.equal(maps["sr"], expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stage_is_named_by_its_module(variant: str) -> None:
    network = small_network(variant)
    stages = list(network.stages())
    assert {stage.operation for stage in stages} == set(get_args(Operation))
    assert len({stage.name for stage in stages}) == len(stages)
    for stage in stages:
        assert network.get_submodule(stage.name) is stage.module
        assert stage.output not in stage.haloed_inputs, "a tile could not be computed again"
    assert "blocks.1.conv_attns.0" in {stage.name for stage in stages}


def test_only_networks_of_any_scale_take_single_pixels() -> None:
    ones = torch.ones(1, 2, dtype=torch.int64)
    with pytest.raises(ConfigError, match="any scale"):
        small_network("esc").sample(torch.rand(1, 3, 8, 8), ones, ones, ones)
