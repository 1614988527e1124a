"""Native CPU kernels: each stage against PyTorch's operators in float64, for every build that runs here."""

from __future__ import annotations

import copy
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from escsr.kernels.cpu import library as libraries
from escsr.kernels.cpu import native_library, native_stage, why_no_library
from escsr.kernels.cpu.kernel import Kernel
from escsr.kernels.cpu.library import Packed
from escsr.kernels.cpu.packing import Weights, spectrum_of
from escsr.networks import ESC, VARIANTS
from escsr.networks.conv_attn import average_symmetries, convolve
from escsr.networks.inference_form import inference_form
from escsr.networks.stages import _PLAIN, Stage, has_kernels
from escsr.networks.upsamplers import OutputSpan
from escsr.streaming import run
from samples import ROOT, call_options

BUILDS = [name for name in libraries.BUILDS if libraries.open_build(name) is not None]
BFLOAT16_BUILDS = [name for name in BUILDS if libraries.open_build(name).has_bfloat16]  # type: ignore[union-attr]
SMALL = {"num_blocks": 1, "num_conv_attn": 1, "window_size": 8}

pytestmark = pytest.mark.skipif(not BUILDS, reason=f"no native library: {why_no_library()}")


def network_of(variant: str, **changes: Any) -> ESC:
    """One block of real width with weights that do something everywhere."""
    torch.manual_seed(1)
    network = ESC(VARIANTS[variant].replace(**{**SMALL, **changes})).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if "norm" in name or "estimator" in name or "bias" in name:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


NETWORKS = {
    "esc": network_of("esc"),
    "esc-fp": network_of("esc-fp"),
    "esc-real": network_of("esc-real"),
    "esc-lte": network_of("esc-lte"),
    "two attentions": network_of("esc", num_attention=2, norm_last=True, scale=3),
    "window of 24": network_of("esc", window_size=24, num_heads=2),
    "low rank": network_of("esc", bias_rank=5, window_size=16, scale=4),
    "window of 32": network_of("esc", window_size=32, num_heads=2),
    "gate and implicit bias": network_of("esc-rib", window_size=16),
    "gate, two attentions": network_of("esc", num_attention=2, attention_gate=True),
    "kernel of 17, static": network_of("esc", large_kernel_size=17, dynamic_kernel=False),
    "kernel of 9": network_of("esc", large_kernel_size=9, attended_dim=32),
}
FORMS = {name: inference_form(network) for name, network in NETWORKS.items()}
EXACT = {name: copy.deepcopy(form).double() for name, form in FORMS.items()}
CASES = [
    (name, stage.name)
    for name, form in FORMS.items()
    for stage in form.stages()
    if native_stage(stage, libraries.open_build(BUILDS[0]) if BUILDS else None)
]


def test_every_costly_stage_has_a_kernel() -> None:
    for variant, form in FORMS.items():
        plain = {stage.operation for stage in form.stages() if (variant, stage.name) not in CASES}
        assert plain <= (
            {"shallow"} if form.config.upsampler == "pixel_shuffle" else {"shallow", "upsample"}
        )


def stage_of(form: ESC, name: str) -> Stage:
    return next(stage for stage in form.stages() if stage.name == name)


def arguments_of(stage: Stage, form: ESC, size: tuple[int, int], halo: bool, batch: int) -> list[Any]:
    """Maps of a region whose margin is on the left and at the bottom, as in the middle of a picture."""
    margin = (stage.halo, 0, 0, stage.halo) if halo else (0, 0, 0, 0)
    height, width = size
    dim = form.config.dim

    def a_map(rows: int, columns: int, channels: int) -> Tensor:
        wide = torch.randn(batch, rows + 1, columns + 2, channels)[:, 1:, 1:-1]  # a view into a larger map
        return wide.permute(0, 3, 1, 2)

    region = height + margin[3], width + margin[0]
    arguments: list[Any] = [a_map(*region, 3 if name == "lr" else dim) for name in stage.haloed_inputs]
    arguments += [a_map(height, width, 3 if name == "lr" else dim) for name in stage.local_inputs]
    if stage.operation == "upsample":
        scale = form.config.scale or 2
        rows = OutputSpan(region[0], scale * region[0], 0, scale * region[0])
        columns = OutputSpan(region[1], scale * region[1], margin[0], scale * region[1])
        return [*arguments, (rows, columns)]
    arguments += [margin] if stage.halo else []
    return arguments + ([torch.randn(batch, form.config.attended_dim, 1, 1)] if stage.takes_pooled else [])


def doubled(arguments: list[Any]) -> list[Any]:
    return [a.double() if isinstance(a, Tensor) else a for a in arguments]


def compare(
    name: str, stage_name: str, build: str | libraries.NativeLibrary, arguments: list[Any]
) -> tuple[Tensor, Tensor]:
    """The exact result and the kernel's."""
    exact, stage = stage_of(EXACT[name], stage_name), stage_of(FORMS[name], stage_name)
    function = native_stage(stage, libraries.open_build(build) if isinstance(build, str) else build)
    assert function is not None
    return _PLAIN[stage.operation](exact, *doubled(arguments)), function(*arguments)


@pytest.mark.parametrize(("name", "stage_name"), CASES)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_a_stage_is_the_plain_one(name: str, stage_name: str, data: st.DataObject) -> None:
    build = data.draw(st.sampled_from(BUILDS), "build")
    side = st.integers(1, 40 if stage_name == "upsampler" else 70)  # its results are several times larger
    size = data.draw(st.tuples(side, side), "size")
    halo, batch = data.draw(st.booleans(), "halo"), data.draw(st.sampled_from((1, 2)), "batch")
    torch.manual_seed(data.draw(st.integers(0, 99), "seed"))
    arguments = arguments_of(stage_of(FORMS[name], stage_name), FORMS[name], size, halo, batch)
    expected, actual = compare(name, stage_name, build, arguments)
    assert actual.dtype == torch.float32
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 4e-6 * expected.abs().max().clamp_min(1)


@pytest.fixture(scope="module")
def four_lanes(tmp_path_factory: pytest.TempPathFactory) -> libraries.NativeLibrary:
    """A build without AVX: four floats a vector, the source that ARM's NEON build is compiled from."""
    path = tmp_path_factory.mktemp("build") / "four_lanes.so"
    source = Path(libraries.__file__).parent / "source" / "kernels.cpp"
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-Wno-psabi", "-fno-math-errno"]
    subprocess.run(["g++", *flags, source, "-o", path], check=True)
    library = libraries.open_library("four lanes", path)
    assert library is not None
    assert library.lanes == 4
    return library


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize(("name", "stage_name"), CASES)
def test_a_stage_with_vectors_of_four(
    name: str, stage_name: str, four_lanes: libraries.NativeLibrary
) -> None:
    arguments = arguments_of(stage_of(FORMS[name], stage_name), FORMS[name], (19, 37), True, 1)
    expected, actual = compare(name, stage_name, four_lanes, arguments)
    assert (actual - expected).abs().max() <= 4e-6 * expected.abs().max().clamp_min(1)


@pytest.mark.parametrize("build", BFLOAT16_BUILDS)
@pytest.mark.parametrize(("name", "stage_name"), CASES)
def test_products_of_bfloat16(name: str, stage_name: str, build: str) -> None:
    """Only products are rounded: sums, norms, exponentials and residuals stay in float32."""
    arguments = arguments_of(stage_of(FORMS[name], stage_name), FORMS[name], (37, 41), True, 1)
    with torch.autocast("cpu", torch.bfloat16):
        expected, actual = compare(name, stage_name, build, arguments)
    error = (actual - expected).abs().max() / expected.abs().max()
    assert 0 < error < 0.02


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("name", "stage_name"), CASES)
def test_nan_in_gives_nan_out(name: str, stage_name: str, build: str) -> None:
    arguments = arguments_of(stage_of(FORMS[name], stage_name), FORMS[name], (20, 20), False, 1)
    arguments[0][0, 0, 9, 9] = torch.nan
    expected, actual = compare(name, stage_name, build, arguments)
    assert expected[..., 9, 9].isnan().all() or stage_of(FORMS[name], stage_name).operation == "upsample"
    assert (actual.isnan() | ~expected.isnan()).all()


@pytest.mark.parametrize("build", BUILDS)
def test_large_scores_do_not_overflow(build: str) -> None:
    name = "esc"
    stage = next(stage for stage in FORMS[name].stages() if stage.operation == "window_attention")
    z = 300 * torch.randn(1, 16, 16, 64).permute(0, 3, 1, 2)
    z[:, :5] *= 50
    expected, actual = compare(name, stage.name, build, [z])
    assert actual.isfinite().all()
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("size", [9, 13, 17])
def test_the_spectrum_is_the_kernels(size: int) -> None:
    """Its matrices times waves are the kernel's own convolution of that wave, inside a picture."""
    kernel = average_symmetries(torch.randn(3, 2, size, size, dtype=torch.float64))
    spectrum = spectrum_of(kernel).double()
    rows, columns = torch.meshgrid(*[torch.arange(64.0, dtype=torch.float64)] * 2, indexing="ij")
    wave = torch.cos(2 * torch.pi / 32 * 5 * rows) * torch.cos(2 * torch.pi / 32 * 3 * columns)
    x = torch.stack((wave, torch.zeros_like(wave)))[None]
    inside = convolve(x, kernel)[0, :, 20:40, 20:40]
    matrix = spectrum[5 * 6 // 2 + 3]  # (C, C')
    torch.testing.assert_close(
        inside, 32 * 32 / 4 * matrix[0][:, None, None] * wave[20:40, 20:40], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", FORMS)
def test_the_streamed_picture_is_the_networks(name: str) -> None:
    lr = torch.rand(1, 3, 50, 61)
    options: dict[str, Any] = dict(call_options(NETWORKS[name]))
    with torch.no_grad():
        expected = EXACT[name](lr.double(), **options)
    window = NETWORKS[name].config.window_size
    for tile_size in (2 * window, 96):
        actual = run(NETWORKS[name], lr, tile_size=tile_size, **options)
        assert (actual - expected).abs().max() < 1e-5


def test_the_number_of_threads_changes_no_bit() -> None:
    lr, network = torch.rand(1, 3, 70, 61), NETWORKS["esc"]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(run(network, lr, tile_size=64))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results)


def test_threads_of_the_caller_do_not_mix_pictures() -> None:
    network, pictures = NETWORKS["esc-fp"], torch.rand(8, 1, 3, 40, 33)
    expected = [run(network, picture, tile_size=16) for picture in pictures]
    results: dict[int, Tensor] = {}

    def work(index: int) -> None:
        results[index] = run(network, pictures[index], tile_size=16)

    threads = [threading.Thread(target=partial(work, index)) for index in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(results[index], each) for index, each in enumerate(expected))


@pytest.mark.parametrize("shared", ["conv_ffn_first", "attention", "conv_last"])
def test_modules_that_blocks_share_have_the_norm_of_each(shared: str) -> None:
    network = network_of("esc", num_blocks=2)
    setattr(network.blocks[1], shared, getattr(network.blocks[0], shared))
    lr = torch.rand(1, 3, 12, 20)
    assert (run(network, lr, tile_size=8) - network(lr)).abs().max() <= 1e-5


def test_an_activation_behind_a_shared_convolution_is_that_of_its_place() -> None:
    network = network_of("esc-real")
    convs: Any = network.upsampler.convs
    convs[2] = network.last  # here with a slope behind it, there without
    lr = torch.rand(1, 3, 12, 9)
    assert (run(network, lr, tile_size=8) - network(lr)).abs().max() <= 1e-5


def test_weights_are_packed_once_for_all_threads() -> None:
    """Packed again, the first ones would be freed while a kernel reads them."""
    module, packed = torch.nn.Conv2d(16, 16, 1), []
    library = native_library()
    assert library is not None

    def prepare(weights: Weights) -> Packed:
        time.sleep(0.02)
        packed.append(weights.conv1x1(module))
        return packed[-1]

    seen: list[object] = []
    kernel, gate = Kernel(library, module, prepare), threading.Barrier(4)

    def ask() -> None:
        gate.wait()
        seen.append(kernel.weights()[0])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(packed) == 1
    assert all(each is packed[0] for each in seen)


@pytest.mark.skipif("amx" not in BUILDS, reason="this CPU, or its system, has no tiles")
def test_tiles_are_left_as_other_libraries_configured_them() -> None:
    """oneDNN, in PyTorch, uses tiles too, and does not configure them anew for every product."""
    stage = next(stage for stage in FORMS["esc"].stages() if stage.operation == "conv_ffn")
    kernel = native_stage(stage, libraries.open_build("amx"))
    arguments = arguments_of(stage, FORMS["esc"], (70, 70), False, 1)
    x, weight = torch.randn(1, 64, 48, 48), torch.randn(96, 64, 3, 3)
    assert kernel is not None
    with torch.autocast("cpu", torch.bfloat16):
        expected, own = torch.nn.functional.conv2d(x, weight), kernel(*arguments)
        for _ in range(3):
            assert torch.equal(kernel(*arguments), own)
            assert torch.equal(torch.nn.functional.conv2d(x, weight), expected)


def test_without_the_threads_of_openmp_the_caller_works_alone() -> None:
    library = libraries.open_build(BUILDS[0])
    assert library is not None
    stage = next(stage for stage in FORMS["esc"].stages() if stage.operation == "conv_ffn")
    arguments = arguments_of(stage, FORMS["esc"], (70, 70), False, 1)
    function = native_stage(stage, library)
    assert function is not None
    expected = function(*arguments)
    library.handle.escsr_use_openmp(None)
    try:
        assert torch.equal(function(*arguments), expected)
    finally:
        libraries.open_build(BUILDS[0])


def test_weights_that_learn_or_are_of_another_type_take_the_plain_path() -> None:
    network = ESC(VARIANTS["esc"].replace(**SMALL))
    for stage in network.stages():
        assert native_stage(stage) is None
    for stage in copy.deepcopy(FORMS["esc"]).double().stages():
        assert native_stage(stage) is None
    odd = VARIANTS["esc"].replace(**SMALL, dim=18, num_heads=3)  # no multiple of the fewest lanes, four
    narrow = inference_form(ESC(odd))
    assert native_stage(next(stage for stage in narrow.stages() if stage.operation == "conv_ffn")) is None
    assert has_kernels(torch.device("cpu")) == (native_library() is not None)


def test_why_there_is_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(libraries, "_path_of", lambda name: tmp_path / f"{name}.so")
    for content, reason in ((None, "not compiled"), (b"text", "does not load")):
        libraries._find.cache_clear()
        if content is not None:
            (tmp_path / "avx2.so").write_bytes(content)
        assert native_library() is None
        assert reason in why_no_library()
    libraries._find.cache_clear()


def test_an_installation_without_a_compiler_succeeds(tmp_path: Path) -> None:
    folder = str(tmp_path)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", folder, "--build-temp", folder]
    environment = {**os.environ, "CC": "false", "CXX": "false"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_the_libraries_are_small() -> None:
    assert sum(path.stat().st_size for path in Path(libraries.__file__).parent.rglob("*.so")) < 2 * 2**20


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(sanitizer: str, tmp_path: Path) -> None:
    flags = ["-mavx2", "-mfma"] if platform.machine() == "x86_64" else []
    source, check = Path(__file__).parent / "check_kernels.cpp", tmp_path / "check"
    include = Path(libraries.__file__).parent / "source"
    options = [
        "-std=c++17",
        "-O1",
        "-g1",  # more of it triples the time to compile
        "-Wno-psabi",
        "-pthread",
        f"-fsanitize={sanitizer}",
        f"-I{include}",
    ]
    subprocess.run(["g++", *flags, *options, source, "-o", check], check=True)
    result = subprocess.run([check], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-g++") is None, reason="there is no compiler for ARM")
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="there is no qemu-user")
def test_the_build_for_arm_runs(tmp_path: Path) -> None:
    """Emulated, because ARM's own test machine is rarely at hand: every kernel, and no NaN."""
    source, check = Path(__file__).parent / "check_kernels.cpp", tmp_path / "check"
    include = Path(libraries.__file__).parent / "source"
    options = ["-std=c++17", "-O2", "-Wno-psabi", "-pthread", "-static", f"-I{include}"]
    subprocess.run(["aarch64-linux-gnu-g++", *options, source, "-o", check], check=True)
    result = subprocess.run(["qemu-aarch64", check], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
