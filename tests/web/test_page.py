"""The page in a real browser: by mouse, touch and keyboard, in both themes, on a desk and on a phone."""

from __future__ import annotations

import io
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

from browser import find_chromium
from escsr import batch, images
from escsr.images import Picture
from escsr.upscaling.options import UpscaleOptions
from escsr.web.service import WebOptions
from samples import ROOT, flowers
from web.serving import Served, running

Serve = Callable[..., Served]
MOST_MS = 60_000
STYLE = (ROOT / "src" / "escsr" / "web" / "page" / "app.css").read_text()


@dataclass
class Seen:
    """What a page asked for, and what its console said."""

    page: Page
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if (program := find_chromium()) is None:
        pytest.skip("needs a Chromium browser (apt-get install chromium)")
    expect.set_options(timeout=MOST_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    height: int = 800,
    theme: str = "light",
    touch: bool = False,
) -> Iterator[Seen]:
    """A page, of which all requests and problems are noted."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,  # type: ignore[arg-type]
        has_touch=touch,
        accept_downloads=True,
    )
    context.set_default_timeout(MOST_MS)
    page = context.new_page()
    seen = Seen(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on("console", lambda told: seen.problems.append(told.text) if told.type == "error" else None)
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    yield seen
    context.close()


@pytest.fixture
def seen(browser: Browser, served: Served) -> Iterator[Seen]:
    with opened(browser, served.url) as one:
        yield one


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pixels = flowers()
    images.write(Picture(pixels[100:400, 100:420]), folder / "flowers.png")
    images.write(Picture(pixels[300:340, 100:150]), folder / "small.jpg")
    images.write(Picture(pixels[300:330, 100:130]), folder / "scan.tif")
    (folder / "broken.png").write_text("not a picture")
    return folder


def divider_of(page: Page) -> float:
    """Where the after picture begins, percent."""
    clip = page.locator(".upper").evaluate("each => getComputedStyle(each).clipPath")
    return float(re.findall(r"([\d.]+)%?\)$", clip)[0])


def zoom_of(page: Page) -> str:
    return page.locator("before-after output").inner_text()


def offset_of(page: Page) -> tuple[float, float]:
    matrix = page.locator("img.after").evaluate("each => getComputedStyle(each).transform")
    *_, x, y = map(float, re.findall(r"-?[\d.]+", matrix))
    return x, y


def test_from_a_file_to_its_result(
    seen: Seen, served: Served, pictures: Path, weights: Path, tmp_path: Path
) -> None:
    page = seen.page
    page.set_input_files("#files", [pictures / "flowers.png", pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale 2").click()
    bar = "[document.querySelector('.card').dataset.state, document.querySelector('progress').value]"
    shares = []
    while (now := page.evaluate(bar))[0] != "done":
        shares += [now[1]] if now[0] == "working" else []
    expect(page.get_by_role("progressbar", name="Progress of flowers.png")).to_be_hidden()
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
    expect(page.locator(".card[data-state=done]", has_text="small.jpg")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("small.jpg: done.")
    batch.upscale(
        [pictures / "flowers.png", pictures / "small.jpg"], tmp_path, model=str(weights), device="cpu"
    )
    for name in ("flowers.png", "small.jpg"):
        with page.expect_download() as coming:
            page.get_by_role("link", name=f"Download: {name}").click()
        assert coming.value.suggested_filename == name.replace(".", "_x2.")
        assert Path(coming.value.path()).read_bytes() == (tmp_path / name).read_bytes()
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download all").click()
    with zipfile.ZipFile(coming.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["flowers_x2.png", "small_x2.jpg"]
        assert archive.read("small_x2.jpg") == (tmp_path / "small.jpg").read_bytes()
    assert list(served.folder.iterdir()) == []  # the browser has the results, so the server has none
    assert seen.problems == []
    assert all(url.startswith((served.url, f"blob:{served.url}")) for url in seen.requests)


def test_before_and_after(seen: Seen, pictures: Path) -> None:
    page = seen.page
    page.set_input_files("#files", [pictures / "flowers.png"])
    page.get_by_role("button", name="Upscale").click()
    page.get_by_role("button", name="Compare: flowers.png").click()
    expect(page.get_by_role("dialog", name="flowers.png")).to_be_visible()
    slider = page.get_by_role("slider", name="Divider")
    expect(slider).to_be_focused()
    assert divider_of(page) == 50
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert divider_of(page) == 52
    page.keyboard.press("Home")
    assert divider_of(page) == 0
    expect(slider).to_have_attribute("aria-valuetext", "0 % before")
    page.keyboard.press("End")
    assert divider_of(page) == 100

    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    middle = stage["y"] + stage["height"] / 2
    page.mouse.move(stage["x"] + stage["width"] - 2, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 4, middle, steps=5)
    page.mouse.up()
    assert divider_of(page) == pytest.approx(25, abs=1)
    assert slider.input_value() == str(round(divider_of(page)))

    page.keyboard.press("1")
    assert zoom_of(page) == "100 %"
    box = page.locator("img.after").bounding_box()
    assert box is not None
    assert (round(box["width"]), round(box["height"])) == (640, 600)
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert zoom_of(page) == "195 %"
    before = offset_of(page)
    page.mouse.move(stage["x"] + stage["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 2 - 30, middle - 40)
    page.mouse.up()
    after = offset_of(page)
    assert after[1] == pytest.approx(before[1] - 40)
    page.get_by_role("group", name="Before and after").focus()
    page.keyboard.press("ArrowUp")
    assert offset_of(page)[1] == pytest.approx(min(0, after[1] + 60))
    page.mouse.wheel(0, -200)
    assert int(zoom_of(page).split()[0]) > 195
    page.get_by_role("button", name="Fit").click()
    box = page.locator("img.after").bounding_box()
    assert box is not None
    assert box["height"] == pytest.approx(stage["height"], abs=1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="flowers.png")).to_be_hidden()
    assert seen.problems == []


def test_both_pictures_are_shown(seen: Seen, pictures: Path) -> None:
    """Left of the divider stands the picture, right of it the result, both at their places."""
    page = seen.page
    page.set_input_files("#files", [pictures / "flowers.png"])
    page.get_by_role("button", name="Upscale").click()
    page.get_by_role("button", name="Compare: flowers.png").click()
    page.keyboard.press("1")
    with page.expect_download() as coming:
        page.get_by_role("dialog").get_by_role("link", name="Download").click()
    result = np.asarray(Image.open(coming.value.path()).convert("RGB")).astype(int)
    source = (
        Image.open(pictures / "flowers.png").convert("RGB").resize((640, 600), Image.Resampling.BILINEAR)
    )
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    box = page.locator("img.after").bounding_box()
    assert box is not None
    left, top = round(box["x"]), round(box["y"])
    rows = slice(420, 560)  # below the grip, above the bar
    shown = shot[top + 420 : top + 560]
    right_half = np.abs(shown[:, left + 360 : left + 620] - result[rows, 360:620])
    left_half = np.abs(shown[:, left + 20 : left + 280] - np.asarray(source).astype(int)[rows, 20:280])
    assert right_half.mean() < 1
    assert left_half.mean() < 4


def test_touch_moves_pans_and_pinches(browser: Browser, served: Served, pictures: Path) -> None:
    with opened(browser, served.url, width=390, height=800, touch=True) as seen:
        page = seen.page
        page.set_input_files("#files", [pictures / "flowers.png"])
        page.get_by_role("button", name="Upscale").tap()
        page.get_by_role("button", name="Compare: flowers.png").tap()
        touch = page.context.new_cdp_session(page)

        def fingers(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        stage = page.locator(".stage").bounding_box()
        assert stage is not None
        middle = stage["y"] + stage["height"] / 2
        fingers("touchStart", (stage["width"] / 2, middle))
        fingers("touchMove", (stage["width"] * 0.8, middle))
        fingers("touchEnd")
        assert divider_of(page) == pytest.approx(80, abs=1)
        fitting = int(zoom_of(page).split()[0])
        fingers("touchStart", (100, middle), (200, middle))
        fingers("touchMove", (50, middle), (250, middle))
        fingers("touchEnd")
        assert int(zoom_of(page).split()[0]) == pytest.approx(2 * fitting, rel=0.1)
        before = offset_of(page)
        fingers("touchStart", (100, middle))
        fingers("touchMove", (70, middle))
        fingers("touchEnd")
        assert offset_of(page)[0] == pytest.approx(before[0] - 30, abs=1)
        assert seen.problems == []


@pytest.mark.slow
def test_failed_and_cancelled_pictures(seen: Seen, served: Served, pictures: Path, large: Path) -> None:
    page = seen.page
    page.set_input_files("#files", [pictures / "broken.png", large, pictures / "scan.tif"])
    page.get_by_role("button", name="Upscale 3").click()
    failed = page.locator(".card[data-state=failed]")
    expect(failed.locator(".state")).to_contain_text("Not a readable picture: it is text")
    expect(page.locator("#summary")).to_have_text("0 of 3 done, 1 failed")
    expect(page.locator(".card[data-state=waiting]", has_text="scan.tif")).to_be_visible()
    expect(page.locator(".card[data-state=working] .state")).to_contain_text("left")
    page.get_by_role("button", name="Cancel: large.png").click()
    expect(page.locator(".card[data-state=cancelled] .state")).to_have_text("Cancelled")
    done = page.locator(".card[data-state=done]")
    expect(done.locator(".state")).to_contain_text("This format cannot be shown here; download it.")
    expect(done.get_by_role("button", name="Compare")).to_have_count(0)
    assert served.service.jobs.counts()[:2] == (0, 0)
    page.get_by_role("button", name="Again: broken.png").click()
    expect(failed).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove: scan.tif").click()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#pictures")).to_be_hidden()


def result_of(page: Page) -> tuple[str | None, list[int]]:
    """Name and size of the picture behind the download."""
    link = page.get_by_role("link", name="Download: small.jpg")
    expect(link).to_be_visible()
    url = link.get_attribute("href")
    look = "async (url) => { const each = new Image(); each.src = url; await each.decode(); "
    size = page.evaluate(look + "return [each.naturalWidth, each.naturalHeight]; }", url)
    return link.get_attribute("download"), size


def test_again_while_the_old_result_arrives(seen: Seen, pictures: Path) -> None:
    page = seen.page
    page.evaluate("""() => {
        const blob = Response.prototype.blob;
        const free = new Promise((resolve) => (window.release = resolve));
        Response.prototype.blob = function () {
            Response.prototype.blob = blob;
            return blob.call(this).then((found) => free.then(() => found));
        };
    }""")
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator(".card[data-state=done]")).to_be_visible()
    page.get_by_label("×4", exact=True).check()
    page.once("dialog", lambda dialog: dialog.accept())
    with page.expect_request(lambda request: request.method == "POST"):
        page.get_by_role("button", name="Again: small.jpg").click()
    page.evaluate("window.release()")
    assert result_of(page) == ("small_x4.jpg", [200, 160])


@pytest.mark.slow
@pytest.mark.parametrize("broken", [2, 100])
def test_a_result_whose_connection_breaks(seen: Seen, pictures: Path, broken: int) -> None:
    """It is fetched again; once the page gives up it says so, and the picture can be sent again."""
    page = seen.page
    page.evaluate(
        """(broken) => {
            const blob = Response.prototype.blob;
            const sooner = window.setTimeout;
            window.setTimeout = (then, ms) => sooner(then, ms / 20);
            let times = 0;
            Response.prototype.blob = async function () {
                times++;
                if (times > broken) return blob.call(this);
                if (times % 2) throw new TypeError("network error");
                return new Blob(["cut off"]);
            };
        }""",
        broken,
    )
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    if broken == 2:
        assert result_of(page) == ("small_x2.jpg", [100, 80])
        return
    expect(page.locator(".card[data-state=failed] .state")).to_have_text("The result did not arrive.")
    expect(page.get_by_role("button", name="Again: small.jpg")).to_be_visible()


def test_results_that_were_not_downloaded_are_not_lost_without_a_word(seen: Seen, pictures: Path) -> None:
    page = seen.page
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator(".card[data-state=done]")).to_be_visible()
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    leaves = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert page.evaluate(leaves) is False
    for button, deed in {
        "Remove all": "Remove",
        "Remove: small.jpg": "Remove",
        "Again: small.jpg": "Upscale again",
    }.items():
        page.get_by_role("button", name=button).click()
        assert asked.pop() == f"1 result is not downloaded yet. {deed} all the same?"
        expect(page.locator(".card[data-state=done]")).to_be_visible()
    with page.expect_download():
        page.get_by_role("link", name="Download: small.jpg").click()
    assert page.evaluate(leaves) is True
    page.get_by_role("button", name="Again: small.jpg").click()
    expect(page.locator(".card[data-state=done]")).to_be_visible()
    with page.expect_download():
        page.get_by_role("link", name="Download: small.jpg").click()
    page.get_by_role("button", name="Remove: small.jpg").click()
    expect(page.locator("#pictures")).to_be_hidden()
    assert asked == []
    for link in page.locator("header a").all():
        expect(link).to_have_attribute("target", "_blank")
    assert page.evaluate("getComputedStyle(document.documentElement).overscrollBehaviorY") == "contain"


def test_refused_streams_are_not_asked_for_without_end(seen: Seen, pictures: Path) -> None:
    page = seen.page
    page.route("**/jobs/*/events", lambda route: route.fulfill(status=429))
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    assert result_of(page) == ("small_x2.jpg", [100, 80])
    assert sum(url.endswith("/events") for url in seen.requests) <= 5, "one each two seconds"
    seen.problems.clear()  # the browser notes refusals


def test_names_are_text(seen: Seen, pictures: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    (tmp_path / name).write_bytes((pictures / "flowers.png").read_bytes())
    seen.page.set_input_files("#files", [tmp_path / name])
    expect(seen.page.locator(".name")).to_have_text(name)
    assert seen.page.locator(".name img").count() == 0


def test_the_page_is_used_by_keyboard_alone(seen: Seen, pictures: Path) -> None:
    page = seen.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the pictures")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Tab")
    with page.expect_file_chooser() as chooser:
        expect(page.get_by_role("button", name="Choose pictures")).to_be_focused()
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Model")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="×3")).to_be_checked()
    chooser.value.set_files([pictures / "small.jpg"])
    start = page.get_by_role("button", name="Upscale")
    for _ in range(12):
        if start.evaluate("each => each === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".card[data-state=done]")).to_contain_text("50 × 40 → 150 × 120")


def test_settings_are_sent_and_remembered(seen: Seen, pictures: Path, tmp_path: Path) -> None:
    page = seen.page
    page.get_by_label("Model").select_option("auto")
    page.get_by_label("Other", exact=True).check()
    page.get_by_label("What is given").select_option("width")
    page.get_by_label("Amount").fill("75")
    page.get_by_label("Format").select_option("webp")
    page.get_by_label("Quality").fill("80")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Leave out EXIF").check()
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    expect(page.get_by_label("Amount")).to_have_value("75")
    expect(page.get_by_label("Format")).to_have_value("webp")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator(".card[data-state=done]")).to_contain_text("75 × 60")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    assert coming.value.suggested_filename == "small_75w.webp"
    options = UpscaleOptions(model="auto", width=75, quality=80, strip=True, device="cpu")
    batch.upscale(pictures / "small.jpg", tmp_path / "out.webp", options=options)
    assert Path(coming.value.path()).read_bytes() == (tmp_path / "out.webp").read_bytes()


def test_what_is_not_shown_is_neither_checked_nor_sent(seen: Seen, pictures: Path) -> None:
    page = seen.page
    page.get_by_label("Quality").fill("500")
    page.get_by_label("Format").select_option("png")
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator(".card[data-state=done]")).to_be_visible()
    page.get_by_label("Other", exact=True).check()
    page.get_by_label("Amount").fill("")
    page.set_input_files("#files", [pictures / "small.jpg"])
    page.get_by_role("button", name="Upscale").click()
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_label("Amount")).to_be_focused()  # and not the usual size taken without a word
    expect(page.locator(".card[data-state=ready]")).to_have_count(1)
    expect(page.locator(".card[data-state=done]")).to_have_count(1)


def test_a_file_that_was_changed_is_no_server_that_is_gone(
    seen: Seen, pictures: Path, tmp_path: Path
) -> None:
    page, changed = seen.page, tmp_path / "changed.png"
    changed.write_bytes((pictures / "flowers.png").read_bytes())
    page.set_input_files("#files", [changed, pictures / "small.jpg"])
    changed.write_bytes((pictures / "small.jpg").read_bytes())
    os.utime(changed, (1, 1))
    page.get_by_role("button", name="Upscale 2").click()
    failed = page.locator(".card[data-state=failed] .state")
    expect(failed).to_contain_text("changed, moved or deleted after it was added")
    expect(page.locator(".card[data-state=done] .name")).to_have_text("small.jpg")
    seen.problems.clear()  # the browser notes that it cannot read the file


def test_who_leaves_the_page_cancels_its_pictures(
    seen: Seen, served: Served, pictures: Path, large: Path
) -> None:
    page = seen.page
    page.set_input_files("#files", [large, *[pictures / "small.jpg"] * 3])
    page.get_by_role("button", name="Upscale 4").click()
    expect(page.locator(".card[data-state=working]")).to_be_visible()
    expect(page.locator(".card[data-state=waiting]")).to_have_count(3)
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    end = time.monotonic() + MOST_MS / 1000
    while served.service.jobs.counts()[:2] != (0, 0):  # else they would keep the next ones waiting
        assert time.monotonic() < end, served.service.jobs.counts()
        page.wait_for_timeout(50)


def test_strength_is_shown_where_it_has_an_effect(browser: Browser, serve: Serve) -> None:
    with opened(browser, serve(models=("auto", "real")).url) as seen:
        page, strength = seen.page, seen.page.get_by_label("Strength")
        page.get_by_label("×4", exact=True).check()
        expect(strength).to_be_hidden()
        page.get_by_label("Model").select_option("real")
        expect(strength).to_be_visible()
        page.get_by_label("×2", exact=True).check()
        expect(strength).to_be_hidden()
        page.get_by_label("Other", exact=True).check()
        page.get_by_label("Amount").fill("2.5")
        expect(strength).to_be_visible()
        page.get_by_label("Amount").fill("1.5")
        expect(strength).to_be_hidden()
        page.get_by_label("What is given").select_option("width")
        expect(strength).to_be_visible()


def test_the_usual_strength_of_a_model_is_remembered(browser: Browser, serve: Serve) -> None:
    with opened(browser, serve(models=("real", "esc-real-light-x4")).url) as seen:
        page, strength = seen.page, seen.page.get_by_label("Strength")
        page.get_by_label("×4", exact=True).check()
        expect(strength).to_have_value("0.9")
        page.get_by_label("Model").select_option("esc-real-light-x4")
        expect(strength).to_have_value("0")
        page.reload()
        page.wait_for_selector("#model option", state="attached")
        expect(page.get_by_label("Model")).to_have_value("esc-real-light-x4")
        expect(strength).to_have_value("0")


def test_dropped_and_pasted_pictures(seen: Seen) -> None:
    page = seen.page
    for kind, on in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.evaluate(
            """([kind, on]) => {
                const data = new DataTransfer();
                data.items.add(new File(["x"], `${kind}.png`));
                const Kind = kind === "drop" ? DragEvent : ClipboardEvent;
                const event = new Kind(kind, { [on]: data, bubbles: true, cancelable: true });
                document.body.dispatchEvent(event);
            }""",
            [kind, on],
        )
        expect(page.locator(".card", has_text=f"{kind}.png")).to_be_visible()


@pytest.mark.slow
def test_a_server_that_goes_and_comes(browser: Browser, weights: Path, tmp_path: Path, large: Path) -> None:
    options = WebOptions(models=(str(weights),), devices=("cpu",))
    with running(tmp_path / "first", options) as served:
        port = int(served.url.rpartition(":")[2])
        context = browser.new_context()
        page = context.new_page()
        page.goto(served.url)
        page.wait_for_selector("#model option", state="attached")
        page.set_input_files("#files", [large])
        page.get_by_role("button", name="Upscale").click()
        expect(page.locator(".card[data-state=working]")).to_be_visible()
        served.client.close()
    expect(page.locator(".card .state")).to_contain_text("The server was stopped.")
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    with running(tmp_path / "second", options, port):
        expect(page.locator("#gone")).to_be_hidden(timeout=20_000)
        expect(page.locator(".card[data-state=working]")).to_be_visible(timeout=20_000)
        context.close()


def test_the_token_lets_the_page_in(browser: Browser, serve: Serve, pictures: Path) -> None:
    token = "correcthorsebattery"
    served = serve(token=token)
    for address in (served.url, f"{served.url}/#token={token}"):
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        if "#" not in address:
            expect(page.get_by_role("dialog", name="This server needs its token")).to_be_visible()
            page.get_by_label("Token", exact=True).fill("wrong")
            page.keyboard.press("Enter")
            expect(page.locator("#token-error")).to_have_text("This is not the server's token.")
            page.get_by_label("Token", exact=True).fill(token)
            page.keyboard.press("Enter")
        page.wait_for_selector("#model option", state="attached")
        assert token not in page.url
        page.set_input_files("#files", [pictures / "small.jpg"])
        page.get_by_role("button", name="Upscale").click()
        expect(page.locator(".card[data-state=done]")).to_be_visible(timeout=MOST_MS)
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "theme", "is_dark"), [(1280, "light", 0), (1280, "dark", 1), (360, "dark", 1)]
)
def test_pages_fit_and_follow_the_theme(
    browser: Browser, served: Served, pictures: Path, width: int, theme: str, is_dark: bool
) -> None:
    with opened(browser, served.url, width=width, theme=theme) as seen:
        page = seen.page
        page.set_input_files("#files", [pictures / "small.jpg", pictures / "broken.png"])
        page.get_by_role("button", name="Upscale").click()
        page.locator(".card[data-state=done]").wait_for()
        page.locator(".card[data-state=failed]").wait_for()
        for path in ("", "/docs"):
            if path:
                page.goto(served.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
            assert (np.median(shot) < 60) == is_dark
            assert shot.std() > 5


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    ("front", "back"),
    [
        ("text", "ground"),
        ("text", "sheet"),
        ("muted", "ground"),
        ("muted", "sheet"),
        ("muted", "sunken"),
        ("accent", "sheet"),
        ("on-accent", "accent"),
        ("good", "sheet"),
        ("bad", "sheet"),
        ("text", "bad-tint"),
        ("text", "tint"),
    ],
)
def test_colours_have_contrast(front: str, back: str, theme: int) -> None:
    """4.5 to 1, as WCAG asks of text."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    colours = {name: values[theme] for name, *values in found}

    def luminance(colour: str) -> float:
        values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
