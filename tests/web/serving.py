"""A server for tests: a real one on a real socket, in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from escsr.web.app import create_app
from escsr.web.server import SETTINGS, listening
from escsr.web.service import Service, WebOptions

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
