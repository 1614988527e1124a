"""Plain values to settings: nothing is converted; a refusal names key, value and what is accepted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from escsr.errors import ConfigError
from escsr.networks import VARIANTS, NetworkConfig
from escsr.runtime.settings import did_you_mean, setting_names, validated


@pytest.mark.parametrize("name", VARIANTS)
def test_plain_values_give_the_same_network(name: str) -> None:
    assert validated(NetworkConfig, asdict(VARIANTS[name])) == VARIANTS[name]


def test_an_integer_does_for_a_float() -> None:
    ratio = validated(NetworkConfig, {"ffn_ratio": 2}).ffn_ratio
    assert ratio == 2.0
    assert isinstance(ratio, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": "48"}, "dim should be a valid integer, not '48'"),
        ({"num_blocks": True}, "num_blocks should be a valid integer, not True"),
        ({"scale": 2.0}, "scale should be a valid integer, not 2.0"),
        ({"ffn_ratio": "2"}, "ffn_ratio should be a valid number, not '2'"),
        ({"ffn_ratio": float("nan")}, "ffn_ratio should be a finite number, not nan"),
        ({"norm_last": "no"}, "norm_last should be a valid boolean, not 'no'"),
        ({"bias_rank": True}, "bias_rank should be a valid integer, not True"),
        ({"upsampler": "x"}, "upsampler should be 'pixel_shuffle', .* not 'x'"),
        ({"dim": 65}, "dim 65 is not a multiple of num_heads 4"),
        ({"dmi": 64}, "Unknown setting 'dmi'. Did you mean dim?"),
        ({"dim": object()}, "plain values"),
        ({"dim": 10**5000}, "not"),
    ],
)
def test_other_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        validated(NetworkConfig, values)
    assert len(str(refused.value)) < 500


@dataclass(frozen=True)
class _Nested:
    network: NetworkConfig
    count: int


def test_nested_settings_are_named_with_dots() -> None:
    assert {"count", "network.dim"} <= set(setting_names(_Nested))
    assert validated(_Nested, {"network": {"dim": 32}, "count": 2}).network.dim == 32
    with pytest.raises(ConfigError, match=r"network\.dim should be"):
        validated(_Nested, {"network": {"dim": "32"}, "count": 2})
    with pytest.raises(ConfigError, match=r"Unknown setting 'network\.dmi'\. Did you mean dim\?"):
        validated(_Nested, {"network": {"dmi": 32}, "count": 2})
    with pytest.raises(ConfigError, match=r"Unknown setting 'colour'\. There are attended_dim,"):
        validated(NetworkConfig, {"colour": 1})
    with pytest.raises(ConfigError, match="Missing setting 'count'"):
        validated(_Nested, {"network": {}})


def test_names_that_are_near() -> None:
    assert did_you_mean("iteration", ["iterations", "seed"]) == " Did you mean iterations?"
    assert not did_you_mean("qqq", ["iterations", "seed"])


def test_the_package_is_imported_without_pydantic() -> None:
    code = "import escsr, sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
