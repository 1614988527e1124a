"""OpenEXR and Radiance HDR of other programs: orientations, layers, primaries, shapes of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import escsr
from escsr import images
from escsr.images import Picture
from escsr.models.saving import save_network
from escsr.upscaling.target_size import TargetSize
from samples import small_network

oiio = pytest.importorskip("OpenImageIO", reason='needs pip install "escsr[exr]"')

ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
SRGB = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
ROWS, COLUMNS = 3, 5


def exr(path: Path, names: list[str], **attributes: Any) -> Path:
    """A file whose channels hold their numbers, from 1."""
    spec = oiio.ImageSpec(6, 4, len(names), "half")
    spec.channelnames = names
    for name, value in attributes.items():
        spec.attribute(name, *(("float[8]", value) if isinstance(value, tuple) else (value,)))
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), spec)
    pixels = np.zeros((4, 6, len(names)), np.float16)
    pixels[...] = range(1, len(names) + 1)
    assert file.write_image(pixels)
    file.close()
    return path


def radiance(path: Path, order: str) -> np.ndarray:
    """A file whose rows or columns stand in an order, such as "-Y +X"; its pixels as they look."""
    seen = np.arange(1, ROWS * COLUMNS + 1, dtype=np.uint8).reshape(ROWS, COLUMNS)
    stored = seen[::-1] if "+Y" in order else seen
    stored = stored[:, ::-1] if "-X" in order else stored
    stored = stored.T if order[1] == "X" else stored
    sides = {"X": COLUMNS, "Y": ROWS}
    size = " ".join(f"{axis} {sides[axis[1]]}" for axis in order.split())
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n{size}\n".encode()
    pixels = b"".join(bytes([8 * value, 8 * value, 8 * value, 129]) for value in stored.flat)
    path.write_bytes(head + pixels)
    return seen


@pytest.mark.parametrize("order", ["-Y +X", "-Y -X", "+Y -X", "+Y +X", "+X -Y", "+X +Y", "-X +Y", "-X -Y"])
def test_orientations_of_radiance(tmp_path: Path, order: str) -> None:
    seen = radiance(tmp_path / "a.hdr", order)
    assert images.read_size(tmp_path / "a.hdr") == (COLUMNS, ROWS)
    pixels = images.read(tmp_path / "a.hdr").pixels
    assert pixels.shape == (ROWS, COLUMNS, 3)
    assert np.allclose(pixels[..., 0] * 16, seen, atol=0.3)


def test_orientation_of_exr(tmp_path: Path) -> None:
    path = exr(tmp_path / "a.exr", ["R", "G", "B"], Orientation=6, PixelAspectRatio=2.0)
    assert images.read_size(path) == (4, 6)
    picture = images.read(path)
    assert picture.pixels.shape == (6, 4, 3)
    images.write(picture, tmp_path / "b.exr")
    spec = oiio.ImageInput.open(str(tmp_path / "b.exr")).spec()
    assert spec.getattribute("PixelAspectRatio") == 0.5
    assert spec.getattribute("Orientation") in (None, 1)


def layer(name: str, channels: str) -> list[str]:
    return [f"{name}.{channel}" for channel in channels]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (
            layer("AO", "RGB") + layer("View.Combined", "RGBA") + ["View.Depth.Z"],
            layer("View.Combined", "RGBA"),
        ),
        (layer("diffuse", "RGBA") + layer("beauty", "RGB"), layer("beauty", "RGB")),
        (layer("diffuse", "RGB") + layer("beauty", "RGB"), layer("beauty", "RGB")),
        (layer("a", "RGB") + layer("b", "RGBA"), layer("b", "RGBA")),
        (["R", "G", "B", "Z", *layer("b", "RGBA")], ["R", "G", "B"]),
        ([*layer("b", "RGB"), "depth.Z"], layer("b", "RGB")),
        ([*layer("b", "YA"), "depth.Z"], layer("b", "YA")),
        (layer("diffuse", "RGBA") + layer("rgba", "RGB"), layer("rgba", "RGB")),
        (layer("diffuse", "RGBA") + layer("Color", "RGB"), layer("Color", "RGB")),
        (["Y", "Z"], ["Y"]),
        (layer("N", "XYZ") + layer("b", "Y"), layer("b", "Y")),
        (["a.u", "a.v"], ["a.u"]),
        (["k", "l", "m", "n"], ["k", "l", "m"]),
    ],
)
def test_channels_of_one_layer(tmp_path: Path, names: list[str], wanted: list[str]) -> None:
    path = exr(tmp_path / "a.exr", names)
    assert sorted(oiio.ImageInput.open(str(path)).spec().channelnames) == sorted(names)
    picture = images.read(path)
    assert picture.pixels[0, 0].tolist() == [names.index(name) + 1 for name in wanted]
    assert images.read_header(path).channels == len(wanted)
    assert picture.premultiplied == (len(wanted) in (2, 4))
    name = wanted[0].rpartition(".")[0]
    of_layer = f"its colours are those of the layer {name}"
    assert (of_layer in picture.notes) == (name not in ("", "a"))
    assert any("dropped" in note for note in picture.notes)


@pytest.mark.parametrize("name", ["N", "Normal"])
def test_directions_are_no_luminance(tmp_path: Path, name: str) -> None:
    path = exr(tmp_path / "a.exr", layer(name, "XYZ"))
    assert images.read(path).pixels[0, 0].tolist() == [1, 2, 3]
    assert images.read_header(path).channels == 3


def test_primaries_and_the_shape_of_pixels(tmp_path: Path) -> None:
    path = exr(tmp_path / "a.exr", ["R", "G", "B"], chromaticities=ACES, PixelAspectRatio=2.0)
    picture = images.read_for("b.exr", path)
    assert picture.notes == ()
    images.write(picture, tmp_path / "b.exr", images.WriteOptions(strip=True))
    spec = oiio.ImageInput.open(str(tmp_path / "b.exr")).spec()
    assert np.allclose(spec.getattribute("chromaticities"), ACES)
    assert spec.getattribute("PixelAspectRatio") == 2
    model = tmp_path / "model.safetensors"
    save_network(small_network("esc-light"), model)
    for size, shape in (("12x8", 2), ("24x8", 1), ("12x16", 4)):  # of 6×4 pixels
        escsr.upscale_file(path, tmp_path / "b.exr", model=model, device="cpu", size=size, fit="exact")
        spec = oiio.ImageInput.open(str(tmp_path / "b.exr")).spec()
        assert spec.getattribute("PixelAspectRatio") == shape, "shown in the shape of the source"
    for name in ("PNG", "TIFF"):
        target = {"PNG": "b.png", "TIFF": "b.tif"}[name]
        notes = images.read_for(target, path).notes
        assert any(f"(primaries) are not kept in {name}, so colours may look different" in n for n in notes)
        assert any(f"not square, which is not kept in {name}" in n for n in notes)


def test_no_note_where_pixels_become_square(tmp_path: Path) -> None:
    save_network(small_network("esc-light"), tmp_path / "model.safetensors")
    path = exr(tmp_path / "a.exr", ["R", "G", "B"], PixelAspectRatio=2.0)
    upscaler = escsr.Upscaler(tmp_path / "model.safetensors", device="cpu")
    for size, count in (("24x8", 0), ("12x8", 1)):
        said: list[str] = []
        wanted = TargetSize.choose(size=size, fit="exact")
        upscaler.upscale_file(path, tmp_path / "b.png", size=wanted, on_note=said.append)
        larger = upscaler.upscale_picture(images.read_for("b.png", path), size=wanted)
        for notes in (said, larger.notes):
            assert sum("may look squeezed" in note for note in notes) == count, (size, notes)


def test_usual_primaries_need_no_words(tmp_path: Path) -> None:
    path = exr(tmp_path / "a.exr", ["Y"], chromaticities=SRGB)
    picture = images.read_for("b.tif", path)
    assert (picture.notes, picture.metadata) == ((), {})


def test_files_and_their_bytes_have_the_pixels_of_upscale_file(tmp_path: Path) -> None:
    save_network(small_network("esc-light"), tmp_path / "model.safetensors")
    pixels = np.zeros((8, 8, 4), np.float16)
    pixels[2:6, 2:6] = (3, 0.2, 0.01, 0.5)
    path = tmp_path / "a.exr"
    images.write(Picture(pixels, linear=True, premultiplied=True), path)
    upscaler = escsr.Upscaler(tmp_path / "model.safetensors", device="cpu")
    upscaler.upscale_file(path, tmp_path / "b.exr")
    expected = images.read(tmp_path / "b.exr").pixels
    for image in (path, path.read_bytes()):
        assert np.array_equal(upscaler(image), expected)
