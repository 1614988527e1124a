from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from escsr import images
from escsr.data.pictures import lr_name
from escsr.data.resize import Convention, imresize
from escsr.errors import ConfigError


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dataset", ["Set5", pytest.param("Set14", marks=pytest.mark.slow)])
def test_bit_exact_on_matlabs_files(shared: Path, dataset: str, scale: int) -> None:
    files = images.find_images(shared / "data" / dataset / "HR")
    assert len(files) in (5, 14)
    for path in files:
        hr = images.read(path).pixels
        name = f"{lr_name(path.stem, scale)}.png"
        expected = images.read(shared / "data" / dataset / "LR_bicubic" / f"X{scale}" / name).pixels
        height, width = (side // scale * scale for side in hr.shape[:2])
        ours = imresize(hr[:height, :width], 1 / scale)
        assert ours.shape[:2] == expected.shape[:2]
        assert np.array_equal(np.broadcast_to(ours, expected.shape), expected), path.name


def test_known_values() -> None:
    """Worked by hand: a step and an impulse through the kernel stretched to eight taps."""
    step = np.array([[0, 0, 0, 0, 255, 255, 255, 255]], np.float64)
    halves = imresize(step, 0.5, size=(1, 4))
    weights = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    padded = np.concatenate([step[0, 2::-1], step[0], step[0, :-4:-1]])
    assert halves[0] == pytest.approx([weights @ padded[2 * i : 2 * i + 8] for i in range(4)])
    assert imresize(np.array([[0.0, 1.0]]), 2, size=(1, 4))[0] == pytest.approx(
        [-0.09375, 0.203125, 0.796875, 1.09375]
    )


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    scale=st.sampled_from([0.25, 1 / 3, 0.5, 0.9, 1, 1.7, 2, 3, 4]),
    value=st.integers(0, 255),
)
def test_size_and_constants(height: int, width: int, scale: float, value: int) -> None:
    image = np.full((height, width, 3), value, np.uint8)
    for convention in get_args(Convention):
        resized = imresize(image, scale, convention=convention)
        assert resized.shape == (np.ceil(height * scale), np.ceil(width * scale), 3)
        assert resized.dtype == np.uint8
        assert (resized == value).all()


@given(seed=st.integers(0, 100), scale=st.sampled_from([0.5, 0.25, 2, 3]))
def test_mirroring_commutes(seed: int, scale: float) -> None:
    image = np.random.default_rng(seed).random((12, 16))
    for axis in (0, 1):
        mirrored = imresize(np.flip(image, axis), scale)
        assert mirrored == pytest.approx(np.flip(imresize(image, scale), axis), abs=1e-12)
    assert imresize(image.T.copy(), scale) == pytest.approx(imresize(image, scale).T, abs=1e-12)


def test_conventions_differ_by_the_rounding_between_the_passes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    rows_first = imresize(image, 0.5)
    double = imresize(image, 0.5, convention="matlab-double")
    exact = imresize(image.astype(np.float64), 0.5)
    assert np.array_equal(double, np.clip(np.floor(exact + 0.5), 0, 255))
    difference = np.abs(rows_first.astype(int) - double)
    assert difference.max() == 1
    assert 0.05 < (difference > 0).mean() < 0.3


def test_tensors_are_differentiable() -> None:
    x = torch.rand(2, 3, 9, 12, dtype=torch.float64, requires_grad=True)

    def third(picture: torch.Tensor) -> torch.Tensor:
        return imresize(picture, 1 / 3)

    assert torch.autograd.gradcheck(third, x)
    array = x[0].detach().permute(1, 2, 0).numpy()
    resized = imresize(x, 0.5)[0].detach().permute(1, 2, 0).numpy()
    assert resized == pytest.approx(imresize(array, 0.5), abs=1e-12)


def test_refusals() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ConfigError, match="positive"):
        imresize(image, 0)
    with pytest.raises(ConfigError, match="convention"):
        imresize(image, 2, convention="pil")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="uint8"):
        imresize(image.astype(np.int32), 2)
    with pytest.raises(ConfigError, match=r"\(H, W"):
        imresize(image[:0], 2)
    with pytest.raises(ConfigError, match="floating"):
        imresize(torch.zeros(3, 4, 4, dtype=torch.uint8), 2)
    for shape in ((3, 0, 4), (3, 4, 0)):
        with pytest.raises(ConfigError, match="rows and columns"):
            imresize(torch.zeros(shape), 2)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4, 2.5), (4,), (4, 4, 4), 4])
def test_impossible_sizes(size: Any) -> None:
    pictures: list[Any] = [np.zeros((8, 8, 3), np.uint8), torch.zeros(3, 8, 8)]
    for image in pictures:
        with pytest.raises(ConfigError, match="size must be two positive integers"):
            imresize(image, 0.5, size=size)


def test_other_kinds() -> None:
    pixels: Any = np.zeros((8, 8, 3), np.uint8)
    others: list[Any] = [pixels.tolist(), Image.fromarray(pixels), "picture.png"]
    for other in others:
        with pytest.raises(ConfigError, match="must be an array or a tensor"):
            imresize(other, 0.5)
    scales: list[Any] = [(2, 2), "2", None, [2]]
    for scale in scales:
        with pytest.raises(ConfigError, match="scale must be one positive number"):
            imresize(pixels, scale)
