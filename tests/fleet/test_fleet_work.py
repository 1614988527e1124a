"""From inputs to results and outcomes, without Ray: what a run does, and what one after it leaves alone."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import dataset, parquet, table

from escsr import batch, images
from escsr.errors import ConfigError, DataError, EscError, ModelNotFoundError, OutputError
from escsr.files import sha256_of
from escsr.fleet.inputs import find_inputs
from escsr.fleet.ledger import DEADLY, Ledger
from escsr.fleet.outcomes import claim, outcomes_uri
from escsr.fleet.plan import check_inputs, make_plan
from escsr.fleet.row_options import setting_of
from escsr.fleet.stores import fetched, file_system, written
from escsr.fleet.worker import Worker
from escsr.upscaling.options import UpscaleOptions

Run = Callable[..., "tuple[Any, Any]"]
Row = dict[str, Any]


def rows_of(output: str) -> list[Row]:
    filesystem, path = file_system(outcomes_uri(output))
    found = dataset.dataset(path, filesystem=filesystem, format="parquet", partitioning="hive").to_table()
    rows: list[Row] = found.to_pylist()
    return rows


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_results_are_those_of_upscale(
    photos: Path, tmp_path: Path, nearest: Path, run: Run, kind: str, request: pytest.FixtureRequest
) -> None:
    output = str(tmp_path / "out") if kind == "folder" else f"memory://{request.node.name}/out"
    plan, figures = run(str(photos), output)
    assert (plan.rows, figures.done, figures.failed) == (4, 3, 1)
    batch.upscale(photos, tmp_path / "expected", model=nearest, device="cpu")
    rows = {row["target"]: row for row in rows_of(output)}
    assert len(rows_of(output)) == 4
    for name in ("a.png", "deep/b.jpg", "deep/c.png"):
        with fetched(f"{output}/{name}") as path:
            assert path.read_bytes() == (tmp_path / "expected" / name).read_bytes()
            assert rows[name]["result_sha256"] == sha256_of(path)
        assert rows[name]["input_sha256"] == sha256_of(photos / name)
        assert (rows[name]["status"], rows[name]["attempt"], rows[name]["pixels"]) == ("done", 1, 16 * 24)
    broken = rows["broken.png"]
    assert (broken["status"], broken["attempt"]) == ("failed", 3)
    assert str(photos / "broken.png") in broken["error"]
    again, figures = run(str(photos), output)
    assert (again.rows, again.done_before, again.given_up_before, figures.done) == (0, 3, 1, 0)


def test_what_changed_and_what_failed_is_done_again(photos: Path, tmp_path: Path, run: Run) -> None:
    output = str(tmp_path / "out")
    run(str(photos), output)
    photos.joinpath("broken.png").write_bytes(photos.joinpath("a.png").read_bytes())  # another version
    os.utime(photos / "deep" / "c.png", ns=(1, 1))
    plan, figures = run(str(photos), output)
    assert (plan.rows, figures.done) == (2, 2)
    (photos / "new.png").write_bytes(b"nothing")
    run(str(photos), output)
    plan, figures = run(str(photos), output)
    assert (plan.rows, plan.given_up_before) == (0, 1)
    plan, figures = run(str(photos), output, retry_failed=True)
    assert (plan.rows, figures.failed) == (1, 1)
    plan, _ = run(str(photos), output, suffix="_large")
    assert plan.rows == 5


def test_a_result_of_other_options_does_not_count(photos: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "out"
    for scale, width in ((2, 48), (3, 72), (2, 48)):
        assert run(str(photos), str(output), scale=scale)[1].done == 3
        assert images.read_size(output / "a.png") == (width, 2 * width // 3)
    again = run(str(photos), str(output), scale=2)[0]  # the broken picture was given up at both scales
    assert (again.rows, again.done_before, again.given_up_before) == (0, 3, 1)


def test_dead_letters_of_several_runs_are_a_table(photos: Path, tmp_path: Path, run: Run) -> None:
    output = str(tmp_path / "out")
    run(str(photos), output)
    run(str(photos), output, retry_failed=True)
    letters = f"{outcomes_uri(output, 'failed')}/*.parquet"
    assert len(list(Path(outcomes_uri(output, "failed")).iterdir())) == 2
    plan, figures = run(letters, str(tmp_path / "again"))
    assert (plan.rows, figures.failed) == (1, 1)
    other = {"path": [str(photos / "a.png")], "target": ["broken.png"]}
    parquet.write_table(table(other), f"{outcomes_uri(output, 'failed')}/other.parquet")
    with pytest.raises(DataError, match=r"would both become .*/again/broken\.png"):
        run(letters, str(tmp_path / "again"))


def test_outcomes_that_are_not_whole(photos: Path, tmp_path: Path, run: Run) -> None:
    output = str(tmp_path / "out")
    run(str(photos), output)
    done = Path(outcomes_uri(output, "done"))
    (done / ".0123456789abcdef.part.parquet").write_bytes(b"PAR1")  # of a run that was killed
    assert run(str(photos), output)[0].rows == 0
    (done / "run-9.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"run-9\.parquet: cannot be read as outcomes"):
        run(str(photos), output)


def test_a_store_that_cannot_be_written_is_named(
    photos: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.put_file", denied)
    output = "memory://denied/out"
    with pytest.raises(OutputError, match=r"Cannot write memory://denied/out/_fleet/run \(Access Denied"):
        claim(output, "r")
    with pytest.raises(OutputError, match=r"/plan/r/000000\.parquet \(Access Denied"):
        make_plan(str(photos), output, "r", options=UpscaleOptions(model=nearest))


@pytest.mark.parametrize("has_room_for_outcomes", [True, False])
def test_a_full_disk_ends_the_run_and_is_no_fault_of_a_picture(
    photos: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, has_room_for_outcomes: bool
) -> None:
    photos.joinpath("broken.png").unlink()
    output, write, written_to = str(tmp_path / "out"), images.write, list[Path]()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def until_full(picture: Any, path: Path, options: Any) -> None:
        written_to.append(path)
        with monkeypatch.context() as at_the_picture:
            if len(written_to) == 2:
                (at_the_picture if has_room_for_outcomes else monkeypatch).setattr(os, "fsync", full)
            write(picture, path, options)

    monkeypatch.setattr(images, "write", until_full)
    plan, figures = run(str(photos), output, unit_rows=1)
    assert (plan.rows, figures.done, figures.failed, figures.errors) == (3, 1, 0, ())
    assert len(written_to) == 2, "tried once, and no other is begun"
    assert f"Cannot write {written_to[1]}: No space left on device." in figures.full
    assert not Path(outcomes_uri(output, "failed")).exists()
    monkeypatch.undo()
    plan, figures = run(str(photos), output)
    assert plan.done_before == has_room_for_outcomes
    assert (plan.done_before + figures.done, plan.given_up_before, figures.full) == (3, 0, "")


@pytest.mark.parametrize("is_at_the_folder", [True, False])
def test_a_full_disk_of_copies_ends_the_run(
    photos: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, is_at_the_folder: bool
) -> None:
    source, output, begun = "memory://fetched", str(tmp_path / "out"), list[str]()
    for name in ("a.png", "deep/c.png"):
        file_system(source)[0].pipe_file(f"/fetched/{Path(name).name}", (photos / name).read_bytes())

    def full(*given: Any, **_: Any) -> None:
        begun.append(str(given))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = (
        "tempfile.mkdtemp"
        if is_at_the_folder
        else "fsspec.implementations.memory.MemoryFileSystem.get_file"
    )
    monkeypatch.setattr(place, full)
    plan, figures = run(source, output, unit_rows=1)
    assert (plan.rows, figures.done, figures.failed, figures.errors) == (2, 0, 0, ())
    assert len(begun) == 1, "tried once, and no other is begun"
    assert figures.full.endswith("(TMPDIR): No space left on device.")
    monkeypatch.undo()
    plan, figures = run(source, output)
    assert (plan.given_up_before, figures.done, figures.full) == (0, 2, "")


def test_a_picture_larger_than_the_disk_of_copies_is_one_that_failed(
    photos: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, get_file = "memory://larger", MemoryFileSystem.get_file
    for name in ("a.png", "deep/c.png"):
        file_system(source)[0].pipe_file(f"/larger/{Path(name).name}", (photos / name).read_bytes())

    def full(self: Any, path: str, *given: Any, **named: Any) -> None:
        if path.endswith("c.png"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        get_file(self, path, *given, **named)

    monkeypatch.setattr(MemoryFileSystem, "get_file", full)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=100))
    output = str(tmp_path / "out")
    _, figures = run(source, output)
    assert (figures.done, figures.failed, figures.full) == (1, 1, "")
    (row,) = (row for row in rows_of(output) if row["status"] == "failed")
    assert re.search(r"^memory:///?larger/c\.png: too large for .* has 100 \(TMPDIR\)\.$", row["error"])
    assert row["seconds"] < 1, "no other attempt waits"


def test_outcomes_that_find_no_room_end_the_run(
    many: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    output, _ = many
    ledger = Ledger(output, "r")
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("escsr.fleet.ledger._SECONDS", 0.0)
    assert ledger.record(0, 0, [{"status": "done", "pixels": 1, "path": "/0.png"}]) is None
    assert ledger.open(1) is None
    assert ledger.figures().full.endswith("No space left on device.")
    monkeypatch.undo()
    assert ledger.save().done == 1
    assert [row["path"] for row in rows_of(output)] == ["/0.png"], "kept for as long as there may be room"


def test_a_table_with_options_of_rows(photos: Path, tmp_path: Path, run: Run) -> None:
    digest = sha256_of(photos / "a.png")
    rows = {
        "path": [
            str(photos / "a.png"),
            str(photos / "a.png"),
            str(photos / "deep" / "b.jpg"),
            "s3x://b/c.png",
        ],
        "target": ["one.png", "two.png", None, "four.png"],
        "sha256": [digest, "0" * 64, None, None],
        "options": [json.dumps({"scale": 3, "strip": True}), None, None, None],
    }
    parquet.write_table(table(rows), tmp_path / "t.parquet")
    output = str(tmp_path / "out")
    plan, figures = run(str(tmp_path / "t.parquet"), output)
    assert (plan.rows, figures.done, figures.failed) == (4, 2, 2)
    assert images.read_size(tmp_path / "out" / "one.png") == (72, 48)
    assert images.read_size(f"{output}{photos}/deep/b.jpg") == (48, 32)
    failed = {row["target"]: row["error"] for row in rows_of(output) if row["status"] == "failed"}
    assert "as the table says" in failed["two.png"]
    assert "s3x" in failed["four.png"]
    assert run(str(tmp_path / "t.parquet"), output)[0].rows == 0


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"path": ["/a.png"], "options": ['{"scael": 3}']}, ConfigError, "Did you mean scale"),
        (
            {"path": ["/a.png"], "options": ['{"quality": "90"}']},
            ConfigError,
            "quality should be a valid int",
        ),
        ({"path": ["/a.png"], "options": ['{"strength": "0.5"}']}, ConfigError, "strength should be"),
        ({"path": ["/a.png"], "options": ['{"model": 5}']}, ConfigError, "model should be a valid string"),
        ({"path": ["/a.png"], "options": ['{"crop": 5}']}, ConfigError, "crop should be"),
        ({"path": ["/a.png"], "options": ['{"crop": [0, 0, 8]}']}, ConfigError, "crop"),
        ({"path": ["/a.png"], "options": ['{"precision": "fp16"}']}, ConfigError, "'float16'.*not 'fp16'"),
        ({"path": ["/a.png"], "options": ['{"backend": "x"}']}, ConfigError, "backend should be 'torch'"),
        ({"path": ["/a.png"], "options": ['{"tile_size": "a"}']}, ConfigError, "tile_size should be"),
        ({"path": ["/a.png"], "options": ['{"tile_size": -3}']}, ConfigError, "multiple of 32, not -3"),
        ({"path": ["/a.png"], "options": ['{"tile_size": 40}']}, ConfigError, "multiple of 32, not 40"),
        ({"path": ["/a.png"], "options": ["scale"]}, ConfigError, "not an object of JSON"),
        ({"path": ["/a.png"], "options": ['{"scale": 0.5}']}, ConfigError, "at least 1"),
        ({"path": ["/a.png", "/a.heic"]}, DataError, "/a.png and /a.heic would both become"),
        ({"path": ["/a.png"], "target": ["_fleet/a.png"]}, OutputError, "among the outcomes"),
    ],
)
def test_tables_that_cannot_be_done(
    tmp_path: Path, columns: dict[str, list[str]], error: type[EscError], message: str
) -> None:
    parquet.write_table(table(columns), tmp_path / "t.parquet")
    with pytest.raises(error, match=message):
        make_plan(
            str(tmp_path / "t.parquet"), str(tmp_path / "out"), "r", options=UpscaleOptions(), format="png"
        )


def test_a_model_is_read_once_however_options_of_rows_differ(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def digest(path: Path) -> str:
        read.append(path)
        return sha256_of(path)

    monkeypatch.setattr("escsr.fleet.row_options.sha256_of", digest)
    own = [f'{{"longest": {100 + number}}}' for number in range(20)]
    paths = [f"/{number}.png" for number in range(20)]
    parquet.write_table(table({"path": paths, "options": own}), tmp_path / "t.parquet")
    given = (str(tmp_path / "t.parquet"), str(tmp_path / "out"))
    check_inputs(*given, options=UpscaleOptions(model=nearest), format=None, suffix=None)
    assert read == [nearest]
    assert make_plan(*given, "r", options=UpscaleOptions(model=nearest)).rows == 20
    assert read == [nearest] * 2


def test_tiles_of_a_run_are_checked_before_it(photos: Path, tmp_path: Path, nearest: Path) -> None:
    def check(tile_size: int) -> None:
        options = UpscaleOptions(model=nearest, tile_size=tile_size)
        check_inputs(str(photos), str(tmp_path / "out"), options=options, format=None, suffix=None)

    check(64)
    with pytest.raises(ConfigError, match="tile_size must be a positive multiple of 8, not 33"):
        check(33)


def test_a_crop_may_be_a_list(nearest: Path) -> None:
    options = UpscaleOptions(model=nearest)
    of_list, of_text = (setting_of(options, f'{{"crop": {crop}}}') for crop in ("[0,0,8,8]", '"0,0,8,8"'))
    assert of_list[1:] == of_text[1:]
    assert hash(of_list.options)  # models of rows are kept by it


def test_a_crop_is_part_of_what_counts_as_done(nearest: Path) -> None:
    def digest(**settings: Any) -> str:
        return setting_of(UpscaleOptions(model=nearest, **settings), "").settings_sha256

    assert len({digest(), digest(crop="0,0,4,4"), digest(crop="0,0,4,5"), digest(scale=2)}) == 4
    assert digest(crop="0,0,4,4") == digest(crop=" 0, 0, 4, 4") == digest(crop=(0, 0, 4, 4))


def test_inputs_are_not_replaced_and_results_are_no_inputs(photos: Path, run: Run) -> None:
    for output in (photos, photos.parent):
        with pytest.raises(OutputError, match="holds the pictures themselves"):
            run(str(photos), str(output))
    parquet.write_table(table({"path": [str(photos / "a.png")], "target": ["a.png"]}), photos / "t.parquet")
    with pytest.raises(OutputError, match=r"a\.png: a result would replace it"):
        run(f"{photos}/*.parquet", str(photos))
    assert run(str(photos), str(photos / "large"))[0].rows == 4
    assert run(str(photos), str(photos / "large"))[0].rows == 0


def test_a_picture_that_is_removed_while_they_are_listed_is_passed_over(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [photos / "gone.png", photos / "a.png"]
    monkeypatch.setattr(images, "iter_images", lambda _: iter(listed))
    (found,) = find_inputs(str(photos), str(tmp_path / "out"), format=None, suffix=None)
    assert [each.target for each in found] == ["a.png"]


def test_links_to_folders_hide_nothing(photos: Path, tmp_path: Path, run: Run) -> None:
    link = tmp_path / "link"
    link.symlink_to(photos)
    for source, output in ((link, photos), (photos, link)):
        with pytest.raises(OutputError, match="holds the pictures themselves"):
            run(str(source), str(output))
    parquet.write_table(
        table({"path": [str(photos / "a.png")], "target": ["a.png"]}), tmp_path / "t.parquet"
    )
    with pytest.raises(OutputError, match=r"a\.png: a result would replace it"):
        run(str(tmp_path / "t.parquet"), str(link))
    assert run(str(link), str(photos / "large"))[0].rows == 4
    again = run(str(photos), str(link / "large"))[0]
    assert again.rows + again.done_before + again.given_up_before == 4, "results are no inputs"


def test_patterns_and_places(photos: Path, tmp_path: Path) -> None:
    def found(source: str) -> set[tuple[str, str]]:
        pages = find_inputs(source, str(tmp_path / "out"), format=None, suffix=None)
        return {(each.path, each.target) for page in pages for each in page}

    assert found(f"{photos}/**/*.png") == {
        (str(photos / name), name) for name in ("a.png", "broken.png", "deep/c.png")
    }
    assert found(str(photos / "a.png")) == {(str(photos / "a.png"), "a.png")}
    with pytest.raises(DataError, match="no such folder"):
        found(str(photos / "nothing"))
    for name in ("a.png", "deep/b.jpg", "deep/.c.png", ".d/e.png", "f.txt"):
        with written(f"memory://places/{name}") as path:
            path.write_bytes(b"1")
    expected = {("memory:///places/a.png", "a.png"), ("memory:///places/deep/b.jpg", "deep/b.jpg")}
    assert found("memory://places") == expected
    assert found("memory://places/deep/*.jpg") == {("memory:///places/deep/b.jpg", "b.jpg")}


class Killed(BaseException):
    """What no attempt at a picture can catch."""


@pytest.fixture
def many(tmp_path: Path) -> tuple[str, int]:
    """A plan of ten rows, one of which kills its worker."""
    names = [f"/{index}.png" for index in range(10)]
    parquet.write_table(table({"path": names}), tmp_path / "t.parquet")
    output = str(tmp_path / "out")
    claim(output, "r")
    plan = make_plan(str(tmp_path / "t.parquet"), output, "r", options=UpscaleOptions())
    return output, plan.rows


def work(row: Row) -> Row:
    """Quick, but for the one that kills."""
    if row["path"] == "/6.png":
        raise Killed
    told = {name: row[name] for name in ("path", "target", "key")}
    return {**told, "status": "done", "pixels": 1, "error": None}


def worker_of(output: str, rows: int, ledger: Any) -> Worker:
    return Worker(output, "r", ledger, unit_rows=10, rows=rows, work=lambda: work)


def test_what_kills_its_workers_is_given_up(many: tuple[str, int]) -> None:
    output, rows = many
    ledger = Ledger(output, "r")
    deaths = 0
    while True:
        try:
            worker_of(output, rows, lambda method, *given: getattr(ledger, method)(*given)).do(0)
            break
        except Killed:
            deaths += 1
            assert deaths <= DEADLY + 1
    assert deaths >= DEADLY
    ledger.save()
    found = rows_of(output)
    assert sorted(row["path"] for row in found) == sorted(f"/{index}.png" for index in range(10))
    assert [row["path"] for row in found if row["status"] == "failed"] == ["/6.png"]


def test_a_ledger_that_was_lost_goes_on_from_its_files(
    many: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first saves four rows and loses two more; its worker ends in the middle, another comes."""
    output, rows = many
    monkeypatch.setattr("escsr.fleet.worker._REPORT_SECONDS", 0.0)
    ledgers = [Ledger(output, "r")]
    reports = []

    def call(method: str, *given: Any) -> Any:
        if method == "record":
            reports.append(given)
            if len(reports) == 5:
                ledgers[-1].save()
        return getattr(ledgers[-1], method)(*given)

    with pytest.raises(Killed):
        worker_of(output, rows, call).do(0)
    ledgers.append(Ledger(output, "r"))
    assert ledgers[-1].open(0) == (4, 0)
    assert (ledgers[-1].figures().done, ledgers[-1].figures().pixels) == (4, 4)
    told = ledgers[-1].record(0, 6, [{"status": "done", "pixels": 1, "key": b"x" * 16}])
    assert told == 4, "a report that begins behind a gap is asked for again"
    while True:
        try:
            worker_of(output, rows, call).do(0)
            break
        except Killed:
            continue
    figures = ledgers[-1].end()
    assert figures.done + figures.failed == rows == 10, "nothing counts as left"
    paths = sorted(row["path"] for row in rows_of(output))
    assert paths == sorted(f"/{index}.png" for index in range(10))


@pytest.mark.parametrize("answers_again", [True, False])
def test_a_store_that_does_not_answer_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, answers_again: bool
) -> None:
    output, asked = f"memory://silent/{answers_again}", list[str]()
    claim(output, "r")
    ledger = Ledger(output, "r")

    def silent(_: object, path: str, *__: object, **___: object) -> None:
        asked.append(path)
        raise ConnectionError("no answer")

    with monkeypatch.context() as outage:
        outage.setattr("escsr.fleet.ledger._SECONDS", 0.0)
        outage.setattr("fsspec.implementations.memory.MemoryFileSystem.put_file", silent)
        row = {"status": "done", "pixels": 1, "path": "/0.png"}
        assert ledger.record(0, 0, [dict(row)]) == 1
        assert ledger.record(0, 1, [{**row, "path": "/1.png"}]) == 2
        assert len(asked) == 2
        if not answers_again:
            with pytest.raises(OSError, match="no answer"):
                ledger.end()
            assert len(asked) == 12
            return
    assert ledger.end().done == 2
    assert [row["path"] for row in rows_of(output)] == ["/0.png", "/1.png"]


def test_a_ledger_that_was_lost_takes_the_end_of_a_unit(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "r")
    ledger.close(3)
    assert ledger.open(3) == (0, 0)


def test_a_worker_that_cannot_begin_ends_the_run(many: tuple[str, int]) -> None:
    output, rows = many
    ledger = Ledger(output, "r")

    def no_model() -> Any:
        raise ModelNotFoundError("another model")

    def call(method: str, *given: Any) -> Any:
        return getattr(ledger, method)(*given)

    Worker(output, "r", call, unit_rows=10, rows=rows, work=no_model).do(0)
    assert ledger.save().fault.endswith(": another model")
    assert ledger.figures().done == 0


def test_a_run_that_is_stopped_begins_nothing(many: tuple[str, int]) -> None:
    output, rows = many
    ledger = Ledger(output, "r")
    ledger.figures(True)
    worker_of(output, rows, lambda method, *given: getattr(ledger, method)(*given)).do(0)
    assert ledger.save().done == 0


def test_a_run_that_another_has_replaced_writes_nothing(many: tuple[str, int]) -> None:
    output, _ = many
    ledger = Ledger(output, "r")
    claim(output, "another")
    ledger.record(0, 0, [{"status": "done", "pixels": 1, "path": "/0.png"}])
    assert ledger.save().superseded
    assert ledger.record(0, 1, []) is None
    assert ledger.open(1) is None
    assert not Path(outcomes_uri(output)).exists()
