"""`escsr fleet`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from escsr.cli.console import ERR, OUT, DeviceOption, ExitCode, PrecisionOption, plain, progress
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.picture_options import (
    BackendOption,
    CropOption,
    FeatureStorageOption,
    FitOption,
    FormatOption,
    HeightOption,
    KeepColourOption,
    LongestOption,
    LosslessOption,
    MaxPixelsOption,
    ModelOption,
    PictureScaleOption,
    QualityOption,
    SelfEnsembleOption,
    SizeOption,
    StrengthOption,
    StripOption,
    SubsamplingOption,
    SuffixOption,
    TileSizeOption,
    ToSrgbOption,
    WidthOption,
)
from escsr.cli.reports import duration_text, write_line

if TYPE_CHECKING:
    from escsr.fleet import Progress, Summary

__all__ = ["fleet"]

_CLUSTER, _MESSAGES = "Cluster", "Messages"


def fleet(
    source: Annotated[
        str,
        Argument(
            metavar="INPUT",
            help="A folder, a pattern, or a table with a column path (.parquet); here, or s3://, gs:// and "
            "others.",
        ),
    ],
    output: Annotated[
        str,
        Option(
            "--output",
            "-o",
            metavar="URI",
            help="Folder of the results that all machines reach, or a place like s3://bucket/results.",
        ),
    ],
    address: Annotated[
        str | None,
        Option(
            metavar="ADDRESS",
            help="Of a cluster of Ray: ray://host:10001, or auto. If not given: that in RAY_ADDRESS, else "
            "this machine alone.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    num_actors: Annotated[
        int | None,
        Option(
            help="How many pictures are upscaled at once. If not given: one per GPU, or as many as there "
            "are cores for.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    num_cpus: Annotated[int, Option(help="Cores for each of them.", rich_help_panel=_CLUSTER)] = 1,
    retry_failed: Annotated[
        bool,
        Option(
            "--retry-failed",
            help="Try again what earlier runs gave up after three attempts.",
            rich_help_panel=_CLUSTER,
        ),
    ] = False,
    model: ModelOption = "auto",
    scale: PictureScaleOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    size: SizeOption = None,
    fit: FitOption = "contain",
    longest: LongestOption = None,
    crop: CropOption = None,
    format: FormatOption = None,
    suffix: SuffixOption = None,
    quality: QualityOption = None,
    lossless: LosslessOption = False,
    subsampling: SubsamplingOption = "444",
    strip: StripOption = False,
    to_srgb: ToSrgbOption = False,
    strength: StrengthOption = None,
    keep_colour: KeepColourOption = None,
    self_ensemble: SelfEnsembleOption = False,
    device: DeviceOption = "auto",
    backend: BackendOption = "torch",
    precision: PrecisionOption = "auto",
    tile_size: TileSizeOption = None,
    feature_storage: FeatureStorageOption = "auto",
    max_pixels: MaxPixelsOption = None,
    as_json: Annotated[
        bool,
        Option("--json", help="Print the sums as one JSON object.", rich_help_panel=_MESSAGES),
    ] = False,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=_MESSAGES)
    ] = False,
) -> None:
    """Upscale millions of pictures on many machines, by Ray; see docs/fleet.md.

    The same command again does what is left. The first Ctrl-C finishes the pictures at hand, the second
    stops at once.
    """
    from escsr.fleet import upscale

    stop = threading.Event()
    with progress("", quiet or as_json) as bar, finish_on_interrupt(stop, lambda: ERR.print(_FINISHING)):

        def show(at: Progress) -> None:
            bar(at.ended, at.total or None, _line(at))

        try:
            summary = upscale(
                source,
                output,
                address=address,
                num_actors=num_actors,
                num_cpus=num_cpus,
                format=format,
                suffix=suffix,
                retry_failed=retry_failed,
                stop=stop,
                on_progress=show,
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
        except KeyboardInterrupt:
            raise Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        write_line({"event": "end", **vars(summary)})
    else:
        _report(summary, quiet=quiet)
    if stop.is_set():
        raise Exit(ExitCode.INTERRUPTED)
    if summary.failed or summary.left:
        raise Exit(ExitCode.FAILED)


_FINISHING = "Finishing the pictures at hand; press Ctrl-C again to stop at once."


def _line(at: Progress) -> str:
    if at.stage == "planning":
        return f"Listing pictures: {at.ended:,}"
    failed = f", {at.failed:,} failed" if at.failed else ""
    return f"{at.ended:,} of {at.total:,}{failed}, {at.pixels_per_second / 1e6:.2f} MP/s"


def _report(summary: Summary, *, quiet: bool) -> None:
    for error in summary.errors:
        ERR.print(f"[red]Error:[/] {plain(error)}")
    if quiet:
        return
    parts = [f"{summary.done:,} upscaled"]
    for count, what in (
        (summary.done_before, "done before"),
        (summary.failed, "failed"),
        (summary.given_up_before, "given up before (--retry-failed tries them again)"),
        (summary.left, "left: the same command continues with them"),
    ):
        parts += [f"{count:,} {what}"] if count else []
    speed = summary.pixels / 1e6 / summary.seconds if summary.seconds else 0.0
    OUT.print(plain(f"{', '.join(parts)}; {duration_text(summary.seconds)}, {speed:.2f} MP/s."))
    OUT.print(plain(f"Outcomes: {summary.outcomes}"))
