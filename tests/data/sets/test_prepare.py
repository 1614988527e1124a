from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from escsr import images
from escsr.data.patch_sampler import PatchSampler
from escsr.data.resizers import downscale
from escsr.data.sets.identify import identify_lr
from escsr.data.sets.prepare import _rotated, prepare, sub_image_starts
from escsr.data.sets.verify import verify
from escsr.errors import ConfigError, DataError
from samples import flowers


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two pictures: 150×110, which is no multiple of 6, and 61×61 in a subfolder."""
    whole = flowers()
    images.write(images.Picture(whole[:110, :150]), tmp_path / "source" / "a.png")
    images.write(images.Picture(whole[200:261, 200:261]), tmp_path / "source" / "deep" / "b.png")
    return tmp_path / "source"


def pixels(path: Path) -> NDArray[np.uint8]:
    return images.read(path).pixels


def listing(folder: Path) -> dict[str, int]:
    """Files with their times of change, to see what was written again."""
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.png")}


@given(
    side=st.integers(1, 60), size=st.integers(1, 30), step=st.integers(1, 30), unit=st.sampled_from([1, 6])
)
def test_starts_cover_the_side(side: int, size: int, step: int, unit: int) -> None:
    side, size, step = side * unit, size * unit, min(step, size) * unit
    starts = sub_image_starts(side, size, step)
    assert starts == sorted(set(starts))
    assert all(start % unit == 0 for start in starts)
    covered = {pixel for start in starts for pixel in range(start, min(start + size, side))}
    assert covered == set(range(side))
    assert size >= side or starts[-1] + size == side


def test_starts_of_div2k() -> None:
    """A picture of 2040×1356 with sub-images of 480, step 240, as the reference cuts it."""
    assert sub_image_starts(2040, 480, 240) == [0, 240, 480, 720, 960, 1200, 1440, 1560]
    assert sub_image_starts(1356, 480, 240) == [0, 240, 480, 720, 876]


def test_sub_images_and_lr(source: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = prepare(
        source,
        tmp_path / "set",
        sub_image=48,
        step=24,
        lr="pil-bicubic",
        scale=[2, 3],
        on_progress=lambda *counts: seen.append(counts),
    )
    assert seen == [(1, 2), (2, 2)]
    assert (made.num_sources, made.num_skipped, made.failures) == (2, 0, ())
    rows, columns = [0, 24, 48, 60], [0, 24, 48, 72, 96, 102]
    assert made.num_images == 24 + 4
    whole = pixels(source / "a.png")[:108, :150]
    half = downscale(whole, 2, "pil-bicubic")
    assert np.array_equal(pixels(made.hr / "a_s001.png"), whole[:48, :48])
    top, left = rows[-1], columns[-2]
    assert np.array_equal(pixels(made.hr / "a_s023.png"), whole[top : top + 48, left : left + 48])
    assert np.array_equal(
        pixels(made.lr[2] / "a_s023x2.png"), half[top // 2 : top // 2 + 24, left // 2 : left // 2 + 24]
    )
    assert (made.lr[3] / "deep" / "b_s004x3.png").exists()
    for scale, folder in made.lr.items():
        assert not verify(made.hr, lr=folder, scale=scale, patch_size=16).faults
    sampler = PatchSampler.from_folder(made.hr, lr=made.lr[2], scale=2, patch_size=24)
    assert len(sampler) == 28


def test_smaller_copies(source: Path, tmp_path: Path) -> None:
    made = prepare(source, tmp_path / "set", scale=[2], resize=[1, 0.5, 0.5])
    assert (made.num_sources, made.num_images) == (4, 4)
    half = downscale(pixels(source / "a.png"), 2, "pil-bicubic")
    assert np.array_equal(pixels(made.hr / "a_at0.5.png"), half[: 55 // 2 * 2, : 75 // 2 * 2])
    assert not verify(made.hr, lr=made.lr[2], scale=2, patch_size=8).faults
    assert PatchSampler.from_folder(made.hr, lr=made.lr[2], scale=2, patch_size=8)
    before = listing(tmp_path / "set")
    again = prepare(source, tmp_path / "set", scale=[2], resize=[0.5, 0.7])
    assert (again.num_sources, again.num_skipped, again.others) == (4, 2, ("a", "deep/b"))
    assert before.items() <= listing(tmp_path / "set").items()
    for wrong in ([0], [1.5], [float("nan")]):
        with pytest.raises(ConfigError, match="resize takes numbers above 0"):
            prepare(source, tmp_path / "set", scale=[2], resize=wrong)
    images.write(images.Picture(pixels(source / "a.png")), source / "a_at0.5.png")
    with pytest.raises(DataError, match=r"would both become a_at0\.5"):
        prepare(source, tmp_path / "set", scale=[2], resize=[1, 0.5])


def test_rotated_copies(source: Path, tmp_path: Path) -> None:
    made = prepare(source, tmp_path / "set", scale=[2], resize=[0.5, 0.7], rotate=True)
    assert (made.num_sources, made.num_images) == (8, 8)
    names = {path.relative_to(made.hr).as_posix() for path in made.hr.rglob("*.png")}
    assert {"a_at0.5.png", "a_rotated_at0.5.png", "deep/b_rotated_at0.7.png"} <= names
    assert not verify(made.hr, lr=made.lr[2], scale=2, patch_size=8).faults
    other = prepare(source, tmp_path / "other", resize=[0.5], rotate=True)
    rotated = pixels(made.hr / "a_rotated_at0.5.png")
    height, width = rotated.shape[:2]
    assert np.array_equal(rotated, pixels(other.hr / "a_rotated_at0.5.png")[:height, :width])
    again = prepare(source, tmp_path / "set", scale=[2], resize=[0.5, 0.7], rotate=True)
    assert again.num_skipped == 8


@given(height=st.integers(24, 90), width=st.integers(24, 90), angle=st.floats(15, 75))
def test_what_is_rotated_has_no_corners_of_others(height: int, width: int, angle: float) -> None:
    rows, columns = np.mgrid[:height, :width] - np.array([[[height - 1]], [[width - 1]]]) / 2
    ramps = np.stack([128 + rows, 128 + columns, np.full_like(rows, 200)], -1).astype(np.uint8)
    result = _rotated(ramps, angle)
    assert min(result.shape[:2]) > min(height, width) * 0.4 - 5
    assert (result[..., 2] == 200).all(), "nothing from outside"
    rows, columns = np.mgrid[: result.shape[0], : result.shape[1]]
    rows, columns = rows - rows.mean(), columns - columns.mean()
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    turned = np.stack([cosine * rows + sine * columns, cosine * columns - sine * rows], -1)
    assert np.abs(result[..., :2] - 128.0 - turned).max() < 3, "counterclockwise, about the centre"


def test_whole_pictures(source: Path, tmp_path: Path) -> None:
    made = prepare(source, tmp_path / "set", scale=[2, 4])
    assert made.num_images == 2
    assert np.array_equal(pixels(made.hr / "a.png"), pixels(source / "a.png")[:108, :148])
    found = identify_lr(made.hr, made.lr[4], scale=4)
    assert found.is_exact
    assert found.best.resizer == "matlab-bicubic"
    alone = prepare(source, tmp_path / "hr only")
    assert not alone.lr
    assert np.array_equal(pixels(alone.hr / "a.png"), pixels(source / "a.png"))


def test_it_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    def run() -> tuple[int, str, dict[str, int]]:
        made = prepare(source, tmp_path / "set", sub_image=48, scale=[2])
        return made.num_skipped, made.fingerprint, listing(tmp_path / "set")

    skipped, fingerprint, files = run()
    assert skipped == 0
    assert run() == (2, fingerprint, files)
    manifest = tmp_path / "set" / "manifest.jsonl"
    text = manifest.read_text()
    manifest.write_text(
        text[: len(text) - 20] + '\n{"of": "later versions"}\n[1]\n'
    )  # an interrupt and more
    skipped, again, remade = run()
    assert (skipped, again) == (1, fingerprint)
    assert {name for name in files if files[name] != remade[name]} == {
        name for name in files if "/b_" in name
    }
    assert [json.loads(line)["source"] for line in manifest.read_text().splitlines()[1:]] == ["a", "deep/b"]
    (tmp_path / "set" / "HR" / "a_s002.png").unlink()
    assert run()[0] == 1
    assert set(listing(tmp_path / "set")) == set(files)


def test_a_source_that_changed(source: Path, tmp_path: Path) -> None:
    before = prepare(source, tmp_path / "set", sub_image=48, scale=[2])
    images.write(images.Picture(pixels(source / "a.png")[:60]), source / "a.png")
    after = prepare(source, tmp_path / "set", sub_image=48, scale=[2])
    assert after.num_skipped == 1
    assert after.fingerprint != before.fingerprint
    assert len(images.find_images(after.hr)) == after.num_images < before.num_images
    assert not verify(after.hr, lr=after.lr[2], scale=2, patch_size=24).faults


def test_sources_of_earlier_runs_are_named(source: Path, tmp_path: Path) -> None:
    assert prepare(source, tmp_path / "set").others == ()
    (source / "a.png").unlink()
    again = prepare(source, tmp_path / "set")
    assert again.others == ("a",), "a training would take what was made of it"
    assert (tmp_path / "set" / "HR" / "a.png").exists(), "nothing is deleted"


def test_a_bad_source_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    images.write(images.Picture(np.zeros((2, 9, 3), np.uint8)), source / "thin.png")
    made = prepare(source, tmp_path / "set", scale=[3])
    assert [path.name for path, _ in made.failures] == ["broken.png", "thin.png"]
    assert "smaller than 3 pixels" in made.failures[1][1]
    assert made.num_sources == 2


def test_several_folders(source: Path, tmp_path: Path) -> None:
    images.write(images.read(source / "a.png"), tmp_path / "more" / "a.png")
    made = prepare([source, tmp_path / "more"], tmp_path / "set")
    assert set(listing(made.hr)) == {"source/a.png", "source/deep/b.png", "more/a.png"}
    images.write(images.read(source / "a.png"), source / "a.webp")
    with pytest.raises(DataError, match=r"a\.webp and .*a\.png would both become a"):
        prepare(source, tmp_path / "other")


def test_a_manifest_of_something_else(source: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for content in (b"", b"\xff\xfe", b"[1]\n", b"no json"):
        (tmp_path / "set" / "manifest.jsonl").write_bytes(content)
        with pytest.raises(ConfigError, match="begun with other settings"):
            prepare(source, tmp_path / "set")


def test_sources_and_set_are_kept_apart(source: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in source.rglob("*.png")}
    for output in (source, source / "set", source / "deep" / ".." / "set"):
        with pytest.raises(ConfigError, match="lies within the source"):
            prepare(source, output)
    made = prepare(source, tmp_path, scale=[2])  # beside the source is well
    assert made.num_sources == 2
    for again in (made.hr, made.lr[2], made.hr / "deep"):
        with pytest.raises(ConfigError, match="is part of the set"):
            prepare(again, tmp_path, scale=[2])
    assert {path: path.read_bytes() for path in source.rglob("*.png")} == before


def test_refusals(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "set", sub_image=48)
    with pytest.raises(ConfigError, match="begun with other settings"):
        prepare(source, tmp_path / "set", sub_image=24)
    with pytest.raises(ConfigError, match="multiples of 6"):
        prepare(source, tmp_path / "new", sub_image=40, scale=[2, 3])
    with pytest.raises(ConfigError, match="step is for sub-images"):
        prepare(source, tmp_path / "new", step=40)
    with pytest.raises(ConfigError, match="2 or more"):
        prepare(source, tmp_path / "new", scale=[1])
    with pytest.raises(ConfigError, match="lr must be one of"):
        prepare(source, tmp_path / "new", scale=[2], lr="bicubic")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no such folder"):
        prepare(tmp_path / "nowhere", tmp_path / "new")
