from __future__ import annotations

import importlib
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from escsr import images
from escsr.data.pil_resize import PilFilter, pil_resize
from escsr.data.resize import imresize
from escsr.data.resizers import Resizer, downscale
from escsr.errors import ConfigError, DataError
from samples import EXAMPLES, ROOT

RESIZERS: tuple[Resizer, ...] = get_args(Resizer)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    out_width=st.integers(1, 60),
    resample=st.sampled_from(get_args(PilFilter)),
)
def test_equals_pillow(height: int, width: int, out_width: int, resample: PilFilter) -> None:
    """One side at a time: the order of the two passes depends on Pillow's version."""
    pil = pytest.importorskip("PIL.Image")
    image = noise(height, width)
    filters = importlib.import_module("PIL.Image").Resampling
    rows = np.array(pil.fromarray(image).resize((out_width, height), filters[resample.upper()]))
    assert np.array_equal(pil_resize(image, (height, out_width), resample), rows)
    both = np.array(pil.fromarray(rows).resize((out_width, 2 * height + 1), filters[resample.upper()]))
    assert np.array_equal(pil_resize(image, (2 * height + 1, out_width), resample), both)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("resample", ["bicubic", "lanczos", "bilinear", "box", "nearest"])
def test_downscale_equals_pillow(scale: int, resample: str) -> None:
    pil = pytest.importorskip("PIL.Image")
    image = noise(scale * 19, scale * 31)
    expected = np.array(pil.fromarray(image).resize((31, 19), pil.Resampling[resample.upper()]))
    assert np.array_equal(downscale(image, scale, f"pil-{resample}"), expected)  # type: ignore[arg-type]


@given(
    resizer=st.sampled_from(RESIZERS),
    scale=st.sampled_from([1, 2, 3, 4, 8]),
    value=st.integers(0, 255),
    channels=st.sampled_from([1, 3]),
)
def test_sizes_and_constants(resizer: Resizer, scale: int, value: int, channels: int) -> None:
    image = np.full((3 * scale, 5 * scale, channels), value, np.uint8)
    small = downscale(image, scale, resizer)
    assert small.shape == (3, 5, channels)
    assert small.dtype == np.uint8
    assert (small == value).all()


@pytest.mark.parametrize("resizer", RESIZERS)
def test_source_is_left_alone_and_result_is_its_own(resizer: Resizer) -> None:
    image = noise(12, 12)
    before = image.copy()
    for scale in (1, 2):
        downscale(image, scale, resizer)[...] = 0
    assert np.array_equal(image, before)


def test_each_name_is_a_resizer_of_its_own() -> None:
    image = noise(48, 64)
    results = [downscale(image, 4, name) for name in RESIZERS]
    equal = {
        (a, b)
        for i, a in enumerate(RESIZERS)
        for j, b in enumerate(RESIZERS)
        if i < j and np.array_equal(results[i], results[j])
    }
    assert not equal
    assert np.array_equal(results[0], imresize(image, 0.25))


# Made with OpenCV 5.0.0, first channel of the picture below, to a half and to a quarter.
OPENCV: dict[Resizer, tuple[list[list[int]], list[list[int]]]] = {
    "opencv-bicubic": ([[120, 146, 112, 62], [162, 129, 95, 137]], [[152, 72]]),
    "opencv-bilinear": ([[116, 146, 112, 78], [164, 130, 96, 126]], [[155, 87]]),
    "opencv-area": ([[116, 146, 112, 78], [164, 130, 96, 126]], [[138, 102]]),
    "opencv-nearest": ([[0, 222, 188, 154], [240, 206, 172, 138]], [[0, 188]]),
}


@pytest.mark.parametrize("name", OPENCV)
def test_equals_opencv(name: Resizer) -> None:
    image = (np.arange(96) * 37 % 256).astype(np.uint8).reshape(4, 8, 3)
    half, quarter = OPENCV[name]
    assert downscale(image, 2, name)[..., 0].tolist() == half
    assert downscale(image, 4, name)[..., 0].tolist() == quarter


def test_the_page_tells_how_far_each_is_from_matlabs() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = page.split("<!-- resizers -->")[1].split("<!-- /resizers -->")[0].strip().splitlines()[2:]
    pictures = [images.read(EXAMPLES / f"{name}.png").pixels for name in ("city", "flowers")]
    told = {}
    for row in rows:
        name, _, *figures = (cell.strip(" `") for cell in row.strip("|").split("|"))
        told[name] = figures
    assert tuple(told) == RESIZERS
    for column, scale in enumerate((2, 4)):
        originals = [downscale(picture, scale).astype(float) for picture in pictures]
        for name in RESIZERS[1:]:
            made = [downscale(picture, scale, name) for picture in pictures]
            error = np.mean([np.mean((a - b) ** 2) for a, b in zip(made, originals, strict=True)])
            assert told[name][column] == f"{10 * np.log10(255**2 / error):.1f}", name


def test_refusals() -> None:
    image = noise(12, 12)
    with pytest.raises(ConfigError, match=r"resizer must be one of matlab-bicubic, .*not 'bicubic'"):
        downscale(image, 2, "bicubic")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="multiples of 5"):
        downscale(image, 5)
    with pytest.raises(ConfigError, match="positive"):
        downscale(image, 0)
    with pytest.raises(ConfigError, match="resample"):
        pil_resize(image, (3, 3), "cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="uint8"):
        pil_resize(image.astype(np.float32), (3, 3))
    with pytest.raises(ConfigError, match="positive"):
        pil_resize(image, (0, 3))


@pytest.mark.parametrize("name", RESIZERS)
@pytest.mark.parametrize("scale", [2.5, 2.0, -1])
def test_scales_are_positive_integers(name: Any, scale: Any) -> None:
    with pytest.raises(ConfigError, match="scale must be a positive integer"):
        downscale(np.zeros((10, 10, 3), np.uint8), scale, name)
