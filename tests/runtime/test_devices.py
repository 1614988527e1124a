"""Devices: chosen by name, by PyTorch's own object, or by nobody."""

from __future__ import annotations

import pytest
import torch

from escsr.errors import DeviceError
from escsr.runtime.devices import choose_device, device_name


def test_a_device_is_taken_as_it_is() -> None:
    assert choose_device(torch.device("cpu")) == torch.device("cpu")
    assert choose_device(None) == choose_device("auto") == choose_device()


@pytest.mark.parametrize("device", ["warp", "", "cuda:x", "cpu:" + "9" * 5000, torch.device("vulkan"), 1.5])
def test_devices_that_are_not_here_are_named(device: object) -> None:
    with pytest.raises(DeviceError, match="cpu"):
        choose_device(device)  # type: ignore[arg-type]


def test_the_cpu_has_a_name() -> None:
    assert device_name(torch.device("cpu"))
