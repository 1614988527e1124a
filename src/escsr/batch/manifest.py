"""What has been done already: a list beside the results, so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from escsr.errors import OutputError
from escsr.files import sha256_of

__all__ = ["MANIFEST", "Manifest", "key_of"]

MANIFEST = ".escsr-done.jsonl"
"""Name of the list, one in each folder of results."""


class Manifest:
    """Results by folder: which inputs, model and settings each was made from.

    A line is appended once its picture is written and lasting. Lines are short and written at once, so
    several processes may share a folder; a torn last line is passed over.
    """

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, str]] = {}

    def has(self, target: Path, key: str) -> bool:
        """Whether the target is there and was made from just this."""
        return self._read(target.parent).get(target.name) == key and target.is_file()

    def add(self, target: Path, key: str) -> None:
        """Notes a result that has been written.

        Raises:
            OutputError: The folder's list cannot be written.
        """
        text = json.dumps({"result": target.name, "key": key}, ensure_ascii=False) + "\n"
        line = text.encode(errors="backslashreplace")  # names that are not UTF-8, as JSON escapes them
        try:
            with open(target.parent / MANIFEST, "ab") as file:
                file.write(line)
        except OSError as error:
            raise OutputError(f"Cannot write {target.parent / MANIFEST}: {error.strerror}.") from error
        self._read(target.parent)[target.name] = key

    def _read(self, folder: Path) -> dict[str, str]:
        if folder not in self._known:
            self._known[folder] = dict(_entries(folder / MANIFEST))
        return self._known[folder]


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        entry = _parsed(line)
        if isinstance(entry, dict) and {"result", "key"} <= entry.keys():
            yield str(entry["result"]), str(entry["key"])


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def key_of(source: Path, model: Path, settings: Mapping[str, Any]) -> str:
    """One hash of an input's bytes, a model's bytes and the settings that change the result."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(f"{sha256_of(source)} {sha256_of(model)} {text}".encode()).hexdigest()
