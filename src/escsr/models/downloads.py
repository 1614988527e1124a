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
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from escsr.files import read_json

__all__ = ["DownloadError", "discard", "download", "note_path"]

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Waits between attempts."""

_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_CHUNK_BYTES = 1 << 18
_LENGTH = "[0-9]{1,10}"
"""A number of bytes below 10 GB: no checkpoint is larger."""

_VERSION = "[ -~]+"
"""What a header can hold."""

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

    A note beside it (`.json`) keeps its address, size and version (ETag or date) for later calls. They go
    on only where the server still has that version; otherwise they begin anew.

    Args:
        url: An http or https address.
        part: The partial file, begun or not.
        on_progress: Called with the bytes received so far and the bytes in all.
        timeout_seconds: Longest silence of the server.

    Raises:
        DownloadError: It is not there, or was cut off in every attempt (what came is kept), or is no file
            of the length that the server declares.
        OSError: The file cannot be written.
    """
    for pause in (0, *_PAUSES_SECONDS):
        time.sleep(pause)
        try:
            _receive(url, part, on_progress or (lambda *_: None), timeout_seconds)
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
    note_path(part).unlink(missing_ok=True)


def _receive(url: str, part: Path, on_progress: Callable[[int, int], None], timeout_seconds: float) -> None:
    """One attempt."""
    version, received, size = _begun(url, part)
    if received and received == size:
        return
    headers = {"User-Agent": "escsr"}
    if received:
        headers |= {"Range": f"bytes={received}-", "If-Range": version}
    opener = build_opener(_WebRedirects)
    with _asked(lambda: opener.open(Request(url, headers=headers), timeout=timeout_seconds)) as response:
        _check_plain(response.headers)
        came = _version(response.headers)
        if response.status == 206:
            rest = f"bytes {received}-{size - 1}/{size}"
            if response.headers.get("Content-Range") != rest or came not in ("", version):
                raise _StaleError("another part, or one of another version, came than was asked for")
        else:
            version, received, size = came, 0, _declared_size(response.headers)
        with open(part, "ab" if received else "wb") as file:
            note = {"url": url, "version": version, "size": size}
            note_path(part).write_text(json.dumps(note), encoding="utf-8")
            on_progress(received, size)
            while chunk := _asked(lambda: response.read1(_CHUNK_BYTES)):
                received += len(chunk)
                if received > size:
                    break
                file.write(chunk)
                on_progress(received, size)
    if received > size:
        discard(part)
        raise DownloadError(f"the server sends more than the {size:,} bytes that it declared")
    if received != size:
        raise _CutError(f"the connection was cut after {received:,} of {size:,} bytes")


def _begun(url: str, part: Path) -> tuple[str, int, int]:
    """Version of a partial file that can be continued, bytes received, and bytes in all."""
    with suppress(OSError, ValueError, LookupError, TypeError, ArithmeticError):
        note = read_json(note_path(part))
        version, size, received = note["version"], note["size"], part.stat().st_size
        if note["url"] == url and re.fullmatch(_VERSION, version) and received <= size:
            return version, received, int(size)
    return "", 0, 0


def note_path(file: Path) -> Path:
    """Where what is known of a file is written."""
    return file.with_name(f"{file.name}.json")


class _WebRedirects(HTTPRedirectHandler):
    """Follows redirects to web addresses only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise HTTPError(newurl, code, f"redirected to {newurl}, which is refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _asked(request: Callable[[], Any]) -> Any:
    """What the network gives; its errors are of one attempt, or of all that could be made."""
    try:
        return request()
    except HTTPError as error:
        error.close()
        problem = f"HTTP {error.code} {error.reason}"
        if error.code == 416:
            raise _StaleError(problem) from error
        if error.code in _PASSING_STATUS:
            raise _CutError(problem) from error
        moved = "; the file may have moved" if error.code in (404, 410) else ""
        raise DownloadError(problem + moved) from error
    except (ValueError, http.client.InvalidURL) as error:
        raise DownloadError(f"the address, or one that it leads to, is malformed ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            hint = "behind a proxy with a certificate of its own, set SSL_CERT_FILE"
            raise DownloadError(f"{reason.verify_message} ({hint})") from error
        raise _CutError(f"no connection, or it was cut ({reason})") from error


def _version(headers: Message) -> str:
    """What names the file's state in an If-Range header; empty where the server has nothing."""
    tag = headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    return version if re.fullmatch(_VERSION, version) else ""


def _check_plain(headers: Message) -> None:
    """Refuses a page (for signing in, say), and a file that is compressed on its way."""
    if headers.get_content_type() == "text/html":
        raise DownloadError("a web page came instead of the file")
    encoding = headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise DownloadError(f"the server sends the file encoded ({encoding:.40}), which was not asked for")


def _declared_size(headers: Message) -> int:
    length = headers.get("Content-Length", "")
    if not re.fullmatch(_LENGTH, length):
        raise DownloadError(f"the server does not say how large the file is ({length[:20] or 'no length'})")
    return int(length)
