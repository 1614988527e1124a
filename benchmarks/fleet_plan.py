"""Takes a table of ten million rows through the planner of `escsr fleet`, and the rest of it through Ray.

    python benchmarks/fleet_plan.py --record

Nothing is read or upscaled: rows go through a function that does nothing. First all rows are planned; then
nine in ten get outcomes, as a run leaves that was killed, and all are planned again; what is left goes
through two actors. Time and the driver's memory are measured. Writes results/fleet/plan.json.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pyarrow as pa
from pyarrow import parquet

from conditions import record
from escsr.fleet.cluster import cluster, run_plan
from escsr.fleet.outcomes import SCHEMA, claim, outcomes_uri
from escsr.fleet.plan import Plan, make_plan, plan_uri
from escsr.upscaling.options import UpscaleOptions

_AT_ONCE = 1_000_000


def main() -> None:
    """Runs it and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        found = measure(Path(name), given.rows)
    found |= {"ray": version("ray"), "pyarrow": version("pyarrow")}
    print(json.dumps(found, indent=1))
    if given.record:
        record("fleet/plan", found)


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """All three parts, one after the other."""
    table, output = folder / "t.parquet", str(folder / "out")
    write_table(table, rows)
    found: dict[str, Any] = {"rows": rows, "table_mib": round(table.stat().st_size / 2**20, 1)}

    def plan(run: str) -> Plan:
        claim(output, run)
        return make_plan(str(table), output, run, options=UpscaleOptions(device="cpu"))

    with measured(found, "plan"):
        first = plan("first")
    assert first.rows == rows
    finished = finish(output, first, rows * 9 // 10)
    with measured(found, "plan_again"):
        second = plan("second")
    assert (second.rows, second.done_before) == (rows - finished, finished)
    found["plan_again"]["done_before"] = finished
    with cluster("local"), measured(found, "dispatch"):
        summary = run_plan(second, output, num_actors=2, work=identity)
    assert (summary.done, summary.left) == (second.rows, 0), asdict(summary)
    found["dispatch"]["rows"] = summary.done
    return found


def identity() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What does nothing in the place of upscaling."""

    def outcome(row: dict[str, Any]) -> dict[str, Any]:
        told = {name: row[name] for name in ("path", "target", "key", "settings_sha256", "model_sha256")}
        return {**told, "status": "done", "attempt": 1, "pixels": 1, "seconds": 0.0, "host": "here"}

    return outcome


def write_table(path: Path, rows: int) -> None:
    """Paths as they are in a store: s3://pictures/000123/000123456.jpg."""
    with parquet.ParquetWriter(path, pa.schema([("path", pa.string())])) as writer:
        for start in range(0, rows, _AT_ONCE):
            paths = [
                f"s3://pictures/{index // 1000:06d}/{index:09d}.jpg"
                for index in range(start, min(start + _AT_ONCE, rows))
            ]
            writer.write_table(pa.table({"path": paths}))


def finish(output: str, plan: Plan, count: int) -> int:
    """Writes outcomes for the first rows of a plan, as if a run had done them; returns how many."""
    folder, done = Path(outcomes_uri(output, "done")), 0
    folder.mkdir(parents=True)
    for file in sorted(Path(plan_uri(output, plan.run)).iterdir()):
        planned = parquet.read_table(file).slice(0, count - done)
        columns = {
            field.name: planned[field.name]
            if field.name in planned.schema.names
            else pa.nulls(len(planned))
            for field in SCHEMA
        }
        parquet.write_table(pa.table(columns).cast(SCHEMA), folder / file.name)
        done += len(planned)
        if done >= count:
            break
    return done


@contextmanager
def measured(found: dict[str, Any], name: str) -> Iterator[None]:
    """Adds seconds, and the memory of this process at its highest beside that before."""
    process, ended, highest = psutil.Process(os.getpid()), threading.Event(), [0]
    before = process.memory_info().rss

    def sample() -> None:
        while not ended.wait(0.05):
            highest[0] = max(highest[0], process.memory_info().rss)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    begin, busy = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        ended.set()
        sampler.join()
    found[name] = {
        "seconds": round(time.perf_counter() - begin, 1),
        "processor_seconds": round(time.process_time() - busy, 1),
        "memory_mib": round(highest[0] / 2**20, 1),
        "memory_before_mib": round(before / 2**20, 1),
    }


if __name__ == "__main__":
    main()
