from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from escsr.networks.conv_attn import average_symmetries, dynamic_depthwise
from escsr.networks.layers import reflect_pad
from escsr.networks.lte import query_axis
from escsr.networks.upsamplers import OutputSpan
from samples import small_network


@given(size=st.integers(2, 12), before=st.integers(0, 11), after=st.integers(0, 11))
def test_reflect_pad_is_pytorchs_where_that_is_defined(size: int, before: int, after: int) -> None:
    before, after = min(before, size - 1), min(after, size - 1)
    x = torch.rand(1, 2, size, size)
    expected = F.pad(x, (before, after, after, before), mode="reflect")
    assert torch.equal(reflect_pad(x, left=before, right=after, top=after, bottom=before), expected)


def test_reflect_pad_goes_on_folding() -> None:
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    assert reflect_pad(x, left=3, right=6).flatten().tolist() == [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert reflect_pad(x[..., :1], left=2, right=3).flatten().tolist() == [0] * 6


def test_averaged_kernel_looks_the_same_from_all_sides() -> None:
    kernel = average_symmetries(torch.rand(4, 4, 13, 13, dtype=torch.float64))
    for view in (kernel.flip(-1), kernel.flip(-2), kernel.mT, kernel.rot90(1, (-2, -1))):
        torch.testing.assert_close(view, kernel, atol=1e-15, rtol=0)
    torch.testing.assert_close(average_symmetries(kernel), kernel, atol=1e-15, rtol=0)
    assert len(set(kernel[0, 0].mul(1e12).round().flatten().tolist())) == 28


def test_dynamic_depthwise_convolves_each_channel_of_each_image() -> None:
    x, kernels = torch.rand(2, 3, 7, 5), torch.rand(2, 3, 3, 3)
    out = dynamic_depthwise(x, kernels)
    for b in range(2):
        for c in range(3):
            alone = F.conv2d(x[b : b + 1, c : c + 1], kernels[b : b + 1, c : c + 1], padding=1)
            torch.testing.assert_close(out[b, c], alone[0, 0])


@pytest.mark.parametrize(("size", "out_size"), [(1, 1), (1, 7), (5, 15), (7, 30), (8, 5), (33, 99)])
def test_queries_stay_inside_and_next_to_their_pixel(size: int, out_size: int) -> None:
    axis = query_axis(OutputSpan(size, out_size, 0, out_size), torch.empty(0))
    own = ((torch.arange(out_size) + 0.5) * size / out_size).floor().clamp(max=size - 1)
    assert axis.nearest.min() >= 0
    assert axis.nearest.max() < size
    assert (axis.nearest - own).abs().max() <= 1
    assert (axis.high - axis.low).max() <= 1
    assert (axis.nearest[0] <= axis.nearest[1]).all()
    if out_size >= size:
        assert axis.offset.abs().max() <= 2.0001


def test_the_cell_is_held_from_scale_four_on() -> None:
    for out_size, cell in ((20, 1.0), (40, 0.5), (80, 0.5)):
        axis = query_axis(OutputSpan(10, out_size, 0, out_size), torch.empty(0))
        assert axis.cell == pytest.approx(cell)


@pytest.mark.parametrize("chunk", [1, 7, 64, 100_000])
def test_lte_does_not_depend_on_the_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network("esc-lte").double()
    lr = torch.rand(1, 3, 6, 9, dtype=torch.float64)
    with torch.no_grad():
        expected = network(lr, scale=3.3)
        monkeypatch.setattr("escsr.networks.lte._QUERY_CHUNK", chunk)
        assert (network(lr, scale=3.3) - expected).abs().max() <= 1e-13


def test_loading_a_network_does_not_import_the_compiler() -> None:
    """PyTorch does, for random numbers on the meta device; it takes 0.8 s."""
    code = (
        "import sys, torch; from escsr import load_network; from escsr.networks import ESC, VARIANTS\n"
        "load_network('esc-light-x2')\n"
        "with torch.device('meta'):\n"
        "    [ESC(config) for config in (*VARIANTS.values(), VARIANTS['esc'].replace(bias_rank=6))]\n"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
