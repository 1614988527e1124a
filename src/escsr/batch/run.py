"""Batch: many pictures, of which one bad one does not stop the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from escsr._version import __version__
from escsr.batch.jobs import plan
from escsr.batch.models import Models
from escsr.batch.pipeline import Line, Notes, Outcome, Progress
from escsr.images import WriteOptions
from escsr.models.selection import DEFAULT_MODEL
from escsr.runtime.choices import FeatureStorageChoice, Fit, Precision, Subsampling
from escsr.upscaling.target_size import TargetSize

__all__ = ["Batch"]


class Batch:
    """Pictures to enlarge: planned at once, then forecast or run.

    Args:
        inputs: Picture files, patterns, and folders that are searched with their subfolders.
        output: File for one picture, folder for several; None for names beside the inputs
            (photo_x2.png, folder_x2/).
        model: As for `escsr.models.selection.choose_model`, for each picture by its enlargement.
        scale: Enlargement; None for ×2, or the scale of the model named.
        width: Pixels of the result instead; the height follows, or see `fit`.
        height: Pixels of the result.
        size: Both, as "1920x1080".
        fit: What width and height do to a picture of another shape, see `Fit`.
        longest: Pixels of the longer side.
        suffix: Ending, and so format, of results in folders or beside their inputs; None to keep it.
        quality: See `WriteOptions`.
        lossless: See `WriteOptions`.
        subsampling: See `WriteOptions`.
        strip: See `WriteOptions`.
        to_srgb: Convert colours to sRGB; else each picture keeps its profile.
        max_pixels: Refuse pictures and results of more pixels; None for no limit.
        device: See `Upscaler`.
        precision: See `Upscaler`.
        tile_size: See `Upscaler`.
        feature_storage: See `Upscaler`.
        self_ensemble: See `Upscaler`.
        shard: "2/5" for the second of five parts of the work.

    Attributes:
        jobs: The plan.
        size: What results shall measure.
        models: The models at hand; one is loaded at once.

    Raises:
        EscError: Model, device or output are not as they should be, or there is nothing to do.
    """

    def __init__(
        self,
        inputs: Sequence[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        *,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        size: str | None = None,
        fit: Fit = "contain",
        longest: int | None = None,
        suffix: str | None = None,
        quality: int | None = None,
        lossless: bool = False,
        subsampling: Subsampling = "444",
        strip: bool = False,
        to_srgb: bool = False,
        max_pixels: int | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        tile_size: int | None = None,
        feature_storage: FeatureStorageChoice = "auto",
        self_ensemble: bool = False,
        shard: str | None = None,
    ) -> None:
        wanted = TargetSize.choose(
            scale=scale, width=width, height=height, size=size, fit=fit, longest=longest
        )
        self.write_options = WriteOptions(
            quality=quality, lossless=lossless, subsampling=subsampling, strip=strip
        )
        self.to_srgb, self.max_pixels = to_srgb, max_pixels
        self.models = Models(
            model,
            device=device,
            precision=precision,
            tile_size=tile_size,
            feature_storage=feature_storage,
            self_ensemble=self_ensemble,
        )
        self.size = self.models.target_size(wanted)
        self.jobs = plan(inputs, output, size=self.size, suffix=suffix, shard=shard)
        self._settings = {
            "size": self.size,
            "write": self.write_options,
            "to_srgb": to_srgb,
            "precision": precision,
            "float16 maps": feature_storage == "float16",
            "self_ensemble": self_ensemble,
            "escsr": __version__,
        }

    def run(
        self,
        *,
        skip_existing: bool = False,
        fail_fast: bool = False,
        stop: threading.Event | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[Outcome]:
        """Enlarges the pictures; the next is read and the last written while the network works.

        Results of several pictures are noted in their folder (`Manifest`), for `skip_existing` in a
        later run. Whatever ends the run, the writer finishes its picture.

        Args:
            skip_existing: Leave out what was made from the same input, model and settings before.
            fail_fast: Stop at the first picture that fails.
            stop: Once set, the picture at hand is finished and no other begun.
            on_progress: Called often.

        Yields:
            One outcome a picture, in the order of the plan.
        """
        notes = Notes(self._settings, skip_existing) if skip_existing or len(self.jobs) > 1 else None
        line = Line(self, notes, on_progress)
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            written: Future[Outcome] | None = None
            for number, item in enumerate(line.read_ahead(reader), 1):
                if stop is not None and stop.is_set():
                    break
                before, written = written, writer.submit(line.write, line.upscale_pixels(item, number))
                if before is not None:
                    yield before.result()
                if fail_fast and written.result().status == "failed":
                    break
            if written is not None:
                yield written.result()
