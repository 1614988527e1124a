"""Attacks from other sites, hosts and strangers, and bodies without end."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from escsr.errors import ConfigError
from escsr.web.guard import _Body
from escsr.web.jobs import FullError, Jobs
from escsr.web.limits import Limits
from escsr.web.server import serve as run_server
from web.serving import Served

Serve = Callable[..., Served]
TOKEN = "correcthorsebattery"
MIB = 2**20
FORM_BEGINS = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9999", 200),
        ("localhost:80", 200),
        ("LOCALHOST", 200),
        ("[::1]:8642", 200),
        ("evil.example", 400),
        ("evil.example:80", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example", 400),
        ("evil.example@127.0.0.1:x", 400),
        ("192.168.1.7", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_names_of_other_hosts_do_not_lead_here(served: Served, host: str, status: int) -> None:
    for path in ("/", "/health", "/models", "/page/app.js"):
        assert served.client.get(path, headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 202),
        ({"sec-fetch-site": "none"}, 202),
    ],
)
def test_pages_of_other_sites_cannot_post(
    served: Served, photo: Path, headers: dict[str, str], status: int
) -> None:
    files = {"file": ("photo.png", photo.read_bytes())}
    assert served.client.post("/jobs", files=files, headers=headers).status_code == status


def test_the_page_itself_may_and_is_opened_by_links(served: Served, photo: Path) -> None:
    own = {"origin": served.url, "sec-fetch-site": "same-origin"}
    files = {"file": ("photo.png", photo.read_bytes())}
    assert served.client.post("/jobs", files=files, headers=own).status_code == 202
    linked = {"sec-fetch-site": "cross-site"}
    assert served.client.get("/", headers=linked).status_code == 200
    assert served.client.get("/models", headers=linked).status_code == 403


def test_every_answer_forbids_what_it_can(served: Served) -> None:
    answers = [
        served.client.get("/"),
        served.client.get("/models"),
        served.client.get("/jobs/none"),
        served.client.get("/health", headers={"host": "evil.example"}),
        served.client.post("/jobs"),
        served.client.request("OPTIONS", "/jobs", headers={"access-control-request-method": "POST"}),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers


def test_without_the_token_nothing_but_an_empty_page(serve: Serve, photo: Path) -> None:
    served = serve(token=TOKEN)
    assert served.result(photo)
    job = served.send(photo)["id"]
    with httpx.Client(base_url=served.url, trust_env=False) as stranger:
        for path in ("/", "/health", "/page/app.js", "/page/app.css"):
            assert stranger.get(path).status_code == 200
        paths = (
            "/models",
            "/about",
            "/metrics",
            "/docs",
            "/openapi.json",
            f"/jobs/{job}",
            f"/jobs/{job}/result",
        )
        for path in paths:
            for headers in (
                {},
                {"authorization": "Bearer"},
                {"authorization": f"Bearer {TOKEN}x"},
                {"authorization": f"Basic {TOKEN}"},
                {"cookie": f"escsr-token={TOKEN[:-1]}"},
                {"cookie": "escsr-token"},
            ):
                answer = stranger.get(path, headers=headers)
                assert answer.status_code == 401, (path, headers)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert stranger.post("/jobs", files={"file": b""}).status_code == 401
        assert stranger.delete(f"/jobs/{job}").status_code == 401
        assert stranger.post("/token", data={"token": "wrong"}).status_code == 401
        assert stranger.get("/models").status_code == 401
        given = stranger.post("/token", data={"token": TOKEN})
        assert given.status_code == 204
        cookie = given.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert stranger.get("/models").status_code == 200
    for others in ('prefs={"dark":true,"n":2}', "_xsrf=a b", "x"):  # of other servers of this machine
        with httpx.Client(base_url=served.url, trust_env=False) as browser:
            cookie = f"{others}; escsr-token={TOKEN}"
            assert browser.get("/models", headers={"cookie": cookie}).status_code == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "requires a token"),
        ({"host": "::"}, "requires a token"),
        ({"host": "0.0.0.0", "token": "short"}, "16 characters"),
        ({"token": "with spaces and more; "}, "letters and digits"),
        ({"host": "no.such.host.invalid", "token": TOKEN}, "Cannot listen on no.such.host.invalid"),
        ({"max_queue": 0}, "max_queue must be above 0"),
    ],
)
def test_other_hosts_only_with_a_token(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_server(**options)  # type: ignore[arg-type]


def test_a_file_too_large_is_refused_before_it_comes(serve: Serve) -> None:
    served = serve(max_upload_mib=1)
    head = "POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
        connection.sendall(f"{head}Content-Length: {10**12}\r\nExpect: 100-continue\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            status, *_, text = answer.read().split(b"\r\n")
    assert status.startswith(b"HTTP/1.1 413")
    assert b"larger than this server takes (1 MiB)" in text


def test_a_file_of_unknown_size_is_cut_off(serve: Serve) -> None:
    served = serve(max_upload_mib=1)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
        while sent < 200:
            sent += 1
            yield bytes(MIB // 2)
            time.sleep(0.01)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    try:
        answer = served.client.post("/jobs", content=endless(), headers=headers)
    except (httpx.WriteError, httpx.ReadError):  # cut off while it was still sending
        assert sent < 100
    else:
        assert answer.status_code == 413
    assert list(served.folder.iterdir()) == []
    assert served.client.get("/health").status_code == 200
    assert b'escsr_refused_total{status="413"} 1.0' in served.client.get("/metrics").content


def test_fields_too_large_are_refused(served: Served) -> None:
    assert served.client.post("/token", data={"token": "x" * 70_000}).status_code == 413


def test_an_upload_that_stands_still_is_ended(serve: Serve) -> None:
    served = serve(stall_seconds=0.3, upload_kib=1e-6)
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
        head = "POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n--b".encode())
        connection.settimeout(20)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(("kib_per_second", "status"), [(20, None), (10, 408)])
def test_an_upload_may_take_long_but_not_be_slow(kib_per_second: int, status: int | None) -> None:
    """Blocks come every half minute by the loop's clock, for an hour."""

    async def take() -> _Body:
        loop = asyncio.get_running_loop()
        loop.time = lambda: now[0]  # type: ignore[method-assign]

        async def receive() -> Message:
            now[0] += 30
            more = now[0] < 3600
            return {"type": "http.request", "body": b"x" * 1024 * 30 * kib_per_second, "more_body": more}

        async def send(_: Message) -> None: ...

        body = _Body(receive, send, 2**30, Limits())
        while (await body.receive()).get("more_body"):
            pass
        return body

    now = [0.0]
    body = asyncio.run(take())
    assert (body.refusal and body.refusal.status) == status
    assert (now[0] == 3600) == (status is None)


def test_the_queue_is_bounded(serve: Serve, photo: Path, large: Path) -> None:
    served = serve(max_queue=2)
    first, second = served.send(large), served.send(photo)
    refused = served.post(photo)
    assert refused.status_code == 429
    assert "queue is full" in refused.json()["error"]
    assert refused.headers["retry-after"] == "5"
    assert served.client.delete(f"/jobs/{second['id']}").status_code == 204
    third = served.send(photo)
    assert third["ahead"] <= 1
    served.client.delete(f"/jobs/{first['id']}")
    assert served.wait(third)["state"] == "done"


def test_what_is_kept_is_bounded(serve: Serve, photo: Path) -> None:
    served = serve(max_upload_mib=1, max_stored_mib=1.005)
    job = served.wait(served.send(photo))
    assert job["result_bytes"] > 0.005 * MIB
    refused = served.client.post("/jobs", files={"file": ("large.png", bytes(MIB))})
    assert refused.status_code == 429
    assert "results wait" in refused.json()["error"]
    served.client.delete(f"/jobs/{job['id']}")
    assert served.post(photo).status_code == 202


def test_uploads_take_the_room_that_they_announce(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Limits(max_upload_mib=1, max_stored_mib=2))
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(jobs.coming(MIB // 10))
        stack.enter_context(jobs.coming(10 * MIB))  # of which no more than the largest upload is read
        with pytest.raises(FullError, match="Too much is being uploaded at once"):
            stack.enter_context(jobs.coming())
    with jobs.coming(), jobs.coming():
        pass


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 9\r\n", 202),
        (b"Transfer-Encoding: chunked\r\n", 429),
        (b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n", 429),
    ],
)
def test_room_for_an_upload_of_unknown_size(serve: Serve, photo: Path, headers: bytes, status: int) -> None:
    served = serve(max_upload_mib=1, max_stored_mib=1)
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as other:
        other.sendall(FORM_BEGINS + headers + b"\r\n")
        time.sleep(0.2)
        answer = served.post(photo)
    assert answer.status_code == status
    assert status == 202 or answer.json()["error"].startswith("Too much is being uploaded at once")


@pytest.mark.parametrize(
    "limits",
    [
        {"max_upload_mib": math.inf},
        {"max_upload_mib": math.nan},
        {"max_job_minutes": math.inf},
        {"max_upload_mib": 10, "max_stored_mib": 9},
    ],
)
def test_limits_that_cannot_be(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"must be above 0 and finite|one upload may have 10"):
        Limits(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("mib", [1, 128, 3000, 9000])
def test_what_may_be_uploaded_can_be_kept(tmp_path: Path, mib: float) -> None:
    jobs = Jobs(tmp_path, Limits(max_upload_mib=mib))
    with jobs.coming() as first, jobs.coming() as second:
        assert first.bytes == second.bytes == mib * 2**20


def test_event_streams_are_bounded(serve: Serve, large: Path) -> None:
    served = serve(max_streams=1)
    job = served.send(large)
    path = f"/jobs/{job['id']}/events"
    with served.client.stream("GET", path) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: status"
        refused = served.client.get(path)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "5"
        served.client.delete(f"/jobs/{job['id']}")
        assert '"state":"cancelled"' in list(lines)[-2]
    end = time.monotonic() + 5
    while served.service.streams and time.monotonic() < end:
        time.sleep(0.02)
    assert not served.service.streams
