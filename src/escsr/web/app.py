"""The application: its parts put together, for any server that speaks ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from escsr._version import __version__
from escsr.errors import EscError
from escsr.models.selection import choose_model
from escsr.runtime.devices import choose_device
from escsr.upscaling.options import UpscaleOptions
from escsr.web.guard import Guard
from escsr.web.jobs import Jobs
from escsr.web.metrics import Metrics
from escsr.web.offers import list_offers
from escsr.web.page_files import add_page
from escsr.web.routes import no_room, router
from escsr.web.service import Service, WebOptions
from escsr.web.worker import Worker

__all__ = ["create_app"]

_SWEEP_SECONDS = 1.0
_STOP_SECONDS = 10.0

_DESCRIPTION = (
    "Upscale pictures: POST /jobs takes one and answers at once; GET /jobs/ID/events tells how far it is; "
    "GET /jobs/ID/result gives the result, which is then deleted. With a token, each request needs the "
    "header Authorization: Bearer TOKEN. Errors are objects with one key, error: a sentence."
)


def create_app(folder: Path, options: WebOptions | None = None) -> FastAPI:
    """Makes the application; its workers run while it does.

    Args:
        folder: A private folder, for this application alone.
        options: See `WebOptions`.

    Returns:
        The application, with a `Service` as `state.service`.

    Raises:
        EscError: There is no such model.
    """
    options = options or WebOptions()
    jobs = Jobs(folder, options.limits)
    service = Service(options, list_offers(options.models), jobs, Metrics(jobs))
    app = FastAPI(
        title="escsr",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # FastAPI's own pages load from another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.service = service
    app.include_router(router)
    add_page(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_middleware(
        Guard,
        jobs=jobs,
        metrics=service.metrics,
        token=options.token,
        hosts=options.hosts,
        only_loopback=options.only_loopback,
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Workers and the sweep begin with the application and end with it."""
    service: Service = app.state.service
    first = choose_model(next(iter(service.offers.values())).weights, None)
    devices = map(choose_device, service.options.devices)
    each = (UpscaleOptions(device=str(device)) for device in devices)
    workers = [Worker(service.jobs, service.metrics, options, first) for options in each]
    for worker in workers:
        worker.start()
    sweeping = asyncio.create_task(_sweep(service.jobs))
    try:
        yield
    finally:
        service.jobs.close()
        sweeping.cancel()
        for worker in workers:
            await asyncio.to_thread(worker.join, _STOP_SECONDS)


async def _sweep(jobs: Jobs) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await asyncio.to_thread(jobs.sweep)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    cause = first.get("ctx", {}).get("error")
    message = str(cause) if isinstance(cause, EscError) else f"{where}: {first['msg']}."
    if where == "file" and isinstance(first.get("input"), str):
        message = "file: this part of the form has no filename, so it is no file."
    return JSONResponse({"error": message[:500]}, 422)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    status, message, cause = error.status_code, str(error.detail), error.__cause__
    if status == HTTPStatus.BAD_REQUEST and isinstance(cause, OSError):  # as the body was laid aside
        status, message = HTTPStatus.INSUFFICIENT_STORAGE, no_room(cause)
    return JSONResponse({"error": message}, status, headers=error.headers)
