"""What has been done already: a list beside the results, so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from escsr._version import __version__
from escsr.files import sha256_of
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize

__all__ = ["MANIFEST", "Manifest", "key_of", "settings_text"]

MANIFEST = ".escsr-done.jsonl"
"""Name of the list, one in each folder of results."""

_BEGUN = ""
"""Key of a result that is not known to be whole."""

_LOG = logging.getLogger(__name__)


class Manifest:
    """Results by folder: which inputs, model and settings each was made from.

    A line is appended before a result appears, so that none looks like a picture of the user's where a run
    was killed just then, and another once it is written and lasting. Lines are short and written at once,
    so several processes may share a folder; a torn last line is ignored. A list that cannot be written
    costs a later run its time, nothing else, so it is a warning.
    """

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, str]] = {}
        self._has_warned = False

    def has(self, target: Path, key: str) -> bool:
        """Whether the target is there, and was made from just this."""
        return self._read(target.parent).get(target.name) == key and target.is_file()

    def lists(self, path: Path) -> bool:
        """Whether a file is called as a result in its folder, be it done or only begun."""
        return path.name in self._read(path.parent)

    def is_foreign(self, target: Path) -> bool:
        """Whether the target is there, but not listed: it may be a picture of the user's."""
        return target.is_file() and not self.lists(target)

    def begin(self, target: Path) -> None:
        """Notes a result that is about to be written."""
        self.add(target, _BEGUN)

    def add(self, target: Path, key: str) -> None:
        """Notes a result that has been written."""
        text = json.dumps({"result": target.name, "key": key}, ensure_ascii=False) + "\n"
        line = text.encode(errors="backslashreplace")  # names that are not UTF-8, as JSON escapes them
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target.parent / MANIFEST, "ab") as file:
                file.write(line)
        except OSError as error:
            if not self._has_warned:
                _LOG.warning("%s; --skip-existing will not know these results.", error)
            self._has_warned = True
        self._read(target.parent)[target.name] = key

    def _read(self, folder: Path) -> dict[str, str]:
        if folder not in self._known:
            self._known[folder], text = {}, b""
            with suppress(OSError):
                text = (folder / MANIFEST).read_bytes()
            for line in text.split(b"\n"):  # no other sign ends a line of JSON
                with suppress(ValueError, TypeError, KeyError, RecursionError):
                    entry = json.loads(line.decode(errors="replace"))
                    self._known[folder][str(entry["result"])] = str(entry["key"])
        return self._known[folder]


def key_of(source: Path, model: str, size: TargetSize, options: UpscaleOptions) -> str:
    """One hash of an input's bytes, a model's digest and what of the options changes the result.

    Args:
        source: The input.
        model: Digest of the model's file, or of each of them.
        size: What the result measures.
        options: Those of the file, see `UpscaleOptions.of_file`.

    Raises:
        OSError: The input cannot be read.
    """
    text = f"{sha256_of(source)} {model} {settings_text(size, options)}"
    return hashlib.sha256(text.encode()).hexdigest()


def settings_text(size: TargetSize | None, options: UpscaleOptions) -> str:
    """What of the options changes the result, as text that is equal where results are.

    Args:
        size: What results measure; None for the model's own scale.
        options: All of them.
    """
    settings = {
        "size": None if size is None else asdict(size) | {"scale": size.scale and float(size.scale)},
        "write": (options.quality, options.lossless, options.subsampling, options.strip),
        "to_srgb": options.to_srgb,
        "backend": options.backend,
        "precision": options.precision,
        "float16 maps": options.feature_storage == "float16",
        "self_ensemble": options.self_ensemble,
        "strength": options.strength,
        "keep_colour": options.keep_colour,
        "escsr": __version__,
    }
    return json.dumps(settings, sort_keys=True, default=str)
