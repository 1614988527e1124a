"""What stands before every request: which host it names, where it comes from, its token, its size."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
from collections.abc import Collection
from contextlib import ExitStack
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from escsr.web.jobs import FullError, Jobs
from escsr.web.limits import Limits
from escsr.web.metrics import Metrics

__all__ = ["COOKIE", "PLACE", "Guard", "is_loopback"]

COOKIE = "escsr-token"

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}

_OPEN_PATHS = ("/", "/token", "/health", "/favicon.ico")
"""What needs no token: the page without anything in it, and whether the server lives."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s@:/?#\[\]]+)(:\d{1,5})?")
"""What `Host` may look like: a name or an address, and a port."""

PLACE = "escsr.place"
"""Under which name of the scope an upload's place in the queue is."""

_FORM_BYTES = 64 * 2**10
"""What the fields of a form may take beside the file."""


class _RefusedError(Exception):
    """The answer to a request that goes no further."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Guard:
    """Refuses, before anything of a body is read, what is not for this server.

    * `Host` must be an address, localhost or a name that was allowed, so that no name of another site can
      lead here (DNS rebinding).
    * `Origin` must be the page's own, and what browsers call cross-site may only open the page.
    * With a token, all but the empty page needs it: `Authorization: Bearer`, or the page's cookie.
    * Bodies are bounded by what they announce and by what comes, in bytes and in time; uploads need a place
      in the queue before they begin.

    Args:
        app: What is guarded.
        jobs: The queue.
        metrics: Counts refusals.
        token: None for none.
        hosts: Names that `Host` may have beside addresses and localhost.
        only_loopback: Whether addresses other than this machine's loopback are refused too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        jobs: Jobs,
        metrics: Metrics,
        token: str | None,
        hosts: Collection[str],
        only_loopback: bool,
    ) -> None:
        self._app, self._jobs, self._metrics, self._token = app, jobs, metrics, token
        self._hosts = {host.lower() for host in hosts} | {"localhost"}
        self._only_loopback = only_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as stack:
            try:
                self._check(scope)
                if scope["method"] == "POST" and scope["path"] == "/jobs":
                    scope[PLACE] = stack.enter_context(self._jobs.coming(_announced(scope)))
            except _RefusedError as error:
                await self._refuse(send, error)
            except FullError as error:
                await self._refuse(send, _RefusedError(429, str(error)))
            else:
                body = _Body(receive, send, self._most(scope), self._jobs.limits)
                await self._app(scope, body.receive, _with_headers(body.send))
                if body.refusal is not None:
                    await self._refuse(send, body.refusal)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not self._is_ours(host := headers["host"]):
            raise _RefusedError(400, "This server does not answer to that host name; see --allow-host.")
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            raise _RefusedError(403, "Pages of other sites may not use this server.")
        opens_page = scope["method"] in ("GET", "HEAD") and scope["path"] == "/"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not opens_page:
            raise _RefusedError(403, "Pages of other sites may not use this server.")
        if self._token is not None and not self._is_open(scope["path"]) and not self._has_token(headers):
            raise _RefusedError(401, "This server needs its token.")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise _RefusedError(400, "Content-Length is no number.")
        if int(length) > self._most(scope):
            raise _too_large(self._most(scope))

    def _is_ours(self, host: str) -> bool:
        if (match := _HOST.fullmatch(host.lower())) is None:
            return False
        name = match[1].strip("[]")
        if name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._only_loopback

    def _is_open(self, path: str) -> bool:
        return path in _OPEN_PATHS or path.startswith("/page/")

    def _has_token(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return hmac.compare_digest(given.strip().encode(), self._token.encode())

    def _most(self, scope: Scope) -> int:
        is_upload = scope["method"] == "POST" and scope["path"] == "/jobs"
        return _FORM_BYTES + (self._jobs.limits.max_upload if is_upload else 0)

    async def _refuse(self, send: Send, refusal: _RefusedError) -> None:
        self._metrics.refused.labels(str(refusal.status)).inc()
        text = json.dumps({"error": str(refusal)}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(text))}
        headers |= {"www-authenticate": "Bearer"} if refusal.status == 401 else {}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        send = _with_headers(send)
        await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
        await send({"type": "http.response.body", "body": text})


class _Body:
    """Counts what comes of a body; beyond its bound nothing more is read, and the answer is replaced."""

    def __init__(self, receive: Receive, send: Send, most: int, limits: Limits) -> None:
        self._receive, self._send = receive, send
        self._most = self._left = most
        self._stall, self._rate = limits.stall_seconds, limits.upload_kib * 2**10
        self._end = asyncio.get_running_loop().time() + self._stall
        self._is_whole = False
        self._started = False
        self.refusal: _RefusedError | None = None

    async def receive(self) -> Message:
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        if self._is_whole:
            return await self._receive()
        seconds = max(0, min(self._stall, self._end - asyncio.get_running_loop().time()))
        try:
            message = await asyncio.wait_for(self._receive(), seconds)
        except asyncio.TimeoutError:
            self.refusal = _RefusedError(408, "The upload was too slow, or stood still.")
            return {"type": "http.disconnect"}
        size = len(message.get("body", b""))
        self._left -= size
        self._end += size / self._rate
        if self._left < 0:
            self.refusal = _too_large(self._most)
        self._is_whole = not message.get("more_body", False)
        return message if self.refusal is None else {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.refusal is None or self._started:
            self._started = True
            await self._send(message)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own, which no other reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _announced(scope: Scope) -> int | None:
    """How long a body says that it is; None where it comes in chunks, whatever else it says."""
    headers = Headers(scope=scope)
    is_known = "content-length" in headers and "transfer-encoding" not in headers
    return int(headers["content-length"]) if is_known else None


def _too_large(most: int) -> _RefusedError:
    how = f" ({(most - _FORM_BYTES) / 2**20:.4g} MiB)" if most > _FORM_BYTES else ""
    return _RefusedError(413, f"The file is larger than this server takes{how}.")


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if message["status"] == HTTPStatus.TOO_MANY_REQUESTS:
                headers.setdefault("retry-after", "5")
        await send(message)

    return send_with_headers
