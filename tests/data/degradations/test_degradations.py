"""Degradations: kernels and filters against reference vectors, draws by their moments, pure functions."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from escsr.data.degradations import PRESETS, degrade
from escsr.data.degradations.chain import apply_steps, draw_steps
from escsr.data.degradations.config import Bicubic, Mixture, Part, SecondOrder, Shuffled
from escsr.data.degradations.filters import ResizeMode, blur, resize, sharpen
from escsr.data.degradations.jpeg import differentiable_jpeg, libjpeg
from escsr.data.degradations.kernels import KernelShape, gaussian_kernel, sinc_kernel
from escsr.data.degradations.sample import draw_sample
from escsr.data.degradations.steps import (
    Blur,
    Compress,
    CorrelatedNoise,
    GaussianNoise,
    Place,
    PoissonNoise,
    Sampled,
    Shrink,
    Sinc,
    Step,
    ToLr,
    Zoom,
)
from escsr.data.degraded_sampler import DegradedSampler
from escsr.errors import ConfigError
from escsr.runtime.settings import validated

FULL = PRESETS["real-esrgan"].parts["full"].degradation


def smooth_image(height: int, width: int, seed: int = 0) -> Tensor:
    """(3, height, width) in [0, 1], with structure of some pixels."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1)


@pytest.fixture(scope="module")
def vectors(shared: Path) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    with safe_open(shared / "parity" / "degradations.safetensors", "pt") as file:
        yield json.loads(file.metadata()["config"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_kernels_are_those_of_the_reference(vectors: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    for name, values in vectors[0].items():
        expected = vectors[1][name].numpy()
        if name.startswith("sinc"):
            kernel = sinc_kernel(values["size"], values["cutoff"])
            kernel = np.pad(kernel, (len(expected) - len(kernel)) // 2)
        else:
            shape: KernelShape = "gaussian"
            shape = "plateau" if "plateau" in values["kind"] else shape
            shape = "generalised" if "generalized" in values["kind"] else shape
            sigma = (values["sigma_x"], values["sigma_y"])
            kernel = gaussian_kernel(
                values["size"], sigma, values["theta"], shape=shape, beta=values["beta"] or 1.0
            )
        assert np.abs(kernel - expected).max() < 1e-6, name


def test_filters_are_those_of_the_reference(vectors: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    tensors = vectors[1]
    image = tensors["image"][0]
    results = {
        "blur.output": blur(image, tensors["blur.kernel"][0].double().numpy()),
        "usm.output": sharpen(image),
        **{f"jpeg.{quality}": differentiable_jpeg(image, quality) for quality in (30, 57.5, 95)},
    }
    modes: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
    for mode in modes:
        results |= {f"resize.{mode}.{x}": resize(image, mode=mode, factor=x) for x in (0.37, 1.31)}
    for name, result in results.items():
        torch.testing.assert_close(result, tensors[name][0], rtol=0, atol=2e-5, msg=name)


@given(
    size=st.integers(1, 10).map(lambda half: 2 * half + 1),
    sigma=st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    theta=st.floats(-math.pi, math.pi),
    shape=st.sampled_from(["gaussian", "generalised", "plateau"]),
    beta=st.floats(0.5, 4),
)
def test_kernels_sum_to_one_and_have_a_centre(
    size: int, sigma: tuple[float, float], theta: float, shape: KernelShape, beta: float
) -> None:
    kernel = gaussian_kernel(size, sigma, theta, shape=shape, beta=beta)
    assert kernel.shape == (size, size)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    assert np.allclose(kernel, kernel[::-1, ::-1])
    assert kernel.argmax() == size * size // 2


def test_equal_widths_have_no_direction_and_a_sinc_that_cuts_nothing_changes_little() -> None:
    assert np.allclose(gaussian_kernel(9, (1.3, 1.3), 0.7), gaussian_kernel(9, (1.3, 1.3)))
    image = smooth_image(48, 56)
    assert (blur(image, sinc_kernel(21, math.pi)) - image)[:, 10:-10, 10:-10].abs().max() < 0.02
    with pytest.raises(ConfigError, match="odd size"):
        gaussian_kernel(8, (1, 1))


def test_blur_is_a_correlation_with_a_reflected_border() -> None:
    image, kernel = smooth_image(20, 31), np.random.default_rng(0).random((7, 7))
    padded = torch.nn.functional.pad(image[None], [3] * 4, mode="reflect").transpose(0, 1).double()
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(kernel)[None, None])[:, 0]
    torch.testing.assert_close(blur(image, kernel).double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("quality", [10, 45, 90])
@pytest.mark.parametrize("halved", [True, False])
def test_compressed_files_are_what_another_library_makes(quality: int, halved: bool) -> None:
    """Pillow and libvips bring their own libjpeg; both write the same tables, and decode within a level."""
    image = smooth_image(40, 56)
    pixels = (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    source = pyvips.Image.new_from_array(pixels)
    file = source.jpegsave_buffer(Q=quality, subsample_mode="on" if halved else "off", keep="none")
    expected = pyvips.Image.jpegload_buffer(file).numpy().astype(np.int16)
    result = (libjpeg(image, quality, chroma_halved=halved) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(result - expected).max() <= 2
    assert np.abs(result - expected).mean() < 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sample_is_a_pure_function_of_its_arguments(preset: str) -> None:
    hr = smooth_image(96, 104)
    before = hr.clone()
    for index in range(6):
        lr, target = degrade(hr, PRESETS[preset], scale=4, seed=7, iteration=3, index=index)
        degrade(hr, PRESETS[preset], scale=4, seed=7, iteration=4, index=index)
        again, _ = degrade(hr, PRESETS[preset], scale=4, seed=7, iteration=3, index=index)
        assert torch.equal(lr, again)
        assert lr.shape == (3, 24, 26)
        assert target.shape == hr.shape
        torch.testing.assert_close(lr * 255, (lr * 255).round(), rtol=0, atol=1e-3)
        assert lr.min() >= 0
        assert lr.max() <= 1
    assert torch.equal(hr, before)
    others = [degrade(hr, PRESETS[preset], scale=4, seed=seed)[0] for seed in range(4)]
    if preset != "bicubic":
        assert not all(torch.equal(others[0], other) for other in others)


def test_the_target_is_sharpened_by_the_papers_preset_alone() -> None:
    hr = smooth_image(96, 96)
    for name, mixture in PRESETS.items():
        _, target = degrade(hr, mixture, scale=4, seed=0)
        assert torch.equal(target, hr) == (name != "real-esrgan")


def test_a_flat_image_keeps_its_colour() -> None:
    """No chain may shift colours: over many samples noise averages out."""
    hr = torch.tensor([0.3, 0.5, 0.6])[:, None, None].expand(3, 96, 96).contiguous()
    mean = torch.stack(
        [
            degrade(hr, PRESETS["gentle"], scale=4, seed=0, index=index)[0].mean((1, 2))
            for index in range(40)
        ]
    ).mean(0)
    torch.testing.assert_close(mean, hr[:, 0, 0], rtol=0, atol=0.01)


@cache
def drawn(degradation: SecondOrder | Shuffled | Bicubic, count: int) -> list[list[Step]]:
    """So many samples of a chain."""
    generator = np.random.default_rng(0)
    return [draw_steps(degradation, generator) for _ in range(count)]


def about(share: float, count: int) -> Any:
    """A share of so many draws, within five standard deviations."""
    return pytest.approx(share, abs=5 * math.sqrt(max(share * (1 - share), 1e-4) / count))


def even(values: list[float], low: float, high: float) -> None:
    """Values look drawn evenly from a range."""
    array = np.array(values)
    assert low <= array.min() < low + 0.01 * (high - low) + 1e-9
    assert high - 0.01 * (high - low) - 1e-9 < array.max() <= high
    spread = (high - low) / math.sqrt(12)
    assert array.mean() == pytest.approx((low + high) / 2, abs=5 * spread / math.sqrt(len(array)))
    assert array.std() == pytest.approx(spread, rel=0.03)


@pytest.mark.slow
def test_blurs_of_the_paper() -> None:
    draws = drawn(FULL, 40_000)
    first = [steps[0] for steps in draws]
    assert sum(isinstance(step, Sinc) for step in first) / len(first) == about(0.1, len(first))
    sincs = [step for step in first if isinstance(step, Sinc)]
    even([s.cutoff for s in sincs if s.size < 13], math.pi / 3, math.pi)
    even([s.cutoff for s in sincs if s.size >= 13], math.pi / 5, math.pi)
    blurs = [step for step in first if isinstance(step, Blur)]
    assert set(Counter(b.size for b in blurs)) == set(range(7, 22, 2))
    kinds = Counter((b.shape, b.sigma[0] == b.sigma[1]) for b in blurs)
    expected: dict[tuple[KernelShape, bool], float] = {
        ("gaussian", True): 0.45,
        ("gaussian", False): 0.25,
        ("generalised", True): 0.12,
        ("generalised", False): 0.03,
        ("plateau", True): 0.12,
        ("plateau", False): 0.03,
    }
    for kind, share in expected.items():
        assert kinds[kind] / len(blurs) == about(share, len(blurs))
    even([b.sigma[0] for b in blurs], 0.2, 3)
    even([b.theta for b in blurs if b.sigma[0] != b.sigma[1]], -math.pi, math.pi)
    plateaus = [b.beta for b in blurs if b.shape == "plateau"]
    assert sum(beta == 1 for beta in plateaus) / len(plateaus) == about(0.5, len(plateaus))
    even([beta for beta in plateaus if beta > 1], 1, 2)
    generalised = [b.beta for b in blurs if b.shape == "generalised"]
    even([beta for beta in generalised if beta < 1], 0.5, 1)
    even([beta for beta in generalised if beta > 1], 1, 4)


@pytest.mark.slow
def test_resizes_noise_and_jpeg_of_the_paper() -> None:
    draws = drawn(FULL, 40_000)
    count = len(draws)
    own = [step for steps in draws for step in steps if isinstance(step, Zoom) and not step.of_lr]
    up, down = ([z.factor for z in own if (z.factor > 1) == larger] for larger in (True, False))
    assert len(up) / count == about(0.2, count)
    assert len(down) / count == about(0.7, count)
    even(up, 1, 1.5)
    even(down, 0.15, 1)
    modes = Counter(zoom.mode for zoom in own)
    for mode in ("area", "bilinear", "bicubic"):
        assert modes[mode] / len(own) == about(1 / 3, len(own))
    seconds = [next(z for z in steps if isinstance(z, Zoom) and z.of_lr).factor for steps in draws]
    assert sum(f > 1 for f in seconds) / count == about(0.3, count)
    assert sum(f < 1 for f in seconds) / count == about(0.4, count)
    noises = [[s for s in steps if isinstance(s, GaussianNoise | PoissonNoise)] for steps in draws]
    assert all(len(each) == 2 for each in noises)
    for place, (sigma, scale) in enumerate((((1, 30), (0.05, 3)), ((1, 25), (0.05, 2.5)))):
        each = [pair[place] for pair in noises]
        assert sum(n.grey for n in each) / count == about(0.4, count)
        gaussian = [n.sigma for n in each if isinstance(n, GaussianNoise)]
        assert len(gaussian) / count == about(0.5, count)
        even(gaussian, *sigma)
        even([n.scale for n in each if isinstance(n, PoissonNoise)], *scale)
    even([s.quality for steps in draws for s in steps if isinstance(s, Compress)], 30, 95)


def test_ends_of_the_paper() -> None:
    draws = drawn(FULL, 5_000)
    count = len(draws)
    assert sum(isinstance(steps[-1], Compress) for steps in draws) / count == about(0.5, count)
    last = [[s for s in steps if not isinstance(s, Compress)][-1] for steps in draws]
    finals = [step for step in last if isinstance(step, Sinc)]
    assert len(finals) / count == about(0.8, count)
    even([step.cutoff for step in finals], math.pi / 3, math.pi)
    second_blurs = [
        any(isinstance(s, Blur | Sinc) for s in steps[1:] if s is not last[index])
        for index, steps in enumerate(draws)
    ]
    assert sum(second_blurs) / count == about(0.8, count)


@pytest.mark.parametrize("grey", [True, False])
def test_noise_has_its_width(grey: bool) -> None:
    flat = torch.full((3, 200, 200), 0.5)
    place = Place((50, 50), np.random.default_rng(0))
    noisy = GaussianNoise(12.0, grey)(flat, place)
    assert float((noisy - flat).std() * 255) == pytest.approx(12, rel=0.02)
    assert torch.equal(noisy[0], noisy[1]) == grey
    image = 0.3 + 0.4 * smooth_image(200, 200)  # far from black and white, where noise is clipped
    change = PoissonNoise(0.5, grey)(image, place) - image
    assert bool((change[0] - change[1]).abs().max() < 1e-6) == grey
    assert abs(float(change.mean())) < 0.01


def test_a_mixture_takes_its_parts_by_weight() -> None:
    mixture = Mixture(
        parts={"clean": Part(degradation=Bicubic(), weight=3.0), "full": Part(degradation=SecondOrder())}
    )
    clean = [isinstance(draw_sample(mixture, seed=0, index=index)[0][0], ToLr) for index in range(2000)]
    assert np.mean(clean) == about(0.75, 2000)


def test_clean_is_matlabs_bicubic() -> None:
    from escsr.data.resize import imresize

    hr = smooth_image(48, 64)
    lr, _ = degrade(hr, PRESETS["bicubic"], scale=4, seed=5)
    assert (lr - imresize(hr, 0.25).clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


def first_order(**part: dict[str, Any]) -> dict[str, Any]:
    return {"parts": {"a": {"degradation": {"kind": "second_order", "first": part}}}}


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"resize": {"factor": [0.2, 0.8]}}, "must reach from at most 1"),
    ({"resize": {"factor": [0.0, 1.5]}}, "must reach from at most 1"),
    ({"resize": {"up": 0.9}}, "shares of one whole"),
    ({"blur": {"size": [8, 20]}}, "must be odd"),
    ({"blur": {"size": [21, 7]}}, "must rise"),
    ({"blur": {"sigma": [0.0, 0.0]}}, "greater than 0"),
    ({"blur": {"shapes": [0.0] * 6}}, "must not all be 0"),
    ({"blur": {"beta": [0.3, 0.8]}}, "must reach from at most 1"),
    ({"noise": {"sigma": [-5.0, -1.0]}}, "greater than or equal to 0"),
    ({"jpeg": {"quality": [0.0, 90.0]}}, "greater than or equal to 1"),
    ({"jpeg": {"quality": [30.0, 150.0]}}, "less than or equal to 100"),
    ({"jpeg": {"quality": [30.0, 100.0], "codec": "differentiable"}}, "below 100"),
]


def test_a_seed_is_a_natural_number() -> None:
    with pytest.raises(ConfigError, match="from 0 to"):
        degrade(torch.rand(3, 16, 16), PRESETS["gentle"], scale=2, seed=-1)


def test_settings_that_cannot_be() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"parts": {"a": {"degradation": {"kind": "second_order", "final_sinc": 2.0}}}},
            "less than or equal to 1, not 2.0",
        ),
        (
            {"parts": {"a": {"degradation": {"kind": "bicubic", "jpeg": {"quality": [90.0, 30.0]}}}}},
            "must rise",
        ),
        ({"parts": {"a": {"degradation": {"kind": "fax"}}}}, "fax|kind"),
        ({"parts": {"a": {"degradation": {"kind": "bicubic"}, "weight": 0.0}}}, "a weight above 0"),
        *((first_order(**part), message) for part, message in IMPOSSIBLE),
        ({"parts": {}}, "at least 1 item"),
        (
            {"parts": {"a": {"degradation": {"kind": "bicubic"}}}, "sharpen": True},
            "Did you mean sharpen_target",
        ),
    ]
    for values, message in cases:
        with pytest.raises(ConfigError, match=message):
            validated(Mixture, values)


def test_steps_of_other_sizes_end_at_the_lr_size() -> None:
    generator = np.random.default_rng(1)
    for _ in range(30):
        steps = draw_steps(FULL, generator)
        assert apply_steps(smooth_image(72, 90), steps, (24, 30), generator).shape == (3, 24, 30)


@pytest.mark.parametrize("sides", [(1, 1), (4, 5), (16, 7), (40, 12)])
@pytest.mark.parametrize("preset", PRESETS)
def test_small_images_too(preset: str, sides: tuple[int, int]) -> None:
    for index in range(5):
        hr = torch.rand(3, *(4 * side for side in sides))
        lr, target = degrade(hr, PRESETS[preset], scale=4, seed=1, index=index)
        assert lr.shape == (3, *sides)
        assert torch.isfinite(lr).all()
        assert torch.isfinite(target).all()


def test_bsrgans_steps_are_shuffled_and_its_resizes_are_not() -> None:
    samples = drawn(Shuffled(), 5_000)
    count = len(samples)
    firsts, kinds = Counter[str](), Counter[str]()
    for steps in samples:
        assert isinstance(steps[-1], Compress)
        assert isinstance(steps[-2], Zoom)
        body = steps[1:-2] if isinstance(steps[0], Zoom) and not steps[0].of_lr else steps[:-2]
        firsts[type(body[0]).__name__] += 1
        kinds.update({type(step).__name__ for step in steps[:-2]})
        shrink = next(i for i, step in enumerate(body) if isinstance(step, Shrink | Sampled))
        to_lr = next(i for i, step in enumerate(body) if isinstance(step, Zoom) and step.of_lr)
        assert shrink < to_lr
    assert kinds["Sampled"] / count == about(0.25, count)
    assert kinds["CorrelatedNoise"] / count == about(0.2, count)
    assert kinds["Compress"] / count == about(0.9, count)
    assert sum(isinstance(s[0], Zoom) and not s[0].of_lr for s in samples) / count == about(0.25, count)
    assert {"Blur", "GaussianNoise", "Compress", "Shrink"} <= firsts.keys()


def test_bsrgans_blurs_have_its_widths() -> None:
    """At ×4: deviations to 2.8, or variances to 8 along each axis; as at ×2 where the image was halved."""
    widths: dict[tuple[bool, bool], list[float]] = defaultdict(list)
    for steps in drawn(Shuffled(), 5_000):
        halved = isinstance(steps[0], Zoom) and not steps[0].of_lr
        for step in steps:
            if isinstance(step, Blur):
                isotropic = step.sigma[0] == step.sigma[1]
                widths[halved, isotropic] += [step.sigma[0]] if isotropic else [s**2 for s in step.sigma]
    for (halved, isotropic), values in widths.items():
        scale = 2 if halved else 4
        even(values, 0, 2 + 0.2 * scale if isotropic else 4 + scale)
    assert len(widths) == 4


def test_a_blur_of_no_width_changes_nothing() -> None:
    class Lowest(np.random.Generator):
        def uniform(self, low: Any = 0.0, *_: Any, **__: Any) -> Any:
            return low

    generator, image = Lowest(np.random.PCG64(0)), smooth_image(40, 40)
    for step in (step for _ in range(10) for step in draw_steps(Shuffled(), generator)):
        if isinstance(step, Blur):
            torch.testing.assert_close(step(image, Place((10, 10), generator)), image)


def test_correlated_noise_has_its_covariance() -> None:
    flat, place = torch.full((3, 300, 300), 0.5), Place((75, 75), np.random.default_rng(0))
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    widths = (0.9, 0.1, 0.4)
    noise = (CorrelatedNoise(20.0, widths, tuple(turn.flat))(flat, place) - flat) * 255 / 20
    covariance = np.cov(noise.flatten(1).numpy())
    assert np.allclose(covariance, turn @ np.diag(widths) @ turn.T, atol=0.02)


def test_samples_do_not_depend_on_threads() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (170, 190, 3), dtype=np.uint8)
    before = torch.get_num_threads()
    batches = []
    try:
        for threads in (1, 3, 2):
            torch.set_num_threads(threads)
            sampler = DegradedSampler([torch.from_numpy(pixels)], 4, PRESETS["real-esrgan"])
            batches.append(sampler.batch(5, 7, 6, 32))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in batches[1:]:
        assert torch.equal(batches[0].lr, other.lr)
        assert torch.equal(batches[0].target, other.target)


@pytest.mark.parametrize(
    "hr",
    [
        torch.rand(1, 16, 16),
        torch.rand(16, 16),
        torch.rand(1, 3, 16, 16),
        torch.zeros(3, 16, 16, dtype=torch.uint8),
        torch.rand(3, 16, 16, dtype=torch.float64),
        torch.rand(3, 16, 1),
    ],
)
def test_other_kinds_of_images(hr: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"must be \(3, H, W\), float32"):
        degrade(hr, PRESETS["gentle"], scale=2, seed=0)
