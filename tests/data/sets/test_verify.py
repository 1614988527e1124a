from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from escsr import images
from escsr.data.resizers import Resizer, downscale
from escsr.data.sets.alignment import measure_alignment
from escsr.data.sets.identify import identify_lr
from escsr.data.sets.verify import ProblemKind, Verification, verify
from escsr.errors import ConfigError, DataError
from samples import EXAMPLES

RESIZERS: tuple[Resizer, ...] = get_args(Resizer)
UNALIGNED = ("opencv-nearest", "pil-nearest")


def example(name: str = "flowers", size: int = 192) -> NDArray[np.uint8]:
    return images.read(EXAMPLES / f"{name}.png").colour[:size, :size]


def write(pixels: NDArray[np.generic], path: Path) -> None:
    images.write(images.Picture(pixels), path)


def kinds(found: Verification) -> dict[str, ProblemKind]:
    return {problem.path.name: problem.kind for problem in found.problems}


def make_set(folder: Path, resizer: Resizer = "matlab-bicubic", scale: int = 2) -> tuple[Path, Path]:
    for name in ("flowers", "city"):
        hr = example(name)
        write(hr, folder / "hr" / f"{name}.png")
        write(downscale(hr, scale, resizer), folder / "lr" / f"{name}x{scale}.png")
    return folder / "hr", folder / "lr"


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("resizer", RESIZERS)
def test_resizers_are_identified(resizer: Resizer, scale: int, tmp_path: Path) -> None:
    hr, lr = make_set(tmp_path, resizer, scale)
    seen: list[tuple[int, int]] = []
    found = identify_lr(hr, lr, scale=scale, on_progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 2), (2, 2)]
    assert found.num_images == 2
    exact = {score.resizer for score in found.scores if score.max_difference == 0}
    assert found.is_exact
    assert resizer in exact
    assert "equal in every sample" in found.verdict
    assert len(exact) == 1 or scale in (2, 3), "at ×2 and ×3 some kernels are the same"
    assert [score.psnr for score in found.scores] == sorted((s.psnr for s in found.scores), reverse=True)


def test_identification_of_what_is_only_near(tmp_path: Path) -> None:
    hr, lr = make_set(tmp_path)
    for path in images.find_images(lr):
        pixels = images.read(path).pixels
        pixels[::7, ::5] ^= 1
        write(pixels, path)
    near = identify_lr(hr, lr, scale=2)
    assert near.best.resizer == "matlab-bicubic"
    assert near.best.max_difference == 1
    assert 0 < near.best.differing_share < 0.1
    assert "other rounding" in near.verdict
    for path in images.find_images(lr):
        write(images.read(path).pixels // 2, path)
    far = identify_lr(hr, lr, scale=2, max_images=1)
    assert far.num_images == 1
    assert "no known resizer alone" in far.verdict
    with pytest.raises(ConfigError, match="the least to compare"):
        identify_lr(hr, lr, scale=1)


def test_on_matlabs_files(shared: Path) -> None:
    """The LR pictures of Set5 came from MATLAB itself."""
    hr, lr = shared / "data" / "Set5" / "HR", shared / "data" / "Set5" / "LR_bicubic" / "X3"
    found = identify_lr(hr, lr, scale=3)
    assert found.is_exact
    assert found.best.resizer == "matlab-bicubic"
    assert not verify(hr, lr=lr, scale=3, patch_size=32).faults


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("resizer", RESIZERS)
def test_only_the_first_or_middle_pixel_is_out_of_place(resizer: Resizer, scale: int) -> None:
    for name in ("flowers", "city"):
        hr = example(name, 384)
        alignment = measure_alignment(hr, downscale(hr, scale, resizer), scale)
        expected = 0.0
        if resizer in UNALIGNED:
            taken = 0 if resizer == "opencv-nearest" else scale // 2
            expected = ((scale - 1) / 2 - taken) / scale
        assert alignment.down == pytest.approx(expected, abs=0.06)
        assert alignment.right == pytest.approx(expected, abs=0.06)
        assert alignment.correlation > 0.8


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, -2), (3, -5), (-20, 7)])
def test_shifts_are_measured(down: int, right: int) -> None:
    """In HR pixels; half an LR pixel is the smallest."""
    whole = images.read(EXAMPLES / "flowers.png").colour
    hr = whole[32:416, 32:416]
    moved = np.ascontiguousarray(whole[32 - down : 416 - down, 32 - right : 416 - right])
    rng = np.random.default_rng(0)
    lr = downscale(moved, 2)
    noisy = np.clip(lr + rng.normal(0, 15, lr.shape), 0, 255).astype(np.uint8)
    for picture in (lr, noisy):
        alignment = measure_alignment(hr, picture, 2)
        assert (alignment.down * 2, alignment.right * 2) == pytest.approx((down, right), abs=0.12)


def test_a_sound_set(tmp_path: Path) -> None:
    hr, lr = make_set(tmp_path)
    seen: list[tuple[int, int]] = []
    found = verify(hr, lr=lr, scale=2, on_progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 2), (2, 2)]
    assert (found.num_images, found.num_pairs, found.problems) == (2, 2, ())
    shutil.copytree(tmp_path, tmp_path.with_name("elsewhere"))
    there = verify(
        tmp_path.with_name("elsewhere") / "hr", lr=tmp_path.with_name("elsewhere") / "lr", scale=2
    )
    assert there.fingerprint == found.fingerprint
    assert verify(hr).fingerprint != found.fingerprint
    as_webp = tmp_path / "hr" / "city.webp"
    assert found.fingerprint != verify(lr).fingerprint
    (hr / "city.png").rename(as_webp)  # by content it is still PNG
    assert verify(hr, lr=lr, scale=2).fingerprint == found.fingerprint


def test_every_problem_is_found(tmp_path: Path) -> None:
    hr, lr = make_set(tmp_path)
    good = images.read(EXAMPLES / "flowers.png").colour[-192:, -192:]
    other = images.read(EXAMPLES / "city.png").colour[-192:, -192:]

    def add(name: str, large: NDArray[np.generic], small: NDArray[np.generic] | None) -> None:
        write(large, hr / f"{name}.png")
        if small is not None:
            write(small, lr / f"{name}.png")

    half = downscale(good, 2)
    add("alone", good[:, ::-1], None)
    add("turned", np.rot90(good).copy(), half)
    add("moved", other, downscale(np.roll(other, 1, 1), 2))
    add("wrong size", good[:160], half)
    add("deep", good.astype(np.uint16) * 257, half)
    add("small", good[:100], half[:50])
    add("grey", good[..., :1], half[..., :1])
    add("faded", good[::-1, ::-1].copy(), np.repeat(downscale(good[::-1, ::-1].copy(), 2)[..., :1], 3, 2))
    add("clear", np.concatenate([good, good[..., :1]], 2), half)
    add("again", example("city"), downscale(example("city"), 2))
    write(half, lr / "stranger.png")
    (hr / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    write(half, lr / "broken.png")
    found = verify(hr, lr=lr, scale=2)
    assert kinds(found) == {
        "alone.png": "no LR",
        "broken.png": "unreadable",
        "city.png": "duplicate",
        "clear.png": "transparent",
        "deep.png": "not 8 bits",
        "faded.png": "grey",
        "grey.png": "grey",
        "moved.png": "shift",
        "small.png": "too small",
        "stranger.png": "no HR",
        "turned.png": "content",
        "wrong size.png": "size",
    }
    assert {problem.kind for problem in found.warnings} == {"too small", "grey", "transparent", "duplicate"}
    assert len(found.faults) + len(found.warnings) == len(found.problems)
    assert [(p.path.parent.name, p.message) for p in found.problems if p.kind == "grey"] == [
        ("lr", "has no colour, but HR has"),
        ("hr", "has no colour"),
    ]
    shifted = next(problem for problem in found.problems if problem.kind == "shift")
    assert "HR pixels down and +1.0" in shifted.message or "HR pixels down and +0.9" in shifted.message
    assert found.to_dict()["problems"][0].keys() == {"kind", "path", "message", "is_fault"}


def test_refusals(tmp_path: Path) -> None:
    hr, lr = make_set(tmp_path)
    with pytest.raises(ConfigError, match="Which scale"):
        verify(hr, lr=lr)
    for scale, patch_size in ((0, 64), (2, 0)):
        with pytest.raises(ConfigError, match="must be positive"):
            verify(hr, scale=scale, patch_size=patch_size)
    with pytest.raises(DataError, match="no such folder"):
        verify(tmp_path / "nowhere")


def test_flat_pictures_are_compared_by_their_level(tmp_path: Path) -> None:
    grey = np.full((64, 64, 3), (10, 20, 30), np.uint8)
    write(grey, tmp_path / "hr" / "flat.png")
    write(downscale(grey, 2), tmp_path / "lr" / "flat.png")
    assert not verify(tmp_path / "hr", lr=tmp_path / "lr", scale=2, patch_size=32).problems
    for other in (downscale(example(size=64), 2), downscale(grey + np.uint8(50), 2)):
        write(other, tmp_path / "lr" / "flat.png")
        assert kinds(verify(tmp_path / "hr", lr=tmp_path / "lr", scale=2, patch_size=32)) == {
            "flat.png": "content"
        }
