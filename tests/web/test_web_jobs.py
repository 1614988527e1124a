"""Many clients at once, cancelling, and the ends of results, jobs and servers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from escsr import batch, images
from escsr.images import Picture
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.web.jobs import Job, Jobs
from escsr.web.limits import Limits
from escsr.web.metrics import Metrics
from escsr.web.plan import Plan
from escsr.web.routes import job_events
from escsr.web.server import private_folder
from escsr.web.server import serve as run_server
from escsr.web.service import Service, WebOptions
from web.serving import Served

Serve = Callable[..., Served]


@pytest.mark.slow
def test_eight_clients_get_their_own_pictures(served: Served, weights: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sources = [tmp_path / f"{number}{'.png' if number % 2 else '.webp'}" for number in range(16)]
    for number, source in enumerate(sources):
        pixels = random.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        images.write(Picture(pixels), source)
    with ThreadPoolExecutor(8) as clients:
        results = list(clients.map(served.result, sources))
    outcomes = batch.upscale(sources, tmp_path / "out", model=str(weights), device="cpu")
    assert [outcome.job.target.read_bytes() for outcome in outcomes] == results
    assert len(set(results)) == len(results)


def queued(jobs: Jobs, side: int) -> Job:
    """A job for a picture whose result has sides of so many pixels."""
    job = jobs.create("photo.png")
    job.folder.mkdir()
    job.source.write_bytes(b"upload")
    job.plan = Plan(
        options=UpscaleOptions(),
        weights=Path("model"),
        size=TargetSize(scale=2),
        target=job.folder / "result.png",
        result_name="photo_x2.png",
        in_size=(side // 2, side // 2),
        out_size=(side, side),
        work=side * side // 4,
    )
    with jobs.coming(6) as place:
        jobs.add(job, place)
    return job


def test_work_waits_for_room_for_its_result(tmp_path: Path) -> None:
    """One that is alone may take any room; none begins beside others that fill the store."""
    jobs = Jobs(tmp_path, Limits(max_upload_mib=0.1, max_stored_mib=1))
    first, second, third, last = queued(jobs, 400), queued(jobs, 400), queued(jobs, 16), queued(jobs, 16)
    assert jobs.next() is first, "larger than the store, but alone"
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(jobs.next)
        first.result_bytes = 900_000
        jobs.end(first, "done")
        time.sleep(0.2)
        assert not following.done()
        jobs.delete(first)
        assert following.result(timeout=10) is second
        second.result_bytes = 900_000
        jobs.end(second, "done")
        assert worker.submit(jobs.next).result(timeout=10) is third, "beside which there is room"
        third.result_bytes = 900_000
        following = worker.submit(jobs.next)
        jobs.end(third, "done")
        second.fetched = time.monotonic() - 1000
        third.fetched = time.monotonic() - 1000
        assert not following.done()
        jobs.sweep()
        assert following.result(timeout=10) is last


def test_a_stream_ends_with_the_server_not_with_the_step_at_work(tmp_path: Path) -> None:
    """A step of the network may take longer than uvicorn waits for streams."""
    jobs = Jobs(tmp_path, Limits())
    service = Service(WebOptions(), offers={}, jobs=jobs, metrics=Metrics(jobs))
    queued(jobs, 16)
    job = jobs.next()
    assert job is not None

    async def listen() -> list[str]:
        stream = job_events(service, job)
        first = await anext(stream)
        jobs.close()
        return [event.decode() for event in (first, *[event async for event in stream])]

    working, last = asyncio.run(asyncio.wait_for(listen(), 5))
    assert '"state":"working"' in working
    assert '"state":"cancelled"' in last
    assert '"error":"The server was stopped."' in last


def test_a_job_that_ends_while_it_is_looked_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path, Limits())
    service = Service(WebOptions(), offers={}, jobs=jobs, metrics=Metrics(jobs))
    queued(jobs, 16)
    job = jobs.next()
    assert job is not None

    def ended_meanwhile(job: Job) -> int:
        jobs.end(job, "done")
        return 0

    async def listen() -> list[str]:
        stream = job_events(service, job)
        first = await anext(stream)
        # Behind the state, this is the next that the status asks for; the worker has the lock meanwhile.
        monkeypatch.setattr(jobs, "ahead_of", ended_meanwhile)
        return [event.decode() for event in (first, *[event async for event in stream])]

    told = asyncio.run(asyncio.wait_for(listen(), 5))
    assert '"state":"working"' in told[0]
    assert '"state":"done"' in told[-1]


def test_cancelling_stops_the_work(served: Served, photo: Path, large: Path) -> None:
    served.wait(served.send(photo))
    job = served.send(large)
    while not (status := served.client.get(f"/jobs/{job['id']}").json())["progress"]:
        assert status["state"] in ("waiting", "working")
        time.sleep(0.01)
    assert status["progress"] < 0.9
    waiting = served.send(photo)
    assert waiting["ahead"] == 0
    start = time.monotonic()
    assert served.client.delete(f"/jobs/{job['id']}").status_code == 204
    served.wait(waiting, "working")
    assert time.monotonic() - start < 2
    assert served.wait(waiting)["state"] == "done"
    assert served.client.get(f"/jobs/{job['id']}").status_code == 404


def test_cancelling_while_it_waits(served: Served, photo: Path, large: Path) -> None:
    first, second, third = served.send(large), served.send(photo), served.send(photo)
    assert served.client.get(f"/jobs/{third['id']}").json()["ahead"] in (1, 2)
    served.client.delete(f"/jobs/{second['id']}")
    served.client.delete(f"/jobs/{first['id']}")
    assert served.wait(third)["state"] == "done"


def test_a_job_has_a_limit_of_time(serve: Serve, photo: Path, large: Path) -> None:
    served = serve(max_job_minutes=0.06)
    failed = served.wait(served.send(large))
    assert failed["state"] == "failed"
    assert failed["error"].startswith("large.png: takes more than 0.06 minutes, the most that this server")
    assert served.client.get("/about").json()["max_job_minutes"] == 0.06
    assert served.wait(served.send(photo))["state"] == "done"


def test_results_are_deleted_after_they_were_fetched(serve: Serve, photo: Path) -> None:
    served = serve(keep_fetched_seconds=0.2)
    job = served.wait(served.send(photo))
    path = f"/jobs/{job['id']}/result"
    assert served.client.get(path).content == served.client.get(path).content
    end = time.monotonic() + 10
    while (answer := served.client.get(path)).status_code == 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert answer.status_code == 410
    assert served.client.get(f"/jobs/{job['id']}").json()["result_bytes"] is None
    assert list(served.folder.iterdir()) == []


def test_jobs_are_forgotten_when_their_time_is_over(serve: Serve, photo: Path, tmp_path: Path) -> None:
    served = serve(keep_seconds=0.5)
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:-40])
    jobs = [served.send(photo), served.send(tmp_path / "cut.png")]
    for job in jobs:
        served.wait(job)
    end = time.monotonic() + 10
    while list(served.folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.1)
    for job in jobs:
        while served.client.get(f"/jobs/{job['id']}").status_code == 200:
            assert time.monotonic() < end
    assert list(served.folder.iterdir()) == []


@pytest.mark.slow
def test_ended_jobs_are_bounded(serve: Serve, photo: Path, tmp_path: Path) -> None:
    served = serve(max_records=2)
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:-40])
    kept = served.send(photo)
    failed = [served.send(tmp_path / "cut.png") for _ in range(4)]
    end = time.monotonic() + 60
    while served.service.jobs.counts()[:2] != (0, 0):
        assert time.monotonic() < end
        time.sleep(0.05)
    served.service.jobs.sweep()
    known = [served.client.get(f"/jobs/{job['id']}").status_code for job in (kept, *failed)]
    assert known == [200, 404, 404, 404, 200]


@contextmanager
def command(folder: Path, weights: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`escsr serve` as a process that keeps its files in a folder, and a client of it."""
    arguments = ["serve", "--no-open", "--port", "0", "--device", "cpu", "--models", str(weights)]
    process = subprocess.Popen(
        [sys.executable, "-m", "escsr", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                yield process, client
        finally:
            process.kill()


def post(client: httpx.Client, name: str, content: bytes) -> dict[str, str]:
    return client.post("/jobs", files={"file": (name, content)}).json()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
@pytest.mark.usefixtures("heeded_signals")
def test_signals_end_all_in_order(
    tmp_path: Path, weights: Path, photo: Path, large: Path, number: int, code: int
) -> None:
    with command(tmp_path, weights) as (process, client):
        job, _ = (post(client, path.name, path.read_bytes()) for path in (large, photo))
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        with client.stream("GET", f"/jobs/{job['id']}/events") as stream:
            lines = stream.iter_lines()
            while "working" not in next(lines):
                pass
            start = time.monotonic()
            process.send_signal(number)
            last = [line for line in lines if line][-1]
        _, said = process.communicate(timeout=30)
    assert time.monotonic() - start < 10
    assert '"state":"cancelled"' in last
    assert '"error":"The server was stopped."' in last
    assert process.returncode == code, said
    assert said in ("", "Aborted.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("heeded_signals")
def test_nothing_of_a_picture_is_said(tmp_path: Path, weights: Path, photo: Path) -> None:
    content = photo.read_bytes()
    with command(tmp_path, weights) as (process, client):
        for sent in (content, content[:-40], b"secret content"):
            job = post(client, "secret name.png", sent)
            if "id" in job:
                assert client.get(f"/jobs/{job['id']}/events").text.count("secret name.png") > 0
        process.send_signal(signal.SIGTERM)
        told, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert (told, said) == ("", "")


def test_nothing_of_a_picture_is_logged(
    served: Served, photo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where everything is."""
    content = photo.read_bytes()
    with caplog.at_level(logging.DEBUG):
        for number, sent in enumerate((content, content[:-40], b"secret content")):
            (tmp_path / f"secret {number}.png").write_bytes(sent)
            answer = served.post(tmp_path / f"secret {number}.png")
            if answer.status_code == 202:
                served.wait(answer.json())
    records = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert any(record.name == "escsr.web.worker" for record in records)
    assert not [record for record in records if "secret" in caplog.handler.format(record)]


def test_no_room_for_a_picture(serve: Serve, photo: Path) -> None:
    served = serve()
    served.folder.rmdir()
    answer = served.post(photo)
    assert answer.status_code == 507
    assert answer.json()["error"] == "The server cannot keep the picture (No such file or directory)."
    served.folder.mkdir()
    assert served.result(photo)


def test_no_room_for_a_large_upload(
    serve: Serve, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    served = serve()
    (tmp_path / "large.png").write_bytes(photo.read_bytes() + bytes(3 << 19))  # more than is kept in memory
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
    answer = served.post(tmp_path / "large.png")
    assert answer.status_code == 507
    assert answer.json()["error"] == "The server cannot keep the picture (No space left on device)."


class SeenError(Exception):
    """The browser was told what to open."""


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX's")
@pytest.mark.parametrize("token", [None, "correcthorsebattery"])
def test_no_command_line_shows_the_token(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    """Anybody may look at the command line of the browser."""
    opened: list[str] = []
    door: list[str] = []

    def look(address: str) -> None:
        opened.append(address)
        if token is not None:
            path = Path(address.removeprefix("file://"))
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
            door.append(path.read_text())
        raise SeenError  # ends the server; signals would be those of the process of the tests

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SeenError):
        run_server(
            port=0, models=[str(weights)], device=["cpu"], token=token, on_ready=opened.extend, on_open=look
        )
    page, given = opened
    assert (given == page) == (token is None)
    assert not token or token not in given
    assert not token or f'url={page}#token={token}"' in door[0]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "escsr-web-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "job").mkdir()
    (left / "job" / "source").write_text("a picture")
    with private_folder() as living:
        assert not left.exists()
        with private_folder() as other:
            assert sorted(tmp_path.iterdir()) == sorted([living, other])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from escsr.errors import ConfigError
    from escsr.web import server

    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"requires fastapi, uvicorn.*: .*install .*\[web\]"):
        server.serve()


def test_a_port_that_is_taken() -> None:
    from escsr.errors import ConfigError
    from escsr.web.server import listening

    with listening("127.0.0.1", 0) as first, pytest.raises(ConfigError, match="choose another with --port"):
        listening("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(
    ("family", "host", "loopback", "name"),
    [
        (socket.AF_INET, "0.0.0.0", "127.0.0.1", r"\d+(\.\d+){3}"),
        (socket.AF_INET6, "::", "[::1]", r"\[[0-9a-f:]+\]"),
    ],
)
def test_a_server_at_every_address_names_those_to_open(
    family: int, host: str, loopback: str, name: str
) -> None:
    from escsr.web.server import _addresses

    listener = SimpleNamespace(family=family, getsockname=lambda: (host, 80))
    here, *elsewhere = _addresses(host, listener)  # type: ignore[arg-type]
    assert here == f"http://{loopback}:80/"
    assert len(elsewhere) <= 1
    assert all(re.fullmatch(rf"http://{name}:80/", each) and each != here for each in elsewhere)
