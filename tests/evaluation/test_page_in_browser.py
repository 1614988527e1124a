"""The page of `escsr compare` as HTML, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from browser import Browser, find_chromium
from escsr import images
from escsr.data.pil_resize import pil_resize
from escsr.evaluation.side_by_side import compare_picture
from escsr.images import Picture
from samples import flowers

READY = "typeof pictures !== 'undefined' && pictures.flat().every(each => each.ready) && isPlaced"
CANVAS = "canvas.toDataURL()"
STATE = "JSON.parse(JSON.stringify(state))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[NDArray[np.uint8]]]:
    """A page of three columns and two crops, and their results."""
    folder = tmp_path_factory.mktemp("page")
    pixels = flowers()[60:110, 40:100]
    images.write(Picture(pixels), folder / "photo.png")
    repeated = pixels.repeat(4, 0).repeat(4, 1)
    inverse = 255 - repeated
    images.write(Picture(inverse), folder / "inverse.png")
    models = ["bicubic", f"<i>'\"&={folder / 'inverse.png'}"]
    crops = ["4,6,24x20", "30,10,16x30"]
    compare_picture(folder / "photo.png", folder / "page.html", model=models, scale=4, crop=crops)
    return folder / "page.html", [repeated, pil_resize(pixels, repeated.shape[:2]), inverse]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if (program := find_chromium()) is None:
        pytest.skip("needs a Chromium browser (apt-get install chromium)")
    browser = Browser(program, tmp_path_factory.mktemp("browser") / "profile")
    try:
        browser.open_tab()
        yield browser
    finally:
        browser.close()


@pytest.fixture
def browser(program: Browser, page: tuple[Path, list[NDArray[np.uint8]]]) -> Browser:
    """With the page anew."""
    program.problems.clear()
    program.requests.clear()
    program.open("about:blank", until="true")
    program.open(page[0].as_uri(), until=READY)
    return program


def pixel_at(browser: Browser, x: float, y: float) -> list[int]:
    return browser.evaluate(f"[...context.getImageData({x}, {y}, 1, 1).data].slice(0, 3)")


def origin(browser: Browser) -> tuple[float, float]:
    """Of the canvas on the page; the pixels of both are the same here."""
    x, y = browser.evaluate("[canvas.getBoundingClientRect().left, canvas.getBoundingClientRect().top]")
    return x, y


def test_the_page_loads_alone_and_without_errors(
    browser: Browser, page: tuple[Path, list[NDArray[np.uint8]]]
) -> None:
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data"}
    assert [url for url in browser.requests if url.startswith("file:")] == [page[0].as_uri()]
    buttons = browser.evaluate("[...document.querySelectorAll('#models button')].map(b => b.textContent)")
    assert buttons == ["1 input", "2 bicubic", "3 <i>'\"&"]
    assert browser.evaluate("document.querySelectorAll('i').length") == 0
    assert browser.evaluate("document.title") == "photo.png"


def test_what_goes_wrong_would_be_seen(browser: Browser) -> None:
    browser.evaluate(
        "setTimeout(() => missing()); console.error('told'); new Image().src = 'http://x/y.png'"
    )
    browser.evaluate("new Promise(done => setTimeout(done, 100))")
    problems = " ".join(browser.problems)
    assert "missing is not defined" in problems
    assert "told" in problems
    assert "Content Security Policy" in problems


def test_keys_switch_the_model_in_place(
    browser: Browser, page: tuple[Path, list[NDArray[np.uint8]]]
) -> None:
    shown = set()
    for key, result in zip("123", page[1], strict=True):
        browser.press(key)
        state = browser.evaluate(STATE)
        assert (state["mode"], state["shown"]) == ("one", int(key) - 1)
        label = browser.evaluate("page.columns[state.shown].label")
        assert browser.evaluate("canvas.getAttribute('aria-label')") == label
        # Two pixels right of and below the middle: inside the result's pixel that begins there.
        x, y = (browser.evaluate(f"Math.round(canvas.{side} / 2)") for side in ("width", "height"))
        assert state["zoom"] >= 2
        expected = result[int(state["y"]), int(state["x"])].astype(int)
        np.testing.assert_allclose(pixel_at(browser, x + 1, y + 1), expected, atol=1)
        shown.add(browser.evaluate(CANVAS))
    assert len(shown) == 3
    browser.press("9")  # there is none
    assert browser.evaluate("state.shown") == 2
    browser.press("ArrowRight")
    assert browser.evaluate("state.shown") == 0
    browser.press("ArrowLeft")
    assert browser.evaluate("state.shown") == 2
    assert browser.problems == []


def test_wheel_zooms_where_the_pointer_is_and_pixels_stay_square(
    browser: Browser, page: tuple[Path, list[NDArray[np.uint8]]]
) -> None:
    browser.press("3")
    left, top = origin(browser)
    before = browser.evaluate(STATE)
    width, height = browser.evaluate("[canvas.width, canvas.height]")
    px, py = width // 2 + 60, height // 2 + 40
    for _ in range(40):
        browser.mouse("mouseWheel", left + px, top + py, deltaX=0, deltaY=-120)
    after = browser.evaluate(STATE)
    assert after["zoom"] == 64
    spot = [before["x"] + 60 / before["zoom"], before["y"] + 40 / before["zoom"]]
    # The browser tells the pointer's place in whole pixels of the screen.
    where = [after["x"] + 60 / 64, after["y"] + 40 / 64]
    np.testing.assert_allclose(spot, where, atol=1 / before["zoom"])
    # A pixel of the result is a square of one colour, its own.
    x, y = int(after["x"]), int(after["y"])
    corner = [round(width / 2 - after["x"] * 64) + x * 64, round(height / 2 - after["y"] * 64) + y * 64]
    expected = page[1][2][y, x].tolist()
    for dx, dy in ((2, 2), (61, 2), (2, 61), (61, 61)):
        assert pixel_at(browser, corner[0] + dx, corner[1] + dy) == expected
    for _ in range(80):
        browser.mouse("mouseWheel", left + px, top + py, deltaX=0, deltaY=120)
    assert browser.evaluate("state.zoom") < 1
    browser.press("0")
    assert browser.evaluate(STATE) == before
    assert browser.problems == []


def test_dragging_moves_and_the_line_wipes(browser: Browser) -> None:
    left, top = origin(browser)
    before = browser.evaluate(STATE)
    assert before["mode"] == "wipe"
    browser.drag((left + 200, top + 100), (left + 260, top + 70))
    moved = browser.evaluate(STATE)
    assert moved["x"] == pytest.approx(before["x"] - 60 / before["zoom"])
    assert moved["y"] == pytest.approx(before["y"] + 30 / before["zoom"])
    assert moved["wipe"] == 0.5
    width, height = browser.evaluate("[canvas.width, canvas.height]")
    both = pixel_at(browser, width // 2 - 40, height // 2)
    browser.drag((left + width / 2, top + 100), (left + width / 4, top + 100))
    wiped = browser.evaluate(STATE)
    assert wiped["wipe"] == pytest.approx(0.25, abs=0.01)
    assert (wiped["x"], wiped["y"]) == (moved["x"], moved["y"])
    assert pixel_at(browser, width // 2 - 40, height // 2) != both
    browser.evaluate("element('left').value = 0; element('left').onchange({ target: element('left') })")
    assert browser.evaluate("state.left") == 0
    assert browser.problems == []


def test_buttons_of_crops_and_all_models_at_one_place(browser: Browser) -> None:
    browser.press("2")
    labels = browser.evaluate("[...element('places').children].map(each => each.textContent)")
    assert labels == ["Whole", "Crop 1", "Crop 2"]
    browser.evaluate("element('places').children[2].click()")
    state = browser.evaluate(STATE)
    assert (state["x"], state["y"]) == (4 * (30 + 8), 4 * (10 + 15))
    assert state["zoom"] == int(state["zoom"]) > 2
    browser.press("a")
    assert browser.evaluate("cells().length") == 3
    same = browser.evaluate(STATE)
    assert (same["mode"], same["x"], same["y"]) == ("all", state["x"], state["y"])
    boxes = browser.evaluate("cells().map(cell => cell.box)")
    middles = [pixel_at(browser, x + w // 2 + 1, y + h // 2 + 1) for x, y, w, h in boxes]
    np.testing.assert_allclose(255 - np.array(middles[0]), middles[2])
    browser.evaluate("element('unit').click()")
    assert browser.evaluate("state.zoom") == 1
    assert browser.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark_mode(browser: Browser, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.send("Emulation.setEmulatedMedia", features=features)
    colours = browser.evaluate(
        "['backgroundColor', 'color'].map(each => getComputedStyle(document.body)[each]"
        ".match(/[\\d.]+/g).slice(0, 3).map(Number))"
    )
    paper, ink = (float(np.mean(colour)) for colour in colours)
    assert abs(paper - ink) > 150
    assert (paper > ink) == (scheme == "light")


def test_a_narrow_window_still_shows_the_picture(browser: Browser) -> None:
    size = {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    browser.send("Emulation.setDeviceMetricsOverride", **size)
    try:
        width, height = browser.evaluate("[canvas.clientWidth, canvas.clientHeight]")
        assert width == 360
        assert height >= 200
        assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        size = {"width": 1000, "height": 700, "deviceScaleFactor": 1, "mobile": False}
        browser.send("Emulation.setDeviceMetricsOverride", **size)
