"""`escsr upscale`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from escsr.cli.console import DeviceOption, ExitCode, PrecisionOption, own_memory
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
from escsr.cli.picture_runs import upscale_pictures
from escsr.cli.reports import JsonReport, Report
from escsr.cli.video import check_options, refuse_unused, upscale_pipe, upscale_videos
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

if TYPE_CHECKING:
    pass

__all__ = ["upscale"]

_MANY, _MESSAGES = "Many pictures", "Messages"


def upscale(
    inputs: Annotated[
        list[str] | None,
        Argument(
            metavar="PICTURES",
            help="Picture files, folders (with their subfolders), patterns like '*.jpg', or tables "
            "(.parquet); - for standard input. Or videos.",
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
    codec: CodecOption = "auto",
    crf: CrfOption = None,
    preset: PresetOption = None,
    segment: SegmentOption = 10.0,
    deinterlace: DeinterlaceOption = False,
    fps: FpsOption = None,
    pipe: PipeOption = None,
    yes: YesOption = False,
    skip_existing: Annotated[
        bool,
        Option(
            "--skip-existing",
            help="Skip pictures that an earlier run with --skip-existing has done with the same settings: "
            "an interrupted run continues. Files that no such run made are left as they are.",
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
    _check_numbers(inputs, quiet=quiet)
    to_stdout = output == "-" or (output is None and "-" in inputs)
    if as_json and to_stdout:
        raise ConfigError("--json and the picture cannot both go to standard output; use only one of them.")
    report = (JsonReport if as_json else Report)(quiet=quiet, verbose=verbose, to_stderr=to_stdout)
    from escsr.models.selection import choose_model

    choose_model(model, scale)  # an unknown name is answered before PyTorch is imported
    from escsr.upscaling.options import UpscaleOptions
    from escsr.video import VideoOptions
    from escsr.video.jobs import passed_over, plan_videos

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
        refuse_unused(
            "--pipe, which writes frames as they are",
            encoding,
            dry_run=dry_run,
            json=as_json,
            format=format,
            suffix=suffix,
            yes=yes,
            fps=fps is not None,
            **how,
        )
        upscale_pipe(inputs, output, pipe, options, encoding, quiet=quiet)
        return
    if videos := plan_videos(inputs, output, options, format=format, suffix=suffix, codec=codec):
        check_options(options, shard, videos)
        report.notes += filter(None, [passed_over(inputs)])
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
        upscale_pictures(
            inputs,
            output,
            report,
            options=options,
            format=format,
            suffix=suffix,
            shard=shard,
            dry_run=dry_run,
            quiet=quiet or as_json,
            **how,
        )
    code = report.end()
    if code is not ExitCode.DONE:
        raise Exit(code)


def _check_numbers(inputs: Sequence[str], *, quiet: bool) -> None:
    """Refuses `-q 90`, which other tools take for a quality, before anything is upscaled.

    Raises:
        ConfigError: Beside `--quiet` an input is a number, and no file.
    """
    for number in inputs:
        if quiet and number.isdecimal() and not os.path.lexists(number):
            raise ConfigError(
                f"{number}: there is no such file; for a quality give --quality {number}, as -q is --quiet."
            )
