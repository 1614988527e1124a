from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from escsr.errors import ConfigError
from escsr.images.value_range import DEPTHS, ValueRange, srgb_decoded, srgb_encoded

LIGHT = arrays(np.float32, (3, 4, 3), elements=st.floats(0, 65504, width=32))


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_every_integer_comes_back(depth: str) -> None:
    values = np.arange(np.iinfo(depth).max + 1, dtype=depth)
    levels = ValueRange.of(values)
    encoded = levels.encode(values)
    assert encoded.dtype == np.float32
    assert (encoded.min(), encoded.max()) == (0, 1)
    assert np.array_equal(levels.decode(encoded), values)
    assert levels.decode(encoded).dtype == depth


@given(
    arrays(np.float32, (3, 4, 3), elements=st.floats(0, 2.0**127, width=32)),
    st.sampled_from([1.0, 2.0**-60, 2.0**-110]),
)
def test_floats_come_back_bit_for_bit(values: np.ndarray, factor: float) -> None:
    values = values * np.float32(factor)
    values[values < max(1, values.max()) * 2.0**-125] = 0  # less loses bits, as `ValueRange` says
    levels = ValueRange.of(values)
    encoded = levels.encode(values)
    assert encoded.max() <= 1
    assert np.array_equal(levels.decode(encoded), values)


def test_ordinary_floats_are_taken_as_they_are() -> None:
    values = np.array([-1, 0, 0.25, 1], np.float32)
    assert ValueRange.of(values).encode(values).tolist() == [0, 0, 0.25, 1]


@given(LIGHT)
def test_light_comes_back_closely(values: np.ndarray) -> None:
    levels = ValueRange.of(values, linear=True)
    encoded = levels.encode(values)
    assert encoded.min() >= 0
    assert encoded.max() <= 1 + 1e-6
    np.testing.assert_allclose(levels.decode(encoded), values, rtol=2e-5, atol=1e-7)
    assert levels.decode(np.ones(1, np.float32)) <= max(1, values.max())


@pytest.mark.parametrize("peak", [1, 100, 65504])
def test_every_light_of_16_bits_comes_back(peak: float) -> None:
    values = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    values = values[values <= peak]
    levels = ValueRange.of(values, linear=True)
    assert np.array_equal(levels.decode(levels.encode(values)), values)


def test_the_curve_is_srgbs_and_goes_on_smoothly() -> None:
    light = np.array([-1, 0, 0.0021, 0.214, 1], np.float32)
    np.testing.assert_allclose(srgb_encoded(light), [0, 0, 0.0271, 0.5, 1], atol=5e-4)
    around = np.array([0.999, 1, 1.001], np.float32)
    below, above = np.diff(srgb_encoded(around))
    assert below == pytest.approx(above, rel=2e-3)
    many = np.geomspace(1e-6, 65504, 1000, dtype=np.float32)
    assert (np.diff(srgb_encoded(many)) > 0).all()
    np.testing.assert_allclose(srgb_decoded(srgb_encoded(many)), many, rtol=2e-5)


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"must be {', '.join(DEPTHS)}, not int32"):
        ValueRange.of(np.zeros(3, np.int32))
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ConfigError, match="not finite"):
            ValueRange.of(np.array([0, value], np.float32))
