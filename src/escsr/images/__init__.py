"""Picture files: pixels of any depth in, pixels out, with colour profile and metadata carried along."""

from __future__ import annotations

from escsr.images.folders import find_images, is_image, iter_images, iter_others, other_files
from escsr.images.formats import FORMATS, READABLE, WRITABLE, Format, check_size, check_suffix, recognise
from escsr.images.picture import Animation, Picture
from escsr.images.reading import Header, read, read_animation, read_for, read_header, read_size
from escsr.images.writing import WriteOptions, takes_quality, write

__all__ = [
    "FORMATS",
    "READABLE",
    "WRITABLE",
    "Animation",
    "Format",
    "Header",
    "Picture",
    "WriteOptions",
    "check_size",
    "check_suffix",
    "find_images",
    "is_image",
    "iter_images",
    "iter_others",
    "other_files",
    "read",
    "read_animation",
    "read_for",
    "read_header",
    "read_size",
    "recognise",
    "takes_quality",
    "write",
]
