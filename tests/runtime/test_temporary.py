"""Maps in a file are to take no memory: not in a temporary folder that is in memory itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from escsr.errors import DeviceError
from escsr.runtime import temporary
from escsr.runtime.temporary import disk_folder, is_in_memory
from escsr.streaming import Span
from escsr.streaming import feature_store as stores
from escsr.streaming.feature_store import FeatureStore

Mount = Callable[..., None]


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """A system with a temporary folder and another, each of which is in memory or on a disk."""
    for name in ("tmp", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(temporary, "_ON_DISK", tmp_path / "other")

    def mount(**kinds: str) -> None:
        root = [SimpleNamespace(mountpoint="/", fstype="ext4")]
        found = [SimpleNamespace(mountpoint=str(tmp_path / at), fstype=kind) for at, kind in kinds.items()]
        monkeypatch.setattr("psutil.disk_partitions", lambda **_: root + found)

    return mount


@pytest.mark.parametrize(
    ("tmp", "other", "name"),
    [
        ("ext4", "ext4", "tmp"),
        ("tmpfs", "ext4", "other"),
        ("tmpfs", "tmpfs", "tmp"),
        ("ramfs", "xfs", "other"),
    ],
)
def test_a_folder_on_a_disk(mount: Mount, tmp: str, other: str, name: str) -> None:
    mount(tmp=tmp, other=other)
    assert disk_folder().name == name
    assert FeatureStore((4, 4), storage="file").folder == disk_folder()


def test_folders_below_and_not_there(mount: Mount, tmp_path: Path) -> None:
    mount(tmp="tmpfs", other="ext4")
    assert is_in_memory(tmp_path / "tmp" / "deep")
    assert not is_in_memory(tmp_path)
    (tmp_path / "other").rmdir()
    assert disk_folder().name == "tmp"


def test_no_room_in_memory_is_said(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    mount(tmp="tmpfs", other="tmpfs")
    monkeypatch.setattr(stores, "_reserve", full)
    store = FeatureStore((4, 4), storage="file")
    with pytest.raises(
        DeviceError, match=r"tmp, which is in memory, for a feature map.*TMPDIR names another"
    ):
        store.put("x", (Span(0, 4), Span(0, 4)), torch.zeros(1, 1, 4, 4))
