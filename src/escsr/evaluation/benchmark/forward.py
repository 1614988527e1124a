"""One forward pass, prepared: a network in a form, with an attention, in a precision, compiled or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.evaluation.benchmark.memory import PeakMemory, ask_own_process, peak_of
from escsr.evaluation.benchmark.subjects import AtScale, Subject, subject_of
from escsr.evaluation.benchmark.timing import Clock
from escsr.evaluation.cost import MacCount, count_forward_macs
from escsr.networks import ESC
from escsr.networks.attention import WindowAttention, choose_backend
from escsr.networks.inference_form import inference_form
from escsr.runtime.allocator import keep_freed_memory
from escsr.runtime.choices import Attention, CompileMode, NetworkForm, Precision, check_choice
from escsr.runtime.precision import PrecisionPolicy, compute_in
from escsr.upscaling.inference import Inference

__all__ = ["Forward", "ForwardJob", "Way", "count_subject", "forward_peak_memory", "parse_way"]

_WARM = 16
"""Side of the input that a network is run on once before its memory is measured, pixels."""


@dataclass(frozen=True)
class Way:
    """How a network is run.

    Attributes:
        precision: See `Precision`; "tf32" is float32 where a device has no such products.
        attention: Of networks of ours.
        form: Of networks of ours.
        compile: By `torch.compile`.
    """

    precision: Precision = "tf32"
    attention: Attention = "auto"
    form: NetworkForm = "inference"
    compile: CompileMode = "off"

    def __post_init__(self) -> None:
        for name, choices in get_type_hints(type(self)).items():
            check_choice(name, getattr(self, name), choices)
        if self.form == "streaming" and self.compile != "off":
            raise ConfigError("form=streaming runs stages over tiles; compile is for a whole forward pass.")

    def on(self, device: torch.device) -> Way:
        """The same with what "auto" means on a device."""
        precision = PrecisionPolicy(device, self.precision).precision
        if precision == "tf32" and device.type != "cuda":
            precision = "float32"
        attention = self.attention
        if attention == "auto":
            attention = choose_backend(device.type, differentiable=False)
        return replace(self, precision=precision, attention=attention)


def parse_way(text: str, way: Way) -> tuple[str, Way]:
    """Reads NAME or NAME,setting=value,... as people write one of several networks.

    Args:
        text: As it is written.
        way: What holds where the text says nothing.

    Returns:
        The name, and how to run it.

    Raises:
        ConfigError: A value is none of the choices.

    Example:
        >>> parse_way("esc-x2,attention=plain", Way())[1].attention
        'plain'
    """
    name, *settings = text.split(",")
    known = {field.name for field in fields(Way)}
    parts = [setting.partition("=") for setting in settings]
    if any(key.strip() not in known or not value for key, _, value in parts):
        names = ", ".join(sorted(known))
        raise ConfigError(f"A network reads NAME or NAME,SETTING=VALUE with {names}, not {text!r}.")
    changes: dict[str, Any] = {key.strip(): value.strip() for key, _, value in parts}
    return name.strip(), replace(way, **changes)


class Forward:
    """A network ready to compute one input on its device, again and again.

    Args:
        subject: The network.
        way: How to run it, see `Way.on`.
        device: Where.
        shape: Of the input: (B, channels, rows, columns).

    Attributes:
        way: How it is run, as far as it is ours to choose.
        device: Where.
        is_ours: Whether attention and form are ours to choose.
    """

    def __init__(self, subject: Subject, way: Way, *, device: torch.device, shape: Sequence[int]) -> None:
        self.way, self.device = way.on(device), device
        module = subject.build(device).requires_grad_(False)
        self.is_ours = isinstance(module, (ESC, AtScale, WindowAttention))
        lr = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
        self._is_streamed = False
        if self.way.form == "streaming" and isinstance(module, (ESC, AtScale)):
            self._is_streamed, self._run = True, self._streamed(module, lr)
            return
        network: Callable[[Tensor], Tensor] = _in_form(module, self.way)
        if self.way.compile != "off":
            mode = None if self.way.compile == "default" else self.way.compile
            network = torch.compile(network, dynamic=False, mode=mode)
        lr = lr.to(device)
        self._run = lambda: network(lr)

    @contextmanager
    def prepared(self) -> Iterator[Callable[[], Tensor]]:
        """Gives what runs it, inside of everything that is to be set only once."""
        with torch.inference_mode():
            if self._is_streamed:
                yield self._run  # which sets the precision at every stage
                return
            with compute_in(self.way.precision, self.device):
                yield self._run

    def timed(self, clock: Clock) -> float:
        """Seconds of one run by a clock; what `prepared` does is not in them."""
        with self.prepared() as run:
            return clock(run)

    def _streamed(self, module: ESC | AtScale, lr: Tensor) -> Callable[[], Tensor]:
        network = module.network if isinstance(module, AtScale) else module
        scale = module.scale if isinstance(module, AtScale) else None
        inference = Inference(
            network.set_attention_backend(self.way.attention), precision=self.way.precision
        )
        return lambda: inference.run(lr, scale=scale)


def _in_form(module: nn.Module, way: Way) -> nn.Module:
    """A network of ours with the attention that is asked for, in the form; another one as it is."""
    if isinstance(module, AtScale):
        inner = _in_form(module.network, way)
        assert isinstance(inner, ESC)
        return AtScale(inner, module.scale)
    if isinstance(module, ESC):
        form = inference_form(module) if way.form == "inference" else module
        return form.set_attention_backend(way.attention)
    if isinstance(module, WindowAttention):
        module.backend = way.attention
        if way.form == "inference":
            module.bias = module.position_bias()
    return module


def count_subject(subject: Subject, sr_size: tuple[int, int]) -> tuple[int, MacCount]:
    """Parameters and multiply-accumulates of a network, on shapes alone, with plain attention.

    Args:
        subject: The network.
        sr_size: Rows and columns of the result.

    Returns:
        Values of all parameters, frozen ones too, as the paper counts them; and products for one input.
    """
    meta = torch.device("meta")
    module = subject.build(meta).eval()
    network = _in_form(module, Way(attention="plain", form="trained"))
    lr = torch.empty(1, subject.channels, *subject.input_size(sr_size), device=meta)
    parameters = sum(each.numel() for each in network.parameters())
    return parameters, count_forward_macs(lambda: network(lr))


@dataclass(frozen=True)
class ForwardJob:
    """A forward pass whose memory is measured in a process of its own.

    Attributes:
        name: See `subject_of`.
        scale: See `subject_of`.
        way: See `Way`.
        sr_size: Rows and columns of the result.
        batch: Pictures at once.
        threads: Of the CPU.
    """

    name: str
    scale: float | None
    way: Way
    sr_size: tuple[int, int]
    batch: int
    threads: int


def forward_peak_memory(job: ForwardJob) -> PeakMemory | None:
    """Peak memory of a forward pass on the CPU, in a new process.

    Args:
        job: The pass.

    Returns:
        Bytes; None where the system does not tell.

    Raises:
        DeviceError: The process ended without an answer.
    """
    return ask_own_process("escsr.evaluation.benchmark.forward", asdict(job), name=job.name)


def _measure(values: dict[str, Any]) -> PeakMemory | None:
    """In the new process: builds, runs once on a small input, then the pass."""
    keep_freed_memory()  # as the commands do
    job = ForwardJob(**{**values, "way": Way(**values["way"])})
    torch.set_num_threads(job.threads)
    cpu, subject = torch.device("cpu"), subject_of(job.name, scale=job.scale)
    rows, columns = subject.input_size(job.sr_size)
    least = min(_WARM, rows), min(_WARM, columns)
    for size, measures in ((least, False), ((rows, columns), True)):
        forward = Forward(subject, job.way, device=cpu, shape=(job.batch, subject.channels, *size))
        with forward.prepared() as run:
            if measures:
                return peak_of(run, cpu)
            run()
    return None


if __name__ == "__main__":
    measured = _measure(json.loads(sys.argv[1]))
    sys.stdout.write(json.dumps(measured and asdict(measured)) + "\n")
