"""The native CPU kernels against what else a user could run, interleaved in one process.

    python benchmarks/cpu_speed.py --models esc-x2 --size 320x180 --threads 2 --rounds 3
    python benchmarks/cpu_speed.py --models esc-x2 --size 1024x1024 --apart

Ways: `Upscaler`'s inference with the kernels and without them (PyTorch's operators), the reference's
computation with SDPA (bias gathered and large kernel averaged in each call, NCHW, the whole picture at
once), OpenVINO with its precision hint, ONNX Runtime. Random pictures, trained weights, static shapes for
the engines. Records seconds per LR megapixel, ratios of medians, the largest difference from
the network and the peak of matrix products in the same run in results/speed/cpu-SIZE-THREADS.json.
With `--apart` each way runs in a process of its own, in turn, once to warm up and once for the clock: at
1024×1024 the engines' memory does not fit into one. A way whose process ends without a result is recorded
as null.
`--profile` also times each kind of stage by itself. Needs openvino, onnx, onnxscript and onnxruntime.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch import Tensor

import escsr.kernels.cpu
from conditions import record
from escsr.kernels.cpu import native_library, native_stage
from escsr.models.checkpoints import load_network
from escsr.networks import ESC
from escsr.networks.attention import WindowAttention
from escsr.networks.inference_form import inference_form
from escsr.networks.layers import NO_MARGIN
from escsr.networks.upsamplers import whole_output
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.inference import Inference

Way = Callable[[Tensor], Tensor]


def main() -> None:
    """Runs every way in turn, round after round."""
    options = _options()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    width, height = map(int, options.size.split("x"))
    lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    if options.one:
        _one(options.models[0], lr, options)
        return
    megapixels = width * height / 1e6
    library = native_library()
    values: dict[str, Any] = {
        "size": [width, height],
        "threads": options.threads,
        "kernels": library and library.name,
        "gflops": {"float32": _gflops(torch.float32), "bfloat16": _gflops(torch.bfloat16)},
        "models": {},
    }
    print(values["gflops"])
    for model in options.models:
        network = load_network(model).requires_grad_(False)
        run = _apart if options.apart else _together
        seconds, differences = run(model, network, lr, options)
        middle = {name: round(median(times), 2) for name, times in seconds.items() if times}
        for name, value in middle.items():
            print(f"{model:14} {name:22} {value:8.2f} s/MP   {differences.get(name, '')}", flush=True)
        values["models"][model] = {
            "seconds_per_megapixel": middle,
            "all": {name: [round(each, 2) for each in times] or None for name, times in seconds.items()},
            "ratios": _ratios(middle),
        }
        if differences:
            values["models"][model]["max_difference_from_native_float32"] = differences
        if options.profile:
            values["models"][model]["stages"] = _profile(network, lr, megapixels)
    print(record(f"speed/cpu-{options.name or options.size}-{options.threads}", values))


Seconds = dict[str, list[float]]


def _together(
    model: str,  # noqa: ARG001
    network: ESC,
    lr: Tensor,
    options: argparse.Namespace,
) -> tuple[Seconds, dict[str, float]]:
    """Every way in this process, in turn; their seconds per megapixel and largest differences."""
    megapixels = lr[0, 0].numel() / 1e6
    ways = {name: _WAYS[name](network, lr, options.threads) for name in options.ways}
    seconds: Seconds = {name: [] for name in ways}
    differences: dict[str, float] = {}
    expected: Tensor | None = None
    for _ in range(options.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            result = way(lr)
            seconds[name].append((time.perf_counter() - start) / megapixels)
            expected = result if expected is None else expected
            differences[name] = float((result - expected).abs().max())
    return seconds, differences


def _apart(
    model: str,
    network: ESC,  # noqa: ARG001
    lr: Tensor,  # noqa: ARG001
    options: argparse.Namespace,
) -> tuple[Seconds, dict[str, float]]:
    """Every way in a process of its own, in turn; no differences, which smaller pictures show."""
    seconds: Seconds = {name: [] for name in options.ways}
    for _ in range(options.rounds):
        for name in options.ways:
            command = [sys.executable, __file__, "--one", "--models", model, "--size", options.size]
            command += ["--threads", str(options.threads), "--ways", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode == 0:
                seconds[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{model:14} {name:22} {seconds[name][-1:]}", flush=True)
    return seconds, {}


def _one(model: str, lr: Tensor, options: argparse.Namespace) -> None:
    """Prints the seconds per megapixel of one way's second run. Linux ends it first if memory is short."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    way = _WAYS[options.ways[0]](load_network(model).requires_grad_(False), lr, options.threads)
    way(lr)
    start = time.perf_counter()
    way(lr)
    print(json.dumps((time.perf_counter() - start) / (lr[0, 0].numel() / 1e6)))


def _ratios(middle: dict[str, float]) -> dict[str, float]:
    """How many times faster the kernels are than the other ways of their precision."""
    ratios = {}
    for name, value in middle.items():
        precision = "bfloat16" if "bfloat16" in name else "float32"
        ours = middle.get(f"native {precision}")
        if ours and not name.startswith("native"):
            ratios[name] = round(value / ours, 2)
    return ratios


def _inference(precision: str, native: bool, network: ESC, lr: Tensor, _: int) -> Way:  # noqa: ARG001
    inference = Inference(network, precision=precision)  # type: ignore[arg-type]

    def run(picture: Tensor) -> Tensor:
        if native:
            return inference.run(picture)
        with (
            mock.patch.object(escsr.kernels.cpu, "native_stage", return_value=None),
            mock.patch.object(escsr.kernels.cpu, "native_library", return_value=None),
        ):
            return Inference(network, precision=precision, tile_size=256).run(picture)  # type: ignore[arg-type]

    return run


@cache
def _gather_index(window: int) -> Tensor:
    """Place of each pair of pixels in the table, as the reference looks it up: (w², w²)."""
    rows, columns = (each.flatten() for each in torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij"))
    down = rows[None] - rows[:, None] + window - 1
    right = columns[None] - columns[:, None] + window - 1
    return down * (2 * window - 1) + right


def _reference(network: ESC, lr: Tensor, _: int) -> Way:  # noqa: ARG001
    """Bias and large kernel are made in every call."""

    def gathered(module: WindowAttention) -> Tensor | None:
        table = module.bias_table
        return None if table is None else table[:, _gather_index(module.window)]

    @torch.no_grad()
    def run(picture: Tensor) -> Tensor:
        with mock.patch.object(WindowAttention, "position_bias", gathered):
            return network(picture)

    return run


def _openvino(hint: str, network: ESC, lr: Tensor, threads: int) -> Way:
    import openvino

    with torch.no_grad():
        model = openvino.convert_model(inference_form(network), example_input=lr, input=list(lr.shape))
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda picture: torch.from_numpy(request.infer([picture.numpy()])[0].copy())


def _onnxruntime(network: ESC, lr: Tensor, threads: int) -> Way:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with TemporaryDirectory() as folder, mock.patch("sys.stdout", io.StringIO()):
        file = Path(folder) / "network.onnx"
        torch.onnx.export(
            inference_form(network), (lr,), file, dynamo=True, external_data=False, verbose=False
        )
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: torch.from_numpy(session.run(None, {name: picture.numpy()})[0])


_WAYS: dict[str, Callable[[ESC, Tensor, int], Way]] = {
    "native float32": partial(_inference, "float32", True),
    "native bfloat16": partial(_inference, "bfloat16", True),
    "plain float32": partial(_inference, "float32", False),
    "plain bfloat16": partial(_inference, "bfloat16", False),
    "reference float32": _reference,
    "OpenVINO float32": partial(_openvino, "f32"),
    "OpenVINO bfloat16": partial(_openvino, "bf16"),
    "ONNX Runtime float32": _onnxruntime,
}


def _gflops(dtype: torch.dtype) -> float:
    """The best of ten products of 2048×2048 matrices by PyTorch."""
    a, b = torch.randn(2, 2048, 2048).to(dtype)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    return round(best)


@torch.no_grad()
def _profile(network: ESC, lr: Tensor, megapixels: float) -> dict[str, dict[str, float]]:
    """Seconds per megapixel of each kind of stage over the whole picture, the second of two runs."""
    form = inference_form(network)
    taken: dict[str, dict[str, float]] = {"float32": {}, "bfloat16": {}}
    for precision, seconds in taken.items():
        maps: dict[str, Tensor] = {"lr": form.normalise(lr)}
        pooled = None
        for stage in form.stages():
            function = native_stage(stage)
            if function is None:
                maps[stage.output] = stage.module(*(maps[name] for name in stage.inputs))
                continue
            arguments: list[Any] = [maps[name] for name in stage.inputs]
            if stage.operation == "upsample":
                arguments.append(whole_output(lr, form.output_size(*lr.shape[-2:])))
            arguments += [NO_MARGIN] if stage.halo and stage.operation != "upsample" else []
            arguments += [pooled] if stage.takes_pooled else []
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                function(*arguments)
                start = time.perf_counter()
                maps[stage.output] = function(*arguments)
                spent = (time.perf_counter() - start) / megapixels
            seconds[stage.operation] = round(seconds.get(stage.operation, 0) + spent, 3)
            pooled = stage.pool(maps[stage.output]) if stage.pool else None
    return taken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["esc-x2", "esc-x4", "esc-light-x2", "esc-fp-x2"])
    parser.add_argument("--size", default="320x180", help="LR pixels, WIDTHxHEIGHT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=list(_WAYS), choices=_WAYS)
    parser.add_argument("--apart", action="store_true", help="a process for each way")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--name", help="of the record, instead of the size")
    return parser.parse_args()


if __name__ == "__main__":
    main()
