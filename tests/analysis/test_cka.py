"""Centered kernel alignment: its values, its invariances, and what is seen of networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.analysis.cka import cosine_similarity, floor, gram, hsic, layer_grams, linear_cka, similarity
from escsr.analysis.differentiable import as_differentiable
from escsr.analysis.observing import observing
from escsr.errors import ConfigError
from escsr.networks import ESC
from escsr.networks.attention import WindowAttention, partition_windows
from escsr.runtime.choices import CkaEstimator
from samples import small_config, small_network

BOTH: list[CkaEstimator] = ["biased", "unbiased"]


def grams(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return gram(x)[None], gram(y)[None]


@pytest.mark.parametrize("estimator", BOTH)
def test_one_for_itself_whatever_its_rotation_and_scale(estimator: CkaEstimator) -> None:
    x, other = torch.randn(12, 6, dtype=torch.float64), torch.randn(12, 6, dtype=torch.float64)
    turned = 3.7 * x @ torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    (k, same), (_, l) = grams(x, turned), grams(x, other)  # noqa: E741
    torch.testing.assert_close(linear_cka(k, k, estimator), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(linear_cka(same, l, estimator), linear_cka(k, l, estimator))


def test_biased_is_kornbliths_by_features() -> None:
    x, y = torch.randn(9, 5, dtype=torch.float64), torch.randn(9, 7, dtype=torch.float64)
    x_c, y_c = x - x.mean(0), y - y.mean(0)
    by_features = (x_c.T @ y_c).norm() ** 2 / ((x_c.T @ x_c).norm() * (y_c.T @ y_c).norm())
    torch.testing.assert_close(linear_cka(*grams(x, y)), by_features)


def test_unbiased_of_four_by_hand() -> None:
    """Song et al., 2012: all quadruples of different pictures, each term with its sign."""
    k = torch.tensor([[9.0, 1, 2, 3], [1, 8, 4, 5], [2, 4, 7, 6], [3, 5, 6, 1]], dtype=torch.float64)
    l = torch.tensor([[1.0, 2, 0, 1], [2, 5, 3, 1], [0, 3, 2, 4], [1, 1, 4, 9]], dtype=torch.float64)  # noqa: E741
    total = 0.0
    places = range(4)
    for i in places:
        for j in {*places} - {i}:
            for q in {*places} - {i, j}:
                (r,) = {*places} - {i, j, q}
                total += float(k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]))
    assert float(hsic(k, l, "unbiased")) == pytest.approx(total / 24)


def test_independent_features() -> None:
    """Biased estimates stand on a floor, which is told; unbiased ones do not."""
    pairs = [grams(torch.randn(64, 8), torch.randn(64, 8)) for _ in range(20)]
    biased = float(np.mean([linear_cka(k, l) for k, l in pairs]))  # noqa: E741
    unbiased = float(np.mean([linear_cka(k, l, "unbiased") for k, l in pairs]))  # noqa: E741
    expected = float(np.mean([floor(k, l) for k, l in pairs]))  # noqa: E741
    assert biased == pytest.approx(0.114, abs=0.01)
    assert expected == pytest.approx(8 / (64 + 8), abs=0.005)
    assert expected == pytest.approx(biased, abs=0.01)
    assert abs(unbiased) < 0.03


def test_floor_is_the_mean_over_shuffled_pictures() -> None:
    k, l = grams(torch.randn(10, 3), torch.randn(10, 400))  # noqa: E741
    shuffled = []
    for _ in range(2000):
        order = torch.randperm(10)
        shuffled.append(linear_cka(k, l[:, order][:, :, order]))
    torch.testing.assert_close(floor(k, l), torch.stack(shuffled).mean(), rtol=0.03, atol=0)


def test_gram_in_parts_and_double() -> None:
    x = torch.randn(3, 2, 70_000) + 100
    torch.testing.assert_close(gram(x), x.flatten(1).double() @ x.flatten(1).double().T)


def test_layers_of_a_network() -> None:
    network = small_network("esc")
    model, inputs = as_differentiable(network), torch.rand(6, 3, 16, 16)
    with torch.no_grad():
        before = network(inputs)
    grams = layer_grams(model, inputs, "conv-attn", batch_size=None)
    assert grams.layers == tuple(f"blocks.{i}.conv_attns.{j}" for i in range(2) for j in range(2))
    assert grams.grams.shape == (4, 1, 6, 6)
    result = similarity(grams, grams)
    torch.testing.assert_close(result.cka.diagonal(), torch.ones(4, dtype=torch.float64))
    off = [float(result.cka[i, j]) for i in range(4) for j in range(4) if i != j]
    assert result.mean(result.cka) == pytest.approx(sum(off) / 12)
    in_batches = layer_grams(model, inputs, "attention", batch_size=3)
    assert in_batches.grams.shape == (2, 2, 3, 3)
    whole = layer_grams(model, inputs, "attention").grams
    torch.testing.assert_close(in_batches.grams[:, 1], whole[:, 0, 3:, 3:], rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(network(inputs), before)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in network.modules())


def test_between_models_and_cosine() -> None:
    model, other = as_differentiable(small_network("esc")), as_differentiable(small_network("esc-fp"))
    inputs = torch.rand(4, 3, 16, 16)
    rows, columns = (layer_grams(each, inputs, "attention") for each in (model, other))
    result = similarity(rows, columns, "unbiased")
    assert result.cka.shape == (2, 2)
    assert not result.floor.any()
    cosine = cosine_similarity(model, inputs, "attention")
    torch.testing.assert_close(cosine.diagonal(), torch.ones(2, dtype=torch.float64))
    seen: list[Tensor] = []
    with torch.no_grad(), observing(model.module, "attention", lambda _, x: seen.append(x.flatten(1))):
        model(inputs)
    expected = torch.cosine_similarity(seen[0], seen[1]).mean()
    assert float(cosine[0, 1]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("backend", ["plain", "sdpa"])
@pytest.mark.parametrize("rank", [None, 3])
def test_attention_maps_give_the_attention(backend: str, rank: int | None) -> None:
    """Maps of one head and one window, times the values, are what the module computes."""
    torch.manual_seed(0)
    config = small_config("esc", bias_rank=rank).replace(num_heads=1, num_blocks=1)
    network = ESC(config).eval().set_attention_backend(backend)
    maps: list[tuple[str, Tensor]] = []
    calls: list[Tensor] = []
    attention = next(each for each in network.modules() if isinstance(each, WindowAttention))
    attention.qkv.register_forward_hook(lambda *call: calls.append(call[-1]))
    attention.out.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0]))
    with torch.no_grad(), observing(network, "attention-maps", lambda *each: maps.append(each)):
        network(torch.rand(3, 3, 8, 8))
    ((name, weights),) = maps
    assert name == "blocks.0.attention"
    assert weights.shape == (3, 64, 64)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 64))
    value = partition_windows(calls[0], 8, 3, 1)[2][:, 0]
    torch.testing.assert_close((weights @ value).mT.reshape(3, 24, 8, 8), calls[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["esc", "esc-rib"])
def test_attention_maps_are_means_over_windows_and_heads_of_each_picture(variant: str) -> None:
    network = small_network(variant)
    inputs = torch.rand(2, 3, 16, 24)
    by_backend = []
    for backend in ("plain", "sdpa"):
        maps: list[Tensor] = []
        network.set_attention_backend(backend)
        with torch.no_grad(), observing(network, "attention-maps", lambda _, x: maps.append(x)):  # noqa: B023
            network(inputs)
        by_backend.append(torch.stack(maps))
    torch.testing.assert_close(*by_backend, rtol=1e-4, atol=1e-6)
    alone: list[Tensor] = []
    with torch.no_grad(), observing(network, "attention-maps", lambda _, x: alone.append(x)):
        network(inputs[1:])
    torch.testing.assert_close(torch.cat(alone), by_backend[1][:, 1], rtol=1e-4, atol=1e-6)


class Attending(nn.Module):
    """A network of 8 channels around a call of attention."""

    def __init__(self, attend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.attend = attend

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv(lr)
        return self.attend(x.flatten(2).mT).mT.reshape(x.shape)


def maps_of(network: nn.Module, inputs: Tensor) -> Tensor:
    maps: list[Tensor] = []
    with torch.no_grad(), observing(network.eval(), "attention-maps", lambda _, x: maps.append(x)):
        network(inputs)
    (found,) = maps
    return found


@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("masks", ["bool", "float", None])
def test_attention_maps_of_fused_calls_are_softmax(heads: int | None, masks: str | None) -> None:
    allowed = torch.rand(9, 9) < 0.5
    allowed[0] = torch.arange(9) == 8
    added = torch.zeros(9, 9).masked_fill(~allowed, -torch.inf)
    mask = None if masks is None else allowed if masks == "bool" else added
    seen: list[Tensor] = []

    def attend(x: Tensor) -> Tensor:
        parts = x if heads is None else x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)
        seen.append(parts)
        result = F.scaled_dot_product_attention(parts, parts, parts, attn_mask=mask)
        return result if heads is None else result.transpose(1, 2).flatten(2)

    maps = maps_of(Attending(attend), torch.randn(4, 3, 3, 3))
    scores = seen[0] @ seen[0].mT / seen[0].shape[-1] ** 0.5 + (0 if mask is None else added)
    torch.testing.assert_close(maps, scores.softmax(-1).reshape(4, -1, 9, 9).mean(1))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_maps_of_multi_head_attention(batch_first: bool, need_weights: bool) -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=batch_first)

    class Network(Attending):
        def __init__(self) -> None:
            super().__init__(self.call)
            self.layer = layer

        def call(self, x: Tensor) -> Tensor:
            x = x if batch_first else x.transpose(0, 1)
            result: Tensor = self.layer(x, x, x, need_weights=need_weights)[0]
            return result if batch_first else result.transpose(0, 1)

    network, inputs = Network().eval(), torch.randn(3, 3, 4, 4)
    with torch.no_grad():
        x = network.conv(inputs).flatten(2).mT
        x = x if batch_first else x.transpose(0, 1)
        _, weights = layer(x, x, x)
    torch.testing.assert_close(maps_of(network, inputs), weights)


@pytest.mark.parametrize("layers", ["*", "large_kernel", "blocks", "blocks.*"])
def test_patterns_observe_what_has_the_pictures_first(layers: str) -> None:
    model, inputs = as_differentiable(small_network("esc-rib")), torch.rand(4, 3, 16, 16)
    if "*" not in layers:
        with pytest.raises(ConfigError, match=f"No layer '{layers}' gives features whose first"):
            layer_grams(model, inputs, layers)
        return
    names = layer_grams(model, inputs, layers, batch_size=2).layers
    assert "blocks.1.conv_attns.0" in names
    assert not {"blocks", "large_kernel", "blocks.0.attention.implicit_bias"} & {*names}
    assert len(cosine_similarity(model, inputs[:1], layers)) == len(names)


def test_modules_of_the_callers_own() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    found = layer_grams(as_differentiable(network), torch.rand(3, 3, 8, 8), "[02]")
    assert found.layers == ("0", "2")
    with pytest.raises(ConfigError, match="No layer 'conv-attn' in this network"):
        layer_grams(as_differentiable(network), torch.rand(3, 3, 8, 8), "conv-attn")
    with pytest.raises(ConfigError, match="no attention that can be seen"):
        layer_grams(as_differentiable(network), torch.rand(3, 3, 8, 8), "attention-maps")


def test_too_few_pictures() -> None:
    model = as_differentiable(small_network("esc"))
    with pytest.raises(ConfigError, match="it got 1"):
        layer_grams(model, torch.rand(1, 3, 8, 8), "conv-attn")
    grams = layer_grams(model, torch.rand(3, 3, 8, 8), "conv-attn")
    with pytest.raises(ConfigError, match="needs 4 pictures or more at once, not 3"):
        similarity(grams, grams, "unbiased")
