"""`escsr serve`."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from typing import Annotated

from typer import Option

from escsr.cli.console import OUT, own_memory, plain

__all__ = ["serve"]


def serve(
    host: Annotated[
        str, Option(help="Address to listen on; another than this machine's own only with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(help="Port; 0 for any that is free.", min=0, max=65535)] = 8642,
    models: Annotated[
        list[str] | None,
        Option(
            help="Bundled name or file of weights to offer. May be repeated. If not given: all bundled."
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        Option(help="auto, cpu, cuda, cuda:1, xpu or mps. May be repeated, for a worker on each."),
    ] = None,
    token: Annotated[
        str | None,
        Option(envvar="ESCSR_TOKEN", help="What clients must know, 16 letters and digits or more."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        Option(help="Name that clients may call this server by. May be repeated; addresses always may."),
    ] = None,
    max_upload_mib: Annotated[float, Option(help="Largest file, MiB.")] = 128,
    max_pixels: Annotated[int, Option(help="Most pixels of a picture and of its result.")] = 100_000_000,
    max_queue: Annotated[int, Option(help="Pictures under way at once.")] = 64,
    max_job_minutes: Annotated[float, Option(help="Longest work on one picture.")] = 60,
    no_open: Annotated[bool, Option("--no-open", help="Open no browser.")] = False,
) -> None:
    """Serve a page for the browser and an HTTP API, on this machine alone; see docs/web.md.

    Ctrl-C stops the current picture, and deletes uploads and results.
    """
    own_memory()
    from escsr.web.server import serve as run

    def ready(addresses: Sequence[str]) -> None:
        here, *elsewhere = addresses
        OUT.print(plain(f"{here}  (Ctrl-C stops)"))
        for address in elsewhere:
            OUT.print(plain(f"{address}  (from other machines)"))
        sys.stdout.flush()

    def open_page(address: str) -> None:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    run(
        host=host,
        port=port,
        models=models or (),
        device=device or ("auto",),
        token=token,
        allow_host=allow_host or (),
        max_upload_mib=max_upload_mib,
        max_pixels=max_pixels,
        max_queue=max_queue,
        max_job_minutes=max_job_minutes,
        on_ready=ready,
        on_open=None if no_open or not _has_desktop() else open_page,
    )


def _has_desktop() -> bool:
    """Whether there is a screen to open a browser on."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
