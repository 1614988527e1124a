"""Ten minutes on a GPU: tests, the paper's tables 1 and 2, attention, precision, streaming; with records.

    PYTHONPATH=src python scripts/gpu_session.py --output results/gpu
    PYTHONPATH=src python scripts/gpu_session.py --toy --output build/toy    # a rehearsal, on a CPU too

Every step is a process of its own with a time limit of its own, in the order of what is worth most; what
does not fit into --budget is not begun. session.json says what ran, how long, and how it ended. Seven
records and that: nothing else is written. Needs what escsr needs, and for the tests pytest with xdist.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from escsr import images
from escsr.evaluation.benchmark.conditions import describe_device
from escsr.models.checkpoints import load_network
from escsr.runtime.devices import choose_device
from escsr.upscaling.inference import Inference

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/networks", "tests/streaming", "tests/runtime", "tests/upscaling", "tests/evaluation")
TOY = ("--size", "64x48", "--warm-up", "1", "--runs", "1", "--no-memory")
LEAST_SECONDS = 20
TAIL = 15


@dataclass(frozen=True)
class Step:
    """A process: its name, its command, and how long it may take."""

    name: str
    command: list[str]
    seconds: float


def main() -> None:
    """Runs the steps, or in a process of its own the one that is no command of escsr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "gpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--budget", type=float, default=570, help="seconds for all steps together")
    parser.add_argument("--toy", action="store_true", help="the same steps at toy size, and few tests")
    parser.add_argument("--only", nargs="*", help="names of steps")
    parser.add_argument("--exactness", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.exactness:
        options.exactness.write_text(
            json.dumps(exactness(options.device, toy=options.toy), indent=1) + "\n"
        )
        return
    options.output = Path(os.path.relpath(options.output, ROOT))  # where the steps run
    os.chdir(ROOT)
    options.output.mkdir(parents=True, exist_ok=True)
    steps = [step for step in plan(options) if not options.only or step.name in options.only]
    session: dict[str, Any] = {"device": describe_device(choose_device(options.device)), "toy": options.toy}
    told: list[dict[str, Any]] = []
    for each in run_all(steps, options.budget):
        told.append(each)
        (options.output / "session.json").write_text(
            json.dumps({**session, "steps": told}, indent=1) + "\n"
        )
    sys.exit(any(each["ended"] not in (0, "skipped") for each in told))


def plan(options: argparse.Namespace) -> list[Step]:
    """All steps, the most telling first."""
    toy, device = options.toy, options.device

    def benchmark(name: str, seconds: float, *words: str, each: int = 4) -> Step:
        how = TOY if toy else ("--seconds", str(each))
        output = str(options.output / f"{name}.json")
        command = ["-m", "escsr", "benchmark", *words, "--device", device, "-o", output, *how]
        return Step(name, [sys.executable, *command], seconds)

    flex = [] if toy else ["esc-x2,attention=flex", "esc-x2,form=trained,attention=flex"]
    compiled = [] if toy else ["esc-x2,compile=default", "esc-x2,compile=max-autotune,precision=float16"]
    large = "192x128" if toy else "3840x2160"
    tests = ["tests/networks/test_on_devices.py"] if toy else list(TESTS)
    workers = ["-n", "0"] if toy else ["-n", "8"]
    exact = [
        "scripts/gpu_session.py",
        "--exactness",
        str(options.output / "exactness.json"),
        "--device",
        device,
    ]
    layers = ["window-attention-16-64,attention=plain", "window-attention-16-64"] if toy else ["table1"]
    return [
        Step("exactness", [sys.executable, *exact, *(["--toy"] if toy else [])], 60),
        Step("tests", [sys.executable, "-m", "pytest", "-q", *workers, *tests], 150),
        benchmark("table2-x4", 110, "table2", "--scale", "4", each=2),
        benchmark("table1", 60, *layers, *([] if toy else ["--attention", "flex"]), each=1),
        benchmark("attention", 100, "esc-x2,attention=plain", "esc-x2,attention=sdpa", *flex, *compiled),
        benchmark("precision", 60, *(f"esc-x2,precision={each}" for each in precisions())),
        benchmark("streaming", 60, "esc-x2,form=streaming", "--against", "esc-x2", "--size", large),
        benchmark("table2-x2", 150, "table2", "--scale", "2", each=3),
    ]


def precisions() -> tuple[str, ...]:
    """All but "auto"."""
    return ("float32", "tf32", "bfloat16", "float16")


def run_all(steps: list[Step], budget: float) -> Iterator[dict[str, Any]]:
    """Runs the steps one by one; a word on each as it ends."""
    end = time.monotonic() + budget
    for step in steps:
        left = end - time.monotonic()
        if left < min(step.seconds, LEAST_SECONDS):
            yield {**asdict(step), "ended": "skipped", "took": 0.0}
            continue
        start = time.monotonic()
        try:
            done = subprocess.run(
                step.command,
                capture_output=True,
                text=True,
                check=False,
                timeout=min(step.seconds, left),
            )
            ended: object = done.returncode
            printed = [*done.stdout.splitlines()[-TAIL:], *done.stderr.splitlines()[-TAIL:]]
        except subprocess.TimeoutExpired:
            ended, printed = "out of time", []
        took = round(time.monotonic() - start, 1)
        print(f"{step.name}: {ended}, {took} s", *printed, sep="\n  ", flush=True)
        command = ["python", *step.command[1:]]
        yield {"name": step.name, "command": command, "ended": ended, "took": took, "printed": printed}


@torch.no_grad()
def exactness(device: str, *, toy: bool) -> dict[str, Any]:
    """How far results on a device are from those of the whole picture in float32 there and on the CPU."""
    where, side = choose_device(device), 48 if toy else 256
    pixels = images.read(ROOT / "examples" / "flowers.png").colour[:side, :side]
    lr = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    rows = []
    for name in ("esc-light-x2",) if toy else ("esc-light-x2", "esc-x2", "esc-fp-x4"):
        network = load_network(name, device=where).requires_grad_(False)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            whole = network(lr.to(where)).cpu()
        cases = {"on the CPU": load_network(name)(lr)}
        for precision in precisions():
            inference = Inference(network, tile_size=32 if toy else 128, precision=precision)  # type: ignore[arg-type]
            cases[f"in tiles, {precision}"] = inference.run(lr)
        for case, result in cases.items():
            error = (result.double() - whole.double()).abs()
            square = float(error.square().mean())
            psnr = None if square == 0 else -10 * float(np.log10(square))
            rows.append({"model": name, "case": case, "max": float(error.max()), "psnr_db": psnr})
    reference = "the whole picture in float32 on this device"
    return {"reference": reference, "rows": rows, "conditions": describe_device(where)}


if __name__ == "__main__":
    main()
