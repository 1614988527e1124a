"""Which files become which."""

from __future__ import annotations

from pathlib import Path

import pytest

from escsr.batch import plan
from escsr.batch.manifest import Manifest
from escsr.errors import ConfigError, DataError, NoImagesError, OutputError
from escsr.upscaling.target_size import TargetSize

TWICE = TargetSize(scale=2)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a.png", "x/a.png", "y/a.png", "y/b.gif", "y/[c].png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def targets(folder: Path, inputs: list[str], output: str | None = None, **options: str) -> list[str]:
    jobs = plan(
        [folder / i for i in inputs],
        output and f"{folder}/{output}",
        size=TWICE,
        **options,
    )
    return [str(job.target.relative_to(folder)) for job in jobs]


def test_names(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert targets(files, ["a.png"]) == ["a_x2.png"]
    assert targets(files, ["a.png"], "b.jpg") == ["b.jpg"]
    assert targets(files, ["a.png"], "new/") == ["new/a.png"]
    assert targets(files, ["a.png"], "x") == ["x/a.png"]
    assert targets(files, ["x"]) == ["x_x2/a.png"]
    assert targets(files, ["x", "a.png"]) == ["x_x2/a.png", "a_x2.png"]
    assert targets(files, ["y"], "out", format=".webp") == [
        "out/[c].webp",
        "out/a.webp",
        "out/b.webp",
    ]
    assert targets(files, ["a.png"], format=".jpg") == ["a_x2.jpg"]
    monkeypatch.chdir(files / "x")
    assert [job.target for job in plan(["."], size=TWICE)] == [files / "x_x2" / "a.png"]


def test_patterns(files: Path) -> None:
    assert targets(files, ["y/*.png"]) == ["y/[c]_x2.png", "y/a_x2.png"]
    assert targets(files, ["y/[c].png"]) == ["y/[c]_x2.png"], "a file of that name is meant"
    assert targets(files, ["**/b.*"]) == ["y/b_x2.gif"]
    with pytest.raises(NoImagesError, match="no picture matches"):
        targets(files, ["y/*.tif"])


def test_parts_are_the_whole(files: Path) -> None:
    whole = targets(files, ["y", "x", "a.png"])
    parts = [targets(files, ["y", "x", "a.png"], shard=f"{part}/3") for part in (1, 2, 3)]
    assert sorted(target for part in parts for target in part) == sorted(whole)
    assert {len(part) for part in parts} == {1, 2}
    assert targets(files, ["a.png"], shard="2/2") == []
    for shard in ("0/2", "3/2", "2", "a/b", "1/" + "9" * 5000):
        with pytest.raises(ConfigError, match="PART/PARTS"):
            targets(files, ["a.png"], shard=shard)


def test_collisions_are_found_before_the_work(files: Path) -> None:
    with pytest.raises(OutputError, match=r"would both become .*out/a\.png"):
        targets(files, ["x/a.png", "y/a.png"], "out")
    (files / "x" / "a.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match="would both become"):
        targets(files, ["x"], "out", format=".webp")
    with pytest.raises(OutputError, match="is an input"):
        targets(files, ["x/a.png", "y/b.gif"], "x")


def test_mistakes(files: Path) -> None:
    with pytest.raises(ConfigError, match="Nothing to upscale"):
        targets(files, [])
    (files / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        targets(files, ["empty"])
    with pytest.raises(OutputError, match=r"^format must be one of \.png, "):
        targets(files, ["y"], format=".xyz")
    with pytest.raises(OutputError, match=r"a\.png is a file"):
        targets(files, ["y/a.png"], "a.png/deeper/b.png")
    closed = files / "closed"
    closed.mkdir(mode=0o500)
    try:
        (closed / "probe").touch()
    except OSError:
        with pytest.raises(OutputError, match="no permission for"):
            targets(files, ["a.png"], "closed/deep/b.png")


def test_results_among_the_pictures_are_no_inputs_of_a_second_run(files: Path) -> None:
    (files / "x" / "large").mkdir()
    for name in ("x/large/a.png", "y/a_big.png"):
        (files / name).write_bytes(b"")
    for folder, output, options in (("x", "x/large", {}), ("y", "y", {"suffix": "_big"})):
        said = r"is an input; if it is the result of .*a\.png from an earlier run, delete it"
        with pytest.raises(OutputError, match=said):  # it may be a picture of the user's
            targets(files, [folder], output, **options)
    for name in ("x/large/a.png", "y/a_big.png"):
        Manifest().add(files / name, "key")
    assert targets(files, ["x"], "x/large") == ["x/large/a.png"]
    assert targets(files, ["y"], "y", suffix="_big") == ["y/[c]_big.png", "y/a_big.png", "y/b_big.gif"]
    assert targets(files, ["x/large"], "out") == ["out/a.png"], "results can be upscaled again"


def test_results_inside_a_folder_of_pictures_are_never_inputs(files: Path) -> None:
    """Also where they are called otherwise now, or their pictures are gone."""
    for name in ("x/large/a.png", "x/large/deep/gone.png", "x/large/mine.png"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_bytes(b"")
    for name in ("x/large/a.png", "x/large/deep/gone.png"):
        Manifest().add(files / name, "key")
    found = targets(files, ["x"], "x/large", format="jpg")
    assert found == ["x/large/a.jpg", "x/large/large/mine.jpg"]
    again = targets(files, ["x/large"], "x/large", suffix="_2")
    assert again == ["x/large/a_2.png", "x/large/deep/gone_2.png", "x/large/mine_2.png"], "as asked for"
    (files / "x" / "large" / "mine.png").unlink()
    (files / "x" / "a.png").unlink()
    with pytest.raises(NoImagesError, match="no pictures in it but the results of earlier runs"):
        targets(files, ["x"], "x/large")


def test_an_output_that_is_misread(files: Path) -> None:
    with pytest.raises(OutputError, match=r"out\.png is named as one picture; several require a folder"):
        targets(files, ["x/a.png", "y/b.gif"], "out.png")
    assert targets(files, ["y"], "out.png/") == ["out.png/[c].png", "out.png/a.png", "out.png/b.gif"]
    with pytest.raises(ConfigError, match=r"out\.png is no \.jpg file"):
        targets(files, ["a.png"], "out.png", format="jpg")
    assert targets(files, ["a.png"], "out.jpeg", format="jpg") == ["out.jpeg"]
    with pytest.raises(OutputError, match=r"it has no ending, .*; for a folder of this name end it with /"):
        targets(files, ["a.png"], "out")
