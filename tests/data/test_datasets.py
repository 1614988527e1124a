from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from escsr import images
from escsr.data.datasets import PatchPool
from escsr.data.resize import imresize
from escsr.errors import DataError
from samples import EXAMPLES


def numbered_pool(scale: int = 2) -> PatchPool:
    """Pictures whose LR pixels tell their place, and whose HR is the LR enlarged by repetition."""
    lr = []
    for index, (height, width) in enumerate([(8, 12), (9, 7), (20, 20)]):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        lr.append(torch.stack([torch.full_like(rows, index), rows, columns], -1).to(torch.uint8))
    hr = [x.repeat_interleave(scale, 0).repeat_interleave(scale, 1) for x in lr]
    return PatchPool(lr, hr, scale)


@given(seed=st.integers(0, 2**40), iteration=st.integers(0, 2**40), scale=st.sampled_from([2, 3]))
def test_patches_pair_and_repeat(seed: int, iteration: int, scale: int) -> None:
    pool = numbered_pool(scale)
    lr, hr = pool.batch(seed, iteration, 5, 6)
    assert lr.shape == (5, 3, 6, 6)
    assert hr.shape == (5, 3, 6 * scale, 6 * scale)
    assert torch.equal(lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2), hr)
    again = pool.batch(seed, iteration, 5, 6)
    assert torch.equal(again[0], lr)
    other = pool.batch(seed, iteration + 1, 5, 6)
    assert not torch.equal(other[0], lr)


def test_every_place_and_orientation_is_drawn() -> None:
    pool = numbered_pool()
    seen = set()
    counts = np.zeros(3)
    for iteration in range(60):
        lr, _ = pool.batch(0, iteration, 16, 7)
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
    example = images.read(EXAMPLES / "flowers.png").pixels[:101, :90]
    (tmp_path / "deep").mkdir()
    images.write(images.Picture(example), tmp_path / "deep" / "a.png")
    images.write(images.Picture(example[..., :1]), tmp_path / "grey.png")
    images.write(images.Picture(example[:20, :20]), tmp_path / "small.png")
    seen: list[tuple[int, int]] = []
    pool = PatchPool.from_folder(
        tmp_path, scale=2, patch_size=16, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (3, 3)
    assert len(pool) == 2
    assert np.array_equal(pool.hr[0].numpy(), example[:100])
    assert np.array_equal(pool.lr[0].numpy(), imresize(example[:100], 0.5))
    assert torch.equal(pool.hr[1][..., 0], pool.hr[1][..., 2])
    with pytest.raises(DataError, match="none of 3 pictures has sides of 200"):
        PatchPool.from_folder(tmp_path, scale=2, patch_size=100)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"broken\.png"):
        PatchPool.from_folder(tmp_path, scale=2, patch_size=16)


def test_pairs_must_fit() -> None:
    lr, hr = torch.zeros(4, 4, 3, dtype=torch.uint8), torch.zeros(8, 9, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="is not HR"):
        PatchPool([lr], [hr], 2)
    with pytest.raises(DataError, match="do not make pairs"):
        PatchPool([], [], 2)
