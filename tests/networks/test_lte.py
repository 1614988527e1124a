"""Queries of a batch, each picture with a scale of its own, are pixels of the whole results."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from escsr.networks import ESC, VARIANTS
from samples import small_network


def test_sampled_pixels_are_those_of_whole_results() -> None:
    network = small_network("esc-lte")
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(4, 3, 12, 10, generator=generator)
    sizes = torch.tensor([[12, 10], [30, 25], [61, 33], [17, 49]])
    draws = torch.rand(2, 4, 40, generator=generator)
    rows, columns = ((draws[i] * sizes[:, i, None]).long() for i in (0, 1))
    with torch.no_grad():
        sampled = network.sample(lr, sizes, rows, columns)
        for index, (height, width) in enumerate(sizes.tolist()):
            whole = network(lr[index : index + 1], size=(height, width))[0]
            expected = whole[:, rows[index], columns[index]]
            torch.testing.assert_close(sampled[index], expected, atol=2e-6, rtol=0)


def test_sampling_is_differentiable_and_keeps_pictures_apart() -> None:
    network = small_network("esc-lte")
    lr = torch.rand(2, 3, 9, 9, requires_grad=True)
    everywhere = torch.arange(20).expand(2, -1)
    sr = network.sample(lr, torch.tensor([[20, 20], [31, 31]]), everywhere, everywhere)
    torch.autograd.backward([sr[1].abs().sum()])
    assert lr.grad is not None
    assert not lr.grad[0].any()
    assert lr.grad[1].abs().amax((0, 1)).gt(0).any()


@pytest.mark.parametrize(
    "scale", [np.int64(2), np.float32(2), np.float16(2), (np.uint8(2), np.float64(2)), Fraction(2)]
)
def test_numbers_of_any_kind_are_scales(scale: Any) -> None:
    network, lr = small_network("esc-lte"), torch.rand(1, 3, 6, 5)
    with torch.no_grad():
        assert torch.equal(network(lr, scale=scale), network(lr, scale=2))
    long: Any = np.float32(2.1)
    assert network.output_size(10_001, 3, scale=long) == (round(10_001 * float(long)), 6)


def test_sampling_asks_its_device_for_no_values() -> None:
    """Each such question would wait for all that a GPU has to do; the meta device has no answers."""
    network = ESC(VARIANTS["esc-lte"].replace(num_blocks=1)).to("meta")
    places = torch.zeros(2, 7, dtype=torch.int64, device="meta")
    sizes = torch.zeros(2, 2, dtype=torch.int64, device="meta")
    result = network.sample(torch.rand(2, 3, 16, 16, device="meta"), sizes, places, places)
    assert (result.shape, result.device.type) == ((2, 3, 7), "meta")
