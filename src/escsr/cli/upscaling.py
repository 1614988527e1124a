"""`escsr upscale`."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from escsr.cli.console import ERR, DeviceOption, ExitCode, ModelOption, own_memory, progress
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.reports import JsonReport, Report
from escsr.cli.video import check_options, upscale_pipe, upscale_videos
from escsr.errors import ConfigError
from escsr.runtime.choices import FeatureStorageChoice, Fit, Precision, Subsampling, VideoCodec

if TYPE_CHECKING:
    from escsr.batch import Batch, Progress

__all__ = ["upscale"]


def upscale(
    inputs: Annotated[
        list[str],
        Argument(help="Pictures, folders, patterns, or - for standard input.", show_default=False),
    ],
    output: Annotated[
        str | None,
        Option(
            "--output",
            "-o",
            help="File for one picture, folder for several, - for standard output; else beside the input.",
        ),
    ] = None,
    model: ModelOption = "auto",
    scale: Annotated[float | None, Option(help="Factor of both sides; else the model's, or 2.")] = None,
    width: Annotated[int | None, Option(help="Pixels of the result, instead of a scale.")] = None,
    height: Annotated[int | None, Option(help="Pixels of the result, instead of a scale.")] = None,
    size: Annotated[str | None, Option(help="Width and height, like 1920x1080; see --fit.")] = None,
    fit: Annotated[
        Fit, Option(help="A picture of another shape: kept inside the size, cut to it, or stretched.")
    ] = "contain",
    longest: Annotated[int | None, Option(help="Pixels of the longer side.")] = None,
    suffix: Annotated[
        str | None,
        Option(
            "--format", help="Format of the results: png, jpg, webp, tif, avif ...; see docs/pictures.md."
        ),
    ] = None,
    quality: Annotated[
        int | None, Option(help="1 to 100, where a format is lossy; else 95, for HEIC 90, AVIF 85.")
    ] = None,
    lossless: Annotated[bool, Option("--lossless", help="For WebP, AVIF and JPEG XL.")] = False,
    subsampling: Annotated[
        Subsampling, Option(help="420: colour at half resolution (smaller JPEG, AVIF).")
    ] = "444",
    strip: Annotated[bool, Option("--strip", help="Write no EXIF, XMP and IPTC.")] = False,
    to_srgb: Annotated[
        bool, Option("--to-srgb", help="Convert colours to sRGB instead of keeping the profile.")
    ] = False,
    max_pixels: Annotated[
        int | None, Option(help="Refuse pictures of more pixels, before they are decoded.")
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[Precision, Option(help="Arithmetic of the network.")] = "auto",
    tile_size: Annotated[
        int | None, Option(help="Tile side in input pixels; the result does not depend on it.")
    ] = None,
    feature_storage: Annotated[
        FeatureStorageChoice,
        Option(help="Feature maps: in memory, float16 in half of it, or in a file on disk."),
    ] = "auto",
    self_ensemble: Annotated[
        bool, Option("--self-ensemble", help="Mean over 8 flips and turns: 8 times the work.")
    ] = False,
    strength: Annotated[
        float | None,
        Option(help="With --model real: 0 for what is certain, 1 for sharp detail, some of it invented."),
    ] = None,
    keep_colour: Annotated[
        bool | None,
        Option(
            help="Hold colours to those of the picture; else models of real photos do.", show_default=False
        ),
    ] = None,
    codec: Annotated[VideoCodec, Option(help="Of videos; auto: h264, for more than 8 bits hevc.")] = "auto",
    crf: Annotated[
        int | None, Option(help="Quality of h264, hevc, av1: less is better; else 18, 20, 24.")
    ] = None,
    preset: Annotated[str | None, Option(help="Speed of h264 and hevc (medium) or av1 (8).")] = None,
    segment: Annotated[
        float, Option(help="Seconds of video after which an interrupted run can go on.")
    ] = 10.0,
    deinterlace: Annotated[bool, Option("--deinterlace", help="For interlaced videos.")] = False,
    fps: Annotated[str, Option(help="Frames a second of a folder of frames, 25 or 30000/1001.")] = "25",
    pipe: Annotated[
        str | None, Option(help="Video from - or a file to -: y4m, or raw:640x480:yuv420p.")
    ] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Begin a video of more than an hour's work.")] = False,
    skip_existing: Annotated[
        bool, Option("--skip-existing", help="Leave out what was made from equal input and settings.")
    ] = False,
    shard: Annotated[str | None, Option(help="Like 2/5: the second of five parts, for job arrays.")] = None,
    fail_fast: Annotated[bool, Option("--fail-fast", help="Stop at the first picture that fails.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only show what would be done: sizes, model, memory, time.")
    ] = False,
    as_json: Annotated[
        bool, Option("--json", help="One JSON object a line; see docs/command-line.md.")
    ] = False,
    debug: Annotated[bool, Option("--debug", help="Stop at the first error, with its traceback.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Also print which model, device and settings are taken.")
    ] = False,
) -> None:
    """Upscale pictures and videos.

    Depth, transparency, colour profile and metadata are kept; the format is that of the output's ending.
    The first Ctrl-C finishes the picture at hand; the second stops at once, as do the signals TERM and HUP.
    Videos keep every frame and every stream, and go on where they were interrupted: docs/video.md.
    """
    own_memory()
    if as_json and "-" in (output, *inputs):
        raise ConfigError("--json and - (the picture) would both go to standard output; choose one.")
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
        quality=quality,
        lossless=lossless,
        subsampling=subsampling,
        strip=strip,
        to_srgb=to_srgb,
        max_pixels=max_pixels,
        device=device,
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
    if videos := plan_videos(inputs, output):
        check_options(options, shard, videos)
        shown = {"dry_run": dry_run, "yes": yes, "quiet": quiet or as_json}
        upscale_videos(videos, report, options=options, how=encoding, suffix=suffix, **shown, **how)
    elif encoding != VideoOptions():
        raise ConfigError(
            "--codec, --crf, --preset, --segment, --deinterlace, --fps: for videos; there is none."
        )
    else:
        with piped(inputs, output, suffix) as (sources, target):
            batch = Batch(sources, target, suffix=suffix, shard=shard, options=options)
            report.begin(batch)
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

        with closing(batch.run(stop=stop, on_progress=show, **how)) as run:
            for outcome in run:
                report.add(outcome)
    report.stopped = stop.is_set()


_FINISHING = "Finishing the picture at hand; press Ctrl-C again to stop at once."
