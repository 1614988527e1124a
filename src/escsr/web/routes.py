"""The API: jobs, models, health and figures."""

from __future__ import annotations

import asyncio
import hmac
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Depends, File, Form, HTTPException, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from escsr._version import __version__
from escsr.errors import EscError, ImageError
from escsr.images import FORMATS, check_suffix
from escsr.runtime.devices import choose_device
from escsr.web.guard import COOKIE, PLACE
from escsr.web.jobs import STOPPED, FullError, Job, Jobs, Place
from escsr.web.plan import TooLargeError, check_name, clean_name, plan_job
from escsr.web.sandbox import read_header
from escsr.web.schemas import About, FormatInfo, Health, JobForm, JobStatus, ModelInfo, Problem, TokenForm
from escsr.web.service import Service

__all__ = ["job_events", "no_room", "router"]

_BLOCK = 1 << 18
_LOOK_SECONDS = 0.1
_BEAT_SECONDS = 5
"""Also without a change something is sent, so that a connection that broke is noticed."""
_TELLS_TIME_FROM = 0.02
"""Share of the work from which its end can be told."""

_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WebP": "image/webp",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "JPEG XL": "image/jxl",
    "OpenEXR": "image/x-exr",
    "Radiance HDR": "image/vnd.radiance",
    "HEIC": "image/heic",
}

router = APIRouter()


def _problems(**what: str) -> dict[int | str, dict[str, Any]]:
    """Descriptions of answers that are a `Problem`, by status: `_404="..."`."""
    always = {
        "_400": "Another host's name, or nonsense.",
        "_401": "Without the token.",
        "_403": "Another site.",
    }
    return {
        int(status[1:]): {"model": Problem, "description": text} for status, text in (always | what).items()
    }


def _service(request: Request) -> Service:
    return request.app.state.service


def _job(request: Request, job_id: Annotated[str, Path(alias="id", max_length=100)]) -> Job:
    """The job of an id, or 404."""
    if (job := _service(request).jobs.find(job_id)) is None:
        raise HTTPException(404, "No such job; it was deleted, or its time was over.")
    return job


_FoundJob = Annotated[Job, Depends(_job)]
_NO_JOB = "No such job."


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobStatus,
    summary="Upscale a picture",
    responses=_problems(
        _408="The upload was too slow, or stood still.",
        _413="The file, the picture or its result is too large.",
        _415="The file is no picture that can be read.",
        _422="The options do not fit each other, the model or the format.",
        _429="The queue or the store is full; try again later.",
        _507="The server has no room for the picture.",
    ),
)
async def create_job(request: Request, response: Response, form: Annotated[JobForm, File()]) -> JobStatus:
    """Takes a picture and its options, and answers at once; the work is done in the order of arrival."""
    service = _service(request)
    job = await run_in_threadpool(_add, service, form, request.scope[PLACE])
    if await request.is_disconnected():
        await run_in_threadpool(service.jobs.delete, job)  # nobody knows its id
    response.headers["location"] = f"/jobs/{job.id}"
    return _status_of(job, service.jobs)


@router.get("/jobs/{id}", summary="How far a job is", responses=_problems(_404=_NO_JOB))
async def show_job(request: Request, job: _FoundJob) -> JobStatus:
    """Where a job stands."""
    return _status_of(job, _service(request).jobs)


@router.get(
    "/jobs/{id}/events",
    summary="How far a job is, as it goes on",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Events `status`, each a JobStatus.", "content": {"text/event-stream": {}}},
        **_problems(_404=_NO_JOB, _429="Too many streams are open."),
    },
)
async def follow_job(request: Request, job: _FoundJob) -> StreamingResponse:
    """Server-sent events: one `status` at once and at each change, until the job is over."""
    service = _service(request)
    if len(service.streams) >= service.jobs.limits.max_streams:
        raise HTTPException(429, "Too many event streams are open; ask for the job itself.")
    return StreamingResponse(job_events(service, job), media_type="text/event-stream")


@router.head("/jobs/{id}/result", include_in_schema=False)
@router.get(
    "/jobs/{id}/result",
    summary="The result",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The file.", "content": {"image/*": {}}},
        **_problems(_404=_NO_JOB, _409="The job is not done.", _410="The result was fetched and deleted."),
    },
)
async def fetch_result(request: Request, job: _FoundJob) -> Response:
    """The file as `escsr upscale` writes it; deleted a minute after it was fetched."""
    if job.state != "done" or job.plan is None:
        raise HTTPException(409, job.error or "The job is not done.")
    plan = job.plan
    try:
        file = await run_in_threadpool(open, plan.target, "rb")
    except OSError as error:
        raise HTTPException(
            410, "The result was fetched, or its time was over, and it was deleted."
        ) from error
    headers = {
        "content-length": str(os.fstat(file.fileno()).st_size),
        "content-disposition": f"attachment; filename*=utf-8''{quote(plan.result_name)}",
    }
    media_type = _MEDIA_TYPES[check_suffix(plan.target).name]
    if request.method == "HEAD":  # which does not count as fetched
        file.close()
        return Response(media_type=media_type, headers=headers)
    return StreamingResponse(_blocks(job, file), media_type=media_type, headers=headers)


@router.delete(
    "/jobs/{id}", status_code=204, summary="Cancel and delete", responses=_problems(_404=_NO_JOB)
)
async def delete_job(request: Request, job: _FoundJob) -> None:
    """Stops the work on a job, or takes it out of the queue, and deletes what there is of it."""
    await run_in_threadpool(_service(request).jobs.delete, job)


@router.get("/models", summary="Models", responses=_problems())
async def show_models(request: Request) -> list[ModelInfo]:
    """The models that jobs can name, the default first."""
    offers = _service(request).offers.values()
    return [
        ModelInfo(
            name=offer.name,
            scale=offer.scale,
            about=offer.about,
            strength=offer.strength,
            strength_scales=list(offer.strength_scales),
            is_default=index == 0,
        )
        for index, offer in enumerate(offers)
    ]


@router.get("/about", summary="What this server takes", responses=_problems())
async def show_about(request: Request) -> About:
    """Version, devices, formats of results and limits."""
    options = _service(request).options
    formats = []
    for format in FORMATS:
        with suppress(EscError):  # its package is not installed
            check_suffix(FilePath(f"result{format.suffixes[0]}"))
            suffixes = [suffix[1:] for suffix in format.suffixes]
            formats.append(FormatInfo(name=format.name, lossless=format.lossless, suffixes=suffixes))
    return About(
        version=__version__,
        devices=[str(choose_device(device)) for device in options.devices],
        formats=formats,
        max_upload_bytes=options.limits.max_upload,
        max_pixels=options.limits.max_pixels,
        max_job_minutes=options.limits.max_job_minutes,
        keep_seconds=options.limits.keep_seconds,
    )


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="Whether the server lives", responses=_problems())
async def show_health(request: Request) -> Health:
    """Needs no token."""
    waiting, working, _ = _service(request).jobs.counts()
    return Health(status="ok", version=__version__, waiting=waiting, working=working)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **_problems()},
)
async def show_metrics(request: Request) -> Response:
    """How many jobs, how long, how much; nothing of a picture."""
    metrics = _service(request).metrics
    return Response(metrics.text(), media_type=metrics.content_type)


@router.post("/token", status_code=204, summary="Let the page in", responses=_problems(_422="No token."))
async def give_token(request: Request, response: Response, form: Annotated[TokenForm, Form()]) -> None:
    """Sets the cookie by which the page is known; programs send Authorization: Bearer instead."""
    token = _service(request).options.token
    if token is not None:
        if not hmac.compare_digest(form.token.strip().encode(), token.encode()):
            raise HTTPException(401, "This is not the server's token.")
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict")


def _add(service: Service, form: JobForm, place: Place) -> Job:
    """Saves the upload, looks at its header and queues the job; or says why not."""
    offers, jobs = service.offers, service.jobs
    model = form.model or next(iter(offers))
    if model not in offers:
        raise HTTPException(422, f"No model {model!r:.100} here; there is {', '.join(offers)}.")
    job = jobs.create(clean_name(form.file.filename))
    try:
        check_name(job.name)
        job.folder.mkdir(mode=0o700)
        with open(job.source, "wb") as file:
            shutil.copyfileobj(form.file.file, file)
        options = form.options(offers[model].weights)
        header = read_header(job.folder, jobs.limits)
        most = jobs.limits.max_pixels
        job.plan = plan_job(header, options, job.folder, name=job.name, suffix=form.format, max_pixels=most)
        jobs.add(job, place)
    except EscError as error:
        status = {TooLargeError: 413, ImageError: 415, FullError: 429}.get(type(error), 422)
        raise HTTPException(status, job.in_words(error)) from None
    except OSError as error:
        raise HTTPException(507, no_room(error)) from error
    finally:
        if jobs.find(job.id) is None:
            shutil.rmtree(job.folder, ignore_errors=True)
    return job


def no_room(error: OSError) -> str:
    """What is said where an upload cannot be written, mostly to a disk that is full."""
    return f"The server cannot keep the picture ({error.strerror or error})."


async def job_events(service: Service, job: Job) -> AsyncIterator[bytes]:
    """Events of a job; it changes in the worker's thread, so it is looked at again and again.

    When the server ends, a job at work counts as cancelled at once: uvicorn closes streams that last longer
    than a step of the network may.
    """
    service.streams.add(stream := object())
    try:
        last, told = None, 0.0
        while True:
            is_over = job.is_over  # first: the status that is read after it is the last one then
            status = _status_of(job, service.jobs)
            if service.jobs.is_closed and not is_over:
                status, is_over = status.model_copy(update={"state": "cancelled", "error": STOPPED}), True
            seen = status.state, status.progress, status.ahead
            if seen != last or time.monotonic() > told + _BEAT_SECONDS:
                yield f"event: status\ndata: {status.model_dump_json()}\n\n".encode()
                last, told = seen, time.monotonic()
            if is_over:
                return
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        service.streams.discard(stream)


def _blocks(job: Job, file: BinaryIO) -> Iterator[bytes]:
    """A file, which stays readable when it is deleted meanwhile; read whole, it counts as fetched."""
    with file:
        while block := file.read(_BLOCK):
            yield block
    job.fetched = job.fetched or time.monotonic()


def _status_of(job: Job, jobs: Jobs) -> JobStatus:
    plan = job.plan
    assert plan is not None
    over = None if job.ended is None or job.started is None else job.ended - job.started
    left = None
    if job.state == "working" and job.started is not None and job.progress > _TELLS_TIME_FROM:
        left = (time.monotonic() - job.started) * (1 - job.progress) / job.progress
    return JobStatus(
        id=job.id,
        name=job.name,
        state=job.state,
        progress=1.0 if job.state == "done" else round(job.progress, 4),
        ahead=jobs.ahead_of(job),
        seconds_left=None if left is None else round(left, 1),
        seconds=None if over is None else round(over, 2),
        size=plan.in_size,
        out_size=plan.out_size,
        model=plan.weights.stem,
        result_name=plan.result_name,
        result_bytes=job.result_bytes,
        sha256=job.sha256,
        notes=list(job.notes),
        error=job.error,
    )
