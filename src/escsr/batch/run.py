"""Batch: many pictures, of which one bad one does not stop the others."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from escsr import images
from escsr.batch.jobs import Job, plan
from escsr.batch.manifest import Manifest, key_of
from escsr.batch.pictures import LEFT, Outcome, Progress, ProgressCount, outcome_of
from escsr.batch.pipeline import OnError, Pipeline, PipelineItem
from escsr.batch.table import check_sha256, is_table
from escsr.files import is_full, remove_stale_parts, sha256_of
from escsr.images import Animation, Header, Picture
from escsr.models.selection import DEFAULT_MODEL, choose_model, files_of, is_family
from escsr.runtime.devices import choose_device
from escsr.upscaling.damage import hint_for
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.preflight import check_result
from escsr.upscaling.upscaler import Upscaler

__all__ = ["Batch", "upscale"]


class _Work(NamedTuple):
    """A picture on its way."""

    number: int
    key: str
    upscaler: Upscaler
    picture: Picture | Animation
    hint: str


class Batch:
    """Pictures to upscale: planned at once, then forecast or run.

    Args:
        inputs: Picture files, patterns, folders that are searched with their subfolders, and tables
            (`escsr.batch.table`); or one.
        output: File for one picture, folder for several; None for names beside the inputs
            (photo_x2.png, folder_x2/).
        format: Format of results whose names are made, as "png"; None to keep that of each input.
        suffix: What to put behind the names of results, in the place of "_x2"; with a folder as `output`,
            behind the name of each file.
        shard: "2/5" for the second of five parts of the work.
        options: How pictures are upscaled; None for the usual ones.
        settings: Options by name, in place of those in `options`.

    Attributes:
        jobs: The plan.
        size: What results will measure.
        other_files: How many files of which endings are skipped in the folders, see `images.other_files`.
        folders: The folders among the inputs.
        options: As given.
        device: Where they are upscaled.

    Raises:
        EscError: Model, device or output are not as they should be, or there is nothing to do.
    """

    def __init__(
        self,
        inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        *,
        format: str | None = None,
        suffix: str | None = None,
        shard: str | None = None,
        options: UpscaleOptions | None = None,
        **settings: Any,
    ) -> None:
        self.options = replace(options or UpscaleOptions(), **settings)
        self.device = choose_device(self.options.place)
        self._load = cache(self._open)
        self._digest = cache(sha256_of)
        wanted = self.options.target
        path = choose_model(self.options.model, wanted.scale if wanted else None)  # refuses unknown names
        if wanted is None or wanted.scale is not None or not is_family(self.options.model):
            # Weights that cannot be used are told before the work; else each picture may need others.
            wanted = self._load(path).target_size()
        self.size = wanted
        inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
        self.jobs = plan(inputs, output, size=self.size, format=format, suffix=suffix, shard=shard)
        self.folders = [entry for entry in inputs if Path(entry).is_dir() and not is_table(entry)]
        self.other_files = sum(map(images.other_files, self.folders), Counter[str]())

    def upscaler(self, scale: float) -> Upscaler:
        """The upscaler whose model reaches a scale, loaded once.

        Raises:
            EscError: There is no such model, or the file is damaged.
        """
        return self._load(choose_model(self.options.model, scale))

    def skipped(self, job: Job, header: Header, manifest: Manifest) -> Outcome | None:
        """What a run with `skip_existing` says of a job that it passes over; None for one that it would do.

        Args:
            job: One of `jobs`.
            header: Of its picture.
            manifest: The lists beside the results.

        Raises:
            EscError: There is no such model.
            OSError: The picture cannot be read.
        """
        found = self._key_or_skipped(job, self.size.scale_of(header.height, header.width), manifest)
        return found if isinstance(found, Outcome) else None

    def run(
        self,
        *,
        skip_existing: bool = False,
        fail_fast: bool = False,
        debug: bool = False,
        stop: threading.Event | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_end: Callable[[Outcome], None] | None = None,
    ) -> Generator[Outcome, None, None]:
        """Upscales the pictures; the next is read and the last written while the network works.

        Whatever is raised for one picture is one failed picture; only where a disk is full or read-only no
        other is begun. Whatever ends the run, the writer finishes its picture.

        Args:
            skip_existing: Skip pictures whose results were made by an earlier run with `skip_existing` from
                the same input, model and settings; a list in the folder of results (`Manifest`) says so.
                Files that are there and not in the list are left as they are, and skipped with a note.
                Results inside a folder of inputs are listed by every run, so that none takes them as input.
            fail_fast: Stop at the first picture that fails.
            debug: Raise the first error as it is.
            stop: Once set, the current picture is finished and no other begun.
            on_progress: Called often, from several threads, one at a time.
            on_end: Called from another thread with each outcome as soon as it is there, in order: also
                with those that a run which is cut short no longer yields.

        Yields:
            One outcome a picture, in the order of the plan.
        """
        for folder in dict.fromkeys(job.target.parent for job in self.jobs):
            remove_stale_parts(folder)
        manifest = Manifest()
        count = ProgressCount(self.jobs, on_progress or (lambda _: None))
        read = partial(self._read, manifest if skip_existing else None)
        write = partial(self._write, manifest, count)
        upscale_one = partial(self._upscale, count)
        on_error: OnError = "raise" if debug else "stop" if fail_fast else "continue"
        pipeline = Pipeline(read, upscale_one, write, on_error=on_error, is_last=is_full)

        def ended(item: PipelineItem[int, Outcome]) -> None:
            if on_end is not None:
                on_end(outcome_of(self.jobs[item.source], item))

        with closing(pipeline.run(range(len(self.jobs)), cancel=stop, on_end=ended)) as items:
            for item in items:
                count.ended(item.source)
                yield outcome_of(self.jobs[item.source], item)

    def _read(self, manifest: Manifest | None, number: int) -> _Work | Outcome:
        """The reader's part; what was done before is not decoded, but skipped."""
        job, key = self.jobs[number], ""
        header = images.read_header(job.source)
        if job.sha256:
            check_sha256(job.source, sha256_of(job.source), job.sha256)
        scale = self.size.scale_of(header.height, header.width)
        if manifest is not None:
            found = self._key_or_skipped(job, scale, manifest)
            if isinstance(found, Outcome):
                return found
            key = found
        elif self._is_among_inputs(job.target):
            key = self._key(job, scale)
        upscaler = self.upscaler(scale)
        check_result(header, job.target, self.size, scale=upscaler.scale, **self.options.limits)
        picture = images.read_for(job.target, job.source, to_srgb=self.options.to_srgb)
        hint = hint_for(picture, "--model real") if self.options.model == DEFAULT_MODEL else ""
        return _Work(number, key, upscaler, picture, f"{hint}." if hint else "")

    def _is_among_inputs(self, target: Path) -> bool:
        """Whether a later run finds a result in a folder of inputs, and needs a list to know it."""
        folder = Path(os.path.realpath(target.parent))
        return any(folder.is_relative_to(os.path.realpath(each)) for each in self.folders)

    def _open(self, path: Path) -> Upscaler:
        return Upscaler(options=self.options, weights=path)

    def _key_or_skipped(self, job: Job, scale: float, manifest: Manifest) -> str | Outcome:
        """What the list will know the result by; or what is said of a job that is passed over."""
        if manifest.is_foreign(job.target):
            return Outcome(job, "skipped", notes=(LEFT,))
        key = self._key(job, scale)
        return Outcome(job, "skipped") if manifest.has(job.target, key) else key

    def _key(self, job: Job, scale: float) -> str:
        path = choose_model(self.options.model, scale)
        own = self.options.of_file(path)
        digests = map(self._digest, files_of(path, own.strength or 0))
        return key_of(job.source, " ".join(digests), self.size, own)

    def _upscale(self, count: ProgressCount, work: _Work | Outcome) -> _Work | Outcome:
        """The network's part."""
        if isinstance(work, Outcome):
            return work
        on_progress = partial(count.upscaled, work.number)
        larger = work.upscaler.upscale_picture(work.picture, size=self.size, on_progress=on_progress)
        return work._replace(picture=larger)

    def _write(self, manifest: Manifest, count: ProgressCount, work: _Work | Outcome) -> Outcome:
        """The writer's part, in the order that a kill at any moment allows, see `Manifest`.

        Without a key, a list that has the result is told that it no longer is what it was.
        """
        if isinstance(work, Outcome):
            return work
        job, picture = self.jobs[work.number], work.picture
        if work.key or manifest.lists(job.target):
            manifest.begin(job.target)
        images.write(picture, job.target, self.options)
        if work.key:
            manifest.add(job.target, work.key)
        count.ended(work.number)
        rows, columns = (picture.frames[0] if isinstance(picture, Animation) else picture.pixels).shape[:2]
        name, size = work.upscaler.name, (columns, rows)
        return Outcome(job, "done", model=name, size=size, notes=picture.notes, hint=work.hint)


def upscale(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    suffix: str | None = None,
    skip_existing: bool = False,
    shard: str | None = None,
    fail_fast: bool = False,
    debug: bool = False,
    stop: threading.Event | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    options: UpscaleOptions | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Upscales picture files and folders: what `escsr upscale` does.

    Args:
        inputs: See `Batch`.
        output: See `Batch`.
        format: See `Batch`.
        suffix: See `Batch`.
        skip_existing: See `Batch.run`.
        shard: See `Batch`.
        fail_fast: See `Batch.run`.
        debug: See `Batch.run`.
        stop: See `Batch.run`.
        on_outcome: Called with each outcome as it comes.
        on_progress: See `Batch.run`.
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`: `scale=4`, `quality=90`.

    Returns:
        What became of each picture, in the order of the inputs; one that failed has its `error`.

    Raises:
        EscError: As `Batch`, before anything is done.
    """
    batch = Batch(inputs, output, format=format, suffix=suffix, shard=shard, options=options, **settings)
    outcomes = []
    run = batch.run(
        skip_existing=skip_existing, fail_fast=fail_fast, debug=debug, stop=stop, on_progress=on_progress
    )
    with closing(run):
        for outcome in run:
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return outcomes
