"""Files that appear whole or not at all, their digests, and JSON that may be damaged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from escsr.errors import EscError, OutputError

__all__ = [
    "atomic_path",
    "check_folder",
    "check_not_source",
    "check_writable",
    "is_full",
    "is_part",
    "named_in_errors",
    "only_finite",
    "read_json",
    "remove_stale_parts",
    "sha256_of",
    "with_names",
]

_BLOCK = 1 << 20

_PART = re.compile(r"\.[0-9a-f]{16}\.part(\.[^.]+)?")
_STALE_SECONDS = 86_400
"""No file is written for a day without a byte; a clock may differ by hours."""


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside the target; on success it is synced and renamed to the target.

    On any error, an interrupt too, the temporary file is removed and the target stays as it was.

    Args:
        target: The file to write; its folder is made where it is missing. A symbolic link stays one: the
            file it leads to is written.

    Yields:
        The path to write to, with the target's suffix.

    Raises:
        OutputError: The folder or the file cannot be written, or the target is there and read-only, or no
            ordinary file.
    """
    target = Path(os.path.realpath(target))  # Path.resolve raises where links go round
    _check_ordinary(target)
    _check_not_read_only(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{secrets.token_hex(8)}.part{target.suffix}"
        temporary.touch(exist_ok=False)
        mode = (target if target.exists() else temporary).stat().st_mode & 0o777
    except OSError as error:
        raise OutputError(f"Cannot write to {target.parent}: {error.strerror}.") from error
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # some writers make the file anew, for its owner alone
        temporary.replace(target)
        _sync_folder(target.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"Cannot write {target}: {reason}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(target: str | os.PathLike[str]) -> None:
    """Refuses a file that `atomic_path` could not write, for use before the work on it.

    Raises:
        OutputError: It is there and read-only, or no ordinary file, its name is too long, or its folder
            cannot be written.
    """
    target = Path(os.path.realpath(target))
    check_folder(target.parent)
    _check_ordinary(target)
    _check_not_read_only(target)


def check_folder(folder: Path) -> None:
    """Refuses a folder in which no file can be made; one that is missing would be made.

    Raises:
        OutputError: It cannot be written.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110 (Path.exists raises where it may not look)
    if not nearest.is_dir():
        raise OutputError(f"Cannot write to {folder}: {nearest} is a file.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"Cannot write to {folder}: no permission for {nearest}; choose another.")


def _check_ordinary(target: Path) -> None:
    """Refuses what is no file, and a name that none can have: the temporary file's would be shorter."""
    try:
        mode = target.lstat().st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OutputError(f"Cannot write {target}: {error.strerror}.") from error
        return  # it is not there, or cannot be
    if not stat.S_ISREG(mode):
        raise OutputError(f"Cannot write {target}: it is there, and no ordinary file.")


def _check_not_read_only(target: Path) -> None:
    """Refuses what its owner protects; what merely belongs to another is replaced, if its folder can be."""
    try:
        is_protected = not target.stat().st_mode & stat.S_IWUSR
    except OSError:  # it is not there
        return
    if is_protected and not os.access(target, os.W_OK):
        raise OutputError(
            f"Cannot write {target}: it is there and read-only; make it writable, or choose another name."
        )


def with_names(text: object, names: Mapping[str, str]) -> str:
    """Text in which some paths are called by other names."""
    shown = str(text)
    for path, name in names.items():
        shown = shown.replace(path, name)
    return shown


@contextmanager
def named_in_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Errors for people that are raised within call some paths by other names, see `with_names`."""
    try:
        yield
    except EscError as error:
        error.args = (with_names(error, names),)
        raise


def is_full(error: BaseException | None) -> bool:
    """Whether `atomic_path` failed for a reason that holds for all files there: no room, or read-only."""
    cause = error.__cause__ if isinstance(error, OutputError) else None
    return isinstance(cause, OSError) and cause.errno in _FULL


_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_part(path: Path) -> bool:
    """Whether a file is called as the temporary ones of `atomic_path`."""
    return _PART.fullmatch(path.name) is not None


def remove_stale_parts(folder: Path, *, seconds: float = _STALE_SECONDS) -> None:
    """Deletes temporary files of `atomic_path` whose program was killed, where they are a day old.

    A younger one may be at work, in another process or on another machine.

    Args:
        folder: Where they are; not in folders below it.
        seconds: Their age, where the caller knows that nobody else is at work.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if is_part(path) and path.stat().st_mtime < time.time() - seconds:
                path.unlink()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_not_source(target: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    """Refuses a target that is the very file it is made from.

    Raises:
        OutputError: They are one file.
    """
    is_source = False
    with suppress(OSError):  # it is not there, or cannot be
        is_source = Path(target).samefile(source)
    if is_source:
        raise OutputError(f"{target} is what it would be made from; choose another name.")


def only_finite(values: Any) -> Any:
    """Plain values as JSON has them: null for infinity and NaN, and the text of what else it lacks."""
    return json.loads(json.dumps(values, default=str), parse_constant=lambda _: None)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file that somebody else may have written or damaged.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no JSON, or no object.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"an object is expected, not a {type(content).__name__}")
    return content


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system lets folders be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
