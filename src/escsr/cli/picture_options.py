"""Options of commands that upscale pictures: what size, which files, how to compute."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from escsr.cli.console import scale_of
from escsr.runtime.choices import Backend, FeatureStorageChoice, Fit, Subsampling

__all__ = [
    "BackendOption",
    "CropOption",
    "FeatureStorageOption",
    "FitOption",
    "FormatOption",
    "HeightOption",
    "KeepColourOption",
    "LongestOption",
    "LosslessOption",
    "MaxPixelsOption",
    "ModelOption",
    "PictureScaleOption",
    "QualityOption",
    "SelfEnsembleOption",
    "SizeOption",
    "StrengthOption",
    "StripOption",
    "SubsamplingOption",
    "SuffixOption",
    "TileSizeOption",
    "ToSrgbOption",
    "WidthOption",
]

_SIZE, _FILES, _COLOUR, _COMPUTATION = "Size", "Result files", "Colour", "Computation"
_MANY = "Many pictures"

ModelOption = Annotated[
    str,
    Option(
        "--model",
        "-m",
        metavar="NAME",
        help="auto: the model for clean pictures that suits the scale. real: for noisy and compressed "
        "photos. Or a name from `escsr models`, a file of weights, the folder of a training run.",
    ),
]

PictureScaleOption = Annotated[
    float | None,
    Option(
        "--scale",
        "-s",
        parser=scale_of,
        metavar="X",
        help="Factor of both sides, like 2, 2.7 or 4x. If not given: 2, or that of the model.",
        rich_help_panel=_SIZE,
    ),
]

WidthOption = Annotated[
    int | None, Option(help="Width of the result in pixels, instead of a scale.", rich_help_panel=_SIZE)
]

HeightOption = Annotated[
    int | None,
    Option(help="Height of the result in pixels, instead of a scale.", rich_help_panel=_SIZE),
]

SizeOption = Annotated[
    str | None,
    Option(metavar="WxH", help="Width and height, like 1920x1080; see --fit.", rich_help_panel=_SIZE),
]

FitOption = Annotated[
    Fit,
    Option(
        metavar="HOW",
        help="For a picture whose shape differs from --size. contain: the whole picture within the "
        "size. cover: fill the size, cut what is too much. exact: stretch.",
        rich_help_panel=_SIZE,
    ),
]

LongestOption = Annotated[
    int | None,
    Option(help="Length of the longer side in pixels, instead of a scale.", rich_help_panel=_SIZE),
]

CropOption = Annotated[
    str | None,
    Option(
        metavar="X,Y,W,H",
        help="Keep only this part (left, top, width, height in input pixels), exactly as in the whole "
        "result. Takes as long as the whole picture.",
        rich_help_panel=_SIZE,
    ),
]

FormatOption = Annotated[
    str | None,
    Option(
        "--format",
        "-f",
        help="png, jpg, webp, tif, avif, gif; with extras jxl, heic, exr, hdr. Videos: mp4, mkv, mov, "
        "webm. If not given: as the input, or as the ending of --output.",
        rich_help_panel=_FILES,
    ),
]

SuffixOption = Annotated[
    str | None,
    Option(
        help="End of the names of results, instead of _x2: --suffix _large writes photo_large.jpg.",
        rich_help_panel=_FILES,
    ),
]

QualityOption = Annotated[
    int | None,
    Option(
        help="1 to 100, for JPEG, WebP, AVIF, HEIC, JPEG XL. If not given: 95; AVIF 85, HEIC 90.",
        rich_help_panel=_FILES,
    ),
]

LosslessOption = Annotated[
    bool, Option("--lossless", help="For WebP, AVIF and JPEG XL.", rich_help_panel=_FILES)
]

SubsamplingOption = Annotated[
    Subsampling,
    Option(
        metavar="444|420",
        help="Colour resolution in JPEG, AVIF and HEIC: 444 full, 420 half (smaller files).",
        rich_help_panel=_FILES,
    ),
]

StripOption = Annotated[
    bool, Option("--strip", help="Do not keep EXIF, XMP and IPTC metadata.", rich_help_panel=_FILES)
]

ToSrgbOption = Annotated[
    bool,
    Option(
        "--to-srgb",
        help="Convert colours to sRGB instead of keeping the profile.",
        rich_help_panel=_COLOUR,
    ),
]

StrengthOption = Annotated[
    float | None,
    Option(
        help="Of model real, 0 to 1. 0: nothing is invented. 1: as sharp as possible, with invented "
        "detail. If not given: 0.9, for videos 0. Without effect up to scale 2.",
        show_default=False,
        rich_help_panel=_COMPUTATION,
    ),
]

KeepColourOption = Annotated[
    bool | None,
    Option(
        help="Keep large-scale colours as they are in the picture. If not given: only for models of "
        "real photos, which would shift them.",
        show_default=False,
        rich_help_panel=_COLOUR,
    ),
]

SelfEnsembleOption = Annotated[
    bool,
    Option(
        "--self-ensemble",
        help="Slightly better: average the results of 8 flips and rotations. Takes 8 times as long.",
        rich_help_panel=_COMPUTATION,
    ),
]

BackendOption = Annotated[
    Backend,
    Option(
        metavar="NAME",
        help="What computes: torch (PyTorch and native kernels); with extras onnx or openvino, on the CPU.",
        rich_help_panel=_COMPUTATION,
    ),
]

TileSizeOption = Annotated[
    int | None,
    Option(
        help="Side of the tiles that large pictures are computed in; smaller takes less memory. The "
        "result is the same.",
        rich_help_panel=_COMPUTATION,
    ),
]

FeatureStorageOption = Annotated[
    FeatureStorageChoice,
    Option(
        metavar="HOW",
        help="Where intermediate results of large pictures are kept. float32: in memory. float16: in "
        "half of it. file: on disk, same result. auto: memory, else disk.",
        rich_help_panel=_COMPUTATION,
    ),
]

MaxPixelsOption = Annotated[
    int | None,
    Option(
        help="Refuse pictures, and results, with more pixels, before they are read.",
        rich_help_panel=_MANY,
    ),
]
