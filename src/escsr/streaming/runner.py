"""The runner: the network runs stage by stage over tiles, never tile by tile through all.

Ordinary tiling is wrong for these networks: windows fall off their grid and the dynamic kernels pool
each tile instead of the picture. Here the maps of the whole picture stay in host memory, each stage
runs over all tiles before the next begins, and pooled means are summed over the tiles in float64. The
result equals the whole-picture forward up to the order of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from escsr.networks.esc import ESC
from escsr.networks.inference_form import inference_form
from escsr.networks.layers import Scale, Size
from escsr.networks.stages import Stage, StageFunction, choose, has_kernels
from escsr.runtime.fork import claim_process, claim_threads
from escsr.runtime.memory import is_out_of_memory
from escsr.runtime.progress import OnProgress
from escsr.streaming.feature_store import FeatureStorage, FeatureStore
from escsr.streaming.tiles import Span, Tile, check_tile_size, cut, margin_of, output_region
from escsr.streaming.transfers import Transfers

__all__ = ["Backend", "Compute", "run"]

Compute = Callable[[Callable[..., Tensor], tuple[object, ...]], Tensor]
"""Calls a function of the network with its arguments; chooses the precision and checks the result."""

Attempt = Callable[[Callable[..., Tensor], tuple[object, ...]], tuple[Tensor, Tensor]]
"""The same, not checked: the result and, on the device, whether its numbers are finite."""


class Backend(Protocol):
    """What computes a network in the place of PyTorch's operators."""

    @property
    def takes_whole(self) -> bool:
        """Whether `whole` is possible; else a picture of one tile goes through the stages too."""

    def whole(self, lr: Tensor) -> Tensor:
        """The network at once."""

    def choose(self, stage: Stage, device: torch.device) -> StageFunction:
        """What computes a stage, as `networks.stages.choose`."""


def _plainly(function: Callable[..., Tensor], arguments: tuple[object, ...]) -> Tensor:
    return function(*arguments)


@torch.no_grad()
def run(
    network: ESC,
    lr: Tensor,
    *,
    tile_size: int,
    scale: Scale | None = None,
    size: Size | None = None,
    feature_storage: FeatureStorage = "float32",
    folder: Path | None = None,
    backend: Backend | None = None,
    compute: Compute = _plainly,
    attempt: Attempt | None = None,
    on_halved: Callable[[int], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Upscales a picture of any size, equal to `network(lr)`, with the working memory of one tile.

    Where the device runs out of memory the work goes on from that tile with tiles of half the side;
    what is done stays done and the result is the same. A network that is `ESC.whole_only` runs whole.

    Args:
        network: The network, on the device that computes; of another than the inference form that is made.
        lr: (B, 3, H, W) in [0, 1], in host memory, of the network's floating type.
        tile_size: Tile side, LR pixels, a multiple of the window; a picture that is not larger runs
            whole.
        scale: As for the network.
        size: As for the network.
        feature_storage: How feature maps are kept.
        folder: For maps in a file; None for the system's temporary folder, or where that is in memory
            /var/tmp.
        backend: What computes the network and its stages, in the place of PyTorch.
        compute: How functions of the network are called.
        attempt: How they are called first where results travel to the host beside the computation, so that
            nothing waits for the check; `compute` then repeats those that failed it. None for `compute`.
        on_halved: Called with the new tile size after the device ran out of memory.
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        (B, 3, rH, rW), not clamped, in host memory.

    Raises:
        ConfigError: The tile size is not a positive multiple of the window.
        DeviceError: There is no room for the maps.
        RuntimeError: The device's memory does not hold one window; see `is_out_of_memory`.
        MemoryError: Nor does the host's, in a native kernel.
    """
    claim_process()
    claim_threads()
    check_tile_size(tile_size, network.config.window_size)
    height, width = lr.shape[-2:]
    out_size = network.output_size(height, width, scale=scale, size=size)
    dtype = next(network.parameters()).dtype
    store = FeatureStore((height, width), storage=feature_storage, folder=folder, dtype=dtype)
    form = inference_form(network)
    stream = _Stream(form, out_size, tile_size, store, backend, compute, attempt, on_halved, on_progress)
    return stream.run(lr)


@dataclass
class _Stream:
    """A picture on its way through the network."""

    network: ESC
    out_size: Size
    tile_size: int
    store: FeatureStore
    backend: Backend | None
    compute: Compute
    attempt: Attempt | None
    on_halved: Callable[[int], None] | None
    on_progress: OnProgress | None
    done: float = 0.0
    work: int = 1
    pooled: Tensor | None = None
    """Mean of the last pooled map over the whole picture, (B, C_a, 1, 1)."""

    def __post_init__(self) -> None:
        self.size = self.store.size
        self.device = next(self.network.parameters()).device
        self.transfers = Transfers(self.device)
        self.choose = choose if self.backend is None else self.backend.choose
        self._at_once = not has_kernels(self.device) if self.backend is None else self.backend.takes_whole
        self._whole_only = self.backend is None and self.network.whole_only() is not None

    def run(self, lr: Tensor) -> Tensor:
        """Stage by stage, or the network at once while the picture is one tile and no kernels are lost."""
        any_size = {"size": self.out_size} if self.network.config.scale is None else {}
        while self._whole_only or (self._at_once and len(self._tiles()) == 1):
            whole = partial(self.network, **any_size) if self.backend is None else self.backend.whole
            try:
                sr = self.compute(whole, (lr.to(self.device),))
            except (RuntimeError, MemoryError) as error:
                self._halve(error)
            else:
                self._progress(1.0)
                return sr.to(lr.device)
        self.store.maps["lr"] = self.network.normalise(lr)
        stages = self.network.stages()
        self.work = len(stages)
        for index, stage in enumerate(stages[:-1], start=1):
            self._run_stage(stage)
            self.store.keep_only({name for each in stages[index:] for name in each.inputs})
        sr = lr.new_empty(*lr.shape[:2], *self.out_size)  # (B, 3, rH, rW)
        self._run_stage(stages[-1], sr)
        return sr

    def _run_stage(self, stage: Stage, sr: Tensor | None = None) -> None:
        """Runs a stage over all tiles, writing its map, or the result where that is given."""
        means: list[Tensor] = []

        def write(tile: Tile, result: Tensor) -> None:
            if sr is not None:
                rows, columns = output_region(tile, tile, self.size, self.out_size)
                sr[..., rows.start : rows.stop, columns.start : columns.stop] = result
                return
            if stage.pool is not None:
                means.append(stage.pool(result).double() * self._share(tile))
            self.store.put(stage.output, tile, result)

        self._each_tile(stage, write)
        if means:
            self.pooled = torch.stack(means).sum(0).to(next(self.network.parameters()))

    def _each_tile(self, stage: Stage, write: Callable[[Tile, Tensor], None]) -> None:
        """Fetches, computes and writes every tile; the next one is fetched ahead.

        Args:
            stage: What to compute.
            write: Takes the result of a tile, in host memory.
        """
        function, waiting = self.choose(stage, self.device), self._tiles()

        def fetch(tile: Tile) -> list[Tensor]:
            region = self._region(tile, stage)
            haloed = [self.store.take(name, region) for name in stage.haloed_inputs]
            return haloed + [self.store.take(name, tile) for name in stage.local_inputs]

        def again(tile: Tile) -> Tensor:
            inputs = [part.to(self.device) for part in fetch(tile)]
            return self.compute(function, (*inputs, *self._surroundings(stage, tile)))

        while waiting:
            tile = waiting.pop(0)
            try:
                arguments = (*self.transfers.arrive(partial(fetch, tile)), *self._surroundings(stage, tile))
                if waiting:
                    self.transfers.send(partial(fetch, waiting[0]))
                is_finite = None
                if self.attempt is None or not self.transfers.overlap:
                    result = self.compute(function, arguments)
                else:
                    result, is_finite = self.attempt(function, arguments)
            except (RuntimeError, MemoryError) as error:
                self.transfers.forget()
                self._halve(error)
                waiting = [part for each in (tile, *waiting) for part in self._cut(each)]
                continue
            self.transfers.bring(result, partial(write, tile), is_finite, partial(again, tile))
            self._progress(self._share(tile) / self.work)
        self.transfers.finish()

    def _surroundings(self, stage: Stage, tile: Tile) -> list[object]:
        """What the function of a stage takes besides the maps."""
        region = self._region(tile, stage)
        if stage.operation == "upsample":
            return [output_region(tile, region, self.size, self.out_size)]
        margin = [margin_of(tile, region)] if stage.halo else []
        return [*margin, self.pooled] if stage.takes_pooled else [*margin]

    def _halve(self, error: RuntimeError | MemoryError) -> None:
        """Makes the tiles smaller where the error says that memory ran out; else raises it."""
        window = self.network.config.window_size
        if self._whole_only or self.tile_size == window or not is_out_of_memory(error):
            raise error
        self.tile_size = max(window, self.tile_size // 2 // window * window)
        if self.on_halved is not None:
            self.on_halved(self.tile_size)

    def _tiles(self) -> list[Tile]:
        return self._cut((Span(0, self.size[0]), Span(0, self.size[1])))

    def _cut(self, tile: Tile) -> list[Tile]:
        return cut(tile, self.tile_size, self.network.config.window_size, self.size)

    def _region(self, tile: Tile, stage: Stage) -> Tile:
        return tile[0].widened(stage.halo, self.size[0]), tile[1].widened(stage.halo, self.size[1])

    def _share(self, tile: Tile) -> float:
        return len(tile[0]) * len(tile[1]) / (self.size[0] * self.size[1])

    def _progress(self, share: float) -> None:
        self.done += share
        if self.on_progress is not None:
            self.on_progress(min(1.0, round(self.done, 9)))
