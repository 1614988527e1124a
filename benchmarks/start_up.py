"""How long `escsr upscale` of a 64×64 icon takes, and on what.

    python benchmarks/start_up.py --rounds 5

Runs the command as a process of its own, and then the same in this file's child process, step by step.
Records seconds (medians) in results/speed/start-up.json.
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


def main() -> None:
    """Times the command and its steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with TemporaryDirectory() as folder:
        icon, result = Path(folder) / "icon.png", Path(folder) / "result.png"
        _write_icon(icon)
        command = [sys.executable, "-m", "escsr", "upscale", str(icon), "-o", str(result)]
        whole, steps = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            whole.append(time.perf_counter() - start)
            child = [sys.executable, "-c", CHILD, str(icon), str(result)]
            output = subprocess.run(child, check=True, capture_output=True, text=True).stdout
            steps.append(json.loads(output))
    middle = {name: round(median(each[name] for each in steps), 3) for name in steps[0]}
    print(f"whole command {median(whole):.2f} s; step by step {middle}")
    from conditions import record

    print(record("speed/start-up", {"command_seconds": whole, "median": median(whole), "steps": middle}))


def _write_icon(path: Path) -> None:
    import numpy as np

    from escsr import images

    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    images.write(images.Picture(pixels), path)


if __name__ == "__main__":
    main()
