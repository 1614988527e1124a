from __future__ import annotations

import itertools
import math
import shutil
import warnings

import pytest
import torch
from torch import nn

from escsr.errors import ConfigError
from escsr.networks import ESC, variant_config
from escsr.networks.attention import (
    WindowAttention,
    choose_backend,
    merge_windows,
    partition_windows,
    relative_position_bias,
)
from escsr.networks.implicit_bias import ImplicitBias
from samples import small_network


def test_bias_follows_the_index_rule() -> None:
    window, heads = 4, 2
    side = 2 * window - 1
    table = torch.rand(heads, side**2)
    bias = relative_position_bias(table, window)
    pixels = list(itertools.product(range(window), repeat=2))
    for q, k in itertools.product(range(window**2), repeat=2):
        (q_row, q_column), (k_row, k_column) = pixels[q], pixels[k]
        index = (k_row - q_row + window - 1) * side + (k_column - q_column + window - 1)
        assert torch.equal(bias[:, q, k], table[:, index])


def test_windows_come_back() -> None:
    x = torch.rand(2, 3 * 2 * 5, 8, 12)
    q, k, v = partition_windows(x, 4, 3, 2)
    assert q.shape == (2 * 2 * 3, 2, 16, 5)
    whole = torch.cat([merge_windows(part, 4, 8, 12) for part in (q, k, v)], 1)
    assert torch.equal(whole, x)


def test_attention_is_softmax_of_scores_inside_windows() -> None:
    """The equation written out for one window, one head at a time."""
    torch.manual_seed(0)
    config = variant_config("esc").replace(dim=8, attended_dim=4, num_heads=2, window_size=3)
    module = WindowAttention(config).double()
    assert module.bias_table is not None
    nn.init.normal_(module.bias_table)
    x = torch.rand(1, 8, 3, 3, dtype=torch.float64)
    q, k, v = module.qkv(x).flatten(2)[0].reshape(3, 2, 4, 9).transpose(2, 3)
    bias = relative_position_bias(module.bias_table, 3)
    heads = [((q[h] @ k[h].T) / 2 + bias[h]).softmax(-1) @ v[h] for h in range(2)]
    expected = module.out(torch.cat(heads, 1).T.reshape(1, 8, 3, 3))
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("bias_rank", [None, 6])
def test_plain_and_sdpa_are_equal(bias_rank: int | None) -> None:
    network = small_network("esc", bias_rank=bias_rank)
    lr = torch.rand(2, 3, 19, 12)
    with torch.no_grad():
        plain = network.set_attention_backend("plain")(lr)
        sdpa = network.set_attention_backend("sdpa")(lr)
    assert (plain - sdpa).abs().max() <= 1e-5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="flex attention on a CPU needs a C++ compiler")
@pytest.mark.parametrize("bias_rank", [None, 48])
def test_flex_is_equal(bias_rank: int | None) -> None:
    config = variant_config("esc-light", bias_rank=bias_rank).replace(num_blocks=1, num_conv_attn=1)
    network = ESC(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        lr = torch.rand(1, 3, 40, 33)
        plain = network.set_attention_backend("plain")(lr)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the compiler
            flex = network.set_attention_backend("flex")(lr)
    assert (plain - flex).abs().max() <= 1e-5


def test_low_rank_bias_is_a_bias() -> None:
    network = small_network("esc", bias_rank=6)
    module = next(m for m in network.modules() if isinstance(m, WindowAttention))
    assert module.bias_query is not None
    assert module.bias_key is not None
    x = torch.rand(1, 24, 8, 8)
    q, k, v = partition_windows(module.qkv(x), 8, 3, 3)
    scores = q @ k.mT / q.shape[-1] ** 0.5 + module.bias_query @ module.bias_key.mT
    expected = module.out(merge_windows(scores.softmax(-1) @ v, 8, 8, 8))
    torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=0)


def test_backends_by_device() -> None:
    assert choose_backend("cpu", differentiable=False) == "sdpa"
    assert choose_backend("cpu", differentiable=True) == "plain"
    assert choose_backend("cuda", differentiable=True) == "sdpa"
    with pytest.raises(ConfigError, match="plain"):
        small_network("esc").set_attention_backend("fast")


def test_implicit_bias_pixel_by_pixel() -> None:
    """The formula written out for every pixel of a window of 3."""
    torch.manual_seed(0)
    config = variant_config("esc-rib").replace(window_size=3, bias_rank=5, bias_hidden_dim=7)
    module = ImplicitBias(config).double()
    nn.init.normal_(module.hidden_bias)
    query, key = module()
    assert query.shape == key.shape == (4, 9, 5)
    for pixel, (row, column) in enumerate(itertools.product(range(3), repeat=2)):
        x, y = (2 * (index + 0.5) / 3 - 1 for index in (column, row))
        features = [x, y]
        for i in range(10):
            features += [f(2**i * c) for f in (math.sin, math.cos) for c in (x, y)]
        described = torch.tensor(features, dtype=torch.float64)
        hidden = torch.relu(described @ module.hidden_weight + module.hidden_bias[0])
        for head in range(4):
            torch.testing.assert_close(query[head, pixel], hidden @ module.query[head] / math.sqrt(5))
            torch.testing.assert_close(key[head, pixel], hidden @ module.key[head])


def test_implicit_bias_is_as_exact_under_autocast() -> None:
    module = ImplicitBias(variant_config("esc-rib"))
    with torch.autocast("cpu", torch.bfloat16):
        factors = module()
    assert factors.dtype == torch.float32
    assert torch.equal(factors, module())


def test_the_gate_sees_the_margin_and_the_picture_before_its_padding() -> None:
    torch.manual_seed(0)
    config = variant_config("esc").replace(dim=8, attended_dim=4, num_heads=2, window_size=4)
    gated = WindowAttention(config.replace(attention_gate=True)).double()
    plain = WindowAttention(config).double()
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if not k.startswith("gate.")})
    nn.init.dirac_(plain.out.weight)
    assert plain.out.bias is not None
    nn.init.zeros_(plain.out.bias)
    assert gated.gate is not None
    x = torch.rand(1, 8, 7, 9, dtype=torch.float64)
    around = gated.gate.depthwise(x)
    share = torch.sigmoid(gated.gate.project(around))
    torch.testing.assert_close(gated(x), gated.out(plain(x) * share))
    tile = gated(x[..., :5, 3:], (1, 0, 0, 1))  # rows 0 to 4, columns 4 to 9
    torch.testing.assert_close(tile, gated(x)[..., :4, 4:])
