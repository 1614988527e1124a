"""A server for tests: a real one on a real socket, in a thread, with a small network."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from escsr import images
from escsr.images import Picture
from escsr.models.checkpoints import save_network
from escsr.web.app import create_app
from escsr.web.limits import Limits
from escsr.web.server import SETTINGS, listening
from escsr.web.service import Service, WebOptions
from samples import EXAMPLES, small_network

WAIT_SECONDS = 120


@dataclass(frozen=True)
class Served:
    """A running server and a client of it."""

    url: str
    client: httpx.Client
    service: Service
    folder: Path

    def send(self, path: Path, **options: object) -> dict[str, Any]:
        """Posts a picture; the answer's object."""
        answer = self.post(path, **options)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def post(self, path: Path, **options: object) -> httpx.Response:
        data = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in options.items()
        }
        return self.client.post("/jobs", files={"file": (path.name, path.read_bytes())}, data=data)

    def wait(self, job: dict[str, Any], *states: str) -> dict[str, Any]:
        """The status of a job once it is in one of some states, or over."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            status = self.client.get(f"/jobs/{job['id']}").json()
            if status["state"] in (*states, "done", "failed", "cancelled"):
                return status
            time.sleep(0.02)
        raise AssertionError(status)

    def result(self, path: Path, **options: object) -> bytes:
        """The bytes of a picture's result."""
        status = self.wait(self.send(path, **options))
        assert status["state"] == "done", status
        return self.client.get(f"/jobs/{status['id']}/result").content

    def events(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """All that the event stream of a job says."""
        with self.client.stream("GET", f"/jobs/{job['id']}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


@contextmanager
def running(folder: Path, options: WebOptions, port: int = 0) -> Iterator[Served]:
    """Runs a server while it is needed."""
    folder.mkdir(mode=0o700)
    app = create_app(folder, options)
    listener = listening("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, **SETTINGS))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {} if options.token is None else {"authorization": f"Bearer {options.token}"}
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_SECONDS, headers=headers) as client:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Served(url, client, app.state.service, folder)
    finally:
        app.state.service.jobs.close()
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of ×2."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_network(small_network("esc"), path)
    return path


@pytest.fixture
def serve(tmp_path: Path, weights: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers with limits by name; `token` and `hosts` too."""
    with ExitStack() as stack:

        def start(*, token: str | None = None, models: tuple[str, ...] = (), **limits: Any) -> Served:
            options = WebOptions(
                models=models or (str(weights),), devices=("cpu",), token=token, limits=Limits(**limits)
            )
            folder = tmp_path / f"server {len(list(tmp_path.iterdir()))}"
            return stack.enter_context(running(folder, options))

        yield start


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Served]:
    """A server with the usual limits that tests of a file share."""
    options = WebOptions(models=(str(weights), "auto"), devices=("cpu",))
    with running(tmp_path_factory.mktemp("served") / "folder", options) as one:
        yield one


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph."""
    pixels = images.read(EXAMPLES / "flowers.png").pixels[60:100, 100:148]
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    images.write(Picture(pixels), path)
    return path


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise that takes the small network many seconds, in many tiles."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    images.write(Picture(noise), path)
    return path
