"""Stability figures on networks whose figures are known."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from escsr.evaluation.stability import HALF_LIMIT, measure_stability, pattern_peak, stress_patterns
from escsr.networks.attention import WindowAttention
from escsr.upscaling.inference import Inference
from samples import NearestResolver, nearest_network, small_network


def test_a_network_that_repeats_pixels_is_perfectly_stable() -> None:
    figures = measure_stability(nearest_network())
    assert list(figures.activations) == list(stress_patterns())
    assert figures.activations["black"] == 1 / 64, "softmax over a window of 8×8"
    assert figures.activations["grey"] == 0.5
    assert max(figures.activations.values()) == 1
    assert figures.overflowing == []
    assert figures.constant_inside == figures.constant_border == figures.pure_border == 0


def test_a_pattern_is_told_from_noise() -> None:
    noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert pattern_peak(noise) < 0.1
    rows = torch.arange(64)
    for period in (2, 4, 8):
        pattern = (rows % period == 0).float() * 4
        assert pattern_peak(noise + pattern) > 0.3
        assert pattern_peak(noise + pattern[:, None]) > 0.3
    assert pattern_peak(noise + (rows % 6 == 0) * 4.0) < 0.3
    assert pattern_peak(torch.full((3, 64, 64), 7.0)) == 0


def test_products_of_queries_and_keys_are_seen() -> None:
    network = small_network("esc")
    chosen = {"noise": stress_patterns()["noise"]}
    before = measure_stability(network, chosen).activations["noise"]
    attention = next(module for module in network.modules() if isinstance(module, WindowAttention))
    with torch.no_grad():
        keys_and_queries = attention.qkv.weight[: 2 * len(attention.qkv.weight) // 3]
        keys_and_queries *= 1000
    figures = measure_stability(network, chosen)
    # Queries and keys grow a thousandfold, their products a millionfold; softmax hides both in the result.
    assert figures.activations["noise"] > 1e4 * before
    assert figures.overflowing == ["noise"]
    assert figures.activations["noise"] > HALF_LIMIT
    assert attention.backend == "auto", "the network measured is left as it is"


def test_a_shifted_constant_is_told() -> None:
    network = nearest_network()
    with torch.no_grad():
        network.get_parameter("upsampler.conv.bias").fill_(2 / 255)
    figures = measure_stability(network)
    assert figures.constant_inside == pytest.approx(2, abs=1e-3)
    assert figures.constant_border == pytest.approx(2, abs=1e-3)
    assert figures.pure_border == pytest.approx(2, abs=1e-3)


def test_zeros_beyond_the_border_are_told_apart() -> None:
    network = nearest_network()
    with torch.no_grad():
        network.shallow.weight[:, :, 1, 1] = 1
        network.shallow.weight[:, :, 0, 1] = -1  # the pixel less its neighbour above
        torch.nn.init.dirac_(network.last.weight)
        network.get_parameter("upsampler.conv.weight")[..., 1, 1] = 0.01
    figures = measure_stability(network)
    assert figures.constant_inside < 1e-3
    assert figures.constant_border > 1


@pytest.mark.slow
def test_networks_of_any_scale_are_measured_at_two() -> None:
    figures = measure_stability(small_network("esc-lte"), {"text": stress_patterns()["text"]})
    assert figures.activations["text"] > 0


@pytest.mark.parametrize("side", [1, 2, 7, 33])
def test_pictures_are_in_range_and_the_same_every_time(side: int) -> None:
    pictures, again = stress_patterns(side), stress_patterns(side)
    for name, picture in pictures.items():
        assert picture.shape == (3, side, side)
        assert picture.dtype == torch.float32
        assert 0 <= picture.min() <= picture.max() <= 1
        assert torch.equal(picture, again[name])


@pytest.mark.slow
@pytest.mark.parametrize("scale", [None, 2])
def test_anybodys_model_is_measured(scale: int | None) -> None:
    figures = measure_stability(NearestResolver(scale))
    assert figures == dataclasses.replace(
        measure_stability(nearest_network()), activations=figures.activations
    )
    assert figures.activations["grey"] == 0.5
    inference = Inference(nearest_network())
    assert measure_stability(inference) == measure_stability(nearest_network())
