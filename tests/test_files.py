from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from escsr.errors import OutputError
from escsr.files import atomic_path, check_not_source, check_writable


def test_appears_whole_with_ordinary_permissions(tmp_path: Path) -> None:
    target, plain = tmp_path / "deep" / "a.txt", tmp_path / "plain.txt"
    plain.write_text("x")
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o640)
    with atomic_path(target) as temporary:
        temporary.write_text("newer")
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write to"), atomic_path(tmp_path / "file" / "a"):
        pass
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OutputError, match="Cannot write"), atomic_path(tmp_path / "folder") as temporary:
        temporary.write_text("a file cannot replace a folder")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_name_that_is_too_long_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / f"{'a' * 300}.png"
    check_not_source(target, tmp_path)
    with pytest.raises(OutputError, match="File name too long"):
        check_writable(target)
    with pytest.raises(OutputError, match="File name too long"), atomic_path(target):
        pass
    assert not list(tmp_path.iterdir())


def test_a_link_stays_and_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real")
    with atomic_path(tmp_path / "link") as temporary:
        assert temporary.parent == tmp_path / "deep"
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "deep" / "real").read_text() == "new"
    (tmp_path / "round").symlink_to(tmp_path / "round")
    os.mkfifo(tmp_path / "pipe")
    for name in ("round", "pipe"):
        with pytest.raises(OutputError, match="no ordinary file"), atomic_path(tmp_path / name):
            pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
