"""The card of a published model, and the terms of its weights, as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from escsr.evaluation.cost import count_parameters
from escsr.models.checkpoints import DEGRADATION
from escsr.networks import variant_name

if TYPE_CHECKING:
    from escsr.integrations.publishing import Publication

__all__ = ["card_text", "licence_text"]

_PAPER = "arXiv 2503.06671"

_MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def card_text(publication: Publication) -> str:
    """The card, as the Hugging Face Hub reads it: fields in YAML, then Markdown.

    Args:
        publication: What the model says of itself.
    """
    return "\n".join((*_front_matter(publication), *_body(publication))) + "\n"


def licence_text(publication: Publication) -> str:
    """The terms of the weights: MIT in full, of others where they are to be read.

    Args:
        publication: What the model says of itself.
    """
    holder = publication.author or f"the authors of {publication.name}"
    if publication.licence == "MIT":
        return f"MIT License\n\nCopyright (c) {date.today().year} {holder}\n\n{_MIT}"
    return (
        f"The weights of {publication.name} are by {holder}, under {publication.licence}:\n"
        f"https://spdx.org/licenses/{publication.licence}.html\n"
    )


def _front_matter(publication: Publication) -> Iterator[str]:
    """In JSON's quotes, which are YAML's too."""
    yield "---"
    yield f"license: {json.dumps(publication.licence.lower())}"
    yield 'library_name: "escsr"'
    yield 'pipeline_tag: "image-to-image"'
    yield "tags:"
    for tag in ("super-resolution", "image-upscaling", "esc", "pytorch", "spandrel"):
        yield f"- {json.dumps(tag)}"
    if publication.quality:
        yield from ("model-index:", f"- name: {json.dumps(publication.name)}", "  results:")
    for quality in publication.quality:
        yield '  - task: {type: "image-to-image", name: "super-resolution"}'
        yield f"    dataset: {{type: {json.dumps(quality.data)}, name: {json.dumps(quality.data)}}}"
        yield "    metrics:"
        yield f'    - {{type: "psnr", name: "Y-PSNR, dB", value: {quality.psnr_y:.2f}}}'
        if quality.ssim_y is not None:
            yield f'    - {{type: "ssim", name: "SSIM of luma", value: {quality.ssim_y:.4f}}}'
    yield "---"


def _body(publication: Publication) -> Iterator[str]:
    metadata, config = publication.checkpoint.metadata, publication.checkpoint.config
    kind = variant_name(config) or f"ESC of {config.num_blocks} blocks of {config.dim} channels"
    yield f"\n# {publication.name}\n"
    yield f"Super-resolution, {_scale(publication)}: {kind}, {count_parameters(config):,} parameters, of"
    yield "*Emulating Self-attention with Convolution for Efficient Image Super-Resolution*"
    yield f"({_PAPER}).\n"
    if publication.training:
        yield f"Training: {publication.training}.\n"
    if DEGRADATION in metadata:
        yield f"Trained on photographs damaged by the degradation `{metadata[DEGRADATION]}`: it takes noise"
        yield "and compression away. Not for measuring, for evidence, or for faces of people whom one must"
        yield "recognise.\n"
    yield from _figures(publication)
    yield from _use(publication)


def _scale(publication: Publication) -> str:
    scale = publication.checkpoint.config.scale
    return "any scale" if scale is None else f"×{scale}"


def _figures(publication: Publication) -> Iterator[str]:
    if not publication.quality:
        return
    yield "Y-PSNR (dB) / SSIM beside bicubic interpolation, LR by MATLAB's bicubic:\n"
    yield "| set | this model | bicubic |"
    yield "|---|---|---|"
    for quality in publication.quality:
        ours, bicubic = f"{quality.psnr_y:.2f}", f"{quality.bicubic_psnr_y:.2f}"
        if quality.ssim_y is not None and quality.bicubic_ssim_y is not None:
            ours, bicubic = f"{ours} / {quality.ssim_y:.4f}", f"{bicubic} / {quality.bicubic_ssim_y:.4f}"
        yield f"| {quality.data} | {ours} | {bicubic} |"
    yield ""


def _use(publication: Publication) -> Iterator[str]:
    config = publication.checkpoint.config
    yield "```sh"
    yield 'pip install ".[hub]"  # in a checkout of escsr'
    scale = " --scale 2.5" if config.scale is None else ""
    yield f"escsr upscale photo.jpg --model ORGANISATION/{publication.name}{scale}"
    yield "```\n"
    yield "`model.safetensors` bears the key names of the paper's authors, `config.json` the shape. The"
    yield "network takes RGB in [0, 1], (B, 3, H, W), any size from 1×1. Programs that load models through"
    yield "spandrel load it where that knows ESC (`escsr.integrations.spandrel.install()`).\n"
    yield "A program that cuts pictures into tiles by itself should cut at multiples of"
    yield f"{config.window_size}, and gets something near, not equal: the network looks at the whole"
    yield "picture. escsr streams pictures of any size exactly.\n"
    yield f"Licence of the weights: {publication.licence}."
