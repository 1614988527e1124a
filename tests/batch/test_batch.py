"""Many pictures: order, failures, what is done already, interruptions."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from escsr import images
from escsr.batch import Batch, Outcome, Progress, forecast, upscale
from escsr.batch.manifest import MANIFEST, Manifest
from escsr.batch.pictures import LEFT
from escsr.cli.reports import Report
from escsr.errors import CheckpointError, ConfigError, DeviceError, ImageError, NoImagesError, OutputError
from escsr.files import is_full, sha256_of
from escsr.images import Picture
from escsr.images.folders import LINKS
from escsr.models.own_modules import save_module
from escsr.models.saving import save_network
from escsr.upscaling.inference import Inference
from escsr.upscaling.upscaler import Upscaler
from samples import BROKEN, mixed_folder, small_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_network(small_network("esc-light"), path)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    mixed_folder(tmp_path / "in")
    return tmp_path / "in"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_mixed_folder_twice(mixed: Path, model: Path) -> None:
    batch = Batch([mixed], model=model, device="cpu")
    outcomes = list(batch.run(skip_existing=True))
    assert [outcome.job for outcome in outcomes] == batch.jobs
    assert sum(outcome.status == "done" for outcome in outcomes) == 25
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert {outcome.job.source.name for outcome in failed} == set(BROKEN)
    assert all(outcome.job.source.name in str(outcome.error) for outcome in failed)
    results = mixed.with_name("in_x2")
    made = [path for path in results.rglob("*") if path.is_file() and path.name != MANIFEST]
    assert len(made) == 25
    for path in made:
        source = images.read_header(mixed / path.relative_to(results))
        result = images.read_header(path)
        assert (result.width, result.height) == (2 * source.width, 2 * source.height)
        assert result.frames == source.frames
    before = contents(results)
    again = list(Batch([mixed], model=model, device="cpu").run(skip_existing=True))
    assert contents(results) == before
    assert sorted(outcome.status for outcome in again) == ["failed"] * 5 + ["skipped"] * 25


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    for name in "abc":
        pixels = random.integers(0, 256, (16, 10, 3), dtype=np.uint8)
        images.write(Picture(pixels), tmp_path / "three" / f"{name}.png")
    return tmp_path / "three"


def test_only_what_changed_is_done_again(three: Path, model: Path) -> None:
    def run(**options: object) -> list[str]:
        batch = Batch([three], model=model, device="cpu", **options)  # type: ignore[arg-type]
        return statuses(list(batch.run(skip_existing=True)))

    assert run() == ["done"] * 3
    assert run() == ["skipped"] * 3
    assert run(scale=2) == run(scale=2.0) == ["skipped"] * 3  # the model's own
    (three / "b.png").write_bytes((three / "a.png").read_bytes())
    (three.with_name("three_x2") / "c.png").unlink()
    assert run() == ["skipped", "done", "done"]
    assert run(self_ensemble=True) == ["done"] * 3
    manifest = three.with_name("three_x2") / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-30] + b"\xff\xfe torn")
    assert run(self_ensemble=True) == ["skipped", "skipped", "done"]


def test_a_list_is_kept_only_where_it_is_asked_for(three: Path, model: Path) -> None:
    results = three.with_name("three_x2")
    assert statuses(list(Batch([three], model=model).run())) == ["done"] * 3
    assert not (results / MANIFEST).exists()
    for path in results.iterdir():
        path.unlink()
    assert statuses(list(Batch([three], model=model).run(skip_existing=True))) == ["done"] * 3
    lines = [json.loads(line) for line in (results / MANIFEST).read_text().splitlines()]
    assert [line["result"] for line in lines] == ["a.png", "a.png", "b.png", "b.png", "c.png", "c.png"]
    assert [bool(line["key"]) for line in lines] == [False, True] * 3  # begun, done


def test_results_inside_the_folder_of_pictures_are_no_inputs_of_the_same_command(
    three: Path, model: Path
) -> None:
    for skip, status in ((False, "done"), (False, "done"), (True, "skipped")):
        outcomes = upscale([three], three / "large", model=model, device="cpu", skip_existing=skip)
        assert [outcome.job.source.name for outcome in outcomes] == ["a.png", "b.png", "c.png"]
        assert statuses(outcomes) == [status] * 3


def test_a_list_forgets_what_a_run_without_it_replaces(three: Path, model: Path) -> None:
    output = three.with_name("out")

    def run(scale: int, *, skip_existing: bool) -> list[str]:
        batch = Batch([three], output, model=model, device="cpu", scale=scale)
        return statuses(list(batch.run(skip_existing=skip_existing)))

    assert run(2, skip_existing=True) == ["done"] * 3
    (three / "c.png").rename(three.with_name("c.png"))
    assert run(1, skip_existing=False) == ["done"] * 2
    assert images.read_size(output / "a.png") == (10, 16)
    three.with_name("c.png").rename(three / "c.png")
    assert run(2, skip_existing=True) == ["done", "done", "skipped"]
    assert images.read_size(output / "a.png") == (20, 32)


def test_files_that_no_run_made_are_left(three: Path, model: Path) -> None:
    results = three.with_name("three_x2")
    results.mkdir()
    (results / "b.png").write_bytes(b"a picture of the user's")
    batch = Batch([three], model=model, device="cpu")
    told = [said.skipped for said in forecast(batch, skip_existing=True)]
    assert [outcome and outcome.notes for outcome in told] == [None, (LEFT,), None]
    ended: list[Outcome] = []
    outcomes = list(batch.run(skip_existing=True, on_end=ended.append))
    assert ended == outcomes
    assert statuses(outcomes) == ["done", "skipped", "done"]
    assert [outcome.notes for outcome in outcomes] == [(), (LEFT,), ()]
    assert (results / "b.png").read_bytes() == b"a picture of the user's"
    again = list(Batch([three], model=model, device="cpu", self_ensemble=True).run(skip_existing=True))
    assert statuses(again) == ["done", "skipped", "done"]
    assert (results / "b.png").read_bytes() == b"a picture of the user's"


def test_fail_fast(three: Path, model: Path) -> None:
    (three / "b.png").write_bytes(b"")
    assert statuses(list(Batch([three], model=model).run(fail_fast=True))) == ["done", "failed"]
    assert statuses(list(Batch([three], model=model).run())) == ["done", "failed", "done"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_nothing_more_ends_the_run(
    three: Path, model: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in "defgh":
        (three / f"{name}.png").write_bytes((three / "a.png").read_bytes())
    write, written = images.write, list[Path]()

    def until_full(picture: Picture, path: Path, options: Any) -> None:
        written.append(path)
        if len(written) > 1:
            monkeypatch.setattr(os, "fsync", full)
        write(picture, path, options)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(images, "write", until_full)
    outcomes = upscale(three, model=model)
    assert statuses(outcomes)[:2] == ["done", "failed"]
    assert 2 <= len(outcomes) == len(written) <= 4, "those under way are done, no other is begun"
    assert os.strerror(number) in str(outcomes[1].error)
    assert is_full(outcomes[1].error)


def test_a_stop_finishes_the_picture_at_hand(three: Path, model: Path) -> None:
    stop = threading.Event()

    def at_first(progress: Progress) -> None:
        if progress.number == 2:
            stop.set()

    first = Batch([three], model=model)
    outcomes = list(first.run(stop=stop, on_progress=at_first, skip_existing=True))
    assert statuses(outcomes) == ["done", "done"]
    resumed = list(Batch([three], model=model).run(skip_existing=True))
    assert statuses(resumed) == ["skipped", "skipped", "done"]


def test_an_interrupt_leaves_whole_files_only(three: Path, model: Path) -> None:
    def interrupted(progress: Progress) -> None:
        if progress.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Batch([three], model=model).run(on_progress=interrupted, skip_existing=True))
    results = three.with_name("three_x2")
    assert sorted(path.name for path in results.iterdir()) == [MANIFEST, "a.png"]
    assert images.read_size(results / "a.png") == (20, 32)


def test_a_kill_behind_a_result_lets_the_same_command_continue(
    three: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results are among the pictures; one without a line in the list would be taken for one of them."""

    def run() -> list[str]:
        batch = Batch([three], three / "large", model=model, device="cpu")
        return statuses(list(batch.run(skip_existing=True, debug=True)))

    add = Manifest.add

    def killed(manifest: Manifest, target: Path, key: str) -> None:
        if target.is_file():
            raise RuntimeError
        add(manifest, target, key)

    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "add", killed)
        with pytest.raises(RuntimeError):
            run()
    assert images.read_size(three / "large" / "a.png") == (20, 32)
    assert run() == ["done"] * 3
    assert run() == ["skipped"] * 3
    (three / "large" / "mine").mkdir()
    (three / "mine").mkdir()
    for folder in (three / "mine", three / "large" / "mine"):
        (folder / "d.png").write_bytes((three / "a.png").read_bytes())
    with pytest.raises(OutputError, match="is an input"):
        run()


def test_progress_counts_bytes(three: Path, model: Path) -> None:
    images.write(Picture(np.zeros((64, 40, 3), np.uint8)), three / "d.png")
    seen: list[Progress] = []
    list(Batch([three], model=model).run(on_progress=seen.append))
    assert [progress.overall for progress in seen] == sorted(progress.overall for progress in seen)
    assert seen[-1].overall == pytest.approx(1)
    assert {progress.jobs for progress in seen} == {4}
    sizes = [path.stat().st_size for path in sorted(three.iterdir())]
    third = max(progress.overall for progress in seen if progress.number == 3)
    three_of_four = sum(sizes[:3]) / sum(sizes)  # writing, a tenth of each, goes on beside the next
    assert 0.9 * three_of_four - 1e-6 <= third <= three_of_four + 1e-6


def test_a_forecast_is_what_comes(three: Path, model: Path, tmp_path: Path) -> None:
    (three / "b.png").write_bytes(b"")
    batch = Batch([three], tmp_path / "out", model=model, longest=40)
    forecasts = list(forecast(batch))
    assert not (tmp_path / "out").exists()
    outcomes = list(batch.run())
    for said, became in zip(forecasts, outcomes, strict=True):
        assert (said.job, said.model if said.error is None else "") == (became.job, became.model)
        assert (said.out_size, said.error is None) == (became.size, became.error is None)
    assert forecasts[0].seconds > 0
    assert forecasts[0].memory_bytes > 0


def test_a_forecast_knows_what_is_done(three: Path, model: Path, tmp_path: Path) -> None:
    batch = Batch([three], tmp_path / "out", model=model)
    list(batch.run(skip_existing=True))
    (three / "c.png").write_bytes((three / "a.png").read_bytes())
    told = [said.status for said in forecast(batch, skip_existing=True)]
    assert told == ["skipped", "skipped", "planned"]
    assert [said.status for said in forecast(batch)] == ["planned"] * 3


def test_limits_concern_one_picture(three: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.write(Picture(np.zeros((64, 64, 3), np.uint8)), three / "large.png")
    outcomes = list(Batch([three], model=model, max_pixels=4000).run())
    assert statuses(outcomes) == ["done"] * 3 + ["failed"]
    assert isinstance(outcomes[-1].error, OutputError)
    monkeypatch.setattr("escsr.upscaling.preflight.free_host_memory", lambda: 1 << 15)
    outcomes = list(Batch([three], model=model).run())
    assert statuses(outcomes) == ["done"] * 3 + ["failed"]
    assert isinstance(outcomes[-1].error, DeviceError)


def test_links_in_circles_end(three: Path, model: Path) -> None:
    (three / "self").symlink_to(three)
    assert len(Batch([three], model=model).jobs) == 3


def test_a_scale_must_be_said_for_models_of_any(tmp_path: Path, three: Path) -> None:
    save_network(small_network("esc-lte"), tmp_path / "any.safetensors")
    with pytest.raises(ConfigError, match="takes any scale"):
        Batch([three], model=tmp_path / "any.safetensors")
    batch = Batch([three / "a.png"], model=tmp_path / "any.safetensors", scale=1.7)
    assert [outcome.size for outcome in batch.run()] == [(17, 27)]


def test_a_forecast_for_a_model_of_any_scale(three: Path, tmp_path: Path) -> None:
    path = tmp_path / "any.safetensors"
    save_network(small_network("esc-lte"), path)
    for scale in (1.5, 6.0):
        batch = Batch([three], model=path, scale=scale, device="cpu")
        for said in forecast(batch):
            assert said.error is None
            assert said.size is not None
            assert said.out_size == tuple(round(side * scale) for side in said.size)
            assert said.seconds > 0


@pytest.mark.parametrize("step", ["read_for", "write", "upscale_picture"])
def test_whatever_is_raised_is_one_failed_picture(
    three: Path, model: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    owner = Upscaler if step == "upscale_picture" else images
    whole, calls = getattr(owner, step), []

    def second_fails(*arguments: object, **options: object) -> object:
        calls.append(step)
        if len(calls) == 2:
            raise RecursionError("deep\x1b[2J")
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, step, second_fails)
    outcomes = upscale(three, model=model)
    assert statuses(outcomes) == ["done", "failed", "done"]
    assert "b.png: RecursionError: deep" in str(outcomes[1].error)
    calls.clear()
    with pytest.raises(RecursionError):
        upscale(three, model=model, debug=True)


def test_a_picture_that_vanishes_is_one_failed_picture(
    three: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = images.read_header

    def vanishing(path: Path) -> images.Header:
        header = whole(path)
        if path.name == "b.png":
            path.unlink()
        return header

    monkeypatch.setattr(images, "read_header", vanishing)
    outcomes = upscale([three], model=model)
    assert statuses(outcomes) == ["done", "failed", "done"]
    assert isinstance(outcomes[1].error, ImageError)


def test_headers_are_read_as_they_are_needed(
    three: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = images.read_header

    def counted(path: Path) -> images.Header:
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(images, "read_header", counted)
    for name in "defgh":
        (three / f"{name}.png").write_bytes((three / "a.png").read_bytes())
    run = Batch([three], model=model).run(on_progress=lambda _: None)
    next(run)
    run.close()
    assert len(read) < 8
    assert len(set(read)) == len(read)


def test_the_model_is_hashed_once(three: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr("escsr.batch.run.sha256_of", counted)
    assert statuses(upscale(three, model=model, skip_existing=True)) == ["done"] * 3
    assert hashed == [model]


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_names_with_any_sign_are_known_again(three: Path, model: Path, sign: str) -> None:
    (three / "b.png").rename(three / f"b{sign}.png")
    assert statuses(upscale(three, model=model, skip_existing=True)) == ["done"] * 3
    assert statuses(upscale(three, model=model, skip_existing=True)) == ["skipped"] * 3


def test_a_list_that_cannot_be_written_is_one_warning(
    three: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out" / MANIFEST).mkdir(parents=True)
    assert statuses(upscale(three, tmp_path / "out", model=model, skip_existing=True)) == ["done"] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--skip-existing" in caplog.text


def test_a_size_loads_one_model(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    whole = Upscaler.__init__

    def counted(self: Upscaler, *arguments: Any, **options: Any) -> None:
        loaded.append(options["weights"].stem)
        whole(self, *arguments, **options)

    monkeypatch.setattr(Upscaler, "__init__", counted)
    assert statuses(upscale(three / "a.png", width=30)) == ["done"]
    assert loaded == ["esc-light-x3"]


def test_weights_that_cannot_be_used_are_told_before_the_work(three: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    save_module(torch.nn.Conv2d(3, 12, 3), own, extra={}, metadata={})
    for scale, width in ((2, None), (None, 30)):
        with pytest.raises(CheckpointError, match="weights of a network of your own"):
            Batch([three], model=own, device="cpu", scale=scale, width=width)


def test_a_missing_package_is_an_error_before_the_work(
    three: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = images.check_suffix

    def missing(path: Path, *, has_alpha: bool = False) -> images.Format:
        if path.suffix == ".jxl":
            raise OutputError('JPEG XL needs another package: pip install "escsr[jxl]"')
        return whole(path, has_alpha=has_alpha)

    monkeypatch.setattr(images, "check_suffix", missing)
    with pytest.raises(OutputError, match="pip install"):
        Batch([three], model=model, format="jxl")
    with pytest.raises(OutputError, match="pip install"):
        Batch([three / "a.png"], three / "b.jxl", model=model)


def test_writing_has_its_share_of_the_progress(three: Path, model: Path) -> None:
    seen: list[Progress] = []
    list(Batch([three], model=model).run(on_progress=seen.append))
    shares = [progress.overall for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    upscaled = [progress for progress in seen if progress.number == 3 and progress.share < 1]
    assert max(progress.share for progress in upscaled) == pytest.approx(0.9)


def test_other_files_are_counted(three: Path, model: Path) -> None:
    (three / "deep").mkdir()
    for name in ("notes.txt", "deep/more.TXT", "clip.mp4", "README", ".hidden.txt"):
        (three / name).write_bytes(b"")
    assert Batch([three], model=model).other_files == {".txt": 2, ".mp4": 1, "without an ending": 1}
    assert not Batch([three / "a.png"], model=model).other_files


def test_what_is_skipped_in_folders_is_told_by_what_it_is(
    three: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere, clips = tmp_path / "elsewhere", three / "clips [1]"
    for path in (three / "notes.txt", three / "scan.bmp", clips / "a.MP4", elsewhere / "d.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    (three / "link.png").symlink_to(elsewhere)
    (three / ".hidden").symlink_to(elsewhere)
    batch = Batch([three], model=model)
    assert len(batch.jobs) == 3
    assert batch.other_files == {".txt": 1, ".bmp": 1, ".mp4": 1, LINKS: 1}
    report = Report(quiet=False, verbose=False, to_stderr=False)
    report.begin(batch)
    report.end()
    pattern = f"{three}/clips [[]1]/*.MP4"
    assert fnmatchcase(str(clips / "a.MP4"), pattern)
    listed = sorted(report.notes[0].split(". For")[0].partition(": ")[2].split(", "))
    assert listed == ["1 .mp4", "1 .txt"]
    assert report.notes[0].endswith(f'. For videos: escsr "{pattern}"')
    assert report.notes[1:] == [
        "Skipped 1 picture of a kind that is not read here: 1 .bmp.",
        "Skipped 1 link to a folder; give the folder itself to upscale what is there.",
    ]
    assert capsys.readouterr().err.splitlines() == report.notes
    with pytest.raises(NoImagesError, match=r"only 1 \.mp4\. For videos: escsr \".*\*\.MP4\"$"):
        Batch([clips], model=model)
    (elsewhere / "d.png").unlink()
    (elsewhere / "in").symlink_to(three)
    with pytest.raises(NoImagesError, match=r"only 1 link to a folder\.$"):
        Batch([elsewhere], model=model)


@pytest.mark.parametrize(("side", "share"), [(64, 0.5), (20, 1.2)])
def test_a_forecast_takes_no_longer_than_the_work(
    tmp_path: Path, model: Path, side: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network sees no more pixels than it would for the pictures, which it pads to its window."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    images.write(Picture(pixels), tmp_path / "a.png")
    seen: list[int] = []
    whole = Inference.run

    def counted(self: Inference, lr: Tensor, **options: Any) -> Tensor:
        seen.append(lr.shape[-1] * lr.shape[-2])
        return whole(self, lr, **options)

    monkeypatch.setattr(Inference, "run", counted)
    list(forecast(Batch([tmp_path / "a.png"], model=model)))
    assert sum(seen) <= share * side**2


def test_names_with_a_suffix(three: Path, model: Path) -> None:
    def targets(*inputs: Path, output: Path | None = None) -> list[str]:
        batch = Batch(inputs, output, model=model, suffix="_large")
        return [str(job.target.relative_to(three.parent)) for job in batch.jobs]

    assert targets(three / "a.png") == ["three/a_large.png"]
    assert targets(three) == [f"three_large/{name}.png" for name in "abc"]
    assert targets(three, output=three.parent / "out") == [f"out/{name}_large.png" for name in "abc"]
    for suffix, message in [(".png", "use format"), ("", "must be a part"), ("a/b", "must be a part")]:
        with pytest.raises(ConfigError, match=message):
            Batch([three], model=model, suffix=suffix)
    with pytest.raises(ConfigError, match="whole name already"):
        Batch([three / "a.png"], three / "b.png", model=model, suffix="_large")


def test_links_and_pipes_as_outputs(three: Path, model: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real.png"
    real.parent.mkdir()
    link = tmp_path / "link.png"
    link.symlink_to(real)
    assert statuses(upscale(three / "a.png", link, model=model)) == ["done"]
    assert link.is_symlink()
    assert images.read_size(real) == (20, 32)
    os.mkfifo(tmp_path / "pipe.png")
    (failed,) = upscale(three / "a.png", tmp_path / "pipe.png", model=model)
    assert "a device or a pipe" in str(failed.error)
    assert stat.S_ISFIFO((tmp_path / "pipe.png").stat().st_mode)


def test_parts_of_killed_runs_go_after_a_day(three: Path, model: Path, tmp_path: Path) -> None:
    old, new = (tmp_path / f".{letter * 16}.part.png" for letter in "ab")
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    upscale(three / "a.png", tmp_path / "a.png", model=model)
    assert not old.exists()
    assert new.exists()


def test_a_forecast_survives_one_picture(three: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the program with one picture is said of that picture; the others are still told of."""
    read, bad = images.read_header, sorted(three.iterdir())[1]

    def fail(path: Path) -> object:
        if path == bad:
            raise ZeroDivisionError("by a hostile header")
        return read(path)

    monkeypatch.setattr(images, "read_header", fail)
    told = list(forecast(Batch([three], three.parent / "out", model=model, scale=2)))
    assert [said.status for said in told] == ["planned", "failed", "planned"]
    assert f"{bad}: ZeroDivisionError: by a hostile header" in str(told[1].error)
