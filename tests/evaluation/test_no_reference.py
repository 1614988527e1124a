from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import escsr.evaluation
from escsr import images
from escsr.data.resize import imresize
from escsr.errors import DataError
from escsr.evaluation.no_reference import niqe, piqe
from escsr.evaluation.pairs import to_tensor
from samples import EXAMPLES

Pixels = NDArray[np.uint8]


def example(name: str) -> Pixels:
    return images.read(EXAMPLES / f"{name}.png").pixels


def partly_flat(pixels: Pixels) -> Pixels:
    pixels = pixels.copy()
    pixels[:, :200] = 255
    return pixels


CASES = {
    "whole": lambda pixels: pixels,
    "smooth": lambda pixels: imresize(imresize(pixels, 0.5), 2),
    "odd sides": lambda pixels: pixels[7:257, 31:364],
    "partly flat": partly_flat,
}


@pytest.mark.parametrize(
    ("name", "case", "expected"),
    [
        ("city", "whole", 3.271109),
        ("city", "smooth", 5.030572),
        ("city", "odd sides", 7.837476),
        ("city", "partly flat", 7.211387),
        ("flowers", "whole", 2.995908),
        ("flowers", "smooth", 5.463845),
    ],
)
def test_niqe_of_basicsr(name: str, case: str, expected: float) -> None:
    """`calculate_niqe(crop_border=0)` of basicsr 1.4.2, which makes luma in float32."""
    assert niqe(to_tensor(CASES[case](example(name)))) == pytest.approx(expected, abs=1e-3)


def test_niqe_of_matlab(shared: Path) -> None:
    """The figure of MATLAB R2021a, told in basicsr's source."""
    baboon = images.read(next((shared / "data" / "Set14" / "HR").glob("baboon.*"))).colour
    assert niqe(to_tensor(baboon)) == pytest.approx(5.72957338, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "case", "expected"),
    [
        ("city", "whole", 45.46959),
        ("city", "smooth", 64.91801),
        ("city", "odd sides", 50.52652),
        ("city", "partly flat", 44.15994),
        ("flowers", "partly flat", 22.04671),
    ],
)
def test_piqe_of_pypiqe(name: str, case: str, expected: float) -> None:
    """pypiqe 1.2 of the grey picture; all of these reach 255, to which pypiqe stretches others."""
    assert piqe(to_tensor(CASES[case](example(name)))) == pytest.approx(expected, abs=1e-3)


def noisy(image: Tensor, deviation: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + deviation * noise).clamp(0, 255).round()


def blurred(image: Tensor, deviation: float) -> Tensor:
    line = torch.exp(-0.5 * (torch.arange(-9, 10) / deviation) ** 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = torch.nn.functional.pad(image[:, None], (9, 9, 9, 9), mode="reflect")
    return torch.nn.functional.conv2d(padded, kernel[None, None])[:, 0].round()


@pytest.mark.parametrize(
    ("measure", "damaged", "amounts"),
    [
        (niqe, noisy, (5, 15, 40)),
        (niqe, blurred, (1, 1.5, 3)),
        (piqe, noisy, (15, 40)),  # less noise makes flat edges lively, which is better to PIQE
        (piqe, blurred, (1, 1.5, 3)),
    ],
)
def test_damage_is_told(measure, damaged, amounts) -> None:  # type: ignore[no-untyped-def]
    image = to_tensor(example("flowers")).float()
    figures = [measure(image), *(measure(damaged(image, amount)) for amount in amounts)]
    assert figures == sorted(figures)
    assert figures[-1] > 1.5 * figures[0]


@pytest.mark.parametrize("measure", [niqe, piqe])
def test_grey_counts_as_three_equal_colours_and_nothing_changes(measure) -> None:  # type: ignore[no-untyped-def]
    image = to_tensor(example("city"))[1:2]
    before = image.clone()
    assert measure(image) == measure(image.expand(3, -1, -1)) == measure(image.double())
    assert torch.equal(image, before)


def test_niqe_leaves_out_what_is_no_whole_block() -> None:
    image = to_tensor(example("city"))
    assert niqe(image[:, :287, :400]) == niqe(image[:, :192, :384])
    assert niqe(image[:, :96, :192]) > 0


@pytest.mark.parametrize("shape", [(95, 2000), (2000, 95), (191, 191), (1, 1)])
def test_too_small_for_niqe(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"two blocks of 96×96 pixels; {shape[1]}×{shape[0]} pixels hold"):
        niqe(torch.zeros(3, *shape))


def test_flat_pictures() -> None:
    for level in (0, 93, 255):
        flat = torch.full((3, 200, 300), level, dtype=torch.uint8)
        assert piqe(flat) == 100
        with pytest.raises(DataError, match="nearly all flat"):
            niqe(flat)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (16, 16), (17, 31)])
def test_piqe_of_tiny_pictures(shape: tuple[int, int]) -> None:
    assert 0 < piqe(torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)) * 255) < 150


def test_parameters_are_the_published_ones_with_their_licences() -> None:
    folder = Path(escsr.evaluation.__file__).parent / "parameters"
    digest = hashlib.sha256((folder / "niqe_pris_params.npz").read_bytes()).hexdigest()
    notice = (folder / "LICENSE-NIQE.txt").read_text()
    assert digest in notice
    assert "The University of Texas at Austin" in notice
    assert "Apache License" in (folder / "LICENSE-BasicSR.txt").read_text()
