"""Gradients of trained networks on photographs: kernels and PyTorch's operators against float64.

    python benchmarks/training_gradients.py --data PICTURES

Mean square error of SR of bicubic LR, HR patches of 128. Records results/precision/gradients-cpu.json: the
norm of the difference over the norm of all gradients, for float32 and for bfloat16 under autocast.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from conditions import record
from escsr import images
from escsr.models.checkpoints import load_network
from escsr.networks.training_kernels import only_plain_operators

SIDE = 128


def main() -> None:
    """Measures each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", nargs="+", default=["esc-light-x2", "esc-x2"])
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    paths = sorted(path for path in options.data.iterdir() if path.is_file())[:4]
    pixels = np.stack([images.read(path).colour[:SIDE, :SIDE] for path in paths])
    hr = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    rows = []
    for model in options.models:
        exact = _gradients(model, hr.double(), plain=True)
        for dtype in (torch.float32, torch.bfloat16):
            for plain in (False, True):
                error = (_gradients(model, hr, dtype, plain=plain) - exact).norm() / exact.norm()
                by = "operators" if plain else "kernels"
                rows.append({"model": model, "dtype": str(dtype)[6:], "by": by, "error": float(error)})
                print(rows[-1], flush=True)
    print(record("precision/gradients-cpu", {"rows": rows}))


def _gradients(model: str, hr: Tensor, dtype: torch.dtype | None = None, *, plain: bool) -> Tensor:
    """All gradients of a model in a row, float64; computed in HR's type, or products in bfloat16."""
    network = load_network(model).train().to(hr.dtype)
    lr = F.interpolate(hr, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False)
    half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    with only_plain_operators() if plain else nullcontext(), half:
        sr = network(lr.clamp(0, 1))
    torch.autograd.backward(F.mse_loss(sr.to(hr.dtype), hr))
    gradients = [each.grad for each in network.parameters() if each.grad is not None]
    return torch.cat([each.double().flatten() for each in gradients])


if __name__ == "__main__":
    main()
