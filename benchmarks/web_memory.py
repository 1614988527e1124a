"""Memory of the server over many jobs: it must not grow with them.

    python benchmarks/web_memory.py --jobs 500

Starts `escsr serve`, sends small pictures from several clients at once (PNG, JPEG, WebP, at ×2, ×3 and ×4;
one in ten broken, one in ten cancelled), and records (results/web/memory.json) after each tenth of the jobs
what the process of the server holds: memory, threads, descriptors, child processes, files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from conditions import record
from escsr import images
from escsr.images import Picture

SUFFIXES = (".png", ".jpg", ".webp")
OVER = ("done", "failed", "cancelled")


def main() -> None:
    """Sends the jobs and records what the server held."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server").mkdir()
        pictures = _pictures(folder)
        arguments = ["serve", "--no-open", "--port", "0", "--device", "cpu"]
        command = [sys.executable, "-m", "escsr", *arguments]
        environment = {**psutil.Process().environ(), "TMPDIR": str(folder / "server")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            address = process.stdout.readline().split()[0]
            rows, states = _run(options, address, psutil.Process(process.pid), pictures, folder / "server")
            process.terminate()
    peak = max(row["memory_mib"] for row in rows[1:])
    values = {"jobs": options.jobs, "clients": options.clients, "ended": dict(states), "rows": rows}
    values |= {"growth_mib_after_the_first_tenth": round(peak - rows[1]["memory_mib"], 1)}
    print(record("web/memory", values))


def _run(
    options: argparse.Namespace, address: str, server: psutil.Process, pictures: list[bytes], folder: Path
) -> tuple[list[dict[str, Any]], Counter[str]]:
    states: Counter[str] = Counter()
    rows = [_held(0, server, folder)]
    tenth = options.jobs // 10
    with (
        httpx.Client(base_url=address, trust_env=False, timeout=600) as client,
        ThreadPoolExecutor(options.clients) as clients,
    ):
        for done in range(0, options.jobs, tenth):
            states.update(clients.map(partial(_job, client, pictures), range(done, done + tenth)))
            time.sleep(1)
            rows.append(_held(done + tenth, server, folder))
            print(json.dumps(rows[-1]), flush=True)
    return rows, states


def _job(client: httpx.Client, pictures: list[bytes], number: int) -> str:
    """Sends a picture, waits for its end, and fetches the result."""
    content = pictures[number % len(pictures)]
    if number % 10 == 9:
        content = content[: len(content) * 2 // 3]
    suffix = SUFFIXES[number % len(SUFFIXES)]
    answer = client.post(
        "/jobs", files={"file": (f"{number}{suffix}", content)}, data={"scale": str(2 + number % 3)}
    )
    if answer.status_code == 415:
        return "refused"
    answer.raise_for_status()
    job = f"/jobs/{answer.json()['id']}"
    if number % 10 == 4:
        client.delete(job).raise_for_status()
        return "cancelled"
    while (status := client.get(job).json())["state"] not in OVER:
        time.sleep(0.05)
    if status["state"] == "done":
        result = client.get(f"{job}/result").content
        assert len(result) == status["result_bytes"]
    client.delete(job).raise_for_status()
    return str(status["state"])


def _held(jobs: int, server: psutil.Process, folder: Path) -> dict[str, Any]:
    return {
        "jobs": jobs,
        "memory_mib": round(server.memory_info().rss / 2**20, 1),
        "threads": server.num_threads(),
        "descriptors": server.num_fds(),
        "children": len(server.children()),
        "files": sum(path.is_file() for path in folder.rglob("*") if path.name != "lock"),
    }


def _pictures(folder: Path) -> list[bytes]:
    random = np.random.default_rng(0)
    contents = []
    for number in range(30):
        path = folder / f"{number}{SUFFIXES[number % len(SUFFIXES)]}"
        pixels = random.integers(0, 256, (16 + number, 24 + number % 7, 3), dtype=np.uint8)
        images.write(Picture(pixels), path)
        contents.append(path.read_bytes())
    return contents


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
