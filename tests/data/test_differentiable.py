"""What is kept from call to call serves gradients too, whatever the first call was under."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from escsr.data import pil_resize, resize
from escsr.data.degradations import filters, jpeg
from escsr.evaluation.no_reference import niqe, piqe

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "imresize": lambda image: resize.imresize(image, 0.5),
    "sharpen": filters.sharpen,
    "JPEG": lambda image: jpeg.differentiable_jpeg(image, 60.0),
}


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    """Nothing is kept from other tests."""
    for module in (resize, pil_resize, filters, jpeg):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("first", [torch.inference_mode(), torch.device("meta")], ids=["inference", "meta"])
def test_gradients_after_a_call_without(name: str, first: torch.device) -> None:
    image = torch.rand(3, 20, 20)
    with first:
        before = FUNCTIONS[name](image)
    image.requires_grad_()
    after = FUNCTIONS[name](image)
    torch.autograd.backward([after.sum()])
    assert image.grad is not None
    assert torch.equal(before, after.detach())


def test_pillows_taps_are_of_no_mode() -> None:
    image = np.zeros((8, 8), np.uint8)
    with torch.inference_mode(), torch.device("meta"):
        pil_resize.pil_resize(image, (4, 4))
    assert not any(each.is_inference() for each in pil_resize._taps(8, 4, "bicubic"))


def test_measures_of_an_image_with_a_gradient() -> None:
    image = 255 * torch.rand(3, 96, 192, requires_grad=True)
    assert niqe(image) == niqe(image.detach())
    assert piqe(image) == piqe(image.detach())
