"""The HTTP API as programs meet it: over a socket."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from commands import escsr_command
from escsr import batch, images
from escsr.images import Animation, Picture
from samples import EXAMPLES, save_form
from web.serving import Served


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of many kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    photo = images.read(EXAMPLES / "city.png")
    images.write(Picture(photo.pixels[:30, :41], photo.metadata, (11.8, 11.8)), folder / "photo.jpg")
    images.write(Picture(random.integers(0, 65536, (21, 17, 4), np.uint16)), folder / "deep.png")
    images.write(Picture(random.random((12, 13, 3), np.float32)), folder / "float.tif")
    images.write(Picture(photo.pixels[:25, :30, :1]), folder / "grey.webp")
    frames = random.integers(0, 256, (3, 9, 10, 3), dtype=np.uint8)
    images.write(Animation(frames, (40, 50, 60)), folder / "moving.gif")
    images.write(Picture(random.integers(0, 65536, (14, 15, 3), np.uint16)), folder / "ten bits.avif")
    (folder / "ünï · 写真.png").write_bytes((folder / "deep.png").read_bytes())
    return folder


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("photo.jpg", "photo_x2.jpg", {}),
    ("photo.jpg", "photo_x2.jpg", {"quality": 70, "subsampling": "420", "strip": True}),
    ("photo.jpg", "photo_x1.5.tif", {"scale": 1.5, "format": "tif", "to_srgb": True}),
    ("photo.jpg", "photo_50x50.png", {"size": "50x50", "fit": "cover", "format": "png"}),
    ("deep.png", "deep_33w.png", {"width": 33}),
    ("deep.png", "deep_x2.webp", {"format": ".WebP", "lossless": True, "self_ensemble": True}),
    ("float.tif", "float_60.tif", {"longest": 60}),
    ("grey.webp", "grey_x2.webp", {"keep_colour": True}),
    ("photo.jpg", "photo_x2_crop.png", {"crop": "4,2,16,12", "format": "png"}),
    ("moving.gif", "moving_x2.gif", {}),
    ("moving.gif", "moving_x2.png", {"format": "png"}),
    ("ten bits.avif", "ten bits_x2.avif", {"lossless": True}),
    ("ünï · 写真.png", "ünï · 写真_30h.png", {"height": 30}),
]


@pytest.mark.parametrize(("name", "result", "options"), CASES)
def test_results_have_the_bytes_of_the_function(
    served: Served,
    pictures: Path,
    weights: Path,
    tmp_path: Path,
    name: str,
    result: str,
    options: dict[str, Any],
) -> None:
    status = served.wait(served.send(pictures / name, **options))
    assert (status["state"], status["result_name"]) == ("done", result), status
    answer = served.client.get(f"/jobs/{status['id']}/result")
    ours = {key: value for key, value in options.items() if key != "format"}
    (outcome,) = batch.upscale(pictures / name, tmp_path / result, model=str(weights), device="cpu", **ours)
    assert outcome.error is None
    assert answer.content == (tmp_path / result).read_bytes()
    assert status["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert status["result_bytes"] == len(answer.content)
    assert status["out_size"] == list(outcome.size or ())
    assert status["size"] == list(images.read_size(pictures / name))
    assert status["notes"] == list(outcome.notes)
    assert answer.headers["content-type"].startswith("image/")


def test_result_has_the_bytes_of_the_command(served: Served, photo: Path, tmp_path: Path) -> None:
    command = [*escsr_command(), "upscale", str(photo), "-o", str(tmp_path / "out.png")]
    subprocess.run([*command, "--scale", "3", "--device", "cpu", "-q"], check=True)
    assert served.result(photo, model="auto", scale=3) == (tmp_path / "out.png").read_bytes()


def test_a_job_from_its_upload_to_its_end(served: Served, photo: Path) -> None:
    before = set(served.folder.iterdir())
    answer = served.post(photo)
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert len(job["id"]) >= 32
    assert (job["name"], job["model"], job["size"], job["out_size"]) == (
        "photo.png",
        "small",
        [48, 40],
        [96, 80],
    )
    events = served.events(job)
    shares = [event["progress"] for event in events]
    assert shares == sorted(shares)
    assert [event["state"] for event in events][-1] == "done"
    assert {event["id"] for event in events} == {job["id"]}
    assert events[-1]["seconds"] > 0
    assert events[-1]["error"] is None
    assert served.events(job) == [served.client.get(f"/jobs/{job['id']}").json()]
    assert served.client.delete(f"/jobs/{job['id']}").status_code == 204
    for path in ("", "/result", "/events"):
        assert served.client.get(f"/jobs/{job['id']}{path}").status_code == 404
    assert served.client.delete(f"/jobs/{job['id']}").status_code == 404
    assert set(served.folder.iterdir()) <= before


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        ({"model": "nope"}, 422, "No model 'nope' here; there is small, auto."),
        ({"model": "/etc/passwd"}, 422, "No model '/etc/passwd' here"),
        ({"scale": 2, "width": 5}, 422, "Give only one of scale, size"),
        ({"scale": "nan"}, 422, "scale: "),
        ({"scale": 0.5}, 422, "scale: "),
        ({"size": "5"}, 422, "size must be WIDTHxHEIGHT"),
        ({"format": "../../x.png"}, 422, "format must be one of png, jpg"),
        ({"format": "svg"}, 422, "format must be one of png, jpg"),
        ({"quality": 101}, 422, "quality: "),
        ({"lossless": True, "format": "jpg"}, 422, "photo_x2.jpg: JPEG is never lossless; choose another"),
        ({"crop": "1,2,3"}, 422, "crop must be X,Y,W,H"),
        ({"crop": "0,0,4000,4"}, 422, "crop 0,0,4000,4 reaches beyond the picture"),
        ({"fit": "around"}, 422, "fit: "),
        ({"colour": "red"}, 422, "colour: "),
        ({"width": 20_000, "format": "webp"}, 422, "WebP holds up to 16383 pixels a side"),
        ({"scale": 1000}, 413, "photo_x1000.png: the result would have 48000×40000 pixels"),
        ({"width": 2**30}, 422, "PNG holds up to 10000000 pixels a side"),
        ({"width": 9_000_000}, 413, "photo_9000000w.png: the result would have 9000000×7500000 pixels"),
        ({"url": "http://127.0.0.1:1/x.png"}, 422, "url: "),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    served: Served, photo: Path, options: dict[str, object], status: int, sentence: str
) -> None:
    before = set(served.folder.iterdir())
    answer = served.post(photo, **options)
    assert answer.status_code == status, answer.text
    assert sentence in answer.json()["error"]
    assert str(served.folder) not in answer.text
    assert set(served.folder.iterdir()) <= before


def test_what_is_no_picture_is_refused(served: Served, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    answer = served.post(tmp_path / "text.png")
    assert answer.status_code == 415
    assert answer.json()["error"].startswith("text.png: not a readable picture: it is text")
    assert served.client.post("/jobs", files={"file": ("empty.png", b"")}).status_code == 415
    for files in ({}, {"picture": b"x"}):
        assert served.client.post("/jobs", files=files).status_code == 422
    assert served.client.post("/jobs", data={"file": "http://127.0.0.1:1/x.png"}).status_code == 422
    assert served.client.post("/jobs", json={"file": "x"}).status_code == 422


def test_a_picture_that_is_damaged_fails_alone(served: Served, photo: Path, tmp_path: Path) -> None:
    content = photo.read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    images.write(Picture(np.full((8, 8, 4), 99, np.uint8)), tmp_path / "clear.png")
    cut, clear, whole = (
        served.send(tmp_path / "cut.png"),
        served.send(tmp_path / "clear.png", format="jpg"),
        served.send(photo),
    )
    failed = served.wait(cut)
    assert (failed["state"], failed["error"][:27]) == ("failed", "cut.png: not a readable pic")
    failed = served.wait(clear)
    assert failed["error"].startswith("clear_x2.jpg: JPEG cannot hold transparency")
    assert served.client.get(f"/jobs/{clear['id']}/result").status_code == 409
    assert served.wait(whole)["state"] == "done"


@pytest.mark.parametrize(
    ("sent", "kept", "result"),
    [
        ("../../etc/passwd", "passwd", "passwd_x2.png"),
        ("C:\\pictures\\me.JPG", "me.JPG", "me_x2.JPG"),
        ("..", "picture", "picture_x2.png"),
        (" .png", "png", "png_x2.png"),
        ("a\x00b\x1b[31m\u202e.png", "ab[31m.png", "ab[31m_x2.png"),
        ("x" * 1000 + ".webp", "x" * 150 + ".webp", "x" * 150 + "_x2.webp"),
        ("图" * 83 + ".png", "图" * 50 + ".png", "图" * 50 + "_x2.png"),
        ("é" * 140 + ".jpg", "é" * 75 + ".jpg", "é" * 75 + "_x2.jpg"),
        ("a" + "🙂" * 90 + "." + "语" * 99, "a" + "🙂" * 37 + "." + "语" * 10, "a" + "🙂" * 37 + "_x2.png"),
        ("a%22b%0D%0A%20c.png", 'a"b%20c.png', 'a"b%20c_x2.png'),
        ("semi;colon\"quote'.tif", "semi;colon\"quote'.tif", "semi;colon\"quote'_x2.tif"),
    ],
)
def test_names_of_files_never_become_paths(sent: str, kept: str, result: str, photo: Path) -> None:
    from escsr.upscaling.options import UpscaleOptions
    from escsr.web.plan import clean_name, plan_job

    assert clean_name(sent) == kept
    options = UpscaleOptions(model="esc-light-x2")
    plan = plan_job(
        images.read_header(photo), options, photo.parent, name=kept, suffix=None, max_pixels=10**6
    )
    assert plan.result_name == result
    assert plan.target.parent == photo.parent
    assert re.fullmatch(r"result\.[a-z]{3,4}", plan.target.name)


@pytest.mark.parametrize(("suffix", "frames"), [(None, 3), ("webp", 3), ("png", 1)])
def test_a_still_of_an_animation_is_one_frame(tmp_path: Path, suffix: str | None, frames: int) -> None:
    from escsr.upscaling.options import UpscaleOptions
    from escsr.web.plan import plan_job

    moving = np.random.default_rng(0).integers(0, 256, (3, 9, 10, 3), dtype=np.uint8)
    images.write(Animation(moving, (40, 50, 60)), tmp_path / "a.gif")
    header, options = images.read_header(tmp_path / "a.gif"), UpscaleOptions(model="esc-light-x2")
    plan = plan_job(header, options, tmp_path, name="a.gif", suffix=suffix, max_pixels=10**6)
    assert plan.work == 90 * frames


def test_long_names_come_back_short(served: Served, photo: Path) -> None:
    name = "图" * 83 + ".png"
    answer = served.client.post("/jobs", files={"file": (name, photo.read_bytes())})
    assert answer.status_code == 202, answer.text
    status = served.wait(answer.json())
    assert (status["state"], status["result_name"]) == ("done", "图" * 50 + "_x2.png")
    assert len(status["result_name"].encode()) <= 255
    headers = served.client.get(f"/jobs/{status['id']}/result").headers
    assert headers["content-disposition"].endswith(quote(status["result_name"]))


def test_refusals_call_a_result_by_its_name(served: Served, tmp_path: Path) -> None:
    images.write(Picture(np.zeros((1, 9000, 3), np.uint8)), tmp_path / "wide.png")
    answer = served.post(tmp_path / "wide.png", format="webp")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("wide_x2.webp: WebP holds up to")
    answer = served.post(tmp_path / "wide.png", width=9_000_000)
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("wide_9000000w.png: the ")


def test_name_in_the_header_of_a_result(served: Served, photo: Path, tmp_path: Path) -> None:
    name = "semi;colon\"quote' ü\r\n.png"
    answer = served.client.post("/jobs", files={"file": (name, photo.read_bytes())})
    served.wait(job := answer.json())
    headers = served.client.get(f"/jobs/{job['id']}/result").headers
    assert headers["content-disposition"].startswith("attachment; filename*=utf-8''")
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"


def test_what_the_server_offers(served: Served) -> None:
    models = served.client.get("/models").json()
    assert [(model["name"], model["scale"], model["is_default"]) for model in models] == [
        ("small", 2, True),
        ("auto", None, False),
    ]
    about = served.client.get("/about").json()
    assert about["devices"] == ["cpu"]
    assert {"png", "jpg", "webp", "tif", "avif", "gif"} <= {f["suffixes"][0] for f in about["formats"]}
    assert served.client.get("/health").json()["status"] == "ok"


def test_strength(serve: Callable[..., Served], photo: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("mine-x2", "mine-gan-x2")):
        save_form(tmp_path / "models" / f"{name}.safetensors", 2, seed=seed)
    model = str(tmp_path / "models" / "mine-x2.safetensors")
    one = serve(models=(model, "esc-light"))
    told = {each["name"]: each["strength"] for each in one.client.get("/models").json()}
    assert told == {"mine-x2": 0, "esc-light": None}
    for strength in (0, 0.7):
        (outcome,) = batch.upscale(
            photo, tmp_path / "out.png", model=model, strength=strength, device="cpu"
        )
        assert outcome.error is None
        assert one.result(photo, model="mine-x2", strength=strength) == (tmp_path / "out.png").read_bytes()
    refused = one.post(photo, model="esc-light", strength=0.7)
    assert refused.status_code == 422
    assert "esc-light-x2 has none; leave strength out" in refused.json()["error"]
    assert one.post(photo, model="mine-x2", strength=1.2).status_code == 422


def test_real_has_a_strength_where_it_has_two_forms() -> None:
    from escsr.web.offers import list_offers

    offers = list_offers(("real", "auto", "esc-real-light-x2", "esc-real-light-x4"))
    assert {offer.name: offer.strength_scales for offer in offers.values()} == {
        "real": (3, 4),
        "auto": (),
        "esc-real-light-x2": (),
        "esc-real-light-x4": (2, 3, 4),
    }
    assert offers["real"].strength == 0.9


def test_figures(served: Served, photo: Path) -> None:
    served.result(photo)
    text = served.client.get("/metrics").text
    figures = dict(re.findall(r"^([a-z_]+(?:\{.*?\})?) ([\d.e+]+)$", text, re.MULTILINE))
    assert float(figures['escsr_jobs_total{state="done"}']) >= 1
    assert float(figures['escsr_pixels_total{device="cpu"}']) >= 40 * 48
    assert float(figures["escsr_jobs_waiting"]) == 0
    assert float(figures["escsr_job_seconds_count"]) >= 1
    assert "photo" not in text


def test_the_api_is_described_here(served: Served) -> None:
    openapi = served.client.get("/openapi.json").json()
    assert set(openapi["paths"]) == {
        "/jobs",
        "/jobs/{id}",
        "/jobs/{id}/events",
        "/jobs/{id}/result",
        "/models",
        "/about",
        "/health",
        "/metrics",
        "/token",
    }
    page = served.client.get("/docs").text
    for path in openapi["paths"]:
        assert path in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith("/") and not link.startswith("//") for link in links)
    assert "<script" not in page
    for path in links:
        assert served.client.get(path).status_code == 200


def test_camera_raw_is_refused_since_uploads_keep_no_ending(
    served: Served, tmp_path: Path, photo: Path
) -> None:
    raw = tmp_path / "photo.dng"
    images.write(images.read(photo), tmp_path / "photo.tif")
    (tmp_path / "photo.tif").rename(raw)
    answer = served.post(raw)
    assert (answer.status_code, answer.json()["error"]) == (
        415,
        "photo.dng: camera raw is not taken here; develop it first, or use the command.",
    )


@pytest.mark.parametrize("name", ["photo.tif", "photo.dng", "photo"])
def test_camera_raw_is_refused_by_its_content(served: Served, tmp_path: Path, name: str) -> None:
    head = struct.pack("<2sHIH", b"II", 42, 8, 1)
    dng_version = struct.pack("<HHI4s", 50706, 1, 4, bytes([1, 4, 0, 0]))
    (tmp_path / name).write_bytes(head + dng_version + bytes(4))
    answer = served.post(tmp_path / name)
    message = f"{name}: camera raw is not taken here; develop it first, or use the command."
    assert (answer.status_code, answer.json()["error"]) == (415, message)


def test_head_is_get_without_a_body(served: Served, photo: Path) -> None:
    for path in ("/", "/page/app.js", "/docs", "/health"):
        head, get = served.client.head(path), served.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    job = served.wait(served.send(photo))
    head = served.client.head(f"/jobs/{job['id']}/result")
    found = served.service.jobs.find(job["id"])
    assert (head.status_code, head.content) == (200, b"")
    assert found is not None
    assert found.fetched is None, "it is kept as long as before"
    get = served.client.get(f"/jobs/{job['id']}/result")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert len(get.content) == int(head.headers["content-length"])
    assert served.client.head("/jobs/none/result").status_code == 404


def test_a_file_without_a_name_is_told_in_plain_words(served: Served) -> None:
    answer = served.client.post("/jobs", files={"file": (None, b"pixels")})
    assert answer.status_code == 422
    assert answer.json()["error"] == "file: this part of the form has no filename, so it is no file."


def test_form_has_the_options_of_upscaling() -> None:
    from dataclasses import fields

    from escsr.upscaling.options import UpscaleOptions
    from escsr.web.schemas import JobForm

    servers_own = {"max_pixels", "device", "precision", "backend", "tile_size", "feature_storage"}
    defaults = {field.name: field.default for field in fields(UpscaleOptions)}
    ours = {name: field.default for name, field in JobForm.model_fields.items()}
    assert set(ours) - {"file", "format"} == set(defaults) - servers_own
    for name in set(ours) & set(defaults) - {"model"}:
        assert ours[name] == defaults[name], name
