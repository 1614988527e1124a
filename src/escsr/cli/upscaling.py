"""`escsr upscale`."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from escsr.cli.console import ERR, DeviceOption, ExitCode, PrecisionOption, own_memory, progress, scale_of
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.reports import JsonReport, Report
from escsr.cli.video import check_options, upscale_pipe, upscale_videos
from escsr.cli.video_options import (
    CodecOption,
    CrfOption,
    DeinterlaceOption,
    FpsOption,
    PipeOption,
    PresetOption,
    SegmentOption,
    YesOption,
)
from escsr.errors import ConfigError
from escsr.runtime.choices import Backend, FeatureStorageChoice, Fit, Subsampling

if TYPE_CHECKING:
    from escsr.batch import Batch, Progress

__all__ = ["upscale"]

_SIZE, _FILES, _COLOUR, _COMPUTATION = "Size", "Result files", "Colour", "Computation"
_MANY, _MESSAGES = "Many pictures", "Messages"


def upscale(
    inputs: Annotated[
        list[str] | None,
        Argument(
            metavar="PICTURES",
            help="Picture files, folders (with their subfolders) or patterns like '*.jpg'; - for standard "
            "input. Or videos.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File for one picture, folder for several, - for standard output. If not given: "
            "photo_x2.jpg beside photo.jpg, folder_x2 beside folder.",
        ),
    ] = None,
    model: Annotated[
        str,
        Option(
            "--model",
            "-m",
            metavar="NAME",
            help="auto: the model for clean pictures that suits the scale. real: for noisy and compressed "
            "photos. Or a name from `escsr models`, a file of weights, the folder of a training run.",
        ),
    ] = "auto",
    scale: Annotated[
        float | None,
        Option(
            "--scale",
            "-s",
            parser=scale_of,
            metavar="X",
            help="Factor of both sides, like 2, 2.7 or 4x. If not given: 2, or that of the model.",
            rich_help_panel=_SIZE,
        ),
    ] = None,
    width: Annotated[
        int | None, Option(help="Width of the result in pixels, instead of a scale.", rich_help_panel=_SIZE)
    ] = None,
    height: Annotated[
        int | None,
        Option(help="Height of the result in pixels, instead of a scale.", rich_help_panel=_SIZE),
    ] = None,
    size: Annotated[
        str | None,
        Option(metavar="WxH", help="Width and height, like 1920x1080; see --fit.", rich_help_panel=_SIZE),
    ] = None,
    fit: Annotated[
        Fit,
        Option(
            metavar="HOW",
            help="For a picture whose shape differs from --size. contain: the whole picture within the "
            "size. cover: fill the size, cut what is too much. exact: stretch.",
            rich_help_panel=_SIZE,
        ),
    ] = "contain",
    longest: Annotated[
        int | None,
        Option(help="Length of the longer side in pixels, instead of a scale.", rich_help_panel=_SIZE),
    ] = None,
    crop: Annotated[
        str | None,
        Option(
            metavar="X,Y,W,H",
            help="Keep only this part (left, top, width, height in input pixels), exactly as in the whole "
            "result. Takes as long as the whole picture.",
            rich_help_panel=_SIZE,
        ),
    ] = None,
    format: Annotated[
        str | None,
        Option(
            "--format",
            "-f",
            help="png, jpg, webp, tif, avif, gif; with extras jxl, heic, exr, hdr. Videos: mp4, mkv, mov, "
            "webm. If not given: as the input, or as the ending of --output.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        Option(
            help="End of the names of results, instead of _x2: --suffix _large writes photo_large.jpg.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    quality: Annotated[
        int | None,
        Option(
            help="1 to 100, for JPEG, WebP, AVIF, HEIC, JPEG XL. If not given: 95; AVIF 85, HEIC 90.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    lossless: Annotated[
        bool, Option("--lossless", help="For WebP, AVIF and JPEG XL.", rich_help_panel=_FILES)
    ] = False,
    subsampling: Annotated[
        Subsampling,
        Option(
            metavar="444|420",
            help="Colour resolution in JPEG and AVIF: 444 full, 420 half (smaller files).",
            rich_help_panel=_FILES,
        ),
    ] = "444",
    strip: Annotated[
        bool, Option("--strip", help="Do not keep EXIF, XMP and IPTC metadata.", rich_help_panel=_FILES)
    ] = False,
    to_srgb: Annotated[
        bool,
        Option(
            "--to-srgb",
            help="Convert colours to sRGB instead of keeping the profile.",
            rich_help_panel=_COLOUR,
        ),
    ] = False,
    strength: Annotated[
        float | None,
        Option(
            help="Of model real, 0 to 1. 0: nothing is invented. 1: as sharp as possible, with invented "
            "detail.",
            rich_help_panel=_COMPUTATION,
        ),
    ] = None,
    keep_colour: Annotated[
        bool | None,
        Option(
            help="Keep large-scale colours as they are in the picture. If not given: only for models of "
            "real photos, which would shift them.",
            show_default=False,
            rich_help_panel=_COLOUR,
        ),
    ] = None,
    self_ensemble: Annotated[
        bool,
        Option(
            "--self-ensemble",
            help="Slightly better: average the results of 8 flips and rotations. Takes 8 times as long.",
            rich_help_panel=_COMPUTATION,
        ),
    ] = False,
    device: DeviceOption = "auto",
    backend: Annotated[
        Backend,
        Option(
            metavar="NAME",
            help="What computes: torch (PyTorch and native kernels); with extras onnx or openvino, on the "
            "CPU.",
            rich_help_panel=_COMPUTATION,
        ),
    ] = "torch",
    precision: PrecisionOption = "auto",
    tile_size: Annotated[
        int | None,
        Option(
            help="Side of the tiles that large pictures are computed in; smaller takes less memory. The "
            "result is the same.",
            rich_help_panel=_COMPUTATION,
        ),
    ] = None,
    feature_storage: Annotated[
        FeatureStorageChoice,
        Option(
            metavar="HOW",
            help="Where intermediate results of large pictures are kept. float32: in memory. float16: in "
            "half of it. file: on disk, same result. auto: memory, else disk.",
            rich_help_panel=_COMPUTATION,
        ),
    ] = "auto",
    max_pixels: Annotated[
        int | None,
        Option(
            help="Refuse pictures, and results, with more pixels, before they are read.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    codec: CodecOption = "auto",
    crf: CrfOption = None,
    preset: PresetOption = None,
    segment: SegmentOption = 10.0,
    deinterlace: DeinterlaceOption = False,
    fps: FpsOption = "25",
    pipe: PipeOption = None,
    yes: YesOption = False,
    skip_existing: Annotated[
        bool,
        Option(
            "--skip-existing",
            help="Skip pictures that an earlier run with --skip-existing has done with the same settings: "
            "an interrupted run continues.",
            rich_help_panel=_MANY,
        ),
    ] = False,
    shard: Annotated[
        str | None,
        Option(
            metavar="PART/PARTS",
            help="Share the work among computers: 2/5 does the second of five parts.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    fail_fast: Annotated[
        bool,
        Option("--fail-fast", help="Stop at the first picture that fails.", rich_help_panel=_MANY),
    ] = False,
    dry_run: Annotated[
        bool,
        Option(
            "--dry-run",
            help="Only show what would be done: sizes, model, memory, time.",
            rich_help_panel=_MESSAGES,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        Option("--json", help="Print one JSON object per line, for programs.", rich_help_panel=_MESSAGES),
    ] = False,
    debug: Annotated[
        bool,
        Option("--debug", help="Stop at the first error and show a traceback.", rich_help_panel=_MESSAGES),
    ] = False,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=_MESSAGES)
    ] = False,
    verbose: Annotated[
        bool,
        Option(
            "--verbose",
            "-v",
            help="Also print the model and device that are used, and why.",
            rich_help_panel=_MESSAGES,
        ),
    ] = False,
    more_inputs: Annotated[list[str] | None, Option("--input", "-i", hidden=True)] = None,
) -> None:
    """Upscale pictures and videos.

    Bit depth, transparency, colour profile and metadata are kept, of videos the time of every frame, sound
    and subtitles. The first Ctrl-C finishes the current picture, the second stops at once.
    """
    own_memory()
    inputs = [*(inputs or ()), *(more_inputs or ())]
    if not inputs:
        raise ConfigError("Which pictures? Give files, folders or patterns: escsr upscale photo.jpg")
    if as_json and "-" in (output, *inputs):
        raise ConfigError("--json and the picture cannot both go to standard output; use only one of them.")
    to_stdout = output == "-" or (output is None and "-" in inputs)
    report = (JsonReport if as_json else Report)(quiet=quiet, verbose=verbose, to_stderr=to_stdout)
    from escsr.models.selection import choose_model

    choose_model(model, scale)  # an unknown name is answered before PyTorch is imported
    from escsr.batch import Batch, forecast
    from escsr.batch.pipes import piped
    from escsr.upscaling.options import UpscaleOptions
    from escsr.video import VideoOptions
    from escsr.video.jobs import plan_videos

    options = UpscaleOptions(
        model=model,
        scale=scale,
        width=width,
        height=height,
        size=size,
        fit=fit,
        longest=longest,
        crop=crop,
        quality=quality,
        lossless=lossless,
        subsampling=subsampling,
        strip=strip,
        to_srgb=to_srgb,
        max_pixels=max_pixels,
        device=device,
        backend=backend,
        precision=precision,
        tile_size=tile_size,
        feature_storage=feature_storage,
        self_ensemble=self_ensemble,
        strength=strength,
        keep_colour=keep_colour,
    )
    encoding = VideoOptions(
        codec=codec, crf=crf, preset=preset, segment=segment, deinterlace=deinterlace, fps=fps
    )
    how = {"skip_existing": skip_existing, "fail_fast": fail_fast, "debug": debug}
    if pipe is not None:
        check_options(options, shard)
        upscale_pipe(inputs, output, pipe, options, encoding)
        return
    if videos := plan_videos(inputs, output, format=format, suffix=suffix):
        check_options(options, shard, videos)
        upscale_videos(
            videos,
            report,
            options=options,
            how=encoding,
            format=format,
            suffix=suffix,
            dry_run=dry_run,
            yes=yes,
            quiet=quiet or as_json,
            **how,
        )
    elif encoding != VideoOptions():
        raise ConfigError(
            "--codec, --crf, --preset, --segment, --deinterlace, --fps are for videos, and there is none."
        )
    else:
        with piped(inputs, output, format) as (sources, target):
            batch = Batch(sources, target, format=format, suffix=suffix, shard=shard, options=options)
            report.begin(batch, can_continue=skip_existing)
            if dry_run:
                for planned in forecast(batch):
                    report.add(planned)
            else:
                _run(batch, report, quiet=quiet or as_json, **how)
    code = report.end()
    if code is not ExitCode.DONE:
        raise Exit(code)


def _run(batch: Batch, report: Report, *, quiet: bool, **how: bool) -> None:
    """Upscales under a bar, with Ctrl-C in two steps."""
    stop = threading.Event()
    with progress("", quiet) as bar, finish_on_interrupt(stop, lambda: ERR.print(_FINISHING)):

        def show(at: Progress) -> None:
            count = f"  {at.number} of {at.jobs}" if at.jobs > 1 else ""
            bar(at.overall, 1.0, at.job.source.name + count)

        try:
            with closing(batch.run(stop=stop, on_progress=show, **how)) as run:
                for outcome in run:
                    report.add(outcome)
        except KeyboardInterrupt:
            stop.set()
    report.stopped = stop.is_set()


_FINISHING = "Finishing the current picture; press Ctrl-C again to stop at once."
