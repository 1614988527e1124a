"""Starts a server: a socket, a private folder, the application, and an end in order."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from html import escape
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from escsr.errors import ConfigError, OutputError
from escsr.runtime.extras import install_line

__all__ = ["SETTINGS", "listening", "private_folder", "serve"]

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_PREFIX, _LOCK, _DOOR = "escsr-web-", "lock", "open.html"
_LEAST_TOKEN = 16

_EVERY = {"0.0.0.0": ("127.0.0.1", "192.0.2.1"), "::": ("::1", "2001:db8::1")}
"""What stands for every address of a machine: its loopback, and an address of nobody (RFC 5737, 3849)."""

SETTINGS: dict[str, Any] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "ws": "none",
    "limit_concurrency": 512,
    "timeout_graceful_shutdown": 5,
}
"""Of uvicorn."""

_LOG = logging.getLogger(__name__)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8642,
    models: Sequence[str] = (),
    device: Sequence[str] = ("auto",),
    token: str | None = None,
    allow_host: Sequence[str] = (),
    max_upload_mib: float = 128,
    max_pixels: int = 100_000_000,
    max_queue: int = 64,
    max_job_minutes: float = 60,
    on_ready: Callable[[Sequence[str]], object] | None = None,
    on_open: Callable[[str], object] | None = None,
) -> None:
    """Serves the page and the API until the process is told to end: what `escsr serve` does.

    By SIGINT, SIGTERM or SIGHUP waiting jobs are dropped, the one at work is stopped, and all files are
    deleted.

    Args:
        host: Address to listen on; another than this machine's own only with a token.
        port: Where; 0 for any that is free.
        models: Names and files of weights to offer, the first as the default; none for all bundled ones.
        device: Where pictures are upscaled; each has a worker.
        token: What clients must know, 16 characters or more; see docs/web.md.
        allow_host: Names that clients may call this server by, beside addresses, localhost and `host`.
        max_upload_mib: See `Limits`.
        max_pixels: See `Limits`.
        max_queue: See `Limits`.
        max_job_minutes: See `Limits`.
        on_ready: Takes the page's addresses once it answers, that for a browser on this machine first.
        on_open: Takes, after that, what a browser should open: the first address, or with a token that of
            a file which only this user can read, so that no list of processes shows the token.

    Raises:
        ConfigError: The extra `web` is missing, the address cannot be taken, a token is missing or short,
            or a limit is impossible.
        ModelNotFoundError: There is no such model.
        DeviceError: There is no such device.
    """
    _check_installed()
    import uvicorn

    from escsr.runtime.devices import choose_device
    from escsr.web.app import create_app
    from escsr.web.guard import is_loopback
    from escsr.web.limits import Limits
    from escsr.web.service import WebOptions

    _check_token(token, is_open=not is_loopback(host))
    for each in device:
        choose_device(each)
    options = WebOptions(
        models=models,
        devices=device,
        token=token,
        hosts=(host, socket.gethostname(), *allow_host),
        only_loopback=is_loopback(host) and not allow_host,
        limits=Limits(
            max_upload_mib=max_upload_mib,
            max_pixels=max_pixels,
            max_queue=max_queue,
            max_job_minutes=max_job_minutes,
        ),
    )
    with closing(listening(host, port)) as listener, private_folder() as folder:
        app = create_app(folder, options)

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                address, *_ = addresses = _addresses(host, listener)
                if on_ready is not None:
                    on_ready(addresses)
                if on_open is not None:
                    on_open(address if token is None else _door(folder, f"{address}#token={token}"))

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                app.state.service.jobs.close()  # before connections are waited for: event streams end by it
                await super().shutdown(sockets)

            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                with super().capture_signals(), _hangup(self.handle_exit):
                    yield

        Server(uvicorn.Config(app, **SETTINGS)).run(sockets=[listener])


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user may look into, deleted at the end; those of killed servers go too.

    Raises:
        OutputError: None can be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise OutputError(f"Cannot make a temporary folder (see TMPDIR): {error.strerror}.") from error
    try:
        with FileLock(folder / _LOCK):
            for other in folder.parent.glob(f"{_PREFIX}*"):
                if other != folder:
                    _remove_if_left(other, owner=folder.stat().st_uid)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path, owner: int) -> None:
    """Deletes the folder of a server that does not live: nobody holds its lock."""
    with suppress(OSError, Timeout):
        if (folder / _LOCK).exists() and folder.stat().st_uid == owner:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                _LOG.info("Deleted what a killed server left.")


@contextmanager
def _hangup(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Has SIGHUP handled too, where there is one and it is not ignored (`nohup`)."""
    number = getattr(signal, "SIGHUP", None)
    is_main = threading.current_thread() is threading.main_thread()
    if number is None or not is_main or signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _door(folder: Path, address: str) -> str:
    """The address of a new file, for this user alone, that leads a browser to another address."""
    path = folder / _DOOR
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0; url={escape(address)}"><title>escsr</title>\n'
        )
    return path.as_uri()


def _check_installed() -> None:
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise ConfigError(f"The server requires {', '.join(missing)}: {install_line('web')}")


def _check_token(token: str | None, *, is_open: bool) -> None:
    if token is None and is_open:
        raise ConfigError(
            "Others can reach this address, so it requires a token of 16 characters or more: --token, or "
            "ESCSR_TOKEN in the environment. Without --host the server is for this machine alone."
        )
    if token is not None and not (len(token) >= _LEAST_TOKEN and token.isascii() and token.isalnum()):
        raise ConfigError("A token has 16 characters or more, letters and digits.")


def listening(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Args:
        host: Name or address of this machine.
        port: 0 for any that is free.

    Raises:
        ConfigError: The address is not this machine's, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"Cannot listen on {host}, port {port}: {reason}; choose another with --port, or 0 for any."
        ) from error


def _addresses(host: str, listener: socket.socket) -> list[str]:
    """Of the page; of a server at every address of the machine its loopback, and where others reach it."""
    bound, port = listener.getsockname()[:2]
    hosts = [host]
    if bound in _EVERY:
        loopback, elsewhere = _EVERY[bound]
        hosts = [loopback, *_own_address(listener.family, elsewhere)]
    return [f"http://{f'[{name}]' if ':' in name else name}:{port}/" for name in hosts]


def _own_address(family: int, elsewhere: str) -> list[str]:
    """This machine's address on the way to another, where there is one; nothing is sent."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((elsewhere, 9))
        return [way.getsockname()[0]]
    return []
