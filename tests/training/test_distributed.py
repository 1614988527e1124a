"""Two processes give what one gives."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import GAN, REAL, TINY, tiny_arguments, write_pictures
from torch import distributed

from escsr.errors import ConfigError
from escsr.training.distributed import Distributed, _settings, join_process_group
from escsr.training.objective_table import sampler_for
from escsr.training.recipes import recipe
from escsr.training.trainer import Trainer
from escsr.training.validation import Validation
from samples import ROOT, small_network

SCRIPT = """
import json, sys, torch
from pathlib import Path
from escsr.training.distributed import join_process_group
from escsr.training.recipes import recipe
from escsr.training.validation import Validation
sys.path.insert(0, sys.argv[3])
from samples import small_network

torch.set_num_threads(1)
with join_process_group("cpu") as distributed:
    with distributed.patiently():
        Path(sys.argv[2], f"{distributed.rank} was here").touch()
    assert len(list(Path(sys.argv[2]).glob("* was here"))) == 2
    figures = Validation(recipe("esc-x2"), {"own": Path(sys.argv[1])}).measure(
        small_network("esc"), distributed)
    first = distributed.broadcast(f"from {distributed.rank}")
    tensors = [torch.full((2, 3), float(distributed.rank + 1)), torch.arange(4.0)[::2]]
    distributed.all_reduce(tensors)
    result = dict(figures=figures, first=first, sums=[t.tolist() for t in tensors])
    Path(sys.argv[2], f"{distributed.rank}.json").write_text(json.dumps(result))
"""


def torchrun(*arguments: str) -> str:
    """Runs a script in two processes, which must succeed; what they printed."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launcher, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "hr")


@pytest.mark.slow
def test_validation_is_shared_with_equal_figures(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun(str(tmp_path / "script.py"), str(folder), str(tmp_path), str(ROOT / "tests"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the script: sums of two threads differ in the last bits
    alone = Validation(recipe("esc-x2"), {"own": folder}).measure(small_network("esc"))
    torch.set_num_threads(threads)
    for rank in (0, 1):
        result = json.loads((tmp_path / f"{rank}.json").read_text())
        assert result["figures"] == pytest.approx(alone, abs=1e-9)
        assert result["first"] == "from 0"
        assert result["sums"] == [[[3.0] * 3] * 2, [0.0, 4.0]]


@pytest.mark.slow
def test_two_processes_train_what_one_does(folder: Path, tmp_path: Path) -> None:
    """Sums in another order: after six steps of AdamW the weights agree to 2e-5."""
    settings = [*TINY, "iterations=6", "precision=float32", "optimizer=adamw"]
    runs = tmp_path / "one", tmp_path / "two"
    subprocess.run(
        [sys.executable, "-m", "escsr", *tiny_arguments(folder, runs[0], settings)],
        check=True,
        capture_output=True,
    )
    torchrun("-m", "escsr", *tiny_arguments(folder, runs[1], settings))
    one, two = (load_file(run / "iter_0000006.safetensors") for run in runs)
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=2e-5, rtol=1e-4, msg=key)
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in runs]
    assert [line["iteration"] for line in logs[0]] == [line["iteration"] for line in logs[1]] == [4, 6]
    assert logs[1][-1]["loss"] == pytest.approx(logs[0][-1]["loss"], rel=1e-5)
    assert logs[1][-1]["validation"] == pytest.approx(logs[0][-1]["validation"], abs=1e-3)


@pytest.mark.slow
def test_two_processes_train_two_networks_as_one_does(folder: Path, tmp_path: Path) -> None:
    """Generator, discriminator and the vectors of its spectral norm."""
    settings = [*GAN, "iterations=4", "validate_every=4", "objective.colour=0.5"]
    command = ["train", "--recipe", "esc-real-light-gan-x2", "--device", "cpu", "--data", str(folder)]
    command += [part for setting in settings for part in ("--set", setting)]
    first = recipe("esc-real-light-x2").with_settings([*REAL, "start=none", "iterations=1"])
    Trainer(first, sampler_for(first, folder), tmp_path / "start").train()
    # torchrun takes --start for its own --start-method
    command += ["--set", f"start={tmp_path / 'start' / 'best.safetensors'}", "--output"]
    runs = tmp_path / "one", tmp_path / "two"
    alone = [sys.executable, "-m", "escsr", *command, str(runs[0])]
    subprocess.run(alone, check=True, capture_output=True)
    torchrun("-m", "escsr", *command, str(runs[1]))
    one, two = (load_file(run / "iter_0000004.safetensors") for run in runs)
    assert one.keys() == two.keys()
    assert "training.module.discriminator.down.0.u" in one
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-4, rtol=1e-3, msg=key)


PLACE = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}

THREADS = """
import sys, torch
from pathlib import Path
from escsr.training.distributed import join_process_group

with join_process_group("cpu") as distributed:
    with distributed.patiently():
        pass
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])  # imports what would keep the group
    weight.grad = torch.ones(3)
    distributed.all_reduce([weight.grad])
    optimizer.step()
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
left = [name for name in names if "gloo" in name]
sys.stdout.write(f"threads left: {left}\\n")  # one write a process, so that lines stay whole
"""


REFUSAL = """
import sys
from escsr.errors import ConfigError, EscError
from escsr.training.distributed import join_process_group

try:
    with join_process_group("cpu") as distributed:
        with distributed.patiently():
            if distributed.rank == 1:
                raise ConfigError("no such folder")
        distributed.broadcast("never")
except EscError as error:
    sys.stdout.write(f"{type(error).__name__}: {error}\\n")
"""


@pytest.mark.slow
def test_what_one_process_refuses_ends_the_others_at_once(tmp_path: Path) -> None:
    """On machines that SLURM started they would wait for it for half an hour."""
    (tmp_path / "script.py").write_text(REFUSAL)
    told = sorted(torchrun(str(tmp_path / "script.py")).splitlines())
    assert told[0] == "ConfigError: no such folder"
    assert told[1].startswith("EscError: Another process cannot go on, ")
    assert told[1].endswith(": no such folder")


@pytest.mark.skipif(sys.platform != "linux", reason="lists its threads by /proc")
@pytest.mark.slow
def test_no_thread_of_the_group_outlives_it(tmp_path: Path) -> None:
    """One that did, and wanted the GIL while Python ended, aborted a finished training."""
    (tmp_path / "script.py").write_text(THREADS)
    assert torchrun(str(tmp_path / "script.py")).splitlines().count("threads left: []") == 2


def test_places_from_the_environment() -> None:
    assert _settings({})["WORLD_SIZE"] == "1"
    assert _settings({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})["WORLD_SIZE"] == "1", "a batch script"
    slurm = {
        "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_PROCID": "5",
        "SLURM_LOCALID": "1",
        "SLURM_JOB_ID": "123456",
        "SLURM_STEP_NODELIST": "gpu[003-004,9],other",
    }
    result = _settings(slurm)
    assert (result["RANK"], result["WORLD_SIZE"], result["LOCAL_RANK"]) == ("5", "8", "1")
    assert (result["MASTER_ADDR"], result["MASTER_PORT"]) == ("gpu003", "29956")
    assert _settings({**slurm, "SLURM_STEP_NODELIST": "a1,a2"})["MASTER_ADDR"] == "a1"
    assert "LOCAL_WORLD_SIZE" not in result
    for tasks, counts in (("4(x2)", [4, 4]), ("2,3(x2)", [2, 3, 3]), ("8", [8]), ("1(x2),4", [1, 1, 4])):
        for node, count in enumerate(counts):
            here = {"SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_NODEID": str(node)}
            assert _settings({**slurm, **here})["LOCAL_WORLD_SIZE"] == str(count)
    with pytest.raises(ConfigError, match="MASTER_ADDR"):
        _settings({"RANK": "0", "WORLD_SIZE": "2"})


def test_processes_wait_hours_only_where_one_may_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the fingerprint of a large set, which the first one takes alone; else one may be lost."""
    done: list[Any] = []
    monkeypatch.setattr(distributed, "init_process_group", lambda _, **options: done.append(options))
    monkeypatch.setattr(distributed, "new_group", lambda **options: options["timeout"])
    for name in ("all_gather_object", "barrier", "destroy_process_group"):
        monkeypatch.setattr(distributed, name, lambda *given, name=name: done.append((name, *given[-1:])))
    with join_process_group("cpu", PLACE) as place:
        assert (place.rank, place.world_size) == (1, 2)
        assert "timeout" not in done.pop()
        with place.patiently():
            assert not done
        (_, waited), destroyed = done
        assert waited >= timedelta(hours=1)
        assert destroyed == ("destroy_process_group", waited)


@pytest.mark.parametrize("left_out", [None, "LOCAL_WORLD_SIZE"])
def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch, left_out: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    environment = {name: value for name, value in PLACE.items() if name != left_out}
    with (
        pytest.raises(ConfigError, match=r"2 processes .* 1 GPU, .* --nproc-per-node 1"),
        join_process_group("cuda", environment),
    ):
        pass


@pytest.mark.parametrize("rank", range(4))
def test_more_processes_of_slurm_than_gpus(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """All of them refuse, those too for which there is a GPU: they would wait for the others."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    environment = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_STEP_NODELIST": "gpu1",
        "SLURM_STEP_TASKS_PER_NODE": "4",
    }
    with (
        pytest.raises(ConfigError, match="4 processes on this machine and 2 GPUs"),
        join_process_group("cuda", environment),
    ):
        pass


def test_one_alone_needs_nobody() -> None:
    alone, tensor = Distributed(), torch.ones(3)
    alone.all_reduce([tensor])
    assert torch.equal(tensor, torch.ones(3))
    assert alone.gather([1, 2]) == [1, 2]
    assert alone.broadcast("this") == "this"
    assert alone.is_first
