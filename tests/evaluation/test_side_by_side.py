"""`escsr compare`: what is computed, the page as HTML, the command."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from escsr import Upscaler, cli, images
from escsr.data.pil_resize import pil_resize
from escsr.errors import ConfigError, DeviceError, EscError, ImageError, ModelNotFoundError, OutputError
from escsr.evaluation.contenders import Contender, as_several, parse_contenders
from escsr.evaluation.side_by_side import compare_picture
from escsr.images import Picture
from escsr.models.saving import save_network
from samples import flowers, small_network

ROUNDING = 1
"""Between bicubic interpolation that is rounded once and Pillow's, which is after each pass, levels."""

CROPS = ("4,6,24x20", "20,10,16x30")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pixels = flowers()[60:106, 40:90]
    images.write(Picture(pixels), tmp_path / "photo.png")
    images.write(Picture(pixels.repeat(2, 0).repeat(2, 1)), tmp_path / "other.png")
    images.write(Picture(pixels.repeat(3, 0).repeat(3, 1)), tmp_path / "larger.png")
    save_network(small_network("esc"), tmp_path / "two.safetensors")
    save_network(small_network("esc-lte"), tmp_path / "any.safetensors")
    # The commands of a test share its process, whose allocator stays as it is.
    monkeypatch.setattr("escsr.runtime.allocator.keep_freed_memory", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_or_several_are_a_list() -> None:
    two = ["a", "b"]
    for several in (two, tuple(two), dict.fromkeys(two).keys(), (each for each in two)):
        assert as_several(several) == two
    for one in ("ab", Path("ab"), torch.nn.Sequential(torch.nn.Identity())):
        assert as_several(one) == [one]
    assert as_several(None) == as_several(()) == []


def content_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    start = text.index('<script type="application/json" id="page">') + len(
        '<script type="application/json" id="page">'
    )
    return json.loads(text[start : text.index("</script>", start)])


def decoded(uri: str, folder: Path) -> NDArray[np.uint8]:
    head, data = uri.split(",", 1)
    assert head in ("data:image/webp;base64", "data:image/png;base64")
    path = folder / "decoded"
    path.write_bytes(base64.b64decode(data, validate=True))
    return images.read(path).pixels


def test_html_holds_the_whole_results_without_loss(folder: Path) -> None:
    models = ["bicubic", "two.safetensors", "any.safetensors", "other.png", "x=larger.png"]
    made = compare_picture("photo.png", "page.html", model=models, scale=2, device="cpu")
    assert [column.label for column in made.columns] == ["input", "bicubic", "two", "any", "other", "x"]
    assert made.on_whole
    content = content_of(folder / "page.html")
    pixels = images.read("photo.png").pixels
    (scene,) = content["scenes"]
    assert (scene["width"], scene["height"]) == (100, 92)
    repeated = pixels.repeat(2, 0).repeat(2, 1)
    expected = [
        repeated,
        pil_resize(pixels, (92, 100)),
        Upscaler("two.safetensors", device="cpu")(pixels),
        Upscaler("any.safetensors", device="cpu")(pixels, scale=2),
        repeated,
        pil_resize(images.read("larger.png").pixels, (92, 100)),
    ]
    for uri, truth in zip(scene["images"], expected, strict=True):
        np.testing.assert_allclose(decoded(uri, folder), truth.astype(int), atol=ROUNDING)
    np.testing.assert_array_equal(decoded(scene["images"][2], folder), expected[2])
    seconds = [column.seconds for column in made.columns]
    assert seconds[4:] == [None, None]
    assert all(each is not None and each >= 0 for each in seconds[:4])
    assert made.columns[5].notes == ("resized from 150×138 to 100×92 by bicubic interpolation",)
    assert content["columns"][5]["detail"] == made.columns[5].notes[0]


def test_a_model_of_another_scale_is_resized_and_says_so(folder: Path) -> None:
    made = compare_picture("photo.png", "page.html", model=["two.safetensors"], scale=3, device="cpu")
    assert made.columns[1].notes == ("computed at ×2, resized to ×3",)
    scene = content_of(folder / "page.html")["scenes"][0]
    truth = Upscaler("two.safetensors", device="cpu")(images.read("photo.png").pixels, scale=3)
    np.testing.assert_array_equal(decoded(scene["images"][1], folder), truth)


@pytest.mark.parametrize(
    ("models", "scale"),
    [
        (["bicubic"], 4),
        (["two.safetensors"], 2),
        (["two.safetensors", "other.png", "bicubic", "any.safetensors"], 2),
        (["other.png", "larger.png"], 4),
        (["larger.png"], 3),
        (["photo=other.png", "two.safetensors"], 2),
    ],
)
def test_scale_is_the_models_own_where_they_agree(folder: Path, models: list[str], scale: int) -> None:
    assert compare_picture("photo.png", "page.png", model=models, device="cpu").scale == scale


def test_bundled_names_choose_by_scale_only_where_they_bear_none(folder: Path) -> None:
    models = ["esc-light", "esc-x3"]
    made = compare_picture("photo.png", "page.png", model=models, crop=CROPS, device="cpu")
    assert made.scale == 3
    assert [column.name for column in made.columns] == ["input", "esc-light-x3", "esc-x3"]
    made = compare_picture("photo.png", "page.png", crop=CROPS, device="cpu")
    assert [column.name for column in made.columns] == ["input", "bicubic", "esc-light-x4"]
    made = compare_picture("photo.png", "page.png", model=["real"], scale=4, crop=CROPS, device="cpu")
    assert made.columns[1].name == "esc-real-light-x4, strength 0.9"


def test_columns_of_a_blind_page_are_shuffled_and_the_key_tells_them(folder: Path) -> None:
    models = ["bicubic", "two.safetensors", "any.safetensors", "x=larger.png", "near=nearest"]
    options: dict[str, Any] = {"model": models, "scale": 2, "device": "cpu"}
    compare_picture("photo.png", "named.html", **options)
    blind = compare_picture("photo.png", "blind.html", blind=7, **options)
    again = compare_picture("photo.png", "again.html", blind=7, **options)
    assert blind.key == again.key
    assert list(blind.key) == ["input", "A", "B", "C", "D", "E"]
    assert sorted(blind.key.values()) == sorted(["input", "bicubic", "two", "any", "x", "near"])
    four = [f"{number}=nearest" for number in range(4)]
    others = [compare_picture("photo.png", "o.png", model=four, blind=seed).key for seed in range(3)]
    assert len({tuple(key.values()) for key in others}) > 1
    named, hidden = content_of(folder / "named.html"), content_of(folder / "blind.html")
    places = {column["label"]: index for index, column in enumerate(named["columns"])}
    for index, column in enumerate(hidden["columns"]):
        assert column["detail"] == ""
        twin = places[blind.key[column["label"]]]
        assert hidden["scenes"][0]["images"][index] == named["scenes"][0]["images"][twin]
    text = (folder / "blind.html").read_text()
    assert not any(name in text for name in ("bicubic", "safetensors", "larger", "resized"))


class Tags(HTMLParser):
    """Every tag that is opened is closed, in order."""

    void = ("meta", "input", "link", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: dict[str, str] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data


def test_html_is_whole_refers_to_nothing_and_escapes_names(folder: Path) -> None:
    name = "<b>&\"'</script><!--{{page}}"
    photo = folder / "a&b<i>{{page}}'.png"
    photo.write_bytes((folder / "photo.png").read_bytes())
    compare_picture(photo, "page.html", model=[f"{name}=bicubic"], scale=2)
    text = (folder / "page.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert tags.text["title"] == tags.text["h1"] == photo.name
    assert content_of(folder / "page.html")["columns"][1]["label"] == name
    assert "http://" not in text
    assert "https://" not in text
    assert not {"src", "href"} & {key for key, _ in tags.attributes}
    assert (
        "content",
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    ) in [(key, " ".join((value or "").split())) for key, value in tags.attributes]


def test_of_results_above_16_megapixels_html_holds_the_crops_only(folder: Path) -> None:
    picture = np.zeros((1000, 1010, 3), np.uint8)
    picture[:] = np.arange(1010, dtype=np.uint8)[:, None]
    images.write(Picture(picture), "wide.png")
    made = compare_picture("wide.png", "page.html", model=["bicubic"], crop=CROPS)
    assert made.on_whole
    content = content_of(folder / "page.html")
    assert [(scene["width"], scene["height"]) for scene in content["scenes"]] == [(96, 80), (64, 120)]
    assert [place["area"] for place in content["places"]] == [None, None]
    truth = picture[6:26, 4:28].repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(decoded(content["scenes"][0]["images"][0], folder), truth)


def test_above_4_megapixels_each_crop_is_upscaled_with_a_margin(folder: Path) -> None:
    # Nothing is clipped between Pillow's passes.
    picture = np.random.default_rng(0).integers(80, 176, (2001, 2000, 3), dtype=np.uint8)
    images.write(Picture(picture), "large.png")
    crops = ["0,0,20x16", "1000,900,24x20", "1980,1991,20x10"]
    made = compare_picture(
        "large.png", "page.html", model=["bicubic", "two.safetensors"], scale=2, crop=crops, device="cpu"
    )
    assert not made.on_whole
    note = "above 4 megapixels: each crop was upscaled with 64 pixels around it"
    assert note in made.notes
    content = content_of(folder / "page.html")
    assert note in content["lines"]
    assert len(content["scenes"]) == 3
    middle = [decoded(uri, folder) for uri in content["scenes"][1]["images"]]
    around = picture[900 - 64 : 920 + 64, 1000 - 64 : 1024 + 64]
    upscaler = Upscaler("two.safetensors", device="cpu")
    expected = (around.repeat(2, 0).repeat(2, 1), pil_resize(around, (296, 304)), upscaler(around))
    for shown, truth in zip(middle, expected, strict=True):
        np.testing.assert_allclose(shown, truth[128:-128, 128:-128].astype(int), atol=ROUNDING)
    last = decoded(content["scenes"][2]["images"][0], folder)
    np.testing.assert_array_equal(last, picture[1991:, 1980:].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("scale", [1, 1.5, 2.6])
def test_any_scale(folder: Path, scale: float) -> None:
    crops = ["1,1,13x11", "37,35,13x11"]
    made = compare_picture(
        "photo.png", "page.html", model=["any.safetensors"], scale=scale, crop=crops, device="cpu"
    )
    scene = content_of(folder / "page.html")["scenes"][0]
    assert decoded(scene["images"][1], folder).shape == (round(46 * scale), round(50 * scale), 3)
    assert made.scale == scale
    compare_picture("photo.png", "page.png", model=["bicubic"], scale=scale, crop=crops)
    assert images.read("page.png").pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((20, 30, 1), 77, np.uint8), 77),
        (np.full((20, 30, 3), 257 * 9, np.uint16), 9),
        (np.concatenate([np.zeros((20, 30, 3), np.uint8), np.full((20, 30, 1), 51, np.uint8)], 2), 204),
    ],
    ids=["grey", "16 bits", "transparent"],
)
def test_other_pictures_are_shown_in_8_bits_on_white(
    folder: Path, pixels: NDArray[Any], expected: int
) -> None:
    images.write(Picture(pixels), "odd.png")
    made = compare_picture("odd.png", "page.html", model=["bicubic"], scale=2)
    scene = content_of(folder / "page.html")["scenes"][0]
    for uri in scene["images"]:
        assert (decoded(uri, folder) == expected).all()
    assert ("transparency is shown on white" in made.notes) == (expected == 204)


def test_columns_as_they_are_written(folder: Path) -> None:
    (folder / "a=b.png").write_bytes((folder / "photo.png").read_bytes())
    (folder / "result").write_bytes((folder / "photo.png").read_bytes())
    texts = ["plain = bicubic", "a=b.png", "c=a=b.png", "result", "auto", "n=esc-light"]
    assert parse_contenders(texts) == (
        Contender("plain", "bicubic"),
        Contender("", "a=b.png", Path("a=b.png")),
        Contender("c", "a=b.png", Path("a=b.png")),
        Contender("", "result", Path("result")),
        Contender("", "auto"),
        Contender("n", "esc-light"),
    )
    code = "import sys; from escsr.evaluation import contenders; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


MISTAKES: list[tuple[dict[str, Any], type[EscError], str]] = [
    ({"model": ["esc-lihgt"]}, ModelNotFoundError, "Unknown model esc-lihgt"),
    ({"model": ["missing.png"]}, ImageError, "missing.png: there is no such file"),
    ({"model": ["text.png"]}, ImageError, "text.png: not a readable picture"),
    ({"model": ["=bicubic"]}, ConfigError, "NAME=MODEL"),
    ({"model": ["a="]}, ConfigError, "NAME=MODEL"),
    ({"model": ["a=bicubic", "a=nearest"]}, ConfigError, "Two columns are called a"),
    ({"model": ["bicubic", "bicubic"]}, ConfigError, "Two columns are called bicubic"),
    ({"model": ["bicubic"], "scale": 0.5}, ConfigError, "scale must be at least 1"),
    ({"model": ["bicubic"], "scale": float("nan")}, ConfigError, "scale must be at least 1"),
    ({"model": ["bicubic"], "scale": 9999}, DeviceError, "GiB of memory"),
    ({"model": ["bicubic"], "crop": ["40,0,11x4"]}, ConfigError, "beyond the picture of 50×46"),
    ({"picture": "text.png"}, ImageError, "text.png: not a readable picture"),
    ({"picture": "missing.png"}, ImageError, "missing.png: there is no such file"),
    ({"output": "page.gif"}, OutputError, r"a page ends in \.png or \.html"),
    ({"output": "photo.png/page.png"}, OutputError, "photo.png is a file"),
    ({"model": "esc-lihgt"}, ModelNotFoundError, "Unknown model esc-lihgt"),
    ({"output": "photo.png"}, OutputError, "one of the pictures to compare"),
    ({"output": "other.png", "model": ["other.png"]}, OutputError, "one of the pictures to compare"),
]


@pytest.mark.parametrize(("change", "error", "message"), MISTAKES)
def test_mistakes_are_told_and_nothing_is_written(
    folder: Path, change: dict[str, Any], error: type[EscError], message: str
) -> None:
    (folder / "text.png").write_text("not a picture")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(error, match=message) as raised:
        compare_picture(**{"picture": "photo.png", "output": "page.html"} | change)
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_files_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    for run in ("one", "two"):
        save_network(small_network("esc"), folder / run / "best.safetensors")
        shutil.copyfile(folder / run / "best.safetensors", folder / run / "own.safetensors")
    models = ["one/best.safetensors", "two/best.safetensors", "one/own.safetensors", "two/own.safetensors"]
    made = compare_picture("photo.png", "page.png", model=models, crop=CROPS, device="cpu")
    names = ["one/best", "two/best", "one/own.safetensors", "two/own.safetensors"]
    assert [column.name for column in made.columns[1:]] == names


def test_progress_goes_through_the_columns(folder: Path) -> None:
    told: list[tuple[str, float]] = []
    compare_picture(
        "photo.png",
        "page.png",
        model=["bicubic", "two.safetensors"],
        device="cpu",
        on_progress=lambda column, share: told.append((column, share)),
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert list(dict.fromkeys(column for column, _ in told)) == ["input", "bicubic", "two"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def test_the_command_prints_columns_and_key(folder: Path) -> None:
    options = ["compare", "photo.png", "-o", "page.png", "--model", "bicubic", "--model", "x=larger.png"]
    lines = run(*options, "--crop", CROPS[0], "--scale", "2").stdout.splitlines()
    assert lines[0] == "page.png: 50×46 pixels, ×2"
    assert [line.split()[0] for line in lines[1:4]] == ["input", "bicubic", "x"]
    assert lines[3] == "x  resized from 150×138 to 100×92 by bicubic interpolation"
    assert lines[-1] == "Crops: 4,6,24x20"
    done = run(*options, "--blind", "5", "--scale", "2")
    order = ["bicubic", "x"]
    random.Random(5).shuffle(order)
    assert [line.split()[:3] for line in done.stdout.splitlines()[2:4]] == [
        ["A", "=", order[0]],
        ["B", "=", order[1]],
    ]
    told = json.loads(run(*options, "--blind", "5", "--json").stdout)
    assert told["key"] == {"input": "input", "A": order[0], "B": order[1]}
    assert told["output"] == "page.png"
    assert told["size"] == [50, 46]
    assert set(told["crops"][0]) == {"x", "y", "width", "height"}
    assert {"label", "name", "model", "seconds", "notes"} == set(told["columns"][0])
