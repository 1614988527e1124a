from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from escsr.data import storage
from escsr.data.pictures import in_threads
from escsr.data.storage import (
    ImageSource,
    cache_folder,
    choose_storage,
    fingerprint,
    load_images,
    processes_here,
)
from escsr.errors import DataError, DeviceError, OutputError

SHAPES = [[(2, 3, 3), (4, 6, 3)], [(5, 1, 3)], [(1, 1, 3), (3, 3, 3)]]
PICTURES = [
    tuple(np.full(shape, 10 * number + part, np.uint8) for part, shape in enumerate(group))
    for number, group in enumerate(SHAPES)
]


class Source:
    """Pictures made up for files that need only exist; counts how often they are decoded."""

    def __init__(self, folder: Path, *, num_bytes: int | None = None, recipe: str = "test") -> None:
        self.decoded: list[int] = []
        self.broken: set[int] = set()
        files = [(folder / f"{number}.png",) for number in range(len(PICTURES))]
        for (file,) in files:
            file.touch()
        real = sum(picture.nbytes for group in PICTURES for picture in group)
        self.source = ImageSource(files, self.decode, recipe, real if num_bytes is None else num_bytes)

    def decode(self, index: int) -> tuple[NDArray[np.uint8], ...]:
        if index in self.broken:
            raise DataError(f"{index}.png: not a readable picture")
        self.decoded.append(index)
        return PICTURES[index]


def assert_whole(kept: list[tuple[torch.Tensor, ...]]) -> None:
    assert [[tuple(picture.shape) for picture in group] for group in kept] == SHAPES
    for ours, theirs in zip(kept, PICTURES, strict=True):
        assert all(np.array_equal(a.numpy(), b) for a, b in zip(ours, theirs, strict=True))
        assert all(picture.dtype == torch.uint8 for picture in ours)


def test_auto_maps_what_would_fill_the_memory() -> None:
    assert choose_storage("auto", 1 << 20) == "memory"
    assert choose_storage("auto", 1 << 60) == "mapped"
    assert choose_storage("mapped", 1 << 60) == "mapped"
    assert choose_storage("cpu", 1 << 20) == "cpu"


def test_auto_counts_the_processes_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "free_host_memory", lambda: 1000)
    for variable in ("LOCAL_WORLD_SIZE", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.delenv(variable, raising=False)
    assert choose_storage("auto", 200) == "memory"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert choose_storage("auto", 200) == "mapped"
    assert choose_storage("memory", 200) == "memory"
    assert processes_here({"SLURM_STEP_TASKS_PER_NODE": "1,4(x12),3"}) == 4
    assert processes_here({}) == 1


@pytest.mark.parametrize("storage", ["memory", "cpu"])
def test_too_large_for_where_it_was_asked_for(storage: str) -> None:
    with pytest.raises(DataError, match=r"take 1073741824\.0 GiB decoded, .* choose storage 'mapped'"):
        choose_storage(storage, 1 << 60)


def test_unknown_device() -> None:
    with pytest.raises(DeviceError, match=r"storage is auto, memory, mapped or a device, not 'disk'\."):
        choose_storage("disk", 1)


@pytest.mark.parametrize("storage", ["memory", "mapped"])
def test_groups_come_back_whole_and_in_order(storage: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = Source(tmp_path)
    kept = load_images(
        made.source, storage, cache=tmp_path / "cache", on_progress=lambda *n: seen.append(n)
    )
    assert_whole(kept)
    assert sorted(made.decoded) == [0, 1, 2]
    assert [done for done, _ in seen[:3]] == [1, 2, 3]
    assert {total for _, total in seen} == {3}


def test_a_mapped_file_is_made_once_by_many_at_a_time(tmp_path: Path) -> None:
    made = Source(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        runs = [
            threads.submit(load_images, made.source, "mapped", cache=tmp_path / "cache") for _ in range(4)
        ]
        for run in runs:
            assert_whole(run.result())
    assert sorted(made.decoded) == [0, 1, 2]
    again = Source(tmp_path, recipe="another way to decode")
    assert_whole(load_images(again.source, "mapped", cache=tmp_path / "cache"))
    assert sorted(again.decoded) == [0, 1, 2]


def test_an_interrupted_file_is_made_anew(tmp_path: Path) -> None:
    made = Source(tmp_path)
    made.broken = {2}
    with pytest.raises(DataError, match=r"2\.png: not a readable"):
        load_images(made.source, "mapped", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.json"))
    made.broken = set()
    assert_whole(load_images(made.source, "mapped", cache=tmp_path / "cache"))


def test_a_mapped_file_that_is_there_takes_no_writing(tmp_path: Path) -> None:
    """Compute nodes may see the folder of caches for reading only."""
    cache, made = tmp_path / "cache", Source(tmp_path)
    load_images(made.source, "mapped", cache=cache)
    for lock in cache.glob("*.lock"):
        lock.unlink()
    before = sorted(cache.iterdir())
    assert_whole(load_images(made.source, "mapped", cache=cache))
    assert sorted(cache.iterdir()) == before


def test_nobody_writes_into_the_mapped_file(tmp_path: Path) -> None:
    made = Source(tmp_path)
    load_images(made.source, "mapped", cache=tmp_path / "cache")[0][0].zero_()
    assert_whole(load_images(made.source, "mapped", cache=tmp_path / "cache"))


@pytest.mark.parametrize("start", [0, 40])
def test_a_mapped_file_whose_pixels_were_lost_is_written_anew(
    start: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, again = Source(tmp_path), Source(tmp_path)
    load_images(first.source, "mapped", cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.pixels")
    pixels = bytearray(file.read_bytes())
    pixels[start : start + 50] = bytes(50)
    file.write_bytes(pixels)
    assert_whole(load_images(again.source, "mapped", cache=tmp_path / "cache"))
    assert sorted(again.decoded) == [0, 1, 2]
    assert "is damaged; it is written again" in caplog.text


BAD_INDICES = (
    "",
    "{",
    "[]",
    "3",
    "null",
    "\xff",
    "{}",
    '{"shapes": 3, "fingerprint": ""}',
    '{"shapes": [[[-1, 3, 3]]], "fingerprint": ""}',
    '{"shapes": [["abc"]], "fingerprint": ""}',
    '{"shapes": [[[117, 1, 1]]], "fingerprint": ""}',
    '{"shapes": [[[117.0]]], "fingerprint": 0}',
)


@pytest.mark.parametrize("content", BAD_INDICES)
def test_a_damaged_index_is_written_anew(content: str, tmp_path: Path) -> None:
    load_images(Source(tmp_path).source, "mapped", cache=tmp_path / "cache")
    (index,) = (tmp_path / "cache").glob("*.json")
    assert index.with_suffix(".pixels").stat().st_size == sum(x.nbytes for g in PICTURES for x in g)
    index.write_bytes(content.encode("latin-1"))
    again = Source(tmp_path)
    assert_whole(load_images(again.source, "mapped", cache=tmp_path / "cache"))
    assert sorted(again.decoded) == [0, 1, 2]


def test_a_mapped_file_that_does_not_keep_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_combined", lambda digests: f"another each time {id(digests)}")
    with pytest.raises(OutputError, match="does not hold what was written"):
        load_images(Source(tmp_path).source, "mapped", cache=tmp_path / "cache")


def test_every_pixel_counts_for_the_fingerprint() -> None:
    pictures = [torch.from_numpy(picture.copy()) for group in PICTURES for picture in group]
    known = {fingerprint(pictures)}
    assert fingerprint(tuple(pictures)) in known
    known |= {fingerprint(pictures[1:]), fingerprint(pictures[::-1])}
    known.add(fingerprint([pictures[0].reshape(3, 2, 3), *pictures[1:]]))
    for picture in pictures:
        picture[-1, -1, -1] += 1
        known.add(fingerprint(pictures))
    assert len(known) == 4 + len(pictures)


def test_no_room_on_disk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="choose another cache folder, or fewer pictures"):
        load_images(Source(tmp_path, num_bytes=1 << 60).source, "mapped", cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Cannot write pictures to"):
        load_images(Source(tmp_path).source, "mapped", cache=tmp_path / "file" / "cache")


def test_the_usual_cache_is_in_the_users_own_folder() -> None:
    assert cache_folder().parts[-2:] == ("escsr", "pictures")


def test_threads_keep_the_order_and_run_little_ahead() -> None:
    started: list[int] = []

    def work(index: int) -> int:
        started.append(index)
        return index * index

    results = in_threads(work, 100, threads=3)
    assert next(results) == 0
    assert len(started) <= 7, "two for each thread, and one for what was taken"
    assert list(results) == [index * index for index in range(1, 100)]
    assert sorted(started) == list(range(100))


def test_the_first_error_of_a_thread_ends_the_work() -> None:
    done: list[int] = []

    def work(index: int) -> int:
        if index == 5:
            raise DataError("five")
        done.append(index)
        return index

    with pytest.raises(DataError, match="five"):
        list(in_threads(work, 1000, threads=2))
    assert len(done) < 20
