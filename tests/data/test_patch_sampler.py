from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from escsr import images
from escsr.data.arbitrary_scale_sampler import ArbitraryScaleSampler
from escsr.data.degradations import PRESETS
from escsr.data.degraded_sampler import DegradedSampler
from escsr.data.patch_sampler import PatchSampler
from escsr.data.resize import imresize
from escsr.data.resizers import downscale
from escsr.data.storage import fingerprint
from escsr.errors import ConfigError, DataError
from samples import flowers


def numbered_sampler(scale: int = 2) -> PatchSampler:
    """Pictures whose LR pixels tell their place, and whose HR is the LR with its pixels repeated."""
    lr = []
    for index, (height, width) in enumerate([(8, 12), (9, 7), (20, 20)]):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        lr.append(torch.stack([torch.full_like(rows, index), rows, columns], -1).to(torch.uint8))
    hr = [x.repeat_interleave(scale, 0).repeat_interleave(scale, 1) for x in lr]
    return PatchSampler(lr, hr, scale)


@given(seed=st.integers(0, 2**40), iteration=st.integers(0, 2**40), scale=st.sampled_from([2, 3]))
def test_patches_pair_and_repeat(seed: int, iteration: int, scale: int) -> None:
    sampler = numbered_sampler(scale)
    lr, hr = sampler.batch(seed, iteration, 5, 6)
    assert lr.shape == (5, 3, 6, 6)
    assert hr.shape == (5, 3, 6 * scale, 6 * scale)
    assert torch.equal(lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2), hr)
    again = sampler.batch(seed, iteration, 5, 6)
    assert torch.equal(again[0], lr)
    other = sampler.batch(seed, iteration + 1, 5, 6)
    assert not torch.equal(other[0], lr)


def test_every_place_and_orientation_is_drawn() -> None:
    sampler = numbered_sampler()
    seen = set()
    counts = np.zeros(3)
    for iteration in range(60):
        lr, _ = sampler.batch(0, iteration, 16, 7)
        for patch in (lr * 255).round().int():
            index = int(patch[0, 0, 0])
            counts[index] += 1
            rows, columns = patch[1], patch[2]
            transposed = bool(rows[0, 0] == rows[1, 0])
            seen.add(
                (index, int(rows.min()), int(columns.min()), transposed, bool(rows[0, 0] > rows[-1, -1]))
            )
    assert {place[1:3] for place in seen if place[0] == 1} == {(0, 0), (1, 0), (2, 0)}
    assert {place[1:3] for place in seen if place[0] == 0} == {(r, c) for r in (0, 1) for c in range(6)}
    assert {place[3:] for place in seen} == {(a, b) for a in (False, True) for b in (False, True)}
    expected = np.array([2 * 6, 3 * 1, 14 * 14])
    assert counts / counts.sum() == pytest.approx(expected / expected.sum(), abs=0.03)


def test_from_folder(tmp_path: Path) -> None:
    example = flowers()[:101, :90]
    (tmp_path / "deep").mkdir()
    images.write(images.Picture(example), tmp_path / "deep" / "a.png")
    images.write(images.Picture(example[..., :1]), tmp_path / "grey.png")
    images.write(images.Picture(example[:20, :20]), tmp_path / "small.png")
    seen: list[tuple[int, int]] = []
    sampler = PatchSampler.from_folder(
        tmp_path, scale=2, patch_size=16, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (3, 3)
    assert len(sampler) == 2
    assert np.array_equal(sampler.hr[0].numpy(), example[:100])
    assert np.array_equal(sampler.lr[0].numpy(), imresize(example[:100], 0.5))
    assert torch.equal(sampler.hr[1][..., 0], sampler.hr[1][..., 2])
    with pytest.raises(DataError, match="none of 3 pictures has sides of 200"):
        PatchSampler.from_folder(tmp_path, scale=2, patch_size=100)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"broken\.png"):
        PatchSampler.from_folder(tmp_path, scale=2, patch_size=16)


def test_pairs_must_fit() -> None:
    lr, hr = torch.zeros(4, 4, 3, dtype=torch.uint8), torch.zeros(8, 9, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="is not HR"):
        PatchSampler([lr], [hr], 2)
    with pytest.raises(DataError, match="do not make pairs"):
        PatchSampler([], [], 2)


def test_the_stream_never_changes() -> None:
    """Runs are resumed by it: what this seed and iteration give was written down in version 0.1."""
    lr, _ = numbered_sampler().batch(3, 12345, 4, 6)
    corners = (lr[:, :, 0, 0] * 255).round().int().tolist()
    assert corners == [[2, 3, 8], [2, 16, 10], [0, 5, 11], [2, 8, 15]]


@given(
    batch_size=st.sampled_from([4, 8, 12]), num_shards=st.sampled_from([1, 2, 4]), seed=st.integers(0, 9)
)
def test_shards_are_one_batch(batch_size: int, num_shards: int, seed: int) -> None:
    sampler = numbered_sampler()
    whole = sampler.batch(seed, 5, batch_size, 6)
    parts = [
        sampler.batch(seed, 5, batch_size, 6, shard=shard, num_shards=num_shards)
        for shard in range(num_shards)
    ]
    for side in (0, 1):
        assert torch.equal(torch.cat([part[side] for part in parts]), whole[side])


@pytest.mark.parametrize(("shard", "num_shards"), [(0, 3), (2, 2), (-1, 2)])
def test_a_batch_that_cannot_be_split(shard: int, num_shards: int) -> None:
    with pytest.raises(ConfigError, match="cannot be split"):
        numbered_sampler().batch(0, 0, 8, 6, shard=shard, num_shards=num_shards)


def test_pictures_without_room_for_a_patch_are_never_drawn() -> None:
    sampler = numbered_sampler()
    lr, _ = sampler.batch(0, 0, 64, 9)
    assert set((lr[:, 0, 0, 0] * 255).int().tolist()) == {2}
    with pytest.raises(ConfigError, match="No picture holds a patch of 21"):
        sampler.batch(0, 0, 4, 21)


def write_crops(folder: Path, sizes: list[tuple[int, int]]) -> None:
    example = flowers()
    for index, (height, width) in enumerate(sizes):
        images.write(images.Picture(example[index:][:height, :width]), folder / f"{index:04}.png")


@pytest.mark.parametrize("storage", ["memory", "mapped", "auto", "cpu"])
def test_storage_does_not_show(storage: str, tmp_path: Path) -> None:
    write_crops(tmp_path / "a", [(64, 48), (50, 71), (20, 20)])
    write_crops(tmp_path / "b", [(40, 40)])
    folders = [tmp_path / "a", tmp_path / "b"]
    plain = PatchSampler.from_folder(folders, scale=2, patch_size=16, storage="memory")
    assert [tuple(picture.shape[:2]) for picture in plain.lr] == [(32, 24), (25, 35), (20, 20)]
    for _ in range(2):
        sampler = PatchSampler.from_folder(
            folders, scale=2, patch_size=16, storage=storage, cache=tmp_path / "cache"
        )
        for iteration in range(3):
            for ours, theirs in zip(
                sampler.batch(1, iteration, 8, 16), plain.batch(1, iteration, 8, 16), strict=True
            ):
                assert torch.equal(ours, theirs)


def test_mapped_pictures_are_decoded_once_and_again_when_they_change(tmp_path: Path) -> None:
    write_crops(tmp_path / "hr", [(64, 48), (50, 71)])
    cache = tmp_path / "cache"

    def load(scale: int = 2) -> PatchSampler:
        return PatchSampler.from_folder(
            tmp_path / "hr", scale=scale, patch_size=8, storage="mapped", cache=cache
        )

    load()
    files = sorted(cache.glob("*.pixels"))
    assert len(files) == 1
    made = files[0].stat().st_mtime_ns
    load()
    assert files[0].stat().st_mtime_ns == made
    load(scale=3)
    write_crops(tmp_path / "hr", [(64, 49)])
    assert load().hr[0].shape[1] == 48
    assert len(list(cache.glob("*.pixels"))) == 3
    load_again = {file: file.read_bytes() for file in cache.glob("*.pixels")}
    for file in load_again:
        file.write_bytes(b"short")
    load()
    assert sum(file.read_bytes() == pixels for file, pixels in load_again.items()) == 1, "made anew"


def test_given_lr_is_part_of_what_a_run_remembers() -> None:
    sampler = numbered_sampler()
    before = fingerprint(sampler.images)
    sampler.lr[1][-1, -1, -1] += 1
    assert fingerprint(sampler.images) != before


def test_given_lr(tmp_path: Path) -> None:
    write_crops(tmp_path / "hr", [(64, 48), (50, 71), (20, 90)])
    for index, name in enumerate(["0000x2", "0001", "0002x2"]):
        hr = images.read(tmp_path / "hr" / f"{index:04}.png").pixels
        height, width = (side // 2 * 2 for side in hr.shape[:2])
        lr = downscale(hr[:height, :width], 2, "pil-lanczos")
        images.write(images.Picture(lr), tmp_path / "lr" / f"{name}.png")
    given_lr = PatchSampler.from_folder(tmp_path / "hr", lr=tmp_path / "lr", scale=2, patch_size=8)
    made = PatchSampler.from_folder(tmp_path / "hr", scale=2, patch_size=8, resizer="pil-lanczos")
    for ours, theirs in zip(given_lr.lr + given_lr.hr, made.lr + made.hr, strict=True):
        assert torch.equal(ours, theirs)
    images.write(images.Picture(np.zeros((24, 35, 3), np.uint8)), tmp_path / "lr" / "0001.png")
    with pytest.raises(DataError, match=r"0001\.png: LR has 35×24 pixels .* LR of ×2 would have 35×25"):
        PatchSampler.from_folder(tmp_path / "hr", lr=tmp_path / "lr", scale=2, patch_size=8)
    (tmp_path / "lr" / "0001.png").unlink()
    with pytest.raises(DataError, match=r"no LR picture for 0001\.png"):
        PatchSampler.from_folder(tmp_path / "hr", lr=tmp_path / "lr", scale=2, patch_size=8)
    with pytest.raises(DataError, match="2 HR folders and 1 LR folders"):
        PatchSampler.from_folder([tmp_path / "hr", tmp_path], lr=tmp_path / "lr", scale=2, patch_size=8)


def test_folders_that_would_mix(tmp_path: Path) -> None:
    write_crops(tmp_path / "DIV2K" / "DIV2K_train_HR", [(64, 48)])
    write_crops(tmp_path / "DIV2K" / "DIV2K_train_LR_bicubic" / "X2", [(32, 24)])
    with pytest.raises(DataError, match=r"more than its HR pictures; give .*DIV2K_train_HR"):
        PatchSampler.from_folder(tmp_path / "DIV2K", scale=2, patch_size=8)
    hr = tmp_path / "DIV2K" / "DIV2K_train_HR"
    assert len(PatchSampler.from_folder(hr, scale=2, patch_size=8)) == 1
    write_crops(hr / "more", [(64, 48)])
    for folders in ([hr, hr], [hr, hr / "more"]):
        with pytest.raises(DataError, match="share pictures; give each folder once"):
            PatchSampler.from_folder(folders, scale=2, patch_size=8)
    (hr / "link.png").symlink_to(hr / "0000.png")
    with pytest.raises(DataError, match=r"0000\.png and .*link\.png are one file"):
        PatchSampler.from_folder(hr, scale=2, patch_size=8)
    with pytest.raises(DataError, match="No folder"):
        PatchSampler.from_folder([], scale=2, patch_size=8)


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    images.write(images.Picture(np.zeros((32, 32, 3), np.uint16)), tmp_path / "deep.png")
    with pytest.raises(DataError, match="must have 8 bits, not 16"):
        PatchSampler.from_folder(tmp_path, scale=2, patch_size=8)


@pytest.mark.parametrize("kind", ["pairs", "any scale", "degraded"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 2**64),
        ("iteration", -1),
        ("batch_size", 0),
        ("batch_size", -4),
        ("patch_size", 0),
    ],
)
def test_impossible_numbers(kind: str, name: str, value: int) -> None:
    hr = [torch.zeros(48, 48, 3, dtype=torch.uint8)]
    samplers: dict[str, Any] = {
        "pairs": PatchSampler([picture[::2, ::2] for picture in hr], hr, 2),
        "any scale": ArbitraryScaleSampler(hr),
        "degraded": DegradedSampler(hr, 2, PRESETS["gentle"]),
    }
    numbers = {"seed": 0, "iteration": 0, "batch_size": 2, "patch_size": 8, name: value}
    queries = {"queries": 9} if kind == "any scale" else {}
    with pytest.raises(ConfigError, match=f"{name} must be"):
        samplers[kind].batch(**numbers, **queries)
