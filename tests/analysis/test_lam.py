"""Local attribution maps: the path integral, the diffusion index, the area of contribution."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from escsr.analysis.differentiable import DifferentiableModel, as_differentiable
from escsr.analysis.lam import area_of_contribution, attribute, blurred, detail, diffusion_index
from escsr.errors import ConfigError
from escsr.evaluation.crops import Crop
from escsr.networks.layers import reflect_pad
from escsr.runtime.choices import LamRule
from other_models import NEEDS_SPANDREL, OTHERS
from samples import nearest_network, small_network

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch.functional")

WINDOW = Crop(14, 10, 12, 8)


def picture(height: int = 16, width: int = 20) -> Tensor:
    """Smooth, with edges, and some noise."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    wave = 0.5 + 0.3 * torch.sin(rows / 2.0 + columns / 3.0)
    return (torch.stack((wave, wave.flip(0), wave**2)) + 0.1 * torch.rand(3, height, width))[None]


@pytest.mark.parametrize(("rule", "within"), [("midpoint", 0.01), ("right", 0.05)])
@pytest.mark.parametrize("variant", ["esc", "esc-fp"])
def test_attributions_sum_to_the_change_of_detail(variant: str, rule: LamRule, within: float) -> None:
    model, lr = as_differentiable(small_network(variant)), picture()
    found = attribute(model, lr, WINDOW, rule=rule)
    assert found.error < within
    with torch.no_grad():
        change = float(detail(model(lr), WINDOW) - detail(model(blurred(lr, 1.2)), WINDOW))
    assert float(found.values.sum()) == pytest.approx(change, rel=within)
    assert found.map.shape == (16, 20)
    assert float(found.map.max()) == 1
    assert found.result.shape == (3, 32, 40)


def test_a_model_of_any_scale() -> None:
    model = as_differentiable(small_network("esc-lte"), scale=2.5)
    assert model.result_size(picture()) == (40, 50)
    assert attribute(model, picture(), WINDOW, steps=1).result.shape == (3, 40, 50)


def test_pixels_that_take_no_part_get_nothing() -> None:
    """Of a network that repeats pixels, those of the window and one more take part."""
    found = attribute(as_differentiable(nearest_network()), picture(), Crop(10, 8, 6, 4), steps=3)
    inside = torch.zeros(16, 20, dtype=torch.bool)
    inside[4:7, 5:9] = True
    assert not found.map[~inside].any()
    assert found.map[inside].any()


def test_the_network_stays_as_it_was() -> None:
    network = small_network("esc").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    attribute(as_differentiable(network), picture(), WINDOW, steps=1)
    assert network.training
    assert all(each.grad is None and each.requires_grad for each in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_module_and_a_function_of_the_callers_own() -> None:
    module = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    found = attribute(as_differentiable(module), picture(), WINDOW)
    assert found.error < 0.01
    frozen = DifferentiableModel("frozen", module, torch.no_grad()(module))
    with pytest.raises(ConfigError, match="frozen gives results without a gradient"):
        attribute(frozen, picture(), WINDOW)


@NEEDS_SPANDREL
@pytest.mark.parametrize("kind", ["Compact", "SwinIR"])
def test_models_of_other_architectures(kind: str, tmp_path: Path) -> None:
    build, scale = OTHERS[kind]
    path = tmp_path / "other.pth"
    torch.save(build().state_dict(), path)
    model = as_differentiable(path, device="cpu")
    assert model.result_size(picture()) == (16 * scale, 20 * scale)
    found = attribute(model, picture(), WINDOW, steps=4)
    assert found.result.shape == (3, 16 * scale, 20 * scale)
    assert found.error < 0.05


def test_flat_pictures_have_a_gradient() -> None:
    lr = torch.full((1, 3, 12, 12), 0.4)
    lr[..., 6:] = 0.7
    found = attribute(as_differentiable(nearest_network()), lr, Crop(4, 4, 16, 16), steps=2)
    assert found.values.isfinite().all()
    assert float(found.detail) == pytest.approx(16 * 3 * 0.3, rel=1e-4)


def test_blur_mirrors_and_ends_sharp() -> None:
    lr = torch.rand(1, 3, 3, 7)
    assert torch.equal(blurred(lr, 0), lr)
    distance = torch.arange(-4, 5)
    kernel = torch.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.20001**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 9, 9)
    padded = reflect_pad(lr, left=4, right=4, top=4, bottom=4)
    torch.testing.assert_close(blurred(lr, 1.2), torch.nn.functional.conv2d(padded, kernel, groups=3))


def test_diffusion_index() -> None:
    flat, delta = torch.full((50, 40), 0.3), torch.zeros(50, 40)
    delta[3, 4] = 1
    assert diffusion_index(flat) == pytest.approx(100)
    assert diffusion_index(delta) == pytest.approx(0, abs=0.1)
    half = torch.zeros(10, 10)
    half[:5] = 1
    assert diffusion_index(half) == pytest.approx(50, abs=1e-3)


def test_area_of_contribution_is_a_kernel_density() -> None:
    weights = torch.rand(9, 13, dtype=torch.float64) ** 4
    places = torch.cartesian_prod(torch.arange(9.0), torch.arange(13.0)).double()
    share = weights.flatten() / weights.sum()
    mean = share @ places
    spread = (places - mean).T @ ((places - mean) * share[:, None]) / (1 - share.square().sum())
    inverse = torch.linalg.inv(spread * (1 / share.square().sum()) ** (-1 / 3))
    between = places[:, None] - places
    density = (torch.exp(-torch.einsum("abi,ij,abj->ab", between, inverse, between) / 2) @ share).reshape(
        9, 13
    )
    torch.testing.assert_close(area_of_contribution(weights), density / density.max())


@pytest.mark.parametrize("attribution", [torch.zeros(5, 7), torch.ones(1, 1)])
def test_an_area_where_nothing_contributes(attribution: torch.Tensor) -> None:
    assert torch.equal(area_of_contribution(attribution), attribution.double())


def test_impossible_windows_and_settings() -> None:
    model, lr = as_differentiable(nearest_network()), picture()
    with pytest.raises(ConfigError, match="at least one pixel from its right"):
        attribute(model, lr, Crop(24, 0, 16, 16))
    with pytest.raises(ConfigError, match="rule must be one of midpoint, right"):
        attribute(model, lr, WINDOW, rule="left")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be positive"):
        attribute(model, lr, WINDOW, steps=0)
    assert math.isfinite(attribute(model, lr, WINDOW, steps=1).diffusion_index)
