"""What the API takes and gives; its OpenAPI description is made from this."""

from __future__ import annotations

from typing import Annotated

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from escsr.runtime.choices import Fit, Subsampling
from escsr.upscaling.options import UpscaleOptions
from escsr.web.jobs import State

__all__ = ["About", "FormatInfo", "Health", "JobForm", "JobStatus", "ModelInfo", "Problem", "TokenForm"]

_MOST = 2**30


def _none_if_empty(value: object) -> object:
    """A field of a form that was left empty says nothing."""
    return None if value == "" else value


_Side = Annotated[int | None, BeforeValidator(_none_if_empty), Field(ge=1, le=_MOST)]


class JobForm(BaseModel):
    """A picture and how to upscale it: the options of `escsr upscale`, by the same names."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    file: UploadFile
    """The picture."""
    model: Annotated[str | None, BeforeValidator(_none_if_empty), Field(max_length=200)] = None
    """A name of GET /models; if not given, the first of them."""
    scale: Annotated[float | None, BeforeValidator(_none_if_empty), Field(ge=1, le=_MOST)] = None
    """Factor of both sides; else the model's, or 2."""
    width: _Side = None
    """Pixels of the result, instead of a scale."""
    height: _Side = None
    """Pixels of the result, instead of a scale."""
    size: Annotated[str | None, BeforeValidator(_none_if_empty), Field(max_length=50)] = None
    """Width and height, like 1920x1080; see fit."""
    fit: Fit = "contain"
    """A picture of another shape: kept inside the size (contain), cut to it (cover), stretched (exact)."""
    longest: _Side = None
    """Pixels of the longer side."""
    crop: Annotated[str | None, BeforeValidator(_none_if_empty), Field(max_length=50)] = None
    """X,Y,W,H: left, top, width and height of the part to keep, in pixels of the picture."""
    format: Annotated[str | None, BeforeValidator(_none_if_empty), Field(max_length=20)] = None
    """Of the result, an ending of GET /about; else the upload's, by the ending of its name, or PNG."""
    quality: Annotated[int | None, BeforeValidator(_none_if_empty), Field(ge=1, le=100)] = None
    """Where a format is lossy; else 95, for HEIC 90, AVIF 85."""
    lossless: bool = False
    """For WebP, AVIF and JPEG XL."""
    subsampling: Subsampling = "444"
    """420: colour at half resolution (smaller JPEG, AVIF)."""
    strip: bool = False
    """Write no EXIF, XMP and IPTC."""
    to_srgb: bool = False
    """Convert colours to sRGB instead of keeping the profile."""
    self_ensemble: bool = False
    """Average the results of 8 flips and rotations: 8 times the work."""
    strength: Annotated[float | None, BeforeValidator(_none_if_empty), Field(ge=0, le=1)] = None
    """Of model real. 0: nothing is invented. 1: as sharp as possible, with invented detail."""
    keep_colour: Annotated[bool | None, BeforeValidator(_none_if_empty)] = None
    """Keep large-scale colours as they are in the picture; if not given, only models of real photos do."""

    def options(self, model: str) -> UpscaleOptions:
        """The options of a job.

        Args:
            model: What `choose_model` takes.

        Raises:
            ConfigError: Sizes contradict each other, or one is impossible.
        """
        given = self.model_dump(exclude={"file", "model", "format"})
        return UpscaleOptions(model=model, **given)


class JobStatus(BaseModel):
    """Where a job stands."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Who knows it may see, fetch and delete the job; nobody can guess it."""
    name: str
    """Of the upload."""
    state: State
    """waiting, working, done, failed or cancelled; the last three do not change any more."""
    progress: float
    """Share of the work that is done, 0 to 1."""
    ahead: int
    """Jobs before it in the queue."""
    seconds_left: float | None
    """Of a job at work, once that can be told."""
    seconds: float | None
    """Of work, once it is over."""
    size: tuple[int, int]
    """Width and height of the picture, pixels."""
    out_size: tuple[int, int]
    """Width and height of the result, pixels."""
    model: str
    """The model that suits the size."""
    result_name: str
    """What to call the result."""
    result_bytes: int | None
    """Size of the result; null while, or once, there is none."""
    sha256: str | None
    """Of the result."""
    notes: list[str]
    """What had to be changed, and what would look better."""
    error: str | None
    """Why it failed."""


class ModelInfo(BaseModel):
    """A model that jobs can name."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    scale: int | None
    """The model's factor; null where it follows the size. Other sizes are reached by resizing."""
    about: str
    """What it is for."""
    strength: float | None
    """The usual strength; null for a model that has none."""
    strength_scales: list[int]
    """Of the factors 2, 3 and 4 those at which strength has an effect; sizes between go by the next."""
    is_default: bool


class FormatInfo(BaseModel):
    """A format that results can have here."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    suffixes: list[str]
    """Endings of its files; jobs call it by one of them."""
    lossless: str
    """always, option or never."""


class About(BaseModel):
    """What this server is and takes."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: str
    devices: list[str]
    formats: list[FormatInfo]
    max_upload_bytes: int
    max_pixels: int
    """Of a picture and of its result."""
    max_job_minutes: float
    """How long the work on one job may take."""
    keep_seconds: float
    """How long a result waits to be fetched."""


class Health(BaseModel):
    """That the server lives, and how busy it is."""

    status: str
    version: str
    waiting: int
    working: int


class Problem(BaseModel):
    """Why a request was refused, or failed."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    error: str
    """A sentence for people."""


class TokenForm(BaseModel):
    """The token that the server was started with."""

    token: Annotated[str, Field(max_length=1000)]
