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

import torch
from torch import Tensor

from escsr.networks.esc import ESC
from escsr.networks.inference_form import inference_form
from escsr.networks.stages import Stage, StageFunction, choose
from escsr.runtime.fork import claim_process
from escsr.runtime.memory import is_out_of_memory
from escsr.runtime.progress import OnProgress
from escsr.streaming.feature_store import FeatureStorage, FeatureStore
from escsr.streaming.tiles import Span, Tile, check_tile_size, cut, margin_of, output_region
from escsr.streaming.transfers import Transfers

__all__ = ["Compute", "run"]

Compute = Callable[[Callable[..., Tensor], tuple[object, ...]], Tensor]
"""Calls a function of the network with its arguments; chooses the precision and checks the result."""

Attempt = Callable[[Callable[..., Tensor], tuple[object, ...]], tuple[Tensor, Tensor]]
"""The same, not checked: the result and, on the device, whether its numbers are finite."""


def _plainly(function: Callable[..., Tensor], arguments: tuple[object, ...]) -> Tensor:
    return function(*arguments)


@torch.no_grad()
def run(
    network: ESC,
    lr: Tensor,
    *,
    tile_size: int,
    scale: float | tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    feature_storage: FeatureStorage = "float32",
    folder: Path | None = None,
    compute: Compute = _plainly,
    attempt: Attempt | None = None,
    on_halved: Callable[[int], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Upscales a picture of any size, equal to `network(lr)`, with the working memory of one tile.

    Where the device runs out of memory the work goes on from that tile with tiles of half the side;
    what is done stays done and the result is the same.

    Args:
        network: The network, on the device that computes; of another than the inference form that is made.
        lr: (B, 3, H, W) in [0, 1], in host memory, of the network's floating type.
        tile_size: Tile side, LR pixels, a multiple of the window; a picture that is not larger runs
            whole.
        scale: As for the network.
        size: As for the network.
        feature_storage: How feature maps are kept.
        folder: For maps in a file; None for the system's temporary folder.
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
    """
    claim_process()
    check_tile_size(tile_size, network.config.window_size)
    height, width = lr.shape[-2:]
    out_size = network.output_size(height, width, scale=scale, size=size)
    store = FeatureStore((height, width), storage=feature_storage, folder=folder)
    form, lr_seen = inference_form(network), network.normalise(lr)
    stream = _Stream(form, lr_seen, tile_size, store, compute, attempt, on_halved, on_progress)
    return stream.run_whole(lr, out_size) if len(stream.tiles()) == 1 else stream.run_stages(out_size)


@dataclass
class _Stream:
    """A picture on its way through the network."""

    network: ESC
    lr: Tensor
    tile_size: int
    store: FeatureStore
    compute: Compute
    attempt: Attempt | None
    on_halved: Callable[[int], None] | None
    on_progress: OnProgress | None
    done: float = 0.0
    work: int = 1

    def __post_init__(self) -> None:
        self.size = self.store.size
        self.device = next(self.network.parameters()).device
        self.transfers = Transfers(self.device)
        self.attempt = self.attempt if self.transfers.overlap else None

    def tiles(self) -> list[Tile]:
        """The whole picture in tiles of the present size."""
        return self._cut((Span(0, self.size[0]), Span(0, self.size[1])))

    def halve(self) -> bool:
        """Makes the tiles smaller, where they can be."""
        window = self.network.config.window_size
        if self.tile_size == window:
            return False
        self.tile_size = max(window, self.tile_size // 2 // window * window)
        if self.on_halved is not None:
            self.on_halved(self.tile_size)
        return True

    def run_whole(self, lr: Tensor, out_size: tuple[int, int]) -> Tensor:
        """The network at once, for a picture of one tile."""
        any_size = out_size if self.network.config.scale is None else None
        try:
            sr = self.compute(partial(self.network, size=any_size), (lr.to(self.device),))
        except RuntimeError as error:
            if not (is_out_of_memory(error) and self.halve()):
                raise
        else:
            self._progress(1.0)
            return sr.to(lr.device)
        return self.run_whole(lr, out_size) if len(self.tiles()) == 1 else self.run_stages(out_size)

    def run_stages(self, out_size: tuple[int, int]) -> Tensor:
        """The network stage by stage."""
        *stages, upsample = self.network.stages()
        self.work = len(stages) + 1
        pooled: Tensor | None = None
        for index, stage in enumerate(stages):
            pooled = self._run_stage(stage, pooled)
            later = (*stages[index + 1 :], upsample)
            self.store.keep_only({name for each in later for name in each.inputs})
        return self._upsample(upsample, out_size)

    def _run_stage(self, stage: Stage, pooled: Tensor | None) -> Tensor | None:
        """Runs a stage over all tiles, writing its map; returns the picture's mean where it pools."""
        means: list[Tensor] = []
        extra: list[object] = []
        if pooled is not None and stage.takes_pooled:
            extra = [pooled.to(self.device)]

        def surroundings(tile: Tile) -> list[object]:
            margin = margin_of(tile, self._region(tile, stage.halo))
            return [margin, *extra] if stage.takes_margin else extra

        def write(tile: Tile, result: Tensor) -> None:
            if stage.pool is not None:
                share = len(tile[0]) * len(tile[1]) / (self.size[0] * self.size[1])
                means.append(stage.pool(result).double() * share)
            self.store.put(stage.output, tile, result)

        self._each_tile(stage, surroundings, write)
        return torch.stack(means).sum(0).to(self.lr.dtype) if means else None

    def _upsample(self, stage: Stage, out_size: tuple[int, int]) -> Tensor:
        """The last step, written tile by tile into the result (B, 3, rH, rW)."""
        sr = self.lr.new_empty(*self.lr.shape[:2], *out_size)

        def surroundings(tile: Tile) -> list[object]:
            return [output_region(tile, self._region(tile, stage.halo), self.size, out_size)]

        def write(tile: Tile, result: Tensor) -> None:
            rows, columns = output_region(tile, tile, self.size, out_size)
            sr[..., rows.start : rows.stop, columns.start : columns.stop] = result

        self._each_tile(stage, surroundings, write)
        return sr

    def _each_tile(
        self,
        stage: Stage,
        surroundings: Callable[[Tile], list[object]],
        write: Callable[[Tile, Tensor], None],
    ) -> None:
        """Fetches, computes and writes every tile; the next one is fetched ahead.

        Args:
            stage: What to compute.
            surroundings: What its function takes besides the maps.
            write: Takes the result of a tile, in host memory.
        """
        function, waiting = choose(stage, self.device), self.tiles()

        def fetch(tile: Tile) -> list[Tensor]:
            region = self._region(tile, stage.halo)
            haloed = [self._take(name, region) for name in stage.haloed_inputs]
            return haloed + [self._take(name, tile) for name in stage.local_inputs]

        def again(tile: Tile) -> Tensor:
            inputs = [part.to(self.device) for part in fetch(tile)]
            return self.compute(function, (*inputs, *surroundings(tile)))

        while waiting:
            tile = waiting.pop(0)
            try:
                inputs = self.transfers.arrive(tile, fetch)
                if waiting:
                    self.transfers.send(waiting[0], fetch)
                result, is_finite = self._call(function, (*inputs, *surroundings(tile)))
            except RuntimeError as error:
                self.transfers.forget()
                if not (is_out_of_memory(error) and self.halve()):
                    raise
                waiting = [part for each in (tile, *waiting) for part in self._cut(each)]
                continue
            self.transfers.bring(result, partial(write, tile), is_finite, partial(again, tile))
            self._progress(len(tile[0]) * len(tile[1]) / (self.size[0] * self.size[1]) / self.work)
        self.transfers.finish()

    def _call(self, function: StageFunction, arguments: tuple[object, ...]) -> tuple[Tensor, Tensor | None]:
        if self.attempt is None:
            return self.compute(function, arguments), None
        return self.attempt(function, arguments)

    def _cut(self, tile: Tile) -> list[Tile]:
        return cut(tile, self.tile_size, self.network.config.window_size, self.size)

    def _region(self, tile: Tile, halo: int) -> Tile:
        return tile[0].widened(halo, self.size[0]), tile[1].widened(halo, self.size[1])

    def _take(self, name: str, region: Tile) -> Tensor:
        if name == "lr":
            return self.lr[..., region[0].slice, region[1].slice]
        return self.store.take(name, region)

    def _progress(self, share: float) -> None:
        self.done += share
        if self.on_progress is not None:
            self.on_progress(min(1.0, round(self.done, 9)))
