"""Where files are, by URI: this machine's, or any that fsspec reaches (s3, gs, http and others)."""

from __future__ import annotations

import os
import platform
import posixpath
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from escsr.errors import ConfigError, DataError, EscError, OutputError
from escsr.files import atomic_path, is_full
from escsr.runtime.extras import install_line

__all__ = [
    "NoRoomError",
    "absolute",
    "check_writable",
    "delete",
    "fetched",
    "file_system",
    "is_local",
    "list_files",
    "read_text",
    "without_links",
    "written",
    "written_at_once",
]

_WHOLE_AT_ONCE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory")
"""Where an object appears once all of it is there; elsewhere a file is renamed when it is."""

_READ_ONLY = ("http", "https")


class NoRoomError(OutputError):
    """This machine has no room for copies of files on their way, whichever they are."""


def is_local(uri: str) -> bool:
    """Whether a URI is a path of this machine."""
    return "://" not in uri


def absolute(uri: str | os.PathLike[str]) -> str:
    """A path made absolute, a URI as it is, both without a slash at the end."""
    text = os.fspath(uri).removeprefix("file://")
    if not text:
        raise ConfigError('An empty name is no place; "." is the current folder.')
    return os.path.abspath(text) if is_local(text) else text.rstrip("/")  # noqa: PTH100 (links stay)


def without_links() -> Callable[[str], str]:
    """Makes a function from a file's path or URI to the path through no linked folder, for comparisons.

    It remembers folders it has met, so it is for one task. A URI stays as it is, as does the file itself.
    """
    real = lru_cache(1000)(os.path.realpath)

    def path_of(uri: str) -> str:
        if not is_local(uri):
            return uri
        folder, name = os.path.split(uri)
        return f"{real(folder).rstrip(os.sep)}{os.sep}{name}"

    return path_of


def file_system(uri: str) -> tuple[Any, str]:
    """The file system of fsspec for a URI, and the path within it; listings are not kept in memory.

    Raises:
        ConfigError: There is none of that kind, or the package for it is missing.
    """
    try:
        import fsspec
    except ImportError as error:
        raise ConfigError(f"fsspec is not installed: {install_line('fleet')}") from error
    try:
        filesystem, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{uri}: {error}") from error
    return filesystem, path


def list_files(uri: str, ending: str = "") -> list[str]:
    """URIs of the files below a folder, sorted; none where there is no such folder.

    Args:
        uri: The folder.
        ending: Of the names wanted.
    """
    filesystem, path = file_system(uri)
    with _failing(f"{uri}: cannot be listed", DataError):
        if not filesystem.exists(path):
            return []
        found = sorted(name for name in filesystem.find(path) if name.endswith(ending))
        return found if is_local(uri) else [filesystem.unstrip_protocol(name) for name in found]


def delete(uri: str) -> None:
    """Removes a folder with all files below it, where it is there."""
    filesystem, path = file_system(uri)
    with _failing(f"Cannot delete {uri}", OutputError):
        if is_local(uri):
            shutil.rmtree(path, ignore_errors=True)
            return
        for name in filesystem.find(path):  # fsspec's own `rm` would take signs in names for patterns
            filesystem.rm_file(name)


def read_text(uri: str) -> str:
    """A small file; "" where there is none."""
    filesystem, path = file_system(uri)
    with _failing(f"{uri}: cannot be read", DataError):
        return filesystem.cat_file(path).decode() if filesystem.exists(path) else ""


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """A file of this machine with a URI's bytes: itself, or a copy that is deleted afterwards.

    Raises:
        NoRoomError: There is no room for the copy.
        EscError: There never will be: the whole disk is smaller.
        OSError: It cannot be read, now.
    """
    if is_local(uri):
        yield Path(uri)
        return
    filesystem, path = file_system(uri)
    with _folder_of_copies() as folder:
        copy = folder / (posixpath.basename(path.partition("?")[0]) or "picture")
        with _failing(f"{uri}: cannot be fetched", OSError):
            try:
                filesystem.get_file(path, str(copy))
            except OSError as error:
                full = NoRoomError(f"No room for {uri} in {folder.parent} (TMPDIR): {error.strerror}.")
                full.__cause__ = error
                if not is_full(full):
                    raise
                size, room = filesystem.size(path) or 0, shutil.disk_usage(folder).total
                if size > room:
                    told = f"{size:,} bytes, and the disk of copies there has {room:,} (TMPDIR)"
                    raise EscError(f"{uri}: too large for {platform.node()}: {told}.") from error
                raise full from error
        yield copy


@contextmanager
def written(uri: str, *, by_atomic_path: bool = False) -> Iterator[Path]:
    """A path to write to; what is there in the end appears at the URI, whole or not at all.

    Args:
        uri: Where to.
        by_atomic_path: Whether the writer itself sees to that for a file of this machine, whose own path
            it then gets.

    Raises:
        OutputError: It cannot be written.
        NoRoomError: There is no room for a copy on its way.
        OSError: A store far away cannot be written to, now.
    """
    if is_local(uri):
        if by_atomic_path:
            yield Path(uri)
            return
        with atomic_path(uri) as path:
            yield path
        return
    filesystem, name = file_system(uri)
    with _folder_of_copies() as folder:
        path = folder / posixpath.basename(name)
        yield path
        with _failing(f"Cannot write {uri}", OSError):
            _put(filesystem, path, uri, name)


@contextmanager
def written_at_once(uri: str) -> Iterator[Path]:
    """The same as `written` where nobody would try again.

    Args:
        uri: Where to.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        with written(uri) as path:
            yield path
    except OSError as error:
        raise OutputError(str(error)) from error


def check_writable(uri: str) -> None:
    """Refuses what can only be read.

    Raises:
        OutputError: It is a place on the web.
        ConfigError: See `file_system`.
    """
    if uri.partition("://")[0] in _READ_ONLY:
        raise OutputError(f"{uri}: http is for reading; give a folder, or a place like s3://bucket/folder.")
    file_system(uri)


def _put(filesystem: Any, path: Path, uri: str, name: str) -> None:
    if uri.partition("://")[0] in _WHOLE_AT_ONCE:
        filesystem.put_file(str(path), name)
        return
    filesystem.makedirs(posixpath.dirname(name), exist_ok=True)
    part = f"{name}.part"
    filesystem.put_file(str(path), part)
    filesystem.mv(part, name)


@contextmanager
def _folder_of_copies() -> Iterator[Path]:
    try:
        folder = TemporaryDirectory(prefix="escsr-")
    except OSError as error:
        raise NoRoomError(f"Cannot make a temporary folder (TMPDIR): {error.strerror}.") from error
    with folder as name:
        yield Path(name)


@contextmanager
def _failing(what: str, kind: type[Exception]) -> Iterator[None]:
    """Whatever the libraries behind fsspec raise, which have trees of their own, as one kind."""
    try:
        yield
    except EscError:
        raise
    except FileNotFoundError as error:
        _raise(what, "there is none", error, FileNotFoundError if kind is OSError else kind)
    except Exception as error:
        _raise(what, str(error).splitlines()[0] if str(error) else type(error).__name__, error, kind)


def _raise(what: str, why: str, error: Exception, kind: type[Exception]) -> NoReturn:
    raise kind(f"{what} ({why}).") from error
