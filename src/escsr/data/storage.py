"""Where decoded pictures are kept while a network trains: memory, a device, or a mapped file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor

from escsr.data.pictures import in_threads
from escsr.errors import DataError, OutputError
from escsr.files import atomic_path
from escsr.runtime.devices import choose_device, free_device_memory, free_host_memory

__all__ = ["ImageSource", "cache_folder", "choose_storage", "fingerprint", "load_images"]

_SHARE = 0.5
"""Pictures that take more of the free memory than this are mapped from a file."""

_FORMAT = 1

Group = tuple[NDArray[np.uint8], ...]
"""Pictures that belong together, as (LR, HR), or one alone; each (H, W, 3)."""


@dataclass(frozen=True)
class ImageSource:
    """Pictures still to be decoded.

    Attributes:
        files: Files of each group; a cached copy is good as long as they are unchanged.
        decode: Gives the pictures of a group; called in threads.
        recipe: What `decode` does, in words that change when its result does.
        num_bytes: Of all pictures, decoded.
    """

    files: Sequence[tuple[Path, ...]]
    decode: Callable[[int], Group]
    recipe: str
    num_bytes: int


def cache_folder() -> Path:
    """Where mapped pictures are kept: `escsr/pictures` in the platform's cache folder."""
    return user_cache_path("escsr") / "pictures"


def choose_storage(storage: str, num_bytes: int) -> str:
    """What "auto" stands for, and whether a device has the room.

    Args:
        storage: "auto", "memory", "mapped", or a device such as "cuda" or "cuda:1".
        num_bytes: Of all pictures.

    Returns:
        "memory", "mapped" or the device's name.

    Raises:
        DataError: They do not fit into the memory asked for.
        DeviceError: There is no such device.
    """
    if storage == "auto":
        return "mapped" if num_bytes > _SHARE * free_host_memory() else "memory"
    if storage == "mapped":
        return storage
    if storage == "memory":
        free, where = free_host_memory(), "memory"
    else:
        device = choose_device(storage)
        free, where = free_device_memory(device), str(device)
    if num_bytes > free:
        raise DataError(
            f"The pictures take {num_bytes / 2**30:.1f} GiB decoded, free on {where} are "
            f"{free / 2**30:.1f}; choose storage 'mapped', or fewer pictures."
        )
    return storage


def load_images(
    source: ImageSource,
    storage: str = "auto",
    *,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[tuple[Tensor, ...]]:
    """Decodes pictures and keeps them as uint8.

    Args:
        source: The pictures.
        storage: See `choose_storage`. A mapped file is made once and found again by the names, sizes
            and times of the files; processes of one machine share its pages.
        cache: Folder for mapped files; None for `cache_folder`.
        on_progress: Called with (groups done, groups in all).

    Returns:
        The pictures of each group, uint8 (H, W, 3), in order.

    Raises:
        DataError: A picture cannot be read, or they do not fit.
        DeviceError: There is no such device.
        OutputError: The cache cannot be written.
    """
    chosen = choose_storage(storage, source.num_bytes)
    report = on_progress or _no_report
    if chosen == "mapped":
        return _map(source, cache or cache_folder(), report)
    device = torch.device("cpu" if chosen == "memory" else chosen)
    total = len(source.files)
    kept: list[tuple[Tensor, ...]] = []
    for group in in_threads(source.decode, total):
        kept.append(tuple(torch.from_numpy(picture).to(device) for picture in group))
        report(len(kept), total)
    return kept


def fingerprint(pictures: Iterable[Tensor]) -> str:
    """Tells one set of pictures from another: 16 hexadecimal digits of their sizes and first rows.

    Args:
        pictures: uint8 (H, W, 3), in order.

    Returns:
        The same for the same pictures in the same order, wherever they are kept.
    """
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(str(tuple(picture.shape)).encode())
        digest.update(picture[0].cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _map(source: ImageSource, cache: Path, report: Callable[[int, int], None]) -> list[tuple[Tensor, ...]]:
    """Views of a file of pixels, one picture after the other, beside a list of their shapes."""
    target = cache / f"{_fingerprint(source)}.pixels"
    index = target.with_suffix(".json")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not index.exists():  # it is written last
                _write(source, target, index, report)
    except OSError as error:
        raise OutputError(f"Cannot write pictures to {cache}: {error.strerror or error}.") from error
    shapes = json.loads(index.read_text(encoding="utf-8"))
    sizes = [int(np.prod(shape)) for group in shapes for shape in group]
    if not target.exists() or target.stat().st_size != sum(sizes):
        raise DataError(f"{target} is damaged; delete it and {index}, and they are made anew.")
    # A private mapping: pages are shared as long as nobody writes to them, and nobody does.
    pixels = torch.from_file(str(target), shared=False, size=sum(sizes), dtype=torch.uint8)
    pictures = iter(torch.split(pixels, sizes))
    report(len(shapes), len(shapes))
    return [tuple(next(pictures).view(*shape) for shape in group) for group in shapes]


def _write(source: ImageSource, target: Path, index: Path, report: Callable[[int, int], None]) -> None:
    free = shutil.disk_usage(target.parent).free
    if source.num_bytes > free:
        raise DataError(
            f"The pictures take {source.num_bytes / 2**30:.1f} GiB decoded, free in {target.parent} are "
            f"{free / 2**30:.1f}; choose another cache folder, or fewer pictures."
        )
    total = len(source.files)
    shapes = []
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        for done, group in enumerate(in_threads(source.decode, total), 1):
            for picture in group:
                file.write(np.ascontiguousarray(picture).data)
            shapes.append([picture.shape for picture in group])
            report(done, total)
    with atomic_path(index) as temporary:
        temporary.write_text(json.dumps(shapes), encoding="utf-8")


def _no_report(_done: int, _total: int) -> None: ...


def _fingerprint(source: ImageSource) -> str:
    """Digest of the recipe and of every file's place, size and time of change."""
    digest = hashlib.sha256(f"{_FORMAT} {source.recipe}\n".encode())
    for group in source.files:
        for path in group:
            status = path.stat()
            line = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogatepass"))
    return digest.hexdigest()[:32]
