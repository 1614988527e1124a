"""The error tree: every mistake a user can make is an `EscError`."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "EscError",
    "ForeignNetworkError",
    "ImageError",
    "ModelNotFoundError",
    "NoImagesError",
    "OutputError",
    "VideoError",
]


class EscError(Exception):
    """Base of all errors raised for a user's mistake: what was found, what is accepted, what to do."""


class ConfigError(EscError, ValueError):
    """An impossible or unknown value in a configuration or an argument."""


class ImageError(EscError):
    """A picture that cannot be read, or is not a picture at all."""


class VideoError(EscError):
    """A video that cannot be read, or holds what cannot be worked with."""


class OutputError(EscError):
    """A result that cannot be written where it was asked for."""


class CheckpointError(EscError):
    """A file of weights that is damaged, unsafe or from another network."""


class ForeignNetworkError(CheckpointError):
    """Weights that may be whole, but are of no network of this family."""


class ModelNotFoundError(CheckpointError):
    """A model name that is not bundled and a path that does not exist."""


class DataError(EscError):
    """A folder of training or test pictures that cannot be used as asked."""


class NoImagesError(DataError):
    """A folder that holds no picture at all."""


class DeviceError(EscError):
    """A device that is not there, or whose memory does not suffice."""
