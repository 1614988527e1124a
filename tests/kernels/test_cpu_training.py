"""Native kernels with gradients: each against PyTorch's operators in float64, for every build."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from escsr.kernels.cpu import library as libraries
from escsr.kernels.cpu import native_library, training, why_no_library
from escsr.networks import ESC, VARIANTS, training_kernels
from escsr.networks.attention import merge_windows, partition_windows, relative_position_bias
from escsr.networks.conv_attn import average_symmetries, convolve, dynamic_depthwise
from escsr.networks.layers import ConvFFN
from escsr.networks.training_kernels import only_plain_operators

BUILDS = [name for name in libraries.BUILDS if libraries.open_build(name) is not None]

BFLOAT16_BUILDS = [name for name in BUILDS if libraries.open_build(name).has_bfloat16]  # type: ignore[union-attr]

pytestmark = pytest.mark.skipif(not BUILDS, reason=f"no native library: {why_no_library()}")

Operator = Callable[..., Tensor | None]


@dataclass(frozen=True)
class Case:
    """An operator in both forms, from the same tensors.

    Attributes:
        native: Of a library, and the tensors.
        plain: Of the tensors.
        tensors: That it takes, all differentiable.
    """

    native: Operator
    plain: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]


def attention(heads: int, head_dim: int, window: int, rows: int, columns: int, batch: int) -> Case:
    def plain(qkv: Tensor, table: Tensor) -> Tensor:
        q, k, v = partition_windows(qkv, window, 3, heads)
        scores = q @ k.mT * head_dim**-0.5 + relative_position_bias(table, window)
        return merge_windows(scores.softmax(-1) @ v, window, *qkv.shape[-2:])

    qkv = 0.7 * torch.randn(batch, 3 * heads * head_dim, rows * window, columns * window)
    table = torch.randn(heads, (2 * window - 1) ** 2) / 2
    return Case(lambda library, q, t: training.attend(q, t, window, library), plain, (qkv, table))


def large_kernel(
    channels: int, size: int, height: int, width: int, batch: int, dynamic: bool, others: int = 0
) -> Case:
    x, small = torch.randn(batch, channels + others, height, width), torch.randn(batch, channels, 3, 3)
    kernel = torch.randn(channels, channels, size, size) / size

    def native(library: Any, x: Tensor, kernel: Tensor, *small: Tensor) -> Tensor | None:
        return training.convolve(x, average_symmetries(kernel), small[0] if small else None, library)

    def plain(x: Tensor, kernel: Tensor, *small: Tensor) -> Tensor:
        attended, identity = x.tensor_split((channels,), dim=1)
        mixed = convolve(attended, average_symmetries(kernel))
        if small:
            mixed = mixed + dynamic_depthwise(attended, small[0])
        return torch.cat((mixed, identity), dim=1)

    return Case(native, plain, (x, kernel, small) if dynamic else (x, kernel))


def feed_forward(channels: int, ratio: float, height: int, width: int, batch: int) -> Case:
    ffn = ConvFFN(channels, ratio)
    names = [name for name, _ in ffn.named_parameters()]

    def plain(x: Tensor, *parameters: Tensor) -> Tensor:
        with only_plain_operators():
            return torch.func.functional_call(ffn, dict(zip(names, parameters, strict=True)), x)

    x = torch.randn(batch, channels, height, width)
    parameters = [parameter.detach() + 0.1 * torch.randn_like(parameter) for parameter in ffn.parameters()]
    return Case(lambda library, x, *p: training.conv_ffn(x, list(p), library), plain, (x, *parameters))


def projection(channels: int, outputs: int, height: int, width: int, batch: int) -> Case:
    tensors = (
        torch.randn(batch, channels, height, width),
        torch.randn(outputs, channels, 1, 1),
        torch.randn(outputs),
    )
    return Case(lambda library, x, w, b: training.project(x, w, b, library), F.conv2d, tensors)


CASES = {
    "attention of ESC": lambda: attention(4, 16, 32, 1, 1, 2),
    "attention, heads of 32": lambda: attention(2, 32, 16, 1, 2, 2),
    "large kernel of ESC": lambda: large_kernel(16, 13, 32, 32, 3, True, others=48),
    "large kernel, static": lambda: large_kernel(32, 9, 24, 45, 1, False),
    "ConvFFN of ESC": lambda: feed_forward(64, 1.25, 32, 32, 3),
    "first ConvFFN of ESC-FP": lambda: feed_forward(48, 2.0, 17, 9, 20),
    "projection of ESC": lambda: projection(64, 192, 21, 32, 3),
}


def gradients(operator: Operator, tensors: tuple[Tensor, ...], grad: Tensor) -> list[Tensor]:
    """The result and the gradients of all tensors."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    out = operator(*leaves)
    assert out is not None
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


def native_of(case: Case, build: str) -> Operator:
    library = libraries.open_build(build)
    assert library is not None
    return lambda *tensors: case.native(library, *tensors)


def errors(case: Case, build: str) -> list[float]:
    """Of the result and each gradient, over the largest number in it."""
    grad = torch.randn_like(case.plain(*case.tensors))
    expected = gradients(case.plain, tuple(each.double() for each in case.tensors), grad.double())
    actual = gradients(native_of(case, build), case.tensors, grad)
    assert [a.shape for a in actual] == [e.shape for e in expected]
    assert {a.dtype for a in actual} == {torch.float32}
    return [float((a - e).abs().max() / e.abs().max()) for a, e in zip(actual, expected, strict=True)]


SHAPES = st.one_of(
    st.builds(
        attention,
        heads=st.integers(1, 3),
        head_dim=st.sampled_from((16, 32, 48)),
        window=st.sampled_from((8, 16, 24)),
        rows=st.integers(1, 2),
        columns=st.integers(1, 2),
        batch=st.integers(1, 2),
    ),
    st.builds(
        large_kernel,
        channels=st.sampled_from((16, 32, 48)),
        size=st.sampled_from((5, 7, 9, 11, 13, 15, 17)),
        height=st.integers(1, 50),
        width=st.integers(1, 50),
        batch=st.integers(1, 3),
        dynamic=st.booleans(),
        others=st.sampled_from((0, 3, 16)),
    ),
    st.builds(
        feed_forward,
        channels=st.sampled_from((16, 48, 64)),
        ratio=st.sampled_from((0.25, 1.25, 2.0)),
        height=st.integers(1, 33),
        width=st.integers(1, 40),
        batch=st.integers(1, 18),
    ),
    st.builds(
        projection,
        channels=st.sampled_from((16, 48, 64)),
        outputs=st.sampled_from((16, 64, 144)),
        height=st.integers(1, 20),
        width=st.integers(1, 40),
        batch=st.integers(1, 18),
    ),
)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_gradients_are_those_of_the_plain_operators(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 99), "seed"))
    build = data.draw(st.sampled_from(BUILDS), "build")
    assert max(errors(data.draw(SHAPES, "case"), build)) < 1e-5


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_the_networks_shapes(name: str, build: str) -> None:
    torch.manual_seed(0)
    assert max(errors(CASES[name](), build)) < 1e-5


def in_bfloat16(case: Case) -> Case:
    """The same with native products of bfloat16."""
    native = case.native

    def rounded(*arguments: Any) -> Tensor | None:
        with torch.autocast("cpu", torch.bfloat16):
            return native(*arguments)

    return Case(rounded, case.plain, case.tensors)


@pytest.mark.parametrize("build", BFLOAT16_BUILDS)
@pytest.mark.parametrize("name", CASES)
def test_gradients_by_products_of_bfloat16(name: str, build: str) -> None:
    torch.manual_seed(0)
    largest = max(errors(in_bfloat16(CASES[name]()), build))
    assert largest < 1e-2
    assert (largest > 1e-5) != name.startswith("large kernel")  # that one stays in float32


@pytest.mark.skipif(not BFLOAT16_BUILDS, reason="this CPU has no products of bfloat16")
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_all_shapes_by_products_of_bfloat16(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 99), "seed"))
    build = data.draw(st.sampled_from(BFLOAT16_BUILDS), "build")
    assert max(errors(in_bfloat16(data.draw(SHAPES, "case")), build)) < 2e-2


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_differences_of_the_result(name: str, build: str) -> None:
    """Along a random direction of all inputs, in the kernel's own numbers."""
    torch.manual_seed(0)
    case = CASES[name]()
    operator, step = native_of(case, build), 2e-3
    ways = [torch.randn_like(each) * each.std() for each in case.tensors]
    grad = torch.randn_like(case.plain(*case.tensors))
    _, *found = gradients(operator, case.tensors, grad)
    slope = sum(float((g.double() * way).sum()) for g, way in zip(found, ways, strict=True))
    ends = [
        operator(*[each + sign * step * way for each, way in zip(case.tensors, ways, strict=True)])
        for sign in (1, -1)
    ]
    assert ends[0] is not None
    assert ends[1] is not None
    difference = float(((ends[0].double() - ends[1]) * grad).sum()) / (2 * step)
    size = sum(float((g.double() * way).square().sum()) for g, way in zip(found, ways, strict=True)) ** 0.5
    assert abs(difference - slope) < 0.02 * size


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_neither_calls_nor_threads_change_a_bit(name: str, bfloat16: bool) -> None:
    torch.manual_seed(0)
    case, before, results = CASES[name](), torch.get_num_threads(), []
    grad = torch.randn_like(case.plain(*case.tensors))
    try:
        for threads in (2, 2, 1, 5):
            torch.set_num_threads(threads)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                results.append(gradients(native_of(case, BUILDS[0]), case.tensors, grad))
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(first, other) for first, other in zip(results[0], others, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_an_operator_may_stand_twice_in_a_graph(name: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]()
    operator = native_of(case, BUILDS[0])
    leaves = [each.clone().requires_grad_() for each in case.tensors]
    first, second = operator(*leaves), operator(leaves[0] * 0.5, *leaves[1:])
    assert first is not None
    assert second is not None
    together = torch.autograd.grad((first * second).sum(), leaves)
    halves = gradients(operator, case.tensors, second.detach())[1:]
    others = gradients(operator, (case.tensors[0] * 0.5, *case.tensors[1:]), first.detach())[1:]
    others[0] = others[0] * 0.5
    for whole, one, other in zip(together, halves, others, strict=True):
        torch.testing.assert_close(whole, one + other, rtol=0, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_that_nobody_asks_for(name: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]()
    operator, grad = native_of(case, BUILDS[0]), torch.randn_like(case.plain(*case.tensors))
    everything = gradients(operator, case.tensors, grad)[1:]
    for wanted in range(len(case.tensors)):
        leaves = [each.clone().requires_grad_(k == wanted) for k, each in enumerate(case.tensors)]
        out = operator(*leaves)
        assert out is not None
        torch.autograd.backward([out], [grad])
        assert [leaf.grad is not None for leaf in leaves] == [k == wanted for k in range(len(leaves))]
        found = leaves[wanted].grad
        assert found is not None
        assert torch.equal(found, everything[wanted])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", CASES)
def test_nan_in_gives_nan_out(name: str, build: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]()
    shape = case.plain(*case.tensors)
    for place in range(len(case.tensors) + 1):
        tensors, grad = [each.clone() for each in case.tensors], torch.randn_like(shape)
        broken = grad if place == len(tensors) else tensors[place]
        broken.view(-1)[broken.numel() // 2] = torch.nan
        expected = gradients(case.plain, tuple(tensors), grad)
        actual = gradients(native_of(case, build), tuple(tensors), grad)
        for e, a in zip(expected, actual, strict=True):
            assert (a.isnan() | ~e.isnan()).all()


def test_a_second_derivative_is_refused() -> None:
    case = CASES["ConvFFN of ESC"]()
    leaves = [each.clone().requires_grad_() for each in case.tensors]
    out = native_of(case, BUILDS[0])(*leaves)
    assert out is not None
    (slope,) = torch.autograd.grad(out.square().sum(), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="only_plain_operators"):
        torch.autograd.backward([slope.sum()])


def small_network() -> ESC:
    torch.manual_seed(1)
    network = ESC(VARIANTS["esc-light"].replace(num_blocks=2, num_conv_attn=2, window_size=16))
    for name, parameter in network.named_parameters():
        if "norm" in name or "estimator" in name or "bias" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return network


def loss_gradients(network: ESC, lr: Tensor, hr: Tensor, bfloat16: bool = False) -> dict[str, Tensor]:
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        sr = network(lr)
    torch.autograd.backward([F.mse_loss(sr.to(hr.dtype), hr)])
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.skipif("native_library() is None")
@pytest.mark.parametrize(("bfloat16", "limit"), [(False, 1e-4), (True, 2e-2)])
def test_gradients_of_a_network(bfloat16: bool, limit: float) -> None:
    network = small_network()
    lr, hr = torch.rand(2, 3, 30, 23), torch.rand(2, 3, 60, 46)
    expected = loss_gradients(copy.deepcopy(network).double(), lr.double(), hr.double())
    actual = loss_gradients(network, lr, hr, bfloat16)
    assert actual.keys() == expected.keys()
    for name, exact in expected.items():
        assert (actual[name] - exact).abs().max() <= limit * exact.abs().max(), name
    with only_plain_operators():
        plain = loss_gradients(network, lr, hr, bfloat16)
    assert any(not torch.equal(actual[name], plain[name]) for name in actual)


def test_who_takes_the_plain_operators() -> None:
    network = small_network()
    block: Any = network.blocks[0]
    ffn, x = block.conv_ffn_first, torch.rand(1, 64, 9, 9)
    convolutions = ffn.expand, ffn.depthwise, ffn.reduce
    narrow_ffn: Any = ConvFFN(20, 2.0)
    assert (training_kernels.conv_ffn(x, *convolutions) is None) == (native_library() is None)
    with torch.no_grad():
        assert training_kernels.conv_ffn(x, *convolutions) is None
    with only_plain_operators():
        assert training_kernels.conv_ffn(x, *convolutions) is None
    with torch.autocast("cpu", torch.float16):
        assert training_kernels.conv_ffn(x, *convolutions) is None
    assert training_kernels.conv_ffn(x.bfloat16(), *convolutions) is None
    assert training_kernels.conv_ffn(x.double(), *copy.deepcopy(ffn).double().children()) is None
    assert training_kernels.conv_ffn(x.to("meta"), *copy.deepcopy(ffn).to("meta").children()) is None
    assert training_kernels.conv_ffn(torch.rand(1, 20, 9, 9), *narrow_ffn.children()) is None
    assert training_kernels.attend(torch.rand(1, 192, 10, 10, requires_grad=True), None, 10) is None
    narrow = torch.rand(1, 8, 9, 9, requires_grad=True), torch.rand(8, 8, 3, 3)
    assert training_kernels.convolve_first(*narrow, None) is None


def test_a_kernel_that_changed_has_a_new_spectrum() -> None:
    library = libraries.open_build(BUILDS[0])
    assert library is not None
    x, kernel = torch.randn(1, 16, 20, 20), average_symmetries(torch.randn(16, 16, 13, 13))
    first = training.convolve(x, kernel, None, library)
    kernel *= 2
    second = training.convolve(x, kernel, None, library)
    assert first is not None
    assert second is not None
    torch.testing.assert_close(second, 2 * first)
