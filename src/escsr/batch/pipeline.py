"""The way of one picture through reader, network and writer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from escsr import images
from escsr.batch.jobs import Job
from escsr.batch.manifest import Manifest, key_of
from escsr.errors import DeviceError, EscError, ImageError
from escsr.images import Animation, Picture
from escsr.upscaling.preflight import check_result

if TYPE_CHECKING:
    from escsr.batch.run import Batch

__all__ = ["Item", "Line", "Notes", "Outcome", "Progress", "Status"]

_NO_MEMORY = "the memory does not suffice; close other programs, or choose a smaller size."

Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The picture and where its result went.
        status: "done", "skipped" (was done already) or "failed".
        error: Why it failed, else None.
        seconds: Reading, network and writing.
        model: Name of the model that enlarged it.
        size: Width and height of the result, pixels; None where there is none.
        notes: What had to be changed on the way, in words.
    """

    job: Job
    status: Status
    error: EscError | None = None
    seconds: float = 0.0
    model: str = ""
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far the work is.

    Attributes:
        job: The picture at hand.
        share: How much of it is done, in [0, 1].
        overall: How much of all jobs is done, by input pixels, in [0, 1].
        number: Number of the job, from 1.
        jobs: Jobs in all.
    """

    job: Job
    share: float
    overall: float
    number: int
    jobs: int


@dataclass(frozen=True)
class Notes:
    """What is written into the folders of results, and whether it is heeded."""

    settings: dict[str, Any]
    skip: bool
    manifest: Manifest = field(default_factory=Manifest)


@dataclass
class Item:
    """One job on its way through reader, network and writer; a failed one passes the rest untouched."""

    job: Job
    scale: float = 1.0
    key: str | None = None
    picture: Picture | Animation | None = None
    model: str = ""
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    status: Status = "failed"
    error: EscError | None = None
    seconds: float = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Times a step; an error that concerns this picture alone is kept."""
        start = time.perf_counter()
        try:
            yield
        except EscError as error:
            self.error, self.picture = error, None
        except MemoryError:
            self.error, self.picture = DeviceError(f"{self.job.source}: {_NO_MEMORY}"), None
        finally:
            self.seconds += time.perf_counter() - start


@dataclass
class Line:
    """Reader, network and writer, each at another picture.

    Args:
        batch: The plan.
        notes: Where done pictures are noted, or None.
        on_progress: Called often, or None.
    """

    batch: Batch
    notes: Notes | None
    on_progress: Callable[[Progress], None] | None

    def __post_init__(self) -> None:
        self.weights = [_pixels(job.source) for job in self.batch.jobs] if self.on_progress else []

    def read_ahead(self, reader: ThreadPoolExecutor) -> Iterator[Item]:
        """Pictures in order; while one is used the next is read."""
        waiting: deque[Future[Item]] = deque()
        for job in self.batch.jobs:
            waiting.append(reader.submit(self._read, job))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)

    def _read(self, job: Job) -> Item:
        item, batch = Item(job), self.batch
        with item.step():
            header = images.read_header(job.source)
            item.scale = batch.size.scale_of(header.height, header.width)
            if self._is_done(item):
                item.status = "skipped"
                return item
            scale = batch.models.reaching(item.scale).scale
            check_result(header, job.target, batch.size, scale=scale, max_pixels=batch.max_pixels)
            item.picture = images.read_for(job.target, job.source, to_srgb=batch.to_srgb)
            item.notes = item.picture.notes
        return item

    def _is_done(self, item: Item) -> bool:
        if self.notes is None:
            return False
        model = self.batch.models.path(item.scale)
        item.key = key_of(item.job.source, model, self.notes.settings)
        return self.notes.skip and self.notes.manifest.has(item.job.target, item.key)

    def upscale_pixels(self, item: Item, number: int) -> Item:
        """The network's part."""
        with item.step():
            if item.picture is not None:
                upscaler = self.batch.models.reaching(item.scale)
                report = None if self.on_progress is None else partial(self._report, item.job, number)
                item.picture = upscaler.upscale_picture(
                    item.picture, size=self.batch.size, on_progress=report
                )
                item.model = upscaler.name
        return item

    def write(self, item: Item) -> Outcome:
        """The writer's part; the note follows the picture."""
        with item.step():
            picture, item.picture = item.picture, None
            if picture is not None:
                images.write(picture, item.job.target, self.batch.write_options)
                if self.notes is not None and item.key is not None:
                    self.notes.manifest.add(item.job.target, item.key)
                pixels = picture.frames[0] if isinstance(picture, Animation) else picture.pixels
                item.size, item.status = (pixels.shape[1], pixels.shape[0]), "done"
        return Outcome(item.job, item.status, item.error, item.seconds, item.model, item.size, item.notes)

    def _report(self, job: Job, number: int, share: float) -> None:
        assert self.on_progress is not None
        done = sum(self.weights[: number - 1]) + share * self.weights[number - 1]
        overall = done / max(1, sum(self.weights))
        self.on_progress(Progress(job, share, overall, number, len(self.batch.jobs)))


def _pixels(source: Path) -> int:
    """Pixels of all frames by the header; 0 for what is no picture."""
    try:
        header = images.read_header(source)
    except ImageError:
        return 0
    return header.width * header.height * header.frames
