"""Kills a run of `escsr fleet` (an actor, then the driver), starts it again, and looks whether each target
is there once, with the bytes of `escsr upscale`.

    python benchmarks/fleet_kills.py --record

writes results/fleet/kills-folder.json. `--store s3` does the same with an S3-compatible store as output,
moto's server, and writes kills-s3.json; it requires the packages s3fs, moto and flask.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from pyarrow import dataset

from conditions import record
from escsr import batch, images
from escsr.files import sha256_of
from escsr.fleet.outcomes import outcomes_uri
from escsr.fleet.stores import fetched, file_system, list_files
from escsr.images import Picture

FLOWERS = Path(__file__).parent.parent / "examples" / "flowers.png"
MODEL = "esc-light-x2"
_SECONDS = 1200


def main() -> None:
    """Runs it and prints what was found; ends with an error where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--store", choices=("folder", "s3"), default="folder")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as name, store(given.store, Path(name)) as output:
        found = kill_twice(Path(name), output, given.pictures)
    found |= {"store": given.store, "ray": version("ray"), "pyarrow": version("pyarrow")}
    print(json.dumps(found, indent=1))
    if given.record:
        record(f"fleet/kills-{given.store}", found)


def kill_twice(folder: Path, output: str, count: int) -> dict[str, Any]:
    """The whole: pictures and expected results; a run that is killed, one that ends, one without work."""
    broken = make_pictures(folder / "in", count)
    batch.upscale(folder / "in", folder / "expected", model=MODEL, device="cpu")
    expected = {
        os.fspath(path.relative_to(folder / "expected")): sha256_of(path)
        for path in images.find_images(folder / "expected")
    }
    assert len(expected) == count - len(broken)
    begin = time.perf_counter()
    killed = _killed_run(folder, output, count)
    second = _run(folder, output)
    seconds = time.perf_counter() - begin
    third = _run(folder, output)
    targets = results_in(output)
    rows = rows_of(output)
    times = Counter(row["target"] for row in rows)
    failed = {row["target"] for row in rows if row["status"] == "failed"}
    assert targets == expected, set(targets.items()) ^ set(expected.items())
    assert max(times.values()) == 1, times.most_common(3)
    assert failed == broken
    assert {row["target"]: row["result_sha256"] for row in rows if row["status"] == "done"} == expected
    assert second["done"] + second["failed"] + second["done_before"] + second["given_up_before"] == count
    assert (third["done"], third["failed"], third["left"]) == (0, 0, 0)
    return {
        "pictures": count,
        "model": MODEL,
        **killed,
        "second_run": {name: second[name] for name in ("done", "failed", "done_before", "given_up_before")},
        "third_run": {name: third[name] for name in ("done", "failed", "done_before", "given_up_before")},
        "results_equal_to_escsr_upscale": len(targets),
        "rows": len(rows),
        "rows_twice": sum(times.values()) - len(times),
        "dead_letters": len(failed),
        "seconds": round(seconds, 1),
    }


def make_pictures(folder: Path, count: int) -> set[str]:
    """Crops of 24 to 48 pixels in eight folders, one in forty of them broken; returns names of those."""
    pixels = images.read(FLOWERS).pixels
    random, broken = np.random.default_rng(0), set()
    for index in range(count):
        rows, columns = (int(side) for side in random.integers(24, 49, 2))
        top, left = (
            int(random.integers(0, most)) for most in (pixels.shape[0] - rows, pixels.shape[1] - columns)
        )
        name = f"{index % 8}/{index:04d}.{'jpg' if index % 3 else 'png'}"
        images.write(Picture(pixels[top : top + rows, left : left + columns]), folder / name)
        if index % 40 == 7:
            (folder / name).write_bytes((folder / name).read_bytes()[:200])
            broken.add(name)
    return broken


def results_in(output: str) -> dict[str, str]:
    """Names of results to their digests."""
    digests = {}
    for uri in list_files(output):
        name = uri.removeprefix(f"{output}/")
        if not name.startswith("_fleet/"):
            with fetched(uri) as path:
                digests[name] = sha256_of(path)
    return digests


def rows_of(output: str) -> list[dict[str, Any]]:
    """All outcomes, as any program reads them."""
    filesystem, path = file_system(outcomes_uri(output))
    table = dataset.dataset(path, filesystem=filesystem, format="parquet", partitioning="hive").to_table()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _command(folder: Path, output: str) -> list[str]:
    options = ["--num-actors", "2", "-m", MODEL, "--device", "cpu", "--json"]
    return [sys.executable, "-m", "escsr", "fleet", str(folder / "in"), "-o", output, *options]


def _run(folder: Path, output: str) -> dict[str, Any]:
    done = subprocess.run(
        _command(folder, output), capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert done.returncode in (0, 1), done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def _killed_run(folder: Path, output: str, count: int) -> dict[str, Any]:
    """Starts a run, kills an actor after a quarter of the results, the driver after half of them."""
    log = folder / "log"
    with open(log, "wb") as file:
        driver = psutil.Popen(_command(folder, output), stdout=file, stderr=file)
    try:
        _wait(lambda: len(results_in(output)) >= count // 4 and _actors(driver), driver, log)
        victim = _actors(driver)[0]
        at_first = len(results_in(output))
        victim.kill()
        _wait(lambda: len(results_in(output)) >= count // 2, driver, log)
        everything = [*_actors(driver), *_actors(driver, "Ledger"), *_actors(driver, "raylet")]
        driver.kill()
        driver.wait()
        _, alive = psutil.wait_procs(everything, timeout=180)
        assert not alive, [process.name() for process in alive]
    finally:
        if driver.is_running():
            driver.kill()
    return {
        "results_when_an_actor_was_killed": at_first,
        "results_when_the_driver_was_killed": len(results_in(output)),
    }


def _actors(driver: psutil.Popen, name: str = "MapWorker") -> list[psutil.Process]:
    found = []
    for process in driver.children(recursive=True):
        with suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found


def _wait(until: Callable[[], object], driver: psutil.Popen, log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while not until():
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)


@contextmanager
def store(kind: str, folder: Path) -> Iterator[str]:
    """Where results go: a folder, or a bucket of a server that is started for it."""
    if kind == "folder":
        yield str(folder / "out")
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": host,
    }
    try:
        file_system("s3://bucket")[0].mkdir("bucket")
        yield "s3://bucket/results"
    finally:
        server.stop()


if __name__ == "__main__":
    main()
