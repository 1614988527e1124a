"""Models of the Hugging Face Hub by its own client, from a server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from escsr import cli
from escsr.errors import CheckpointError, ModelNotFoundError
from escsr.models import hub
from escsr.models.bundled import find_model, model_name
from escsr.models.checkpoints import load_network
from escsr.models.hub import fetch_from_hub, find_on_hub
from escsr.models.saving import save_network
from samples import small_network

constants = pytest.importorskip(
    "huggingface_hub.constants", reason='needs the extra: pip install "escsr[hub]"'
)


class Hub:
    """Repositories by name: files of each commit, and which commit each branch is at."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.main = ""
        self.asked: list[str] = []
        self.broken = ""
        """A file for which it has no answer."""

    def commit(self, files: dict[str, bytes]) -> str:
        self.main = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[self.main] = files
        return self.main

    def handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def answer(self, *, with_body: bool) -> None:
                hub.asked.append(self.path)
                if hub.broken and self.path.endswith(hub.broken):
                    self.send_response(501)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                repository, _, place = self.path.strip("/").partition("/resolve/")
                revision, _, file = place.partition("/")
                commit = hub.main if revision == "main" else revision
                content = hub.commits.get(commit, {}).get(file) if repository == "someone/esc" else None
                self.send_response(200 if content is not None else 404)
                if content is None:
                    known = repository == "someone/esc"
                    self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                if commit in hub.commits:
                    self.send_header("X-Repo-Commit", commit)
                self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if with_body and content:
                    self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None: ...

        return Handler


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    site = Hub()
    web = ThreadingHTTPServer(("127.0.0.1", 0), site.handler())
    threading.Thread(target=web.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{web.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    # What calls the hub: its client asks for a list of known ones once a day.
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"), raising=False)
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / "escsr-cache")
    monkeypatch.chdir(tmp_path)
    yield site
    web.shutdown()
    web.server_close()


def model(folder: Path, seed: int) -> dict[str, bytes]:
    network = small_network("esc")
    with torch.no_grad():
        network.shallow.weight += seed
    path = folder / f"{seed}.safetensors"
    save_network(network, path, published_names=True)
    config = json.dumps({"config": network.config.to_dict()}).encode()
    return {"model.safetensors": path.read_bytes(), "config.json": config}


def test_a_name_of_the_hub_is_a_model_that_stays_the_same(server: Hub, tmp_path: Path) -> None:
    first = server.commit(model(tmp_path, 1))
    one = load_network("someone/esc")
    assert torch.equal(one.shallow.weight, load_network(tmp_path / "1.safetensors").shallow.weight)
    path = find_model("someone/esc")
    assert path.parent.name == first
    assert (path.parent / "config.json").is_file()
    assert model_name(path) == "someone/esc"
    server.asked.clear()
    server.commit(model(tmp_path, 2))
    assert torch.equal(load_network("someone/esc").shallow.weight, one.shallow.weight)
    assert server.asked == []  # from the cache, whatever the hub has by now
    done = CliRunner().invoke(cli.app, ["models", "fetch", "someone/esc"], catch_exceptions=False)
    assert done.exit_code == 0
    other = load_network("someone/esc")
    assert torch.equal(other.shallow.weight, load_network(tmp_path / "2.safetensors").shallow.weight)
    pinned = load_network(f"someone/esc@{first}")
    assert torch.equal(pinned.shallow.weight, one.shallow.weight)


def test_weights_alone_are_enough(server: Hub, tmp_path: Path) -> None:
    server.commit({"model.safetensors": model(tmp_path, 1)["model.safetensors"]})
    assert load_network("someone/esc").config == small_network("esc").config


def test_a_configuration_that_cannot_be_had_is_not_taken_for_none(server: Hub, tmp_path: Path) -> None:
    server.commit(model(tmp_path, 1))
    server.broken = "config.json"
    for _ in range(2):
        with pytest.raises(
            ModelNotFoundError,
            match="someone/esc: there is no such file or folder, and it cannot be downloaded",
        ):
            load_network("someone/esc")
    with pytest.raises(ModelNotFoundError, match="--offline does not download"):
        fetch_from_hub("someone/esc", offline=True)
    assert not (tmp_path / "escsr-cache").exists(), "nothing is noted"
    server.broken = ""
    path = find_on_hub("someone/esc")
    (path.parent / "config.json").unlink()
    server.asked.clear()
    assert (find_on_hub("someone/esc").parent / "config.json").is_file()
    assert server.asked


def test_offline_and_a_cleared_cache(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = server.commit(model(tmp_path, 1))
    with pytest.raises(ModelNotFoundError, match="--offline does not download"):
        fetch_from_hub("someone/esc", offline=True)
    assert server.asked == []
    find_on_hub("someone/esc")
    server.commit(model(tmp_path, 2))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_on_hub("someone/esc").parent.name == first
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(
        ModelNotFoundError,
        match="someone/esc: there is no such file or folder, and it cannot be downloaded",
    ):
        find_on_hub("someone/esc")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert find_on_hub("someone/esc").parent.name == first  # the commit first seen, not the newest


def test_other_weights_than_those_first_seen_are_refused(server: Hub, tmp_path: Path) -> None:
    server.commit(model(tmp_path, 1))
    path = find_on_hub("someone/esc")
    path.write_bytes(model(tmp_path, 2)["model.safetensors"])
    with pytest.raises(CheckpointError, match=r"but was [0-9a-f]{64} at the first download"):
        find_on_hub("someone/esc")
    note = next((tmp_path / "escsr-cache" / "hub").iterdir())
    note.write_text("{")
    with pytest.raises(CheckpointError, match=r"someone--esc\.json: unreadable"):
        load_network("someone/esc")


def test_what_is_not_there(server: Hub, tmp_path: Path) -> None:
    server.commit({"readme.md": b"text"})
    with pytest.raises(ModelNotFoundError, match=r"someone/esc has no model\.safetensors"):
        load_network("someone/esc")
    with pytest.raises(
        ModelNotFoundError, match="nobody/esc: there is no such file or folder, and it cannot be downloaded"
    ):
        load_network("nobody/esc")


def test_paths_are_not_asked_for(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("runs/none", "none/best.safetensors", "../runs", "a/b/c", "/no/such"):
        with pytest.raises(ModelNotFoundError, match=r"no such file of weights\.$"):
            load_network(name)
    assert server.asked == []
