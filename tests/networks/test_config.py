from __future__ import annotations

import subprocess
import sys

import pytest

from escsr.errors import ConfigError
from escsr.evaluation.cost import count_macs, count_parameters
from escsr.networks import VARIANTS, NetworkConfig, variant_config, variant_name

PARAMETERS = {
    ("esc", 2): 946_728,
    ("esc", 3): 955_383,
    ("esc", 4): 967_500,
    ("esc-light", 2): 603_600,
    ("esc-light", 3): 612_255,
    ("esc-light", 4): 624_372,
    ("esc-fp", 2): 523_675,
    ("esc-fp", 3): 530_170,
    ("esc-fp", 4): 539_263,
    ("esc-xl", 2): 12_455_916,
    ("esc-xl", 3): 12_481_851,
    ("esc-xl", 4): 12_518_160,
    ("esc-real", 4): 2_265_307,
    ("esc-real-xl", 4): 13_105_027,
    ("esc-lte", None): 1_433_631,
    ("esc-rib", 2): 1_007_796,
    ("esc-rib", 3): 1_016_451,
    ("esc-rib", 4): 1_028_568,
}

GIGA_MACS = {
    "esc": (591.983, 267.613, 149.190),
    "esc-light": (359.384, 162.782, 91.040),
    "esc-fp": (239.779, 110.027, 60.840),
}
HD_INPUTS = {2: (360, 640), 3: (240, 426), 4: (180, 320)}


@pytest.mark.parametrize(("variant", "scale"), PARAMETERS)
def test_parameter_counts_are_the_papers(variant: str, scale: int | None) -> None:
    assert count_parameters(variant_config(variant, scale=scale)) == PARAMETERS[variant, scale]


@pytest.mark.parametrize("variant", GIGA_MACS)
@pytest.mark.parametrize("scale", HD_INPUTS)
def test_macs_are_the_papers(variant: str, scale: int) -> None:
    counted = count_macs(variant_config(variant, scale=scale), *HD_INPUTS[scale]) / 1e9
    assert counted == pytest.approx(GIGA_MACS[variant][scale - 2], abs=1.1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_and_name(variant: str) -> None:
    config = variant_config(variant, bias_rank=48)
    assert NetworkConfig.from_dict(config.to_dict()) == config
    assert variant_name(config) == variant
    assert variant_name(config.replace(num_conv_attn=7)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 0},
        {"dim": 65},
        {"num_blocks": True},
        {"attended_dim": 64},
        {"attended_dim": 1},
        {"large_kernel_size": 12},
        {"large_kernel": "sparse"},
        {"scale": 0},
        {"scale": None},
        {"scale": 2.5},
        {"upsampler": "bilinear"},
        {"upsampler": "nearest_conv"},
        {"upsampler": "nearest_conv", "shortcut": "conv"},
        {"shortcut": "bilinear"},
        {"upsampler": "lte", "shortcut": "bilinear"},
        {"bias_rank": 0},
        {"bias_hidden_dim": 32},
        {"bias_rank": 16, "bias_hidden_dim": 0},
        {"attention_gate": 1},
        {"ffn_ratio": 0.001},
        {"no_such_setting": 1},
    ],
)
def test_impossible_values_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        NetworkConfig().replace(**changes)


def test_unknown_variant_names_the_known() -> None:
    with pytest.raises(ConfigError, match="esc-light"):
        variant_config("esc-lite")


def test_configurations_need_no_torch() -> None:
    code = (
        "import sys; from escsr.networks import VARIANTS, NetworkConfig, variant_config, variant_name; "
        "from escsr.networks.config import MAX_SCALE; assert 'torch' not in sys.modules; "
        "from escsr.networks import ESC; assert ESC.__module__ == 'escsr.networks.esc'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
