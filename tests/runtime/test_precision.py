"""Precision: what is asked for holds, whatever surrounds it."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from escsr.runtime.precision import HALF_PRECISIONS, PrecisionPolicy, compute_in

CPU = torch.device("cpu")


def product(a: Tensor) -> Tensor:
    return a @ a.T


def test_float32_holds_inside_the_callers_autocast() -> None:
    a = torch.rand(8, 8)
    expected = product(a)
    policy = PrecisionPolicy(CPU, "float32")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(policy(product, (a,)), expected, atol=1e-6)
        with compute_in("float32", CPU):
            assert product(a).dtype == torch.float32
        assert product(a).dtype == torch.bfloat16


@pytest.mark.parametrize("precision", HALF_PRECISIONS)
def test_half_precision_is_of_the_kind_asked_for(precision: str) -> None:
    other = torch.float16 if precision == "bfloat16" else torch.bfloat16
    with torch.autocast("cpu", other), compute_in(precision, CPU):  # type: ignore[arg-type]
        assert product(torch.rand(4, 4)).dtype == HALF_PRECISIONS[precision]


def test_the_switch_of_the_process_is_set_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's flags are global: two threads that set them in turn would leave the wrong ones behind."""
    inside: list[str] = []
    cuda, first_is_in = torch.device("cuda"), threading.Event()

    def second() -> None:
        first_is_in.wait(10)
        with compute_in("tf32", cuda):
            inside.append("tf32")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    thread = threading.Thread(target=second)
    thread.start()
    with compute_in("float32", cuda):
        first_is_in.set()
        thread.join(0.2)
        with compute_in("tf32", cuda):
            assert torch.backends.cudnn.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
        assert inside == []
    thread.join(10)
    assert inside == ["tf32"]
    assert torch.backends.cudnn.allow_tf32
