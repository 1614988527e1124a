"""Where decoded pictures are kept while a network trains: memory, a device, or a mapped file."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor

from escsr.data.pictures import TrainingFile, in_threads, read_sizes
from escsr.errors import DataError, DeviceError, OutputError
from escsr.files import atomic_path
from escsr.runtime.devices import choose_device, free_device_memory, free_host_memory

__all__ = [
    "ImageSource",
    "cache_folder",
    "choose_storage",
    "fingerprint",
    "load_images",
    "load_large_enough",
    "processes_here",
]

_SHARE = 0.5
"""Pictures that take more of the free memory than this are mapped from a file."""

_FORMAT = 2

_LOG = logging.getLogger(__name__)

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
        storage: "auto", "memory", "mapped", or a device such as "cuda" or "cuda:1". "auto" counts the
            pictures once for each process of this machine, as each would hold them.
        num_bytes: Of all pictures.

    Returns:
        "memory", "mapped" or the device's name.

    Raises:
        DataError: They do not fit into the memory asked for.
        DeviceError: There is no such device.
    """
    if storage == "auto":
        needed = num_bytes * processes_here()
        return "mapped" if needed > _SHARE * free_host_memory() else "memory"
    if storage == "mapped":
        return storage
    try:
        free = free_host_memory() if storage == "memory" else free_device_memory(choose_device(storage))
    except DeviceError as error:
        raise DeviceError(
            f"storage is auto, memory, mapped or a device, not {storage!r}. {error}"
        ) from error
    _check_room(num_bytes, free, f"on {storage}", "storage 'mapped'")
    return storage


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes `torchrun` or SLURM's `srun` started on this machine; on the fullest, by SLURM."""
    if "LOCAL_WORLD_SIZE" in environment:
        return max(1, int(environment["LOCAL_WORLD_SIZE"]))
    counts = re.findall(r"(?:^|,)(\d+)", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))  # as 4(x2),3
    return max([1, *map(int, counts)])


def _check_room(num_bytes: int, free: int, where: str, choice: str) -> None:
    if num_bytes > free:
        raise DataError(
            f"The pictures take {num_bytes / 2**30:.1f} GiB decoded, free {where} are {free / 2**30:.1f}; "
            f"choose {choice}, or fewer pictures."
        )


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
        storage: See `choose_storage`. A mapped file is written once and used again while the names,
            sizes and times of the files and its own checksum hold; processes of one machine share its
            pages.
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
    if chosen == "mapped":
        return _map(source, cache or cache_folder(), on_progress or (lambda _done, _total: None))
    device = torch.device("cpu" if chosen == "memory" else chosen)
    return [
        tuple(torch.from_numpy(image).to(device) for image in group)
        for group in in_threads(source.decode, len(source.files), on_progress)
    ]


def load_large_enough(
    files: Sequence[tuple[TrainingFile, ...]],
    decode: Callable[[tuple[TrainingFile, ...]], Group],
    recipe: str,
    patch_size: int,
    scale: float,
    storage: str,
    cache: str | os.PathLike[str] | None,
    on_progress: Callable[[int, int], None] | None,
) -> list[tuple[Tensor, ...]]:
    """`load_images` of those groups whose HR image holds a patch.

    Args:
        files: Files of each group, HR first.
        decode: From the files of a group to its images.
        recipe: See `ImageSource`.
        patch_size: LR patch side.
        scale: From LR to HR, at most.
        storage: See `choose_storage`.
        cache: Folder for mapped files; None for `cache_folder`.
        on_progress: Called with (groups done, groups in all), those left out included.

    Returns:
        As of `load_images`.

    Raises:
        DataError: No image is large enough, one cannot be read, or they do not fit.
        DeviceError: There is no such device.
        OutputError: The cache cannot be written.
    """
    least = math.ceil(patch_size * scale)
    sides = read_sizes([group[0].path for group in files])
    wanted = [group for group, side in zip(files, sides, strict=True) if min(side) >= least]
    if not wanted:
        folders = ", ".join(dict.fromkeys(str(group[0].root) for group in files))
        raise DataError(
            f"{folders}: none of {len(files)} pictures has sides of {least} pixels, as "
            f"patches of {patch_size} at ×{scale:g} need; choose smaller patches or larger pictures."
        )
    left_out = len(files) - len(wanted)

    def report(done: int, _total: int) -> None:
        if on_progress is not None:
            on_progress(left_out + done, len(files))

    # HR and, at most, LR of this scale.
    num_bytes = math.ceil(3 * float(sides[sides.min(1) >= least].prod(1).sum()) * (1 + scale**-2))
    paths = [tuple(file.path for file in group) for group in wanted]
    source = ImageSource(paths, lambda index: decode(wanted[index]), recipe, num_bytes)
    return load_images(source, storage, cache=None if cache is None else Path(cache), on_progress=report)


def fingerprint(images: Sequence[Tensor]) -> str:
    """Tells one list of images from another by their sizes and all their pixels.

    The pixels are read once by several threads, about 2 GB a second and thread.

    Args:
        images: uint8 (H, W, 3), in order.

    Returns:
        16 hexadecimal digits, the same for the same images in the same order, wherever they are kept.
    """
    return _combined(in_threads(lambda index: _digest(images[index].cpu().numpy()), len(images)))


def _combined(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def _digest(image: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(f"{image.shape}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _map(source: ImageSource, cache: Path, report: Callable[[int, int], None]) -> list[tuple[Tensor, ...]]:
    """Views of a file of pixels, one image after the other, beside a list of their shapes."""
    target = cache / f"{_key(source)}.pixels"
    index = target.with_suffix(".json")
    groups = _open(target, index)
    if groups is not None:  # nothing is written: the cache may be on a disk for reading only
        report(len(groups), len(groups))
        return groups
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            groups = _open(target, index)  # another process may have written it by now
            if groups is None:
                if index.exists():
                    _LOG.warning("%s is damaged; it is written again.", target)
                _write(source, target, index, report)
                groups = _open(target, index)
    except OSError as error:
        raise OutputError(f"Cannot write pictures to {cache}: {error.strerror or error}.") from error
    if groups is None:
        raise OutputError(f"{target} does not hold what was written to it; is the disk sound?")
    report(len(groups), len(groups))
    return groups


def _open(target: Path, index: Path) -> list[tuple[Tensor, ...]] | None:
    """The images of a mapped file; None where it is missing, or is not what was written."""
    try:
        written = json.loads(index.read_text(encoding="utf-8"))
        sizes = [math.prod(shape) for group in written["shapes"] for shape in group]
        if target.stat().st_size != sum(sizes):
            return None
        # A private mapping: pages are shared as long as nobody writes to them, and nobody does.
        pixels = torch.from_file(str(target), shared=False, size=sum(sizes), dtype=torch.uint8)
        images = iter(torch.split(pixels, sizes))
        groups = [tuple(next(images).view(*shape) for shape in group) for group in written["shapes"]]
        is_whole = fingerprint([image for group in groups for image in group]) == written["fingerprint"]
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):  # whatever an index may hold
        return None
    return groups if is_whole else None


def _write(source: ImageSource, target: Path, index: Path, report: Callable[[int, int], None]) -> None:
    free = shutil.disk_usage(target.parent).free
    _check_room(source.num_bytes, free, f"in {target.parent}", "another cache folder")
    shapes, digests = [], []
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        for group in in_threads(source.decode, len(source.files), report):
            for image in group:
                file.write(np.ascontiguousarray(image).data)
                digests.append(_digest(image))
            shapes.append([image.shape for image in group])
    with atomic_path(index) as temporary:
        written = {"shapes": shapes, "fingerprint": _combined(digests)}
        temporary.write_text(json.dumps(written), encoding="utf-8")


def _key(source: ImageSource) -> str:
    """Digest of the recipe and of every file's place, size and time of change."""
    digest = hashlib.sha256(f"{_FORMAT} {source.recipe}\n".encode())
    for group in source.files:
        for path in group:
            status = path.stat()
            line = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogatepass"))
    return digest.hexdigest()[:32]
