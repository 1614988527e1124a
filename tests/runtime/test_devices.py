"""Devices: chosen by name, by PyTorch's own object, or by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from escsr.errors import DeviceError
from escsr.runtime import devices
from escsr.runtime.devices import choose_device, device_name, free_host_memory


def test_a_device_is_taken_as_it_is() -> None:
    assert choose_device(torch.device("cpu")) == torch.device("cpu")
    assert choose_device(None) == choose_device("auto") == choose_device()


@pytest.mark.parametrize("device", ["warp", "", "cuda:x", "cpu:" + "9" * 5000, torch.device("vulkan"), 1.5])
def test_devices_that_are_not_here_are_named(device: object) -> None:
    with pytest.raises(DeviceError, match="cpu"):
        choose_device(device)  # type: ignore[arg-type]


def test_the_cpu_has_a_name() -> None:
    assert device_name(torch.device("cpu"))


MIB = 2**20


def control_group(folder: Path, *, limit: str, used: int, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {MIB}\n")


@pytest.mark.parametrize(
    ("version", "line", "top"),
    [
        (2, "0::/system.slice/slurm/job_7", "sys/fs/cgroup"),
        (1, "4:cpu,memory:/system.slice/slurm/job_7", "sys/fs/cgroup/memory"),
    ],
)
@pytest.mark.parametrize(
    "limits",
    [
        {"": "max", "system.slice": "max", "system.slice/slurm/job_7": str(9 * MIB)},
        {"": "max", "system.slice": str(9 * MIB), "system.slice/slurm/job_7": str(80 * MIB)},
        {"": str(9 * MIB)},  # of a container, whose other folders are the host's
    ],
)
def test_free_memory_is_what_control_groups_allow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    line: str,
    top: str,
    limits: dict[str, str],
) -> None:
    monkeypatch.setattr(devices, "_ROOT", tmp_path)
    unlimited = free_host_memory()
    assert unlimited > 80 * MIB
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"12:cpuset:/\n{line}\n1:name=systemd:/a:b\n")
    for group, limit in limits.items():
        written = str(2**63 - 4096) if (version, limit) == (1, "max") else limit
        control_group(tmp_path / top / group, limit=written, used=4 * MIB, version=version)
    assert free_host_memory() == 6 * MIB, "9 less 4 in use, of which the system can take back 1"


def test_free_memory_without_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_ROOT", tmp_path)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    for text in ("", "torn", "0::/../..\n"):
        (tmp_path / "proc" / "self" / "cgroup").write_text(text)
        assert free_host_memory() > 0
