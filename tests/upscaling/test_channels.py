from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from torch import Tensor
from torch.nn import functional

from escsr.errors import ConfigError
from escsr.runtime.progress import OnProgress
from escsr.upscaling.channels import upscale_pil, upscale_pixels

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def nearest(lr: Tensor, on_progress: OnProgress | None) -> Tensor:
    if on_progress is not None:
        on_progress(1)
    return functional.interpolate(lr, scale_factor=2, mode="nearest")


def twice(image: Image.Image) -> np.ndarray:
    return np.asarray(image).repeat(2, 0).repeat(2, 1)


def photo(channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    values = np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (9, 7, channels), dtype, endpoint=True
    )
    return values[..., 0] if channels == 1 else values


DEEP = photo(1, np.uint16)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.fromarray(DEEP), id="I;16"),
        pytest.param(Image.fromarray(DEEP.astype(">u2")), id="I;16B"),
        pytest.param(Image.fromarray(DEEP.astype(np.int32)), id="I"),
        pytest.param(Image.fromarray((DEEP / 65535).astype(np.float32)), id="F from 0 to 1"),
        pytest.param(Image.fromarray(DEEP.astype(np.float32) / 16), id="F beyond 1"),
    ],
)
def test_deep_grey_keeps_its_values(image: Image.Image) -> None:
    larger = upscale_pil(image, nearest)
    assert larger.mode == image.mode.removesuffix("B")
    assert np.array_equal(np.asarray(larger), twice(image))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "I", "F"])
def test_no_pixels(mode: str) -> None:
    with pytest.raises(ConfigError, match="no pixels"):
        upscale_pil(Image.new(mode, (0, 4)), nearest)


@pytest.mark.parametrize("values", [-1, 65536, 2**31 - 1])
def test_integers_that_would_be_lost_are_refused(values: int) -> None:
    with pytest.raises(ConfigError, match="mode I may have values from 0 to 65535"):
        upscale_pil(Image.fromarray(np.full((4, 4), values, np.int32)), nearest)


def test_a_transparent_value_among_16_bits_is_refused() -> None:
    image = Image.fromarray(DEEP)
    image.info["transparency"] = 7
    with pytest.raises(ConfigError, match="convert it to LA or RGBA"):
        upscale_pil(image, nearest)


@pytest.mark.parametrize("key", [0, (1, 2, 3)])
def test_a_colour_declared_transparent_becomes_alpha(key: Any) -> None:
    pixels = photo(3 if isinstance(key, tuple) else 1)
    pixels[2:4, 2:4] = key
    image = Image.fromarray(pixels)
    image.info |= {"transparency": key, "dpi": (300, 300)}
    larger = upscale_pil(image, nearest)
    assert larger.mode == ("LA" if image.mode == "L" else "RGBA")
    assert larger.info == {"dpi": (300, 300)}
    assert np.array_equal(np.asarray(larger), twice(image.convert(larger.mode)))
    assert (np.asarray(larger)[4:8, 4:8, -1] == 0).all()


@pytest.mark.parametrize(("mode", "plain"), [("La", "LA"), ("RGBa", "RGBA")])
def test_premultiplied_modes(mode: str, plain: str) -> None:
    image = Image.fromarray(photo(4)).convert(plain).convert(mode)
    larger = upscale_pil(image, nearest)
    assert larger.mode == plain
    assert np.array_equal(np.asarray(larger)[..., -1], twice(image.convert(plain))[..., -1])


def test_cmyk_becomes_srgb_with_srgbs_profile() -> None:
    image = Image.fromarray(np.full((4, 4, 4), (0, 200, 200, 0), np.uint8), "CMYK")
    usual = bytearray(upscale_pil(image, nearest).info["icc_profile"])
    usual[16:20] = b"CMYK"  # sound to look at, and of no use
    for profile in (None, b"", b"no profile at all", SRGB, bytes(usual)):
        image.info = {"dpi": (72, 72), "icc_profile": profile}
        larger = upscale_pil(image, nearest)
        assert larger.mode == "RGB"
        assert larger.info["dpi"] == (72, 72)
        assert larger.info["icc_profile"][16:20] == b"RGB ", "of the values it has now"
        assert larger.info["icc_profile"] != profile
        red, green, blue = np.asarray(larger)[0, 0].astype(int)
        assert red > 180 > 120 > max(green, blue)


def test_a_matrix_is_an_array() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(photo(1))
    larger = upscale_pixels(matrix, nearest)
    assert type(larger) is np.ndarray
    assert np.array_equal(larger, np.asarray(matrix).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(
    "greatest", [np.float32(3.4e38), np.finfo(np.float32).max, np.float16(65504), np.float32(2.0**127)]
)
def test_the_greatest_floats_stay_finite(greatest: Any, linear: bool) -> None:
    pixels = np.array([[0, 1, greatest / 2, greatest]], greatest.dtype)
    larger = upscale_pixels(pixels, nearest, linear=linear)
    assert larger.dtype == pixels.dtype
    np.testing.assert_allclose(larger[0, ::2].astype(float), pixels[0].astype(float), rtol=2e-4)


def test_a_result_of_1_is_no_infinity() -> None:
    pixels = np.array([[0, 65504]], np.float16)
    assert upscale_pixels(pixels, lambda lr, _: nearest(lr, None) * 0 + 1).max() == 65504


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_progress_ends_at_1_and_never_falls(channels: int) -> None:
    shares: list[float] = []
    upscale_pixels(photo(channels), nearest, on_progress=shares.append)
    assert shares == ([0.5, 1] if channels in (2, 4) else [1])
