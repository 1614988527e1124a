"""A network at work: any picture size, within memory, in an arithmetic that holds."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor

from escsr import streaming
from escsr.errors import ConfigError, DeviceError
from escsr.exports.backends import GraphBackend
from escsr.networks import ESC
from escsr.networks.inference_form import WeightsWatch, inference_form
from escsr.networks.layers import Scale, Size
from escsr.networks.stages import has_kernels
from escsr.runtime.choices import Backend, FeatureStorageChoice, Precision, check_choice
from escsr.runtime.devices import free_device_memory, free_host_memory
from escsr.runtime.fork import claim_threads
from escsr.runtime.memory import is_out_of_memory
from escsr.runtime.precision import PrecisionPolicy
from escsr.runtime.progress import OnProgress
from escsr.runtime.temporary import disk_folder, is_in_memory
from escsr.streaming import FeatureStorage, Memory
from escsr.streaming.tiles import check_tile_size
from escsr.upscaling.self_ensemble import self_ensembled
from escsr.upscaling.tile_size import fastest_tile_size

__all__ = ["Inference"]

_KERNEL_TILE_SIZES = {4: 128, 16: 256}
"""By the number of threads, at most: with the native kernels a tile's result should stay in cache, and
hold some windows for each thread."""

_TILE_SIZES = {"cpu": (128, 256, 384)}
_DEVICE_TILE_SIZES = (256, 512, 1024)
"""Tile sides to choose from, LR pixels; the middle one is the usual."""

_PROBE_FROM = 4
"""A picture of this many of the largest tiles is worth a probe."""

_BACKEND_TILE_SIZE = 256
_BACKEND_WORKSPACE = 2.5
"""Memory that other runtimes work in, over PyTorch's: 5 to 10 KiB an LR pixel for C = 64, as measured
(`benchmarks/backends.py`)."""

_WORKSPACE_SHARE = 0.5
"""Part of the free memory that the work on one tile may take."""

_LOG = logging.getLogger(__name__)


class Inference:
    """Runs a network on pictures of any size, by exact streaming; threads may share it.

    Where the network is trained on, loads other weights, or gets other modules or hooks, the next run
    computes with these. One that is `ESC.whole_only` computes each picture in one piece, whatever the tile
    size. Only what `WeightsWatch` does not notice needs a new `Inference`; until then it computes with the
    weights as they were.

    Args:
        network: The network, on the device that computes; or an `inference_form`.
        name: What tables call it.
        precision: See `Precision`.
        tile_size: Tile side, LR pixels, a multiple of the window; None to choose by free memory and
            threads (native kernels) or a short probe (large pictures). The result does not depend on it.
        feature_storage: See `FeatureStorageChoice`.
        backend: What computes the stages, see `Backend`; other than "torch" on the CPU and in float32 only.

    Raises:
        ConfigError: A setting is impossible, or the backend is not installed.
    """

    def __init__(
        self,
        network: ESC,
        *,
        name: str = "network",
        precision: Precision = "auto",
        tile_size: int | None = None,
        feature_storage: FeatureStorageChoice = "auto",
        backend: Backend = "torch",
    ) -> None:
        if tile_size is not None:
            check_tile_size(tile_size, network.config.window_size)
        check_choice("feature_storage", feature_storage, FeatureStorageChoice)
        check_choice("backend", backend, Backend)
        self.name = name
        self.scale, self.pad_multiple = network.config.scale, network.config.window_size
        self.feature_storage: FeatureStorageChoice = feature_storage
        self.tile_size = tile_size
        self._precision: Precision = precision
        self._backend_choice: Backend = backend
        self._take(network)

    @property
    def network(self) -> ESC:
        """The network as it is now, in its inference form."""
        self._follow()
        return self._form

    @property
    def usual_tile_size(self) -> int:
        """Tile side that was asked for, or the usual one, LR pixels."""
        if self.tile_size is None and self._backend is not None:
            return max(1, _BACKEND_TILE_SIZE // self.pad_multiple) * self.pad_multiple
        candidates = self._candidates()
        return self.tile_size or candidates[len(candidates) // 2]

    def run(
        self,
        lr: Tensor,
        *,
        scale: Scale | None = None,
        size: Size | None = None,
        self_ensemble: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Tensor:
        """Upscales pictures.

        Args:
            lr: (B, 3, H, W), floating, in [0, 1], in host memory; of no pictures the result is empty.
            scale: Factor of both sides, or one for rows and one for columns; networks for any scale only.
            size: Output rows and columns; networks for any scale only.
            self_ensemble: Mean over the eight flips and quarter turns: eight times the work, some
                hundredths of a dB more.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            (B, 3, rH, rW), float32 (float64 where the network is), not clamped, in host memory.

        Raises:
            ConfigError: `scale` or `size` do not fit the network, or `lr` is of another shape or type, or
                holds other than numbers.
            DeviceError: The memory does not suffice.
            CheckpointError: The network's results are not numbers.
        """
        claim_threads()
        self._follow()
        if lr.dim() != 4 or lr.shape[1] != 3 or not min(lr.shape[2:]):
            raise ConfigError(f"Pictures must be (B, 3, H, W), not {tuple(lr.shape)}.")
        if not lr.is_floating_point():
            raise ConfigError(f"A picture must be floating, in [0, 1], not {lr.dtype}.")
        if not lr.isfinite().all():
            raise ConfigError("The picture holds values that are not finite numbers.")
        out_size = self._form.output_size(*lr.shape[-2:], scale=scale, size=size)
        lr = lr.to(torch.promote_types(self._dtype, torch.float32))
        if not len(lr):
            return lr.new_empty(0, 3, *out_size)
        if self_ensemble:
            return self_ensembled(self._stream, lr, out_size, on_progress)
        return self._stream(lr, out_size, on_progress)

    def __call__(self, lr: Tensor, *, size: Size | None = None) -> Tensor:
        """`run` as a `SuperResolver`."""
        return self.run(lr, size=size)

    def predict(self, size: Size, out_size: Size, *, batch: int = 1) -> Memory:
        """Memory that a run will take, see `streaming.predict_memory`; with the largest tiles possible.

        Args:
            size: LR rows and columns.
            out_size: Rows and columns of the result.
            batch: Pictures at once.
        """
        memory = streaming.predict_memory(
            self._form.config,
            size,
            out_size,
            tile_size=self._tile_sizes(size)[-1],
            batch=batch,
            feature_storage="float32" if self.feature_storage == "auto" else self.feature_storage,
        )
        return replace(memory, workspace=self._workspace(memory))

    def remarks(self, size: Size) -> tuple[str, ...]:  # noqa: ARG002
        """What is not exact in the result of a picture of some rows and columns: nothing."""
        return ()

    def _take(self, network: ESC) -> None:
        """Computes with a network as it is now; threads that do so at once come to the same."""
        claim_threads()
        watch = None if network.is_inference_form else WeightsWatch(network)  # before weights are read
        parameter = next(network.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self.precision_policy = PrecisionPolicy(self.device, self._precision)
        self._largest: int | None = None
        self._form = inference_form(network)
        self._whole_only = self._form.whole_only()
        self._backend = None if self._backend_choice == "torch" else self._open(self._backend_choice)
        self._watch = watch

    def _follow(self) -> None:
        """Takes the network anew where its weights are others than those it was taken with."""
        if self._watch is not None and self._watch.has_changed():
            self._take(self._watch.network)

    def _stream(self, lr: Tensor, out_size: Size, on_progress: OnProgress | None) -> Tensor:
        """In tiles of the size asked for, or the usual one, or for large pictures the fastest that fits."""
        tile_size, *others = sizes = self._tile_sizes((lr.shape[-2], lr.shape[-1]))
        backend = self._backend
        form = self._form if backend is None else backend.network  # while others may take a new one
        try:
            if others:
                tile_size = fastest_tile_size(form, self.precision_policy, sizes)
            sr = streaming.run(
                form,
                lr.to(self._dtype),
                tile_size=tile_size,
                size=out_size,
                feature_storage=self._map_storage(lr, out_size),
                backend=backend,
                compute=self.precision_policy,
                attempt=self.precision_policy.attempt,
                on_halved=self._remember_limit,
                on_progress=on_progress,
            )
            return sr.to(lr.dtype)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            least = f"even for tiles of {self._form.config.window_size}"
            if self._whole_only is not None:
                least = "for the picture in one piece, as this network needs it"
            raise DeviceError(
                f"{self.device} has too little memory {least}; free some or use another device."
            ) from error

    def _open(self, backend: Backend) -> GraphBackend:
        if self.device.type != "cpu" or self.precision_policy.precision != "float32":
            raise ConfigError(
                f"Backend {backend} computes on the CPU in float32 only, not on {self.device} in "
                f"{self.precision_policy.precision}; leave out device and precision."
            )
        return GraphBackend(self._form, backend)

    def _tile_sizes(self, size: Size) -> list[int]:
        """Tile sides that a picture of some rows and columns may run with, the smallest first."""
        sizes, whole = [self.usual_tile_size], -max(size) // self.pad_multiple * -self.pad_multiple
        if self._whole_only is not None:
            return [whole]
        if self.tile_size is None and self._backend is not None:
            if self._backend.takes_whole and self._fits(whole, size):
                sizes = [whole]
        elif self.tile_size is None:
            candidates = [side for side in self._candidates() if self._fits(side)] or sizes
            sizes = candidates if size[0] * size[1] >= _PROBE_FROM * candidates[-1] ** 2 else sizes
        return sorted({min(side, self._largest or side) for side in sizes})

    def _candidates(self) -> list[int]:
        window = self._form.config.window_size
        sizes: tuple[int, ...] = _TILE_SIZES.get(self.device.type, _DEVICE_TILE_SIZES)
        if has_kernels(self.device):
            threads = torch.get_num_threads()
            sizes = (next((side for most, side in _KERNEL_TILE_SIZES.items() if threads <= most), 512),)
        return [max(1, size // window) * window for size in sizes]

    def _fits(self, tile_size: int, size: Size | None = None) -> bool:
        """Whether there is memory for the work on a tile, of a large picture where no size is given."""
        side = 2 * (tile_size + 2 * self._form.config.window_size)
        height, width = size or (side, side)
        scale = self._form.config.scale or 4
        memory = streaming.predict_memory(
            self._form.config, (height, width), (height * scale, width * scale), tile_size=tile_size
        )
        return self._workspace(memory) <= _WORKSPACE_SHARE * free_device_memory(self.device)

    def _workspace(self, memory: Memory) -> int:
        return memory.workspace if self._backend is None else int(_BACKEND_WORKSPACE * memory.workspace)

    def _map_storage(self, lr: Tensor, out_size: Size) -> FeatureStorage:
        if self.feature_storage != "auto" and self._whole_only is None:
            return self.feature_storage
        memory = self.predict((lr.shape[-2], lr.shape[-1]), out_size, batch=lr.shape[0])
        free = free_host_memory()
        on_host = memory.total if self.device.type == "cpu" else memory.feature_maps + memory.picture
        if on_host <= free:
            return "float32"
        if self._whole_only is not None:
            raise DeviceError(
                f"{self._whole_only or 'The network'} has adapters or hooks, a larger kernel, or is of a "
                "class of its own, so that a picture is computed in one piece, which takes "
                f"{on_host / 2**30:.1f} GiB of memory; {free / 2**30:.1f} are free. Merge them first, or "
                "choose a smaller picture."
            )
        folder = disk_folder()
        _LOG.warning(
            "Feature maps go to a temporary file: %.1f GiB of memory would be needed, %.1f are free.%s",
            on_host / 2**30,
            free / 2**30,
            f" But {folder} is in memory too; TMPDIR names another." * is_in_memory(folder),
        )
        return "file"

    def _remember_limit(self, tile_size: int) -> None:
        if self._largest is None or tile_size < self._largest:
            self._largest = tile_size
            _LOG.warning("%s is out of memory: tiles of %d from now on.", self.device, tile_size)
