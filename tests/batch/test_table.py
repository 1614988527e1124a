"""Tables of pictures: what their columns mean, and batches that take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from escsr import batch
from escsr.batch.jobs import plan, result_name
from escsr.batch.table import name_below, read_rows
from escsr.errors import ConfigError, DataError, NoImagesError
from escsr.files import sha256_of
from escsr.upscaling.target_size import TargetSize
from samples import EXAMPLES

pa = pytest.importorskip("pyarrow", reason="requires the extra fleet")
SIZE = TargetSize(scale=2)


def table(file: Path, **columns: list[Any]) -> Path:
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), file)
    return file


def test_columns(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet",
        path=["/a/b.png", "s3://bucket/c.jpg", "d.png"],
        target=[None, "x/./c.png", None],
        sha256=["AB", None, None],
        options=[{"scale": 4.0, "width": None}, None, {"scale": None, "width": None}],
        caption=["one", "two", "three"],
    )
    (rows,) = read_rows([path])
    assert rows[0] == ("/a/b.png", "", "ab", json.dumps({"scale": 4.0}))
    assert rows[1] == ("s3://bucket/c.jpg", "x/c.png", "", "")
    assert rows[2].path == str(Path.cwd() / "d.png")
    assert rows[2].options == ""


def test_files_of_a_folder_have_columns_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "t.parquet"
    folder.mkdir()
    table(folder / "1.parquet", path=["/a.png"])
    table(folder / "2.parquet", path=["/b.png"], target=["c.png"], options=['{"scale": 3}'])
    table(folder / "3.parquet", options=[{"scale": 4}], sha256=["AB"], path=["/d.png"])
    rows = [row for page in read_rows([folder]) for row in page]
    assert rows == [
        ("/a.png", "", "", ""),
        ("/b.png", "c.png", "", '{"scale": 3}'),
        ("/d.png", "", "ab", '{"scale": 4}'),
    ]
    table(folder / "4.parquet", paths=["/e.png"])
    with pytest.raises(DataError, match=r"4\.parquet: has no column path"):
        list(read_rows([folder]))


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"paths": ["a"]}, DataError, "no column path"),
        ({"path": [""]}, DataError, "is no path"),
        ({"path": [3]}, DataError, "is no path"),
        ({"path": ["a"], "target": ["../a.png"]}, ConfigError, "within the output"),
        ({"path": ["a"], "target": ["/a.png"]}, ConfigError, "within the output"),
        ({"path": ["a"], "target": [3]}, DataError, "target 3 is no text"),
        ({"path": ["a"], "sha256": [3]}, DataError, "sha256 3 is no text"),
        ({"path": ["a"], "options": [3]}, DataError, "options 3 are neither JSON nor a struct"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, columns: dict[str, list[Any]], error: type[Exception], message: str
) -> None:
    path = table(tmp_path / "t.parquet", **columns)
    with pytest.raises(error, match=message):
        list(read_rows([path]))
    (tmp_path / "no.parquet").write_text("no table")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_rows([tmp_path / "no.parquet"]))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/a.png", "data/a.png"),
        ("s3://bucket/a/b.png", "bucket/a/b.png"),
        ("https://host:80/a/b.png?size=1#x", "host:80/a/b.png"),
        ("gs://bucket//a/../b.png", "bucket/b.png"),
    ],
)
def test_names_within_the_output(path: str, name: str) -> None:
    assert name_below(path) == name


def test_names_of_results() -> None:
    assert result_name("a/b.JPG", format=None, suffix=None) == "a/b.JPG"
    assert result_name("a.b/c", format=None, suffix=None) == "a.b/c.png"
    assert result_name("a/b.c.dng", format=".webp", suffix="_x") == "a/b.c_x.webp"


def test_a_table_is_shared_among_machines(tmp_path: Path, nearest: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes((EXAMPLES / "flowers.png").read_bytes())
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    path = table(tmp_path / "t.parquet", path=paths, target=["one.webp", None, None])
    parts = [plan([path], tmp_path / "out", size=SIZE, shard=f"{part}/2") for part in (1, 2)]
    assert [len(jobs) for jobs in parts] == [2, 1]
    inner = str(tmp_path).lstrip("/")
    targets = [str(job.target.relative_to(tmp_path / "out")) for jobs in parts for job in jobs]
    assert targets == ["one.webp", f"{inner}/c.png", f"{inner}/b.png"]
    assert [job.target.name for job in plan([path], size=SIZE)] == ["a_x2.png", "b_x2.png", "c_x2.png"]
    (outcome,) = batch.upscale(path, tmp_path / "out", shard="2/2", model=nearest, device="cpu")
    assert outcome.status == "done"
    assert (tmp_path / "out" / inner / "b.png").is_file()


def test_the_digest_of_a_table_is_checked(tmp_path: Path, nearest: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes((EXAMPLES / "flowers.png").read_bytes())
    digest = sha256_of(tmp_path / "a.png")
    path = table(
        tmp_path / "t.parquet",
        path=[str(tmp_path / "a.png"), str(tmp_path / "b.png")],
        target=["a.png", "b.png"],
        sha256=[digest.upper(), "0" * 64],
    )
    good, bad = batch.upscale(path, tmp_path / "out", model=nearest, device="cpu")
    assert (good.status, bad.status) == ("done", "failed")
    assert str(bad.error) == f"{tmp_path}/b.png: has the digest {digest}, not {'0' * 64} as the table says."
    assert not (tmp_path / "out" / "b.png").exists()


def test_an_empty_table_holds_no_pictures(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", path=pa.array([], pa.string()))
    with pytest.raises(NoImagesError, match="no pictures in this table"):
        plan([path], size=SIZE)


@pytest.mark.parametrize(
    "columns", [{"path": ["s3://a/b.png"]}, {"path": ["b"], "options": ['{"scale": 3}']}]
)
def test_what_only_a_fleet_does(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError, match="use escsr fleet"):
        plan([table(tmp_path / "t.parquet", **columns)], tmp_path / "out", size=SIZE)
