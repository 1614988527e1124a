from __future__ import annotations

import pytest
import torch

from escsr.errors import CheckpointError
from escsr.models.published_keys import detect_config, from_published, published_name, to_published
from escsr.networks import ESC, VARIANTS, variant_config


@pytest.mark.parametrize("bias_rank", [None, 48])
@pytest.mark.parametrize(("variant", "scale"), [*((v, None) for v in VARIANTS), ("esc", 3), ("esc-fp", 4)])
def test_configuration_is_read_off_published_weights(
    variant: str, scale: int | None, bias_rank: int | None
) -> None:
    config = variant_config(variant, scale=scale, bias_rank=bias_rank)
    with torch.device("meta"):
        weights = ESC(config).state_dict()
    published = to_published(weights, config)
    assert len(published) == len(weights)
    assert detect_config(published) == config
    assert from_published(published, config).keys() == weights.keys()


@pytest.mark.parametrize(
    ("variant", "ours", "theirs"),
    [
        ("esc", "large_kernel.weight", "plk_filter"),
        ("esc", "blocks.1.conv_ffn_first.depthwise.weight", "blocks.1.proj.dwc.weight"),
        ("esc", "blocks.0.conv_attns.2.estimator.2.bias", "blocks.0.pconvs.2.plk.dwc_proj.3.bias"),
        ("esc-fp", "blocks.0.conv_attns.2.estimator.0.bias", "blocks.0.pconvs.2.plk.proj.1.bias"),
        ("esc-fp", "norm_last.weight", "ln_last.weight"),
        ("esc-real", "upsampler.convs.3.weight", "to_img.8.weight"),
        ("esc-real", "shortcut.reduce.bias", "skip.3.bias"),
        ("esc-lte", "blocks.4.attention.bias_table", "encoder.blocks.4.attn.relative_position_bias"),
        ("esc-lte", "upsampler.imnet.6.weight", "imnet.layers.6.weight"),
        ("esc-rib", "blocks.2.attention.implicit_bias.hidden_weight", "blocks.2.attn.to_hidden"),
        ("esc-rib", "blocks.2.attention.implicit_bias.hidden_bias", "blocks.2.attn.hidden_b"),
        ("esc-rib", "blocks.2.attention.implicit_bias.key", "blocks.2.attn.to_k"),
        ("esc-rib", "blocks.0.attention.gate.depthwise.bias", "blocks.0.attn.gate.0.bias"),
        ("esc-rib", "blocks.0.attention.gate.project.weight", "blocks.0.attn.gate.1.weight"),
        ("esc-rib", "blocks.0.conv_last.weight", "blocks.0.conv_out.weight"),
        ("esc-rib", "norm_last.weight", "last.0.weight"),
        ("esc-rib", "last.bias", "last.1.bias"),
        ("esc-rib", "upsampler.conv.weight", "upsampler.up_conv.weight"),
    ],
)
def test_names(variant: str, ours: str, theirs: str) -> None:
    assert published_name(ours, variant_config(variant)) == theirs


def test_foreign_weights_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"found 1 tensors: conv1\.weight.*Accepted are"):
        detect_config({"conv1.weight": torch.zeros(1)})
