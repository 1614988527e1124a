"""How long `escsr upscale` of a 64×64 icon takes, and on what.

    python benchmarks/start_up.py --rounds 5

Runs the command as a process of its own; the same where Python ends as it would by itself, looking for
cycles among PyTorch's modules; and then the same in this file's child process, step by step. In turn;
seconds (medians) are recorded in results/speed/start-up.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

CHILD = """
import json, sys, time
start, seconds = time.perf_counter(), {}
def step(name):
    global start
    now = time.perf_counter()
    seconds[name], start = now - start, now
import torch; step("import torch")
import escsr.cli.commands; step("import the command")
import escsr.batch; step("import the rest")
import escsr
upscaler = escsr.Upscaler("auto"); step("load the model")
from escsr import images
picture = images.read(sys.argv[1]); step("read")
larger = upscaler.upscale_picture(picture); step("upscale")
images.write(larger, sys.argv[2]); step("write")
print(json.dumps(seconds))
"""

ENDS_BY_ITSELF = "import gc; gc.freeze = int; from escsr.cli import main; main()"


def main() -> None:
    """Times the command and its steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with TemporaryDirectory() as folder:
        icon, result = Path(folder) / "icon.png", Path(folder) / "result.png"
        _write_icon(icon)
        arguments = ["upscale", str(icon), "-o", str(result)]
        whole, usual, steps = [], [], []
        for _ in range(rounds):
            whole.append(_seconds([sys.executable, "-m", "escsr", *arguments]))
            usual.append(_seconds([sys.executable, "-c", ENDS_BY_ITSELF, *arguments]))
            child = [sys.executable, "-c", CHILD, str(icon), str(result)]
            output = subprocess.run(child, check=True, capture_output=True, text=True).stdout
            steps.append(json.loads(output))
    middle = {name: round(median(each[name] for each in steps), 3) for name in steps[0]}
    print(f"whole command {median(whole):.2f} s, {median(usual):.2f} with Python's end; steps {middle}")
    from conditions import record

    seconds = {"command_seconds": whole, "median": median(whole), "with_pythons_end": usual}
    print(record("speed/start-up", {**seconds, "ratio": median(whole) / median(usual), "steps": middle}))


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _write_icon(path: Path) -> None:
    import numpy as np

    from escsr import images

    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    images.write(images.Picture(pixels), path)


if __name__ == "__main__":
    main()
