"""Nothing is computed past an adapter, a hook or what looks at PyTorch's operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from escsr.errors import ConfigError
from escsr.kernels.cpu import native_library
from escsr.networks import ESC, VARIANTS, training_kernels
from escsr.networks.inference_form import inference_form
from escsr.networks.layers import ConvFFN
from escsr.networks.replaceable import is_replaceable, is_replaceable_conv
from escsr.networks.training_kernels import only_plain_operators
from escsr.streaming import run

needs_kernels = pytest.mark.skipif(native_library() is None, reason="there are no native kernels here")


class Adapter(nn.Module):
    """Adds to what a module gives; shows its weights as those of the module, as adapters do."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base, self.share = base, nn.Parameter(torch.tensor(0.5))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def forward(self, *inputs: Any) -> Any:
        return _scaled(self.base(*inputs), 1 + self.share)


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def _scaled(result: Any, factor: Tensor | float) -> Any:
    return tuple(each * factor for each in result) if isinstance(result, tuple) else result * factor


def _adapt(network: ESC, name: str) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, Adapter(network.get_submodule(name)))


def _hook(network: ESC, name: str) -> None:
    network.get_submodule(name).register_forward_hook(lambda _m, _i, result: _scaled(result, 0.5))


def _hook_before(network: ESC, name: str) -> None:
    network.get_submodule(name).register_forward_pre_hook(lambda _m, inputs: inputs[0].sin())


def _parametrize(network: ESC, name: str) -> None:
    parametrize.register_parametrization(network.get_submodule(name), "weight", Halved())


def _prune(network: ESC, name: str) -> None:
    prune.l1_unstructured(network.get_submodule(name), "weight", 0.5)  # type: ignore[no-untyped-call]


def _override(network: ESC, name: str) -> None:
    module = network.get_submodule(name)
    plain = module.forward
    module.forward = lambda *inputs: _scaled(plain(*inputs), 0.5)


WAYS: dict[str, Callable[[ESC, str], None]] = {
    "adapter": _adapt,
    "hook": _hook,
    "hook before": _hook_before,
    "parametrization": _parametrize,
    "pruning": _prune,
    "forward of its own": _override,
}
PARTS = (
    "blocks.0.norm_first",
    "blocks.0.conv_ffn_first.expand",
    "blocks.0.conv_ffn_first.depthwise",
    "blocks.0.conv_ffn_first.reduce",
    "blocks.0.norm_attention",
    "blocks.0.attention.qkv",
    "blocks.0.attention.out",
    "blocks.0.conv_attns.0.fuse",
    "blocks.0.norm_last",
    "blocks.0.conv_last",
    "last",
    "upsampler.conv",
)
CASES = [  # of each part two ways, of each way four parts; the others are slow
    *(
        pytest.param(way, part, marks=[] if (row - column) % 3 == 0 else pytest.mark.slow)
        for row, way in enumerate(WAYS)
        for column, part in enumerate(PARTS)
    ),
    *(("hook", f"blocks.0.{name}") for name in ("conv_ffn_first", "attention", "conv_attns.0")),
    *(("hook", name) for name in ("upsampler", "large_kernel", "shallow")),
    *((way, "large_kernel") for way in ("adapter", "parametrization", "pruning")),
]


def network_of(variant: str = "esc-light", **changes: Any) -> ESC:
    torch.manual_seed(1)
    config = VARIANTS[variant].replace(num_blocks=1, num_conv_attn=1, window_size=8, **changes)
    network = ESC(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def is_near(result: Tensor, expected: Tensor) -> bool:
    return bool((result - expected).abs().max() < 1e-5 * expected.abs().max())


def plainly(network: ESC, lr: Tensor, **options: Any) -> Tensor:
    with torch.no_grad():
        result: Tensor = network(lr, **options)
    return result


@pytest.mark.parametrize(("way", "part"), CASES)
def test_an_inference_form_computes_what_the_network_does(way: str, part: str) -> None:
    network, lr = network_of(), torch.rand(1, 3, 24, 17)
    before = plainly(network, lr)
    WAYS[way](network, part)
    expected = plainly(network, lr)
    assert (expected - before).abs().max() > 1e-3
    if "norm" not in part:
        assert network.whole_only() is None
    for tile_size in (16, 32):
        assert is_near(run(network, lr, tile_size=tile_size), expected)
    assert is_near(plainly(inference_form(network), lr), expected)


@pytest.mark.parametrize(
    ("variant", "part"),
    [
        ("esc-fp", "large_kernel"),
        ("esc-fp", "norm_last"),
        ("esc-lte", "upsampler.imnet"),
        ("esc-lte", "upsampler.imnet.2"),
        ("esc-lte", "upsampler.coef"),
        ("esc-real", "upsampler.convs.1"),
        ("esc-rib", "blocks.0.attention.implicit_bias"),
    ],
)
@pytest.mark.parametrize("way", ["adapter", "hook"])
def test_the_same_for_parts_of_other_variants(variant: str, part: str, way: str) -> None:
    network, lr = network_of(variant), torch.rand(1, 3, 11, 17)
    options: dict[str, Any] = {} if network.config.scale else {"scale": 2.0}
    before = plainly(network, lr, **options)
    WAYS[way](network, part)
    expected = plainly(network, lr, **options)
    assert (expected - before).abs().max() > 1e-4
    assert is_near(run(network, lr, tile_size=16, **options), expected)


class SkippedBlock(nn.Module):
    def forward(self, x: Tensor, large_kernel: tuple[Tensor, ...]) -> Tensor:
        return x


class SquashedNetwork(ESC):
    def forward(self, lr: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(lr).tanh()


class ScaledFeatures(ESC):
    def features(self, lr: Tensor) -> Tensor:
        return super().features(lr) / 2


def _reclass(network: ESC, kind: type[ESC]) -> None:
    network.__class__ = kind


def _skip(network: ESC) -> None:
    network.blocks[0] = SkippedBlock()


def _own_norm(network: ESC) -> None:
    network.blocks[0].norm_first = nn.InstanceNorm2d(64)


def _own_conv(network: ESC, name: str, size: int, *, hidden: int = 0, **how: Any) -> None:
    """Another convolution, or two in turn, that keeps rows and columns."""
    parent, _, last = name.rpartition(".")
    before: Any = network.get_submodule(name)
    how = {"padding": size // 2, "groups": before.groups, **how}
    sides = [each for each in (before.in_channels, hidden, before.out_channels) if each]
    convs = [nn.Conv2d(*pair, size, **how) for pair in pairwise(sides)]
    setattr(network.get_submodule(parent), last, nn.Sequential(*convs) if hidden else convs[0])


WHOLE_ONLY: dict[str, tuple[str, Callable[[ESC], Any]]] = {
    "hook of a block": ("blocks.0", lambda network: _hook(network, "blocks.0")),
    "hook before a block": (
        "blocks.0",
        lambda network: network.blocks[0].register_forward_pre_hook(
            lambda _m, inputs: (inputs[0].sin(), inputs[1])
        ),
    ),
    "hook of a pair": (
        "blocks.0.attention_pairs.0",
        lambda network: _hook(network, "blocks.0.attention_pairs.0"),
    ),
    "hook of the network": ("", lambda network: _hook(network, "")),
    "network of a class of its own": ("", lambda network: _reclass(network, SquashedNetwork)),
    "features of its own": ("", lambda network: _reclass(network, ScaledFeatures)),
    "forward of a block of its own": ("blocks.0", lambda network: _override(network, "blocks.0")),
    "another block": ("blocks.0", _skip),
    "another norm": ("blocks.0.norm_first", _own_norm),
    "adapter of ConvAttn": (
        "blocks.0.conv_attns.0",
        lambda network: _adapt(network, "blocks.0.conv_attns.0"),
    ),
    "larger kernel": ("shallow", lambda network: _own_conv(network, "shallow", 5)),
    "dilated kernel": ("last", lambda network: _own_conv(network, "last", 3, padding=2, dilation=2)),
    "two kernels": ("shallow", lambda network: _own_conv(network, "shallow", 3, hidden=8)),
    "pixels of the other side": (
        "shallow",
        lambda network: _own_conv(network, "shallow", 3, padding_mode="circular"),
    ),
    **{
        f"larger kernel of {name}": (name, partial(_own_conv, name=name, size=size))
        for name, size in (
            ("blocks.0.conv_ffn_first.expand", 3),
            ("blocks.0.conv_ffns.0.depthwise", 5),
            ("blocks.0.attention.qkv", 3),
            ("blocks.0.conv_attns.0.fuse", 3),
            ("upsampler.conv", 5),
        )
    },
    "adapter of attention": ("blocks.0.attention", lambda network: _adapt(network, "blocks.0.attention")),
}


@pytest.mark.parametrize("way", WHOLE_ONLY)
def test_what_stages_would_pass_over_is_computed_whole(way: str) -> None:
    name, change = WHOLE_ONLY[way]
    network, lr = network_of(num_attention=2), torch.rand(1, 3, 24, 17)
    before = plainly(network, lr)
    assert network.whole_only() is None
    change(network)
    expected = plainly(network, lr)
    assert (expected - before).abs().max() > 1e-3
    assert network.whole_only() == name
    for tile_size in (8, 32):
        assert is_near(run(network, lr, tile_size=tile_size), expected)
    with pytest.raises(ConfigError, match=f"{name or 'The network'} has adapters or hooks"):
        network.stages()


def gradients(network: ESC, lr: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    torch.autograd.backward([network(lr).square().sum()])
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("way", "part"), CASES)
def test_training_computes_what_the_plain_operators_do(way: str, part: str) -> None:
    network, lr = network_of(), torch.rand(2, 3, 16, 9)
    WAYS[way](network, part)
    actual, result = gradients(network, lr), network(lr)
    with only_plain_operators():
        expected = gradients(network, lr)
    assert is_near(result, plainly(network, lr))
    assert actual.keys() == expected.keys()
    for name, exact in expected.items():
        assert (actual[name] - exact).abs().max() <= 1e-4 * exact.abs().max() + 1e-6, name
    assert all(each.share.grad is not None for each in network.modules() if isinstance(each, Adapter))


def test_training_a_pruned_network_goes_on() -> None:
    network, lr = network_of(), torch.rand(1, 3, 16, 16)
    _prune(network, "blocks.0.conv_ffn_first.expand")
    optimizer = torch.optim.SGD(network.parameters(), 1e-7)
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward([network(lr).square().sum()])
        optimizer.step()
    assert is_near(run(network, lr, tile_size=8), plainly(network, lr))


def test_a_large_kernel_that_an_adapter_has_begun_to_change() -> None:
    """It is symmetric still, but its gradient is not."""
    network, lr = network_of(), torch.rand(1, 3, 16, 16)
    kernel: Any = network.large_kernel
    kernel.more = nn.Parameter(torch.zeros_like(kernel.weight))
    kernel.register_forward_hook(lambda module, _, result: (result[0] + module.more,))
    actual = gradients(network, lr)["large_kernel.more"]
    with only_plain_operators():
        expected = gradients(network, lr)["large_kernel.more"]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_hooks_of_an_inference_form_are_those_of_the_network() -> None:
    class Observer:
        def __init__(self) -> None:
            self.shapes: list[tuple[int, ...]] = []

        def look(self, _module: nn.Module, _inputs: Any, result: Tensor) -> None:
            self.shapes.append(tuple(result.shape))

    observer, network = Observer(), network_of()
    network.get_submodule("blocks.0.conv_ffn_first.expand").register_forward_hook(observer.look)
    run(network, torch.rand(1, 3, 8, 8), tile_size=8)
    assert observer.shapes == [(1, 128, 8, 8)]


def test_what_is_replaceable() -> None:
    class Derived(nn.Conv2d):
        pass

    conv, sizes = nn.Conv2d(4, 8, 3, padding=1), (4, 8, 3)
    assert is_replaceable(conv, nn.Linear, nn.Conv2d)
    assert is_replaceable_conv(conv, 3)
    assert is_replaceable_conv(nn.Conv2d(8, 8, 3, padding=1, groups=8), 3, depthwise=True)
    assert not is_replaceable(conv, nn.Linear)
    assert not is_replaceable(Derived(*sizes), nn.Conv2d)
    assert not is_replaceable_conv(conv, 1)
    assert not is_replaceable_conv(nn.Conv2d(*sizes, padding=1, bias=False), 3)
    assert not is_replaceable_conv(nn.Conv2d(*sizes, padding=1, padding_mode="circular"), 3)
    assert not is_replaceable_conv(nn.Conv2d(*sizes, padding=1, stride=2), 3)
    assert not is_replaceable_conv(nn.Conv2d(*sizes), 3)
    for register in ("forward", "forward_pre", "full_backward", "full_backward_pre"):
        handle = getattr(conv, f"register_{register}_hook")(lambda *_: None)
        assert not is_replaceable(conv, nn.Conv2d)
        handle.remove()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert not is_replaceable(conv, nn.Conv2d)
    handle.remove()
    assert is_replaceable(conv, nn.Conv2d)


@pytest.fixture
def ffn() -> ConvFFN:
    return ConvFFN(64, 1.25)


def by_kernels(ffn: ConvFFN) -> bool:
    x = torch.rand(1, 64, 9, 9, requires_grad=True)
    return training_kernels.conv_ffn(x, ffn.expand, ffn.depthwise, ffn.reduce) is not None


class Looking(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@needs_kernels
def test_modes_that_look_at_operators_see_them(ffn: ConvFFN) -> None:
    assert by_kernels(ffn)
    with torch.device("cpu"):  # a mode for PyTorch, but not one that looks at anything
        assert by_kernels(ffn)
    with FlopCounterMode(display=False):
        assert not by_kernels(ffn)
    with Looking():
        assert not by_kernels(ffn)
    assert by_kernels(ffn)


def operations(function: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops())


def test_operations_are_counted_with_gradients_and_without() -> None:
    network, lr = network_of().set_attention_backend("plain"), torch.rand(1, 3, 16, 16)
    with only_plain_operators():
        expected = operations(lambda: network(lr))
    assert operations(lambda: network(lr)) == expected
    with torch.no_grad():
        assert operations(lambda: network(lr)) == expected
    streamed = operations(lambda: run(network, lr, tile_size=16))
    assert abs(streamed - expected) < 0.02 * expected  # F_0 is computed twice there


@pytest.fixture(params=["network", "inference form"])
def differentiable(request: pytest.FixtureRequest) -> ESC:
    network = network_of().set_attention_backend("plain")
    return network if request.param == "network" else inference_form(network)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_transforms_of_torch_func(differentiable: ESC) -> None:
    lr = torch.rand(2, 3, 8, 8)

    def loss(image: Tensor) -> Tensor:
        result: Tensor = differentiable(image[None]).square().sum()
        return result

    leaf = lr.clone().requires_grad_()
    (expected,) = torch.autograd.grad(differentiable(leaf).square().sum(), leaf)
    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(lr), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(torch.func.grad(loss)(lr[0]), expected[0], rtol=1e-3, atol=1e-3)
    results = torch.vmap(lambda image: differentiable(image[None])[0])(lr)
    torch.testing.assert_close(results, differentiable(lr), rtol=1e-4, atol=1e-4)
    way = torch.randn_like(lr)
    slope = torch.func.jvp(lambda images: differentiable(images).square().sum(), (lr,), (way,))[1]
    torch.testing.assert_close(slope, (expected * way).sum(), rtol=1e-3, atol=1e-2)


def test_gradients_of_parameters_by_torch_func() -> None:
    network, lr = network_of(), torch.rand(1, 3, 8, 8)
    expected = gradients(network, lr)
    parameters = dict(network.named_parameters())
    found = torch.func.grad(lambda p: torch.func.functional_call(network, p, (lr,)).square().sum())(
        parameters
    )
    for name, exact in expected.items():
        torch.testing.assert_close(
            found[name], exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max() + 1e-6)
        )


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_derivatives() -> None:
    network, lr = network_of(), torch.rand(1, 3, 8, 8)
    ad, way = torch.autograd.forward_ad, torch.randn(1, 3, 8, 8)
    with ad.dual_level():
        dual: Any = network(ad.make_dual(lr, way))  # type: ignore[no-untyped-call]
        slope = ad.unpack_dual(dual).tangent  # type: ignore[no-untyped-call]
    assert slope is not None
    step = 1e-2
    difference = (plainly(network, lr + step * way) - plainly(network, lr - step * way)) / (2 * step)
    assert (slope - difference).abs().max() < 1e-2 * difference.abs().max()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.torch.jit.:DeprecationWarning")
def test_tracing(tmp_path: Any) -> None:
    network, lr = network_of(), torch.rand(1, 3, 16, 9)
    traced = torch.jit.trace(network, lr)  # type: ignore[no-untyped-call]
    traced.save(tmp_path / "traced.pt")
    assert (traced(lr) - network(lr)).abs().max() < 1e-5


@needs_kernels
def test_a_second_derivative_says_what_to_do() -> None:
    network, lr = network_of(), torch.rand(1, 3, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(network(lr).sum(), lr, create_graph=True)
    with pytest.raises(RuntimeError, match="only_plain_operators"):
        torch.autograd.backward([slope.square().sum()])
    with only_plain_operators():
        (slope,) = torch.autograd.grad(network(lr).sum(), lr, create_graph=True)
    torch.autograd.backward([slope.square().sum()])
    assert lr.grad is not None


@needs_kernels
def test_a_second_derivative_behind_a_constant_gradient_is_not_lost(ffn: ConvFFN) -> None:
    x = torch.rand(1, 64, 9, 9, requires_grad=True)
    (slope,) = torch.autograd.grad(ffn(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="only_plain_operators"):
        torch.autograd.backward([(slope * x).sum()])


def test_an_empty_batch() -> None:
    for variant in ("esc-light", "esc-fp"):
        network, lr = network_of(variant), torch.rand(0, 3, 8, 8)
        assert network(lr).shape == plainly(network, lr).shape == (0, 3, 16, 16)
