"""The card beside a model's weights, from its record."""

from __future__ import annotations

from typing import Any

from escsr.evaluation.stability import BORDER, HALF_LIMIT

Record = dict[str, Any]


def card(record: Record) -> str:
    """The card that lies beside the weights."""
    training, conditions, stability = record["training"], record["conditions"], record["stability"]
    rows = "\n".join(
        f"| {name} | {figures(sets['model'])} | {figures(sets['bicubic'])} | {figures(sets['paper'])} |"
        for name, sets in record["sets"].items()
    )
    any_scale = record["scale"] is None
    scale = "any scale" if any_scale else f"×{record['scale']}"
    measure = "Y-PSNR (dB)" if any_scale else "Y-PSNR (dB) and SSIM"
    way = "float32" if any_scale else "LR padded to the window, float32"
    paper = f"{'ESC+LTE' if any_scale else record['variant']} in the paper (DIV2K)"
    shrunk = "Pillow's" if any_scale else "MATLAB's"
    return f"""# {record["model"]}

{training["summary"]}

| | |
|---|---|
| network | {record["variant"]}, {scale}, {record["parameters"]:,} parameters |
| file | `{record["model"]}.safetensors`, half precision, sha256 `{record["sha256"]}` |
| started from | {_start(record)} |
| recipe | `{training["recipe"]}`, {training["iterations"]:,} iterations |
| hardware and time | {training["hardware"]}; {training["time"]} |
| data | {training["data"]} |
| licence of the weights | {record["licence"]} |

{measure} by protocol `{conditions["protocol"]}`, {way}:

| set | this model | bicubic | {paper} |
|---|---|---|---|
{rows}

Measured on {conditions["date"]} with PyTorch {conditions["torch"]} on {conditions["device"]}:
`{conditions["command"]}`

Stability, on made pictures of noise, patterns, lettering and pure colours (`escsr.evaluation.stability`):

* {_half_precision(stability["activations"])}
* {_constants(stability)}

{_real_limits(record) if is_real(record) else _limits(shrunk)}{_lost(record)}
"""


def _limits(shrunk: str) -> str:
    return (
        f"Limits: trained on clean pictures shrunk by {shrunk} bicubic. Noise and compression artefacts of "
        "a photo\nare enlarged with it; they are not removed."
    )


def _real_limits(record: Record) -> str:
    training, preset = record["training"], record["degradation"]
    losses, network = training.get("losses", "L1"), training.get("perceptual")
    perceptual = f" Perceptual network: {network}." if network else ""
    invents = "It smooths what it cannot tell." if network is None else "It invents detail."
    return f"""Trained on photographs damaged by the degradation `{preset}`; losses: {losses}.{perceptual}
Figures on damaged pictures: docs/real-world.md.

Limits: {invents} Clean pictures come out less sharp than by models for them. Not for measuring, for
evidence, or for faces of people whom one must recognise."""


def _start(record: Record) -> str:
    start = record["training"]["started_from"]
    if start == record["model"]:
        return "its own earlier weights"
    return f"the weights of `{start}`" if start else "random weights"


def _half_precision(activations: dict[str, float]) -> str:
    """How far the model stays below what half precision holds, and where it does not."""
    over = {name: largest for name, largest in activations.items() if largest > HALF_LIMIT}
    largest = max(value for name, value in activations.items() if name not in over)
    line = f"Largest activation {largest:,.0f} of {HALF_LIMIT:,.0f}"
    if not over:
        return f"{line}: it does not overflow in float16."
    worst = ", ".join(f"{value:.1e} on {name}" for name, value in over.items())
    return (
        f"{line}, but {worst} (single-pixel patterns): float16\n  overflows there, which `escsr` notices "
        "and computes again in bfloat16; the result is close to float32's."
    )


def _constants(stability: Record) -> str:
    names = ("constant_inside", "constant_border", "pure_border")
    inside, border, pure = (stability[name] for name in names)
    return (
        f"A grey picture stays so within {inside:.2f} of 255 levels, in the {BORDER} outermost LR pixels\n"
        f"  within {border:.2f}, one of pure red, green or the like there within {pure:.1f}: convolutions\n"
        "  see zeros beyond the border."
    )


def _lost(record: Record) -> str:
    """The pictures that bicubic enlarges better, where there are any."""
    names = [name for sets in record["sets"].values() for name in sets["not_above_bicubic"]]
    return f" Bicubic has the higher PSNR on {', '.join(names)}." if names else ""


def is_real(record: Record) -> bool:
    """Whether a model was trained on damaged photographs."""
    return "degradation" in record


def figures(pair: list[float] | None) -> str:
    """PSNR / SSIM, or PSNR alone."""
    if not pair:
        return ""
    return f"{pair[0]:.2f}" + "".join(f" / {ssim:.4f}" for ssim in pair[1:])
