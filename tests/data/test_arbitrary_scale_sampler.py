"""Batches for any scale. Pictures here encode in every pixel where it lies, so a batch tells its crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from escsr import images
from escsr.data.arbitrary_scale_sampler import ArbitraryScaleBatch, ArbitraryScaleSampler
from escsr.errors import ConfigError, DataError
from escsr.networks.lte import query_axis, sampled_axis
from escsr.networks.upsamplers import OutputSpan
from samples import Float64OnTheCpu, flowers, small_network

PATCH = 16
SIZES = [(70, 90), (120, 64), (80, 80)]
FIELDS = ("lr", "targets", "rows", "columns", "sizes")


def encoded(number: int, height: int, width: int) -> Tensor:
    """A picture whose pixels are (row, column, number of the picture)."""
    rows, columns = np.mgrid[:height, :width]
    return torch.from_numpy(np.stack([rows, columns, np.full_like(rows, number)], -1).astype(np.uint8))


@pytest.fixture(scope="module")
def sampler() -> ArbitraryScaleSampler:
    return ArbitraryScaleSampler([encoded(number, *size) for number, size in enumerate(SIZES)])


def as_bytes(values: Tensor) -> NDArray[np.uint8]:
    """uint8 of what was divided by 255, which must have been whole."""
    whole = values * 255
    assert (whole - whole.round()).abs().max() < 1e-4
    return whole.round().to(torch.uint8).numpy()


def assert_equal(ours: ArbitraryScaleBatch, theirs: ArbitraryScaleBatch) -> None:
    for field in FIELDS:
        assert torch.equal(getattr(ours, field), getattr(theirs, field)), field


@dataclass(frozen=True)
class Crop:
    """What the targets of a sample tell: its picture, and where each corner pixel of it lies there."""

    number: int
    places: NDArray[np.int64]
    """(size, size, 2): row and column in the picture of every pixel of the sample's HR."""

    @property
    def orientation(self) -> tuple[int, ...]:
        """Steps in the picture for one row down and one column to the right."""
        return tuple((self.places[1, 0] - self.places[0, 0]).tolist()) + tuple(
            (self.places[0, 1] - self.places[0, 0]).tolist()
        )


def find_crop(batch: ArbitraryScaleBatch, index: int) -> Crop:
    """Solves places = first + (row, column) · steps, from the queries and their targets."""
    targets = as_bytes(batch.targets[index]).astype(np.int64)
    assert len(set(targets[2])) == 1
    rows, columns = batch.rows[index].numpy(), batch.columns[index].numpy()
    known = np.stack([np.ones_like(rows), rows, columns], 1).astype(float)
    solved, *_ = np.linalg.lstsq(known, targets[:2].T.astype(float), rcond=None)
    first, *steps = solved.round().astype(np.int64)
    assert sorted(np.abs(steps).ravel().tolist()) == [0, 0, 1, 1], "a flip or a turn and nothing else"
    size = int(batch.sizes[index])
    down, right = np.mgrid[:size, :size]
    places = first + down[..., None] * steps[0] + right[..., None] * steps[1]
    assert np.array_equal(places[rows, columns].T, targets[:2]), "every target is the pixel of its query"
    return Crop(int(targets[2, 0]), places)


def test_shapes_types_and_ranges(sampler: ArbitraryScaleSampler) -> None:
    batch = sampler.batch(0, 0, 6, PATCH, queries=100)
    assert (batch.lr.shape, batch.lr.dtype) == ((6, 3, PATCH, PATCH), torch.float32)
    assert (batch.targets.shape, batch.targets.dtype) == ((6, 3, 100), torch.float32)
    assert batch.rows.shape == batch.columns.shape == (6, 100)
    assert batch.rows.dtype == batch.columns.dtype == batch.sizes.dtype == torch.int64
    for values in (batch.lr, batch.targets):
        assert 0 <= values.min() < values.max() <= 1


def test_defaults_are_those_of_the_paper() -> None:
    sampler = ArbitraryScaleSampler([torch.zeros(256, 300, 3, dtype=torch.uint8)])
    batch = sampler.batch(0, 0, 8)
    assert batch.lr.shape == (8, 3, 64, 64)
    assert batch.targets.shape == (8, 3, 2304)
    assert 64 <= batch.sizes.min() < batch.sizes.max() <= 256


def test_targets_are_the_pixels_of_their_queries(sampler: ArbitraryScaleSampler) -> None:
    batch = sampler.batch(1, 2, 64, PATCH, queries=200)
    for index in range(64):
        crop = find_crop(batch, index)
        assert crop.places.min() >= 0
        assert (crop.places.reshape(-1, 2).max(0) < SIZES[crop.number]).all()


def test_lr_is_pillows_bicubic_of_the_crop_and_turned_with_it() -> None:
    """By Pillow itself, one side at a time: the order of the two depends on its version."""
    pil = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    noisy = ArbitraryScaleSampler([torch.from_numpy(picture) for picture in noise])
    telling = ArbitraryScaleSampler([encoded(number, *size) for number, size in enumerate(SIZES)])
    batch, places = (each.batch(5, 0, 24, PATCH, queries=200) for each in (noisy, telling))
    orientations = set()
    for index in range(24):
        crop = find_crop(places, index)
        orientations.add(crop.orientation)
        top, left = crop.places.reshape(-1, 2).min(0)
        size = int(batch.sizes[index])
        hr = noise[crop.number][top : top + size, left : left + size]
        wide = pil.fromarray(hr).resize((PATCH, size), pil.Resampling.BICUBIC)
        lr = np.array(wide.resize((PATCH, PATCH), pil.Resampling.BICUBIC))
        # The same turn for LR: its pixels' places, from those of the corner pixels of HR.
        down, right = np.array(crop.orientation).reshape(2, 2)
        rows, columns = (
            np.add.outer(*(np.arange(PATCH) * step for step in steps)) + (PATCH - 1) * (min(steps) < 0)
            for steps in zip(down, right, strict=True)
        )
        assert np.array_equal(as_bytes(batch.lr[index]).transpose(1, 2, 0), lr[rows, columns])
        queried = crop.places[batch.rows[index], batch.columns[index]]
        assert np.array_equal(as_bytes(batch.targets[index]).T, noise[crop.number][tuple(queried.T)])
    assert len(orientations) > 4


def test_every_picture_orientation_and_scale_is_drawn(sampler: ArbitraryScaleSampler) -> None:
    batch = sampler.batch(0, 7, 256, PATCH, queries=64)
    crops = [find_crop(batch, index) for index in range(256)]
    assert len({crop.orientation for crop in crops}) == 8
    counts = np.bincount([crop.number for crop in crops])
    assert len(counts) == len(SIZES)
    assert counts.min() > 256 / 3 * 0.7, "pictures are drawn evenly, whatever their size"
    sides = batch.sizes.numpy()
    assert sides.min() <= PATCH + 2
    assert sides.max() >= 4 * PATCH - 2
    quarters = np.histogram(sides / PATCH, 4, (1, 4))[0]
    assert quarters.min() > 256 / 4 * 0.7, "scales are drawn evenly from 1 to 4"
    for number, size in enumerate(SIZES):  # places reach from one border to the other
        places = np.concatenate([crop.places.reshape(-1, 2) for crop in crops if crop.number == number])
        assert (places.min(0) < 5).all()
        assert (places.max(0) > np.array(size) - 6).all()


@given(seed=st.integers(0, 2**62), iteration=st.integers(0, 10**7), queries=st.integers(1, PATCH**2))
def test_queries_are_different_pixels_inside(
    sampler: ArbitraryScaleSampler, seed: int, iteration: int, queries: int
) -> None:
    batch = sampler.batch(seed, iteration, 3, PATCH, queries=queries)
    for rows, columns, size in zip(batch.rows, batch.columns, batch.sizes, strict=True):
        assert rows.min() >= 0
        assert columns.min() >= 0
        assert max(rows.max(), columns.max()) < size
        assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == queries
    assert 0 <= batch.sizes.min() - PATCH <= batch.sizes.max() - PATCH <= 3 * PATCH


def test_queries_are_spread_evenly(sampler: ArbitraryScaleSampler) -> None:
    batch = sampler.batch(2, 0, 64, PATCH, queries=PATCH**2)
    row, column = (side * 4 // batch.sizes[:, None] for side in (batch.rows, batch.columns))
    counts = torch.bincount((4 * row + column).flatten(), minlength=16).numpy()
    assert np.abs(counts / counts.mean() - 1).max() < 0.2
    for side in (batch.rows, batch.columns):
        assert (side.min(1).values == 0).float().mean() > 0.9
        assert (side.max(1).values == batch.sizes - 1).float().mean() > 0.9


@given(seed=st.integers(0, 9), iteration=st.integers(0, 10**6))
def test_queries_have_the_geometry_of_whole_pictures(
    sampler: ArbitraryScaleSampler, seed: int, iteration: int
) -> None:
    """To the last bit, since it may decide which LR pixel is the nearest."""
    batch = sampler.batch(seed, iteration, 4, PATCH, queries=50)
    for places in (batch.rows, batch.columns):
        sampled = sampled_axis(PATCH, batch.sizes, places)
        for index, size in enumerate(batch.sizes.tolist()):
            axis = query_axis(OutputSpan(PATCH, size, 0, size), torch.empty(0))
            assert torch.equal(sampled.nearest[:, index], axis.nearest[:, places[index]])
            assert torch.equal(sampled.offset[:, index], axis.offset[:, places[index]])
            assert torch.equal(sampled.weight[index], axis.weight[places[index]])
            assert isinstance(sampled.cell, torch.Tensor)
            assert sampled.cell[index].item() == pytest.approx(axis.cell)


def test_queries_need_float64_on_the_cpu_alone() -> None:
    sizes, places = torch.tensor([20, 31]), torch.tensor([[0, 19], [7, 30]])
    with Float64OnTheCpu() as mode:
        axis = sampled_axis(10, sizes, places)
    assert mode.taken_there
    assert (axis.cell.dtype, axis.offset.dtype) == (torch.float32, torch.float32)  # type: ignore[union-attr]


def test_the_network_is_asked_where_the_targets_are() -> None:
    """With all parameters 0 only its bilinear shortcut is left, which is near the truth when smooth."""
    network = small_network("esc-lte")
    y, x = np.mgrid[:256, :256]
    waves = (np.sin(y / 20 + x / 45), np.cos(x / 15), np.sin((x + 2 * y) / 35))
    smooth = np.stack([127 + 100 * wave for wave in waves], -1).round().astype(np.uint8)
    batch = ArbitraryScaleSampler([torch.from_numpy(smooth)]).batch(0, 0, 8, queries=500)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        sr = network.sample(batch.lr, batch.sizes[:, None].expand(-1, 2), batch.rows, batch.columns)
    assert (sr - batch.targets).abs().mean() * 255 < 1


def test_a_pure_function_of_its_arguments(sampler: ArbitraryScaleSampler) -> None:
    before = sampler.batch(3, 4, 6, PATCH, queries=20)
    sampler.batch(3, 5, 2, PATCH, queries=20)
    np.random.default_rng(0).random(7)
    torch.rand(7)
    assert_equal(sampler.batch(3, 4, 6, PATCH, queries=20), before)
    same = ArbitraryScaleSampler([picture.clone() for picture in sampler.hr])
    assert_equal(same.batch(3, 4, 6, PATCH, queries=20), before)
    for other in (sampler.batch(3, 5, 6, PATCH, queries=20), sampler.batch(4, 4, 6, PATCH, queries=20)):
        assert not torch.equal(other.lr, before.lr)
        assert not torch.equal(other.rows, before.rows)
    assert len({tuple(rows.tolist()) for rows in before.rows}) == 6, "samples differ within a batch"


def test_pictures_are_left_as_they_are(sampler: ArbitraryScaleSampler) -> None:
    before = [picture.clone() for picture in sampler.hr]
    batch = sampler.batch(0, 0, 8, PATCH, queries=20)
    batch.lr.zero_()
    batch.targets.zero_()
    assert all(torch.equal(*pair) for pair in zip(sampler.hr, before, strict=True))


@given(
    batch_size=st.sampled_from([4, 8, 12]), num_shards=st.sampled_from([1, 2, 4]), seed=st.integers(0, 9)
)
def test_shards_are_one_batch(
    sampler: ArbitraryScaleSampler, batch_size: int, num_shards: int, seed: int
) -> None:
    whole = sampler.batch(seed, 5, batch_size, PATCH, queries=9)
    parts = [
        sampler.batch(seed, 5, batch_size, PATCH, queries=9, shard=shard, num_shards=num_shards)
        for shard in range(num_shards)
    ]
    for field in FIELDS:
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(whole, field))


def test_the_stream_never_changes(sampler: ArbitraryScaleSampler) -> None:
    """Runs are resumed by it: what this seed and iteration give was written down in version 0.1."""
    batch = sampler.batch(3, 12345, 4, PATCH, queries=2)
    assert batch.sizes.tolist() == [32, 42, 46, 48]
    assert batch.rows.tolist() == [[6, 13], [25, 18], [32, 21], [15, 8]]
    assert batch.columns.tolist() == [[14, 27], [32, 3], [40, 16], [26, 19]]
    assert as_bytes(batch.targets[:, :, 0]).tolist() == [[44, 39, 0], [17, 33, 0], [58, 10, 2], [33, 40, 0]]
    assert as_bytes(batch.lr[:, :, 0, 0]).tolist() == [[31, 34, 0], [48, 57, 0], [27, 49, 2], [8, 54, 0]]


@pytest.mark.parametrize("storage", ["memory", "mapped", "auto"])
def test_from_folders(storage: str, tmp_path: Path) -> None:
    whole = flowers()
    places = {"a/first.png": (64, 80), "a/deep/second.png": (100, 64), "a/small.png": (63, 200)}
    for name, (height, width) in (places | {"b/third.png": (70, 70)}).items():
        images.write(images.Picture(whole[:height, 32 : 32 + width]), tmp_path / name)
    seen: list[tuple[int, int]] = []
    for _ in range(2):  # the second time a mapped file is there already
        sampler = ArbitraryScaleSampler.from_folder(
            [tmp_path / "a", tmp_path / "b"],
            patch_size=PATCH,
            storage=storage,
            cache=tmp_path / "cache",
            on_progress=lambda *counts: seen.append(counts),
        )
        assert len(sampler) == 3
        assert seen[-1] == (4, 4)
        assert [tuple(picture.shape) for picture in sampler.hr] == [(100, 64, 3), (64, 80, 3), (70, 70, 3)]
        assert all(
            np.array_equal(picture.numpy(), whole[: len(picture), 32 : 32 + picture.shape[1]])
            for picture in sampler.hr
        )
        sampler.batch(0, 0, 4, PATCH, queries=9)
    assert bool(list(tmp_path.glob("cache/*.pixels"))) == (storage == "mapped")


def test_refusals(sampler: ArbitraryScaleSampler, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs pictures; none were given"):
        ArbitraryScaleSampler([])
    with pytest.raises(ConfigError, match=r"queries must be 1 to 256, .* not 257"):
        sampler.batch(0, 0, 2, PATCH, queries=257)
    with pytest.raises(ConfigError, match="queries must be 1 to 256"):
        sampler.batch(0, 0, 2, PATCH, queries=0)
    with pytest.raises(ConfigError, match="cannot be split into 3 shards"):
        sampler.batch(0, 0, 8, PATCH, queries=9, num_shards=3)
    with pytest.raises(DataError, match=r"sides of 68 pixels; the smallest has 64"):
        sampler.batch(0, 0, 1, PATCH + 1, queries=9)
    images.write(images.Picture(np.zeros((200, 63, 3), np.uint8)), tmp_path / "thin.png")
    with pytest.raises(
        DataError, match=r"none of 1 pictures has sides of 64 pixels.*; choose smaller patches"
    ):
        ArbitraryScaleSampler.from_folder(tmp_path, patch_size=PATCH)
