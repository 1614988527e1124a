"""One file from one web address, in as many pieces as the connection allows."""

from __future__ import annotations

import http.client
import json
import logging
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

__all__ = ["DownloadError", "discard", "download"]

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Waits between attempts."""

_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_CHUNK_BYTES = 1 << 18
_LOG = logging.getLogger(__name__)


class DownloadError(Exception):
    """An address does not give the file."""


class _CutError(DownloadError):
    """A transfer broke off; another attempt may do."""


class _StaleError(_CutError):
    """The partial file is not the beginning of what the server has now."""


def download(
    url: str,
    part: Path,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    timeout_seconds: float = 30,
) -> None:
    """Receives into a partial file all that it lacks.

    A note beside it (`.json`) tells later calls its address, size and version (ETag or date). They go on
    only where the server still has that version; otherwise they begin anew.

    Args:
        url: An http or https address.
        part: The partial file, begun or not.
        on_progress: Called with the bytes received so far and the bytes in all.
        timeout_seconds: Longest silence of the server.

    Raises:
        DownloadError: It is not there, or was cut off in every attempt; what came is kept.
        OSError: The file cannot be written.
    """
    for pause in (0, *_PAUSES_SECONDS):
        time.sleep(pause)
        try:
            _receive(url, part, on_progress or _silence, timeout_seconds)
            return
        except _CutError as error:
            _LOG.info("%s: %s", url, error)
            problem = error
            if isinstance(error, _StaleError):
                discard(part)
    raise problem


def discard(part: Path) -> None:
    """Removes a partial file and its note, where they are.

    Args:
        part: The partial file.
    """
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _receive(url: str, part: Path, on_progress: Callable[[int, int], None], timeout_seconds: float) -> None:
    """One attempt."""
    version, received, size = _begun(url, part)
    if received and received == size:
        return
    headers = {"User-Agent": "escsr"}
    if received:
        headers |= {"Range": f"bytes={received}-", "If-Range": version}
    with _open(Request(url, headers=headers), timeout_seconds) as response:
        if response.status == 206:
            _check_continuation(response, version, received, size)
        else:
            version, received, size = _version(response), 0, _declared_size(response)
        with open(part, "ab" if received else "wb") as file:
            note = {"url": url, "version": version, "size": size}
            _note(part).write_text(json.dumps(note), encoding="utf-8")
            on_progress(received, size)
            while chunk := _read(response):
                file.write(chunk)
                received += len(chunk)
                on_progress(received, size)
    if received != size:
        raise _CutError(f"the connection was cut after {received:,} of {size:,} bytes")


def _begun(url: str, part: Path) -> tuple[str, int, int]:
    """Version of a partial file that can be continued, bytes received, and bytes in all."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        received = part.stat().st_size
        if note["url"] == url and note["version"] and received <= note["size"]:
            return str(note["version"]), received, int(note["size"])
    return "", 0, 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _silence(received: int, size: int) -> None:
    """Progress that nobody watches."""


class _WebRedirects(HTTPRedirectHandler):
    """Follows redirects to web addresses only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise HTTPError(newurl, code, f"redirected to {newurl}, which is refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: Request, timeout_seconds: float) -> Any:
    try:
        return build_opener(_WebRedirects).open(request, timeout=timeout_seconds)
    except HTTPError as error:
        error.close()
        problem = f"HTTP {error.code} {error.reason}"
        if error.code == 416:
            raise _StaleError(problem) from error
        if error.code in _PASSING_STATUS:
            raise _CutError(problem) from error
        moved = "; the file may have moved" if error.code in (404, 410) else ""
        raise DownloadError(problem + moved) from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            hint = "behind a proxy with a certificate of its own, set SSL_CERT_FILE"
            raise DownloadError(f"{error.reason.verify_message} ({hint})") from error
        raise _CutError(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"no answer ({error})") from error


def _read(response: Any) -> bytes:
    """What has come of the body, empty at its end."""
    try:
        return response.read1(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"the connection was cut ({error})") from error


def _check_continuation(response: Any, version: str, received: int, size: int) -> None:
    came = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if came is None or (int(came[1]), int(came[2])) != (received, size):
        raise _StaleError("another part came than was asked for")
    if _version(response) not in ("", version):
        raise _StaleError("the file has changed on the server")


def _version(response: Any) -> str:
    """What names the file's state in an If-Range header; empty where the server has nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _declared_size(response: Any) -> int:
    """Bytes of a whole file; a page (for signing in, say) is none."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadError("a web page came instead of the file")
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise DownloadError("the server does not say how large the file is")
    return int(length)
