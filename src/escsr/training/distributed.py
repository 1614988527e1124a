"""Several processes that train one network together, each on its shard of every batch."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, distributed

from escsr.errors import ConfigError, EscError

__all__ = ["Distributed", "join_process_group"]

_PORT = 29500

_TIMEOUT = timedelta(hours=6)
"""How long processes wait for each other while pictures are read. The first one alone takes the fingerprint
of all pixels, and machines read at different speeds: with terabytes more than the ten minutes that NCCL
waits, after which one that is lost shall be noticed."""


@dataclass(frozen=True)
class Distributed:
    """This process among those that train together; one alone by default.

    Gradients are summed once, after the backward pass, in one message: these networks are small (4 MB),
    so that hiding the message behind the backward pass would gain nothing.

    Attributes:
        rank: Number of this process, from 0.
        world_size: How many there are.
        local_rank: Number of this process on its machine, which is its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sums tensors over the processes, in place; all get the same bits."""
        if self.world_size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def gather(self, values: Iterable[Any]) -> list[Any]:
        """Joins lists of which each process holds every N-th value, beginning with its rank.

        Returns:
            All values in order, in every process.
        """
        values = list(values)
        if self.world_size == 1:
            return values
        shards: list[Any] = [None] * self.world_size
        distributed.all_gather_object(shards, values)
        total = sum(len(shard) for shard in shards)
        return [shards[index % self.world_size][index // self.world_size] for index in range(total)]

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Lets the processes go on together behind what takes one of them hours longer than the others.

        They enter together, and send each other nothing inside. Where one of them fails, all do.

        Raises:
            EscError: It went wrong in another process.
        """
        if self.world_size == 1:
            yield
            return
        group = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        problems: list[str | None] = [None] * self.world_size
        try:
            try:
                yield
            except Exception as error:
                distributed.all_gather_object(problems, f"{platform.node()}: {error}", group)
                raise
            distributed.all_gather_object(problems, None, group)
        finally:
            distributed.destroy_process_group(group)
        if problem := next(filter(None, problems), None):
            raise EscError(f"Another process cannot go on, {problem}")

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether a flag is set in any of the processes."""
        flags = torch.tensor([float(flag)], device=device)
        self.all_reduce([flags])
        return flags.item() > 0

    def broadcast(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.world_size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


@contextmanager
def join_process_group(
    device_type: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Distributed]:
    """Meets the other processes started by `torchrun` or by SLURM's `srun`; alone, does nothing.

    Args:
        device_type: "cuda" for messages by NCCL, else Gloo.
        environment: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, or SLURM's variables.

    Yields:
        This process's place.

    Raises:
        ConfigError: Variables are missing, or there are more processes than GPUs.
    """
    settings = _settings(environment)
    place = Distributed(*(int(settings[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if place.world_size == 1:
        yield place
        return
    if device_type == "cuda":
        _check_devices(int(settings.get("LOCAL_WORLD_SIZE", place.local_rank + 1)))
        torch.cuda.set_device(place.local_rank)
    # This module's functions keep the group that there is when it is first imported (by optimisers,
    # through torch._dynamo) as a default value. Imported before, it keeps none, and the group's threads
    # end with it; else they run on while Python ends, and one that then wants the GIL aborts the process.
    import_module("torch.distributed.nn.functional")
    distributed.init_process_group(
        "nccl" if device_type == "cuda" else "gloo",
        init_method=f"tcp://{settings['MASTER_ADDR']}:{settings['MASTER_PORT']}",
        rank=place.rank,
        world_size=place.world_size,
    )
    try:
        yield place
        distributed.barrier()  # the first process, which hosts the store, leaves no earlier than the others
    finally:
        distributed.destroy_process_group()


def _check_devices(num_processes: int) -> None:
    """Refuses more processes on this machine than there are GPUs; all of them, so that none waits."""
    there = torch.cuda.device_count()
    if num_processes > there:
        raise ConfigError(
            f"{num_processes} processes on this machine and {there} GPU{'s' * (there != 1)}, of which each "
            f"process takes one; start {there} (torchrun --nproc-per-node {there}, "
            f"srun --ntasks-per-node {there}), and let each see all GPUs."
        )


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    if "RANK" in environment and "WORLD_SIZE" in environment:
        missing = {"LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} - set(environment)
        if missing:
            raise ConfigError(f"RANK is set but not {', '.join(sorted(missing))}; start with torchrun.")
        return dict(environment)
    # Unlike SLURM_NTASKS this is set by srun alone, not by the allocation or the batch script.
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        port = _PORT + int(environment.get("SLURM_JOB_ID", 0)) % 1000
        return _processes_here(environment) | {
            "RANK": environment["SLURM_PROCID"],
            "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
            "LOCAL_RANK": environment["SLURM_LOCALID"],
            "MASTER_ADDR": environment.get("MASTER_ADDR", _first_host(environment)),
            "MASTER_PORT": environment.get("MASTER_PORT", str(port)),
        }
    return {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def _processes_here(environment: Mapping[str, str]) -> dict[str, str]:
    """How many processes SLURM starts on this machine (the third of "2(x3),4" has 2), where it says so."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    counts = [count for count, machines in found for _ in range(int(machines or 1))]
    here = counts[int(environment.get("SLURM_NODEID", 0)) :]
    return {"LOCAL_WORLD_SIZE": here[0]} if here else {}


def _first_host(environment: Mapping[str, str]) -> str:
    """The first of SLURM's hosts: node[003-005,9],other → node003."""
    hosts = environment.get("SLURM_STEP_NODELIST", "")
    match = re.match(r"([^\[,]+)(?:\[(\d+))?", hosts)
    if match is None:
        raise ConfigError("SLURM names no hosts (SLURM_STEP_NODELIST); set MASTER_ADDR.")
    return match[1] + (match[2] or "")
