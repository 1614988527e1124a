"""YUV ↔ RGB: the formulas, greys, depths, and that a way there and back changes nothing."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from escsr.errors import VideoError
from escsr.video.chroma import chroma_down, chroma_up
from escsr.video.colour import Colours, from_rgb, to_rgb
from escsr.video.planes import Layout, new_frame, planar, views

LIMITED, FULL = 1, 2
LAYOUTS = (
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "yuvj420p",
)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Colours inside the gamut that hardly change from pixel to pixel."""
    coarse = torch.rand(1, channels, 3, 4) * 0.4 + 0.3
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    return fine[0].permute(1, 2, 0).contiguous().numpy()


def colours(matrix: int = 1, range: int = LIMITED) -> Colours:
    return Colours(matrix, matrix, matrix, range)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("matrix", [1, 6, 7, 9])
def test_there_and_back(name: str, matrix: int) -> None:
    layout = Layout.of(name)
    said = colours(matrix, FULL if layout.is_full else LIMITED)
    pixels = smooth(26, 34)
    frame = from_rgb(pixels, layout, said)
    again = from_rgb(to_rgb(frame, said), layout, said)
    for before, after in zip(views(frame), views(again), strict=True):
        assert np.abs(before.astype(int) - after.astype(int)).max() <= 2 ** (layout.bits - 8)
    assert np.abs(to_rgb(frame, said) - pixels).max() < 4 / 2**layout.bits + (layout.chroma != "444") * 0.03


@pytest.mark.parametrize("range", [LIMITED, FULL])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_values_are_those_of_the_standard(matrix: int, bits: int, range: int) -> None:
    layout = Layout("yuv", bits, "444")
    red, blue = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    for rgb in ((0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 0, 1), (0.25, 0.5, 0.75)):
        luma = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2]
        chroma = (rgb[2] - luma) / (2 - 2 * blue), (rgb[0] - luma) / (2 - 2 * red)
        if range == LIMITED:  # ITU-T H.273, 8.3
            step = 2 ** (bits - 8)
            expected = [step * (219 * luma + 16), *(step * (224 * value + 128) for value in chroma)]
        else:
            most = 2**bits - 1
            expected = [most * luma, *(most * value + 2 ** (bits - 1) for value in chroma)]
        frame = from_rgb(np.full((4, 4, 3), rgb, np.float32), layout, colours(matrix, range))
        for plane, value in zip(views(frame), expected, strict=True):
            assert np.abs(plane - np.clip(value, 0, 2**bits - 1)).max() <= 0.501


@pytest.mark.parametrize("name", LAYOUTS)
def test_greys_are_grey_to_the_bit(name: str) -> None:
    layout = Layout.of(name)
    said = colours(range=FULL if layout.is_full else LIMITED)
    frame = new_frame(16, 16, layout)
    ramp = np.linspace(16, 235, 256).reshape(16, 16) * 2 ** (layout.bits - 8)
    views(frame)[0][...] = ramp.round()
    for plane in views(frame)[1:]:
        plane[...] = 2 ** (layout.bits - 1)
    rgb = to_rgb(frame, said)
    assert (rgb[..., :1] == rgb).all()
    if not layout.is_full:
        assert rgb.min() == 0
        assert rgb.max() == 1


@pytest.mark.parametrize(
    "name", ["gbrp", "gbrp12le", "gbrap", "rgb24", "rgba", "bgr0", "gray", "gray10le", "rgb48le"]
)
def test_rgb_and_grey_without_loss(name: str) -> None:
    layout = Layout.of(name)
    channels = 1 if layout.family == "grey" else 3 + layout.has_alpha
    shape = (6, 10) if channels == 1 else (6, 10, channels)
    kind = np.uint8 if layout.bits == 8 else np.uint16
    pixels = np.random.default_rng(0).integers(0, 2**layout.bits, shape).astype(kind)
    plain = Layout(layout.family, layout.bits, "444", layout.has_alpha)
    frame = new_frame(10, 6, plain)
    for index, plane in enumerate(views(frame)):
        plane[...] = pixels if channels == 1 else pixels[..., index]
    said = Colours.of(frame)
    values = to_rgb(frame.reformat(format=name), said)
    assert (values * (2**layout.bits - 1)).round().astype(kind)[
        ..., :channels
    ].squeeze().tolist() == pixels.tolist()
    again = from_rgb(values, plain, said)
    for before, after in zip(views(frame), views(again), strict=True):
        assert (before == after).all()


@pytest.mark.parametrize("name", ["nv12", "p010le", "yuyv422", "uyvy422", "nv16"])
def test_packed_formats_are_only_unpacked(name: str) -> None:
    layout = Layout.of(name)
    assert layout.bits == (10 if name == "p010le" else 8)
    frame = from_rgb(smooth(16, 16), layout, colours())
    packed = frame.reformat(format=name)
    again, found = planar(packed)
    assert found == layout
    for before, after in zip(views(frame), views(again), strict=True):
        assert (before == after).all()


@pytest.mark.parametrize("name", ["rgb555le", "rgb555be", "bgr555le", "rgb565le", "bgr565be", "rgb444le"])
def test_colours_in_a_word_are_stretched_to_8_bits(name: str) -> None:
    widths = [int(bits) for bits in name[3:6]]
    values = [np.random.default_rng(0).integers(0, 2**bits, (8, 10)) for bits in widths]
    for value, bits in zip(values, widths, strict=True):
        value[0] = 2**bits - 1
    words = (values[0] << sum(widths[1:])) | (values[1] << widths[2]) | values[2]
    frame = av.VideoFrame(10, 8, name)
    plane = frame.planes[0]
    kind = np.dtype("<u2" if name.endswith("le") else ">u2")
    np.frombuffer(plane, kind).reshape(8, -1)[:, :10] = words  # type: ignore[call-overload]
    layout = Layout.of(name)
    assert (layout.family, layout.bits) == ("rgb", 8)
    rgb = to_rgb(frame, Colours.of(frame))
    for index, (value, bits) in enumerate(zip(values, widths, strict=True)):
        channel = rgb[..., index if name.startswith("rgb") else 2 - index]
        assert np.abs(channel - value / (2**bits - 1)).max() <= 0.501 / 255
    assert (rgb[0] == 1).all()


@pytest.mark.parametrize("chroma", ["420", "422", "440", "444"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (16, 9)])
def test_chroma_of_any_size(chroma: str, size: tuple[int, int]) -> None:
    plane = torch.rand(size)
    small = chroma_down(plane, chroma)
    halves = (chroma in ("420", "440"), chroma in ("420", "422"))
    assert tuple(small.shape) == tuple(
        -(-side // (1 + half)) for side, half in zip(size, halves, strict=True)
    )
    assert chroma_up(small, chroma, size).shape == plane.shape
    flat = torch.full(size, 0.7)
    assert (chroma_up(chroma_down(flat, chroma), chroma, size) - flat).abs().max() < 1e-6


def test_chroma_stays_in_its_place() -> None:
    """A ramp is a ramp again: a shift by half a pixel would show as a difference of half a step."""
    ramp = torch.arange(32.0)[None] + 3 * torch.arange(24.0)[:, None]
    again = chroma_up(chroma_down(ramp, "420"), "420", (24, 32))
    assert (again - ramp)[6:-6, 8:-8].abs().max() < 1e-4


def test_a_matrix_that_is_not_known_is_refused() -> None:
    frame = av.VideoFrame(16, 16, "yuv420p10le")
    frame.colorspace = 14  # ICtCp
    with pytest.raises(VideoError, match="Colour matrix 14"):
        Colours.of(frame)
    with pytest.raises(VideoError, match="cannot be converted"):
        Layout.of("bayer_bggr8")
