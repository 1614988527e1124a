"""Precision: what is asked for holds, whatever surrounds it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from escsr.runtime.precision import HALF_PRECISIONS, PrecisionPolicy, compute_in

CPU = torch.device("cpu")


def switches() -> list[object]:
    """Those for TF32 of convolutions and of matrix products."""
    cudnn: Any = torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        return [cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision]
    return [cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]


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
            assert switches()[0] in ("tf32", True)
        assert switches() in (["ieee", "ieee"], [False, False])
        assert inside == []
    thread.join(10)
    assert inside == ["tf32"]
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("by", ["everything", "convolutions", "products"])
def test_float32_holds_whichever_switch_the_caller_has_set(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cudnn: Any = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        pytest.skip("this PyTorch has the older switches only")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    before = switches()
    backends: Any = {
        "everything": torch.backends,
        "convolutions": cudnn.conv,
        "products": torch.backends.cuda.matmul,
    }
    place, cuda = backends[by], torch.device("cuda")
    usual = place.fp32_precision
    try:
        for value in ("ieee", "tf32"):
            place.fp32_precision = value
            found = switches()
            with compute_in("float32", cuda):
                assert switches() == ["ieee", "ieee"]
            assert switches() == found
            with compute_in("tf32", cuda):
                assert switches() == ["tf32", found[1]]
            assert switches() == found
    finally:
        place.fp32_precision = usual
        cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = before


def test_the_callers_other_switches_of_cudnn_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    with compute_in("float32", torch.device("cuda")):
        assert torch.backends.cudnn.benchmark
        assert torch.backends.cudnn.deterministic
