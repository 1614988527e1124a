"""What options may be: one list for the functions that take them and the command's help, without torch."""

from __future__ import annotations

from typing import Any, Literal, get_args

from escsr.errors import ConfigError

__all__ = [
    "AdversarialType",
    "Attention",
    "Backend",
    "CkaEstimator",
    "CompileMode",
    "ExportFormat",
    "FeatureStorageChoice",
    "Fit",
    "LamRule",
    "NetworkForm",
    "PerceptualType",
    "Precision",
    "Protocol",
    "Resizer",
    "Subsampling",
    "VideoCodec",
    "check_choice",
]

AdversarialType = Literal["vanilla", "hinge", "relativistic"]
"""Loss of a discriminator: binary cross-entropy of its logits, hinge, or the cross-entropy of how much more
HR is taken for real than its own result."""

Attention = Literal["auto", "plain", "sdpa", "flex"]
"""How window attention is computed, see `escsr.networks.attention.AttentionBackend`."""

Backend = Literal["torch", "onnx", "openvino"]
"""What computes the network: PyTorch; or by extras ONNX Runtime or OpenVINO, on the CPU in float32."""

CkaEstimator = Literal["biased", "unbiased"]
"""How CKA is estimated: "biased" is Kornblith's on all pictures at once; with few pictures it is well
above 0 even for independent features. "unbiased" is Nguyen's over minibatches, near 0 for those."""

CompileMode = Literal["off", "default", "reduce-overhead", "max-autotune"]
"""Whether and how `torch.compile` compiles the whole network, for the one shape that is measured."""

ExportFormat = Literal["onnx", "openvino"]
"""What a model is exported to."""

FeatureStorageChoice = Literal["auto", "float32", "float16", "file"]
"""How feature maps are kept, see `FeatureStorage`; "auto" is float32 in memory, or a temporary file where
the predicted memory is not free."""

Fit = Literal["contain", "cover", "exact"]
"""How a picture comes to a width and a height: "contain" keeps its shape inside them, "cover" keeps its
shape around them and cuts what is over, centred, "exact" stretches it."""

LamRule = Literal["midpoint", "right"]
"""How LAM sums the integral along its path: "right" takes the sharper end of each step, as published
diffusion indices do, with 50 steps; "midpoint" its middle, nearer to the integral with 10 steps."""

NetworkForm = Literal["inference", "trained", "streaming"]
"""How a network of ours is run when its cost is measured. "inference": one forward pass of the frozen twin,
in which the large kernel is averaged and the position biases are made once. "trained": of the network as it
is trained, as the paper's authors measure. "streaming": in exact tiles from host memory to host memory,
with native kernels on a CPU, as `escsr upscale` runs it."""

PerceptualType = Literal["l1", "normalized"]
"""Distance between features: L1; or the squared difference of features of unit length, as in LPIPS."""

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16"]
"""Precision of the network. "float32" is IEEE everywhere; "tf32" rounds the factors of products to 10
bits on GPUs that have it; "bfloat16" and "float16" make products in half precision, while the sums of
residuals, norms and what lies between the stages stay float32. "auto" is float16 on CUDA devices with
fast half precision (compute capability 7.0 on) and float32 elsewhere."""

Protocol = Literal["classic", "bicubic-as-published", "lte", "lte-div2k"]
"""`classic`: the paper's Tables 2–4, integer scales. `bicubic-as-published`: the recipe behind the bicubic
rows of the literature (Y of HR rounded, down and up in double, one final rounding); for "bicubic" only.
`lte`, `lte-div2k`: the paper's Tables 5 and 6, any scale, PSNR only; the first for the benchmark sets
(luma), the second for DIV2K (RGB). Step by step in docs/evaluation.md."""

Resizer = Literal[
    "matlab-bicubic",
    "matlab-double",
    "pil-bicubic",
    "pil-lanczos",
    "pil-bilinear",
    "pil-box",
    "pil-nearest",
    "torch-bicubic",
    "opencv-bicubic",
    "opencv-bilinear",
    "opencv-area",
    "opencv-nearest",
]
"""Known ways to downscale an image.

`matlab-bicubic` is `imresize` on uint8, with which DIV2K and the test sets were made, and
`matlab-double` is `imresize(im2double(I))`. `torch-bicubic` is `interpolate(antialias=True)` on
floats. `opencv-bicubic` and `opencv-bilinear` do not antialias; PyTorch without antialias gives the
same. The nearest pixel is the first of each r×r in OpenCV, the middle one in Pillow.
"""

Subsampling = Literal["444", "420"]
"""Colour at full resolution, or at half of it in both directions."""

VideoCodec = Literal["auto", "h264", "hevc", "av1", "ffv1", "prores"]
"""How videos are compressed. "auto" is H.264, for sources of more than 8 bits HEVC, in WebM AV1. "ffv1" is
without loss, "prores" for editing."""


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuses what is none of the choices of a `Literal`.

    Raises:
        ConfigError: It is none; with all that there are.
    """
    if value not in get_args(choices):
        raise ConfigError(f"{name} must be one of {', '.join(get_args(choices))}, not {value!r}.")
