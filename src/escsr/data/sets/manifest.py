"""The manifest of a prepared set: its settings, and a line for every source that is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from escsr.errors import ConfigError, OutputError
from escsr.files import atomic_path

__all__ = ["Entry", "Manifest"]


@dataclass(frozen=True)
class Entry:
    """A source that is done.

    Attributes:
        source: Its name in the set.
        sha256: Of the file.
        pictures: HR pictures made of it.
    """

    source: str
    sha256: str
    pictures: int


class Manifest:
    """A file of JSON lines that grows with every source.

    Args:
        path: The file; need not exist.
        settings: All that the set depends on beside its sources; plain values for JSON.

    Raises:
        ConfigError: The file was begun with other settings.
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, {"settings": dict(settings)}
        self.entries = self._read()
        lines = [self.settings, *(asdict(entry) for entry in self.entries.values())]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def add(self, entry: Entry) -> None:
        """Writes down that a source is done.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(entry)) + "\n")
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror}.") from error

    def fingerprint(self, entries: Iterable[Entry]) -> str:
        """sha256 over the settings and these sources' names and digests, in order of their names."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for entry in sorted(entries, key=lambda entry: entry.source):
            digest.update(f"\n{entry.source}\0{entry.sha256}".encode(errors="surrogatepass"))
        return digest.hexdigest()

    def _read(self) -> dict[str, Entry]:
        """Entries by source; what an interrupt cut short, or is no entry, is passed over."""
        if not self.path.exists():
            return {}
        lines = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        if lines[:1] != [self.settings]:
            there = json.dumps(lines[0]) if lines else "unreadable"
            raise ConfigError(
                f"{self.path.parent} was begun with other settings ({there}); give the same, or another "
                f"output folder."
            )
        entries: dict[str, Entry] = {}
        for line in lines[1:]:
            with suppress(TypeError):
                entry = Entry(**line)
                entries[entry.source] = entry
        return entries
