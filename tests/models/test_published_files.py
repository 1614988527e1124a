"""Downloads from a real server on this machine; nothing here goes further."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest
import torch

from escsr.errors import CheckpointError, ConfigError, ModelNotFoundError, OutputError
from escsr.models import checkpoints, downloads
from escsr.models import published as released
from escsr.models.checkpoints import Checkpoint
from escsr.models.published import RELEASED, ReleasedModel, cache_folder, fetch
from escsr.models.published_keys import to_published
from escsr.networks import VARIANTS, variant_config
from samples import small_network

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1]
FILE = "Tiny_X2.pth"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What a server has, how it misbehaves, and what it saw."""

    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    knows_ranges: bool = True
    knows_if_range: bool = True
    declares_size: bool = True
    length: str = ""
    """Content-Length, where it is another than that of the body."""
    chunked: bool = False
    content_range: str = ""
    """Content-Range of continuations, where it is another than the right one."""
    cuts: list[int] = field(default_factory=list)
    """Body bytes after which each next answer breaks off."""
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers, before it begins to work."""
    location: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(dict(self.headers))
        if site.statuses:
            self.send_response(site.statuses.pop(0))
            self.send_header("Location", site.location)
            self.end_headers()
            return
        start = self.start()
        if start >= len(site.content):
            self.send_error(416)
            return
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            right = f"bytes {start}-{len(site.content) - 1}/{len(site.content)}"
            self.send_header("Content-Range", site.content_range or right)
        for name, value in site.headers.items():
            self.send_header(name, value)
        if site.declares_size:
            self.send_header("Content-Length", site.length or str(len(body)))
        if site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = body[: site.cuts.pop(0)] if site.cuts else body
        site.sent += len(body)
        with suppress(ConnectionError):  # who has seen enough leaves
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if site.chunked else body)

    def start(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or not self.site.knows_ranges:
            return 0
        same = self.headers["If-Range"] in self.site.headers.values()
        return int(asked[1]) if same or not self.site.knows_if_range else 0

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the output of the tests clean."""


@pytest.fixture
def serve() -> Iterator[Callable[[Site], Site]]:
    servers = []

    def start(site: Site) -> Site:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
        server.daemon_threads = False  # server_close waits for them
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        site.url = f"http://127.0.0.1:{server.server_port}/release"
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> ReleasedModel:
    """A model without a known digest; no waiting, no proxies, and no way to the real release."""
    model = ReleasedModel("tiny", FILE, "A test.", "none")
    monkeypatch.setitem(RELEASED, "tiny", model)
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", (0, 0, 0))
    monkeypatch.setattr(released, "RELEASE_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "*")
    return model


@pytest.fixture(autouse=True)
def _any_checkpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are of the transfer: what they send passes for a checkpoint."""
    if "real_checkpoints" not in request.fixturenames:
        monkeypatch.setattr(checkpoints, "read_checkpoint", Path.read_bytes)


@pytest.fixture
def real_checkpoints() -> bytes:
    """A small checkpoint under published names, as it is in a file."""
    network, file = small_network("esc"), BytesIO()
    torch.save({"params": to_published(network.state_dict(), network.config)}, file)
    return file.getvalue()


@pytest.fixture
def known(tiny: ReleasedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RELEASED, "tiny", replace(tiny, sha256=DIGEST))


@pytest.fixture
def site(serve: Callable[[Site], Site]) -> Site:
    return serve(Site())


def names(folder: Path) -> set[str]:
    """Files of a folder, without locks."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_table() -> None:
    models = [model for name, model in RELEASED.items() if name != "tiny"]
    per_scale = ("ESC_DIV2K", "ESC_DFLIP", "ESC_light", "ESC_FP")
    files = {f"{name}_X{scale}.pth" for name in per_scale for scale in (2, 3, 4)}
    files |= {f"ESC_XL_DF2K_X{scale}.pth" for scale in ("2_PT", "2_FT", "3_FT", "4_FT")}
    files |= {f"ESC_Real_{kind}.pth" for kind in ("X4_GAN", "X4_MSE", "FB_R48_X4")}
    files |= {"ESC_DIV2K_FB_R48_X2.pth", "esc_lte.pth"}
    assert sorted(model.file_name for model in models) == sorted(files)
    assert all(RELEASED[model.name] is model for model in models)
    assert sum(model.sha256 is not None for model in models) == 2
    for model in models:
        scale = re.search(r"_X(\d)", model.file_name)
        assert re.fullmatch(r"published-esc(-[a-z]+)*(-x[234])?", model.name)
        assert model.name.endswith(f"-x{scale[1]}") if scale else model.name == "published-esc-lte"
        assert model.sha256 is None or re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert all((model.summary, model.code_licence, model.weights_licence, model.data_licence))


def test_every_file_of_the_reference_is_there(shared: Path) -> None:
    text = (shared / "spec" / "network.md").read_text()
    for model in RELEASED.values():
        assert model.sha256 is None or model.sha256 in text
    for file in re.findall(r"`(ESC_\w+\.pth|esc_\w+\.pth)`", text):
        assert file in {model.file_name for model in RELEASED.values()}


def test_plain_download_and_record(site: Site, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    path = fetch(
        "tiny", folder=tmp_path / "deep", mirrors=[site.url], on_progress=lambda *at: progress.append(at)
    )
    assert path == tmp_path / "deep" / FILE
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == {FILE, f"{FILE}.json"}
    record = json.loads((path.parent / f"{FILE}.json").read_text())
    assert record["url"] == f"{site.url}/{FILE}"
    assert (record["size"], record["sha256"]) == (len(CONTENT), DIGEST)
    assert re.match(r"\d{4}-\d\d-\d\dT", record["date"])
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))


def test_default_places(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder().parts[-1] == "models"
    monkeypatch.setattr(released, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(released, "RELEASE_URL", f"{site.url}/")
    assert fetch("tiny") == tmp_path / "escsr" / "models" / FILE


@pytest.mark.parametrize("digest", ["known", "recorded"])
def test_a_kept_file_needs_no_network(
    digest: str, site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if digest == "known":
        request.getfixturevalue("known")
    path = fetch("tiny", folder=tmp_path, mirrors=[site.url])
    before = path.stat()
    assert fetch("tiny", folder=tmp_path, mirrors=["http://127.0.0.1:9"]) == path
    assert fetch("tiny", folder=tmp_path, offline=True) == path
    assert (path.stat().st_mtime_ns, len(site.asked)) == (before.st_mtime_ns, 1)


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"ETag": 'W/"one"', "Last-Modified": "Sunday"}])
def test_a_cut_connection_is_resumed(headers: dict[str, str], site: Site, tmp_path: Path) -> None:
    site.headers, site.cuts = headers, [3000, 2000]
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=3000-", "bytes=5000-"]
    assert [asked.get("If-Range") for asked in site.asked[1:]] == [list(headers.values())[-1]] * 2
    assert site.sent == len(CONTENT)


def test_the_next_call_resumes(site: Site, tmp_path: Path) -> None:
    site.cuts = [1000] * 4
    progress: list[int] = []
    with pytest.raises(ModelNotFoundError, match=r"after 4,000 of 10,240 .* 4,000 bytes are kept; running"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert names(tmp_path) == {f"{FILE}.part", f"{FILE}.part.json"}
    path = fetch(
        "tiny", folder=tmp_path, mirrors=[site.url], on_progress=lambda done, _: progress.append(done)
    )
    assert path.read_bytes() == CONTENT
    assert (site.ranges[-1], site.sent, progress[0]) == ("bytes=4000-", len(CONTENT), 4000)
    assert names(tmp_path) == {FILE, f"{FILE}.json"}


def test_interrupted_by_the_user(site: Site, tmp_path: Path) -> None:
    def interrupt(received: int, size: int) -> None:
        if received == size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", folder=tmp_path, mirrors=[site.url], on_progress=interrupt)
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert len(site.asked) == 1


@pytest.mark.parametrize("trait", ["no ranges", "no validator"])
def test_where_resuming_is_impossible_it_begins_anew(trait: str, site: Site, tmp_path: Path) -> None:
    site.cuts = [3000]
    site.knows_ranges = trait != "no ranges"
    if trait == "no validator":
        site.headers = {}
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=3000-" if trait == "no ranges" else None]


@pytest.mark.parametrize("content", [OTHER, OTHER + b"more", OTHER[:2000]])
@pytest.mark.parametrize("knows_if_range", [True, False])
def test_a_file_changed_meanwhile_is_not_glued(
    knows_if_range: bool, content: bytes, site: Site, tmp_path: Path
) -> None:
    site.cuts, site.knows_if_range = [1000] * 4, knows_if_range
    with pytest.raises(ModelNotFoundError):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    site.content, site.headers = content, {"ETag": '"two"'}
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == content


def test_cut_for_ever(site: Site, tmp_path: Path) -> None:
    site.cuts, site.knows_ranges = [100] * 99, False
    with pytest.raises(ModelNotFoundError, match=r"100 of 10,240 bytes.*running again continues"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert len(site.asked) == 4
    assert (tmp_path / f"{FILE}.part").stat().st_size == 100
    assert not (tmp_path / FILE).exists()


def test_wrong_digest(known: None, site: Site, tmp_path: Path) -> None:
    site.content = OTHER
    wrong = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(CheckpointError, match=f"{wrong}.*{DIGEST}") as caught:
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert not isinstance(caught.value, ModelNotFoundError)
    assert names(tmp_path) == set()
    assert len(site.asked) == 1


def test_mirrors_are_tried_in_order(known: None, serve: Callable[[Site], Site], tmp_path: Path) -> None:
    absent, wrong, cut, right = (serve(Site()) for _ in range(4))
    absent.statuses, wrong.content, cut.cuts = [404], OTHER, [500] * 4
    sites = (absent, wrong, cut, right)
    path = fetch("tiny", folder=tmp_path, mirrors=[site.url for site in sites])
    assert path.read_bytes() == CONTENT
    assert [len(site.asked) for site in sites] == [1, 1, 4, 1]
    assert right.ranges == [None]
    assert json.loads((tmp_path / f"{FILE}.json").read_text())["url"].startswith(right.url)
    assert names(tmp_path) == {FILE, f"{FILE}.json"}


def test_a_damaged_file_is_downloaded_again(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = fetch("tiny", folder=tmp_path, mirrors=[site.url])
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelNotFoundError, match=f"missing or damaged.*{DIGEST}"):
        fetch("tiny", folder=tmp_path, offline=True)
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert "damaged" in caplog.text
    path.unlink()
    site.content = OTHER
    with pytest.raises(CheckpointError, match=rf"{DIGEST}.*replaced the file, delete .*{FILE}\.json"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    (tmp_path / f"{FILE}.json").write_text("{}")
    with pytest.raises(CheckpointError, match="unreadable; delete it"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])


def test_offline_and_by_hand(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=f"put {FILE} from .* into .*sha256 is not known"):
        fetch("tiny", folder=tmp_path / "models", offline=True)
    assert not (tmp_path / "models").exists()
    (tmp_path / FILE).write_bytes(CONTENT)
    assert fetch("tiny", folder=tmp_path, offline=True) == tmp_path / FILE
    assert json.loads((tmp_path / f"{FILE}.json").read_text())["sha256"] == DIGEST


def test_offline_names_the_known_digest(known: None, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(OTHER)
    with pytest.raises(ModelNotFoundError, match=DIGEST):
        fetch("tiny", folder=tmp_path, offline=True)


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (503, 4), (429, 4)])
def test_refusals(status: int, attempts: int, site: Site, tmp_path: Path) -> None:
    site.statuses = [status] * 9
    with pytest.raises(ModelNotFoundError, match=rf"{site.url}/{FILE}: HTTP {status}") as caught:
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert ("moved" in str(caught.value)) == (status == 404)
    assert len(site.asked) == attempts


def test_a_passing_refusal(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 500]
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"127\.0\.0\.1:9/.*no connection"):
        fetch("tiny", folder=tmp_path)


@pytest.mark.parametrize("trait", ["page", "no size"])
def test_what_cannot_be_a_checkpoint_is_not_kept(trait: str, site: Site, tmp_path: Path) -> None:
    if trait == "page":
        site.headers["Content-Type"] = "text/html; charset=utf-8"
    site.declares_size = trait == "page"
    with pytest.raises(ModelNotFoundError, match=r"web page|how large"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert names(tmp_path) == set()


def test_redirects(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    storage = serve(Site(cuts=[1000]))
    front = serve(Site(statuses=[302] * 9, location=f"{storage.url}/elsewhere"))
    assert fetch("tiny", folder=tmp_path, mirrors=[front.url]).read_bytes() == CONTENT
    assert storage.ranges == [None, "bytes=1000-"]
    secret = tmp_path / "secret"
    secret.write_text("local")
    for target in (secret.as_uri(), "ftp://127.0.0.1/x"):
        front.location = target
        with pytest.raises(ModelNotFoundError, match=r"HTTP 302 .*(refused|not allowed)"):
            fetch("tiny", folder=tmp_path / "other", mirrors=[front.url])


def test_redirects_stay_encrypted() -> None:
    redirects, request = downloads._WebRedirects(), Request("https://a.example/x")
    followed = redirects.redirect_request(request, BytesIO(), 302, "", Message(), "https://b.example/x")
    assert followed.full_url == "https://b.example/x"
    with pytest.raises(HTTPError, match="refused") as caught:
        redirects.redirect_request(request, BytesIO(), 302, "", Message(), "http://b.example/x")
    caught.value.close()


@pytest.mark.parametrize("mirror", ["file:///tmp", "ftp://a/b", "release", "data:,x", "http://ü.example"])
def test_mirrors_are_web_addresses(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="http or https"):
        fetch("tiny", folder=tmp_path, mirrors=[mirror])


def test_unknown_names_and_unusable_folders(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="Did you mean published-esc-light-x2"):
        fetch("publishd-esc-light-x2", folder=tmp_path)
    with pytest.raises(ModelNotFoundError, match="`escsr models` lists them"):
        fetch("qqqqqq", folder=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        fetch("tiny", folder=tmp_path / "file", mirrors=[site.url])


def test_two_at_once(site: Site, tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=10)

    def call(_: int) -> bytes:
        together.wait()
        return fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(call, range(2))) == [CONTENT, CONTENT]
    assert len(site.asked) == 1


def test_a_body_longer_than_declared_is_stopped(site: Site, tmp_path: Path) -> None:
    """A chunked one, whose length the declared one does not bound."""
    site.content, site.length, site.chunked = bytes(50 << 20), "1000", True
    received: list[int] = []
    with pytest.raises(ModelNotFoundError, match=r"more than the 1,000 bytes that it declared"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url], on_progress=lambda at, _: received.append(at))
    assert max(received) <= 1000
    assert names(tmp_path) == set()
    assert len(site.asked) == 1


@pytest.mark.parametrize("length", ["9" * 5000, "99999999999", "-5", "1e3", "10240, 10240"])
def test_impossible_lengths(length: str, site: Site, tmp_path: Path) -> None:
    site.length = length
    with pytest.raises(ModelNotFoundError, match="how large"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert names(tmp_path) == set()


@pytest.mark.parametrize("place", ["{0}-10239/10240", "3000-{0}/10240", "3000-10239/{0}"])
def test_impossible_continuations_begin_anew(place: str, site: Site, tmp_path: Path) -> None:
    site.cuts, site.content_range = [3000], f"bytes {place.format('9' * 5000)}"
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=3000-", None]


def test_a_compressed_body_is_refused(site: Site, tmp_path: Path) -> None:
    site.headers["Content-Encoding"] = "gzip"
    with pytest.raises(ModelNotFoundError, match=r"encoded \(gzip\)"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert names(tmp_path) == set()
    site.headers["Content-Encoding"] = "identity"
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "location",
    ["http://[bad/x", "http://127.0.0.1:port/x", "//[", f"http://{'a' * 99}.example/", "http://"],
)
def test_malformed_redirects(location: str, site: Site, tmp_path: Path) -> None:
    site.statuses, site.location = [302] * 9, location
    with pytest.raises(ModelNotFoundError, match=re.escape(site.url)):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    with pytest.raises(ModelNotFoundError, match=r"http://\["):
        fetch("tiny", folder=tmp_path, mirrors=["http://[bad"])


@pytest.mark.parametrize(
    "change",
    [
        {"size": 1e400},
        {"size": "many"},
        {"size": None},
        {"version": 'a"\r\nX: y'},
        {"version": ["a"]},
        {"version": "ü"},
        {"url": 3},
        "[" * 100_000,
        "[1, 2]",
        "9" * 5000,
        "\udcff",
        "{",
    ],
    ids=lambda change: str(change)[:20],
)
def test_a_damaged_note_is_passed_over(change: dict[str, object] | str, site: Site, tmp_path: Path) -> None:
    part = tmp_path / f"{FILE}.part"
    part.write_bytes(CONTENT[:1000])
    note = {"url": f"{site.url}/{FILE}", "version": '"one"', "size": len(CONTENT)}
    text = change if isinstance(change, str) else json.dumps(note | change)
    part.with_name(f"{FILE}.part.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert site.ranges == [None]


@pytest.mark.parametrize("header", ["ü", "a\r\n b"])
def test_a_version_that_no_header_can_hold_is_none(header: str, site: Site, tmp_path: Path) -> None:
    site.headers, site.cuts = {"ETag": header}, [3000]
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == CONTENT
    assert site.ranges == [None, None]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[1]", '{"sha256": 5}', '{"sha256": "abc"}', "9" * 5000, "\udcff"], ids=range(6)
)
def test_a_damaged_record_is_named(text: str, site: Site, tmp_path: Path) -> None:
    path = fetch("tiny", folder=tmp_path, mirrors=[site.url])
    record = path.with_name(f"{FILE}.json")
    record.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(CheckpointError, match=rf"{FILE}\.json: unreadable; delete it"):
        fetch("tiny", folder=tmp_path, mirrors=[site.url])


@pytest.mark.parametrize("content", [b" ", CONTENT, b"<html>"])
def test_what_is_no_checkpoint_is_not_recorded(
    content: bytes, real_checkpoints: bytes, site: Site, tmp_path: Path
) -> None:
    """Where no digest is known, the first file seen would be the right one for ever."""
    site.content = content
    with pytest.raises(CheckpointError, match="no checkpoint") as caught:
        fetch("tiny", folder=tmp_path, mirrors=[site.url])
    assert "delete" not in str(caught.value)
    assert names(tmp_path) == set()
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ModelNotFoundError, match="missing or damaged"):
        fetch("tiny", folder=tmp_path, offline=True)
    assert names(tmp_path) == {FILE}
    site.content = real_checkpoints
    assert fetch("tiny", folder=tmp_path, mirrors=[site.url]).read_bytes() == real_checkpoints
    record = json.loads((tmp_path / f"{FILE}.json").read_text())
    assert record["sha256"] == hashlib.sha256(real_checkpoints).hexdigest()


@pytest.mark.parametrize("change", [{"scale": 3}, {"num_blocks": 3}, {"bias_rank": 4}])
def test_another_network_than_the_name_says_is_refused(
    change: dict[str, int],
    serve: Callable[[Site], Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {b"right": VARIANTS["esc"], b"wrong": VARIANTS["esc"].replace(**change)}
    monkeypatch.setattr(
        checkpoints, "read_checkpoint", lambda path: Checkpoint(found[path.read_bytes()], {})
    )
    wrong, right = serve(Site(content=b"wrong")), serve(Site(content=b"right"))
    with pytest.raises(CheckpointError, match="is not published-esc-x2"):
        fetch("published-esc-x2", folder=tmp_path, mirrors=[wrong.url])
    assert names(tmp_path) == set()
    path = fetch("published-esc-x2", folder=tmp_path, mirrors=[wrong.url, right.url])
    assert path.read_bytes() == b"right"


def test_every_published_name_says_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, model in RELEASED.items():
        if name != "tiny":
            variant = next(each for each in reversed(VARIANTS) if name.startswith(f"published-{each}"))
            scale = re.search(r"-x(\d)$", name)
            rank = 48 if "flashbias" in name else None
            config = variant_config(variant, scale=int(scale[1]) if scale else None, bias_rank=rank)
            released._check_shape(model, Checkpoint(config, {}))
