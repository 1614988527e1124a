"""Files made to hang, to fill the memory or to end in a traceback: each is one `CheckpointError`."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from escsr.errors import CheckpointError, ConfigError, ModelNotFoundError, OutputError
from escsr.models import checkpoints, published_keys
from escsr.models.bundled import find_model, read_header
from escsr.models.checkpoints import load_network, read_checkpoint
from escsr.models.published_keys import detect_config, to_published
from escsr.models.saving import save_network
from escsr.networks import ESC, NetworkConfig
from samples import small_network


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.safetensors"
    save_network(small_network("esc"), path)
    return path


@pytest.fixture
def published() -> dict[str, Tensor]:
    network = small_network("esc")
    return to_published(network.state_dict(), network.config)


def refuse_to_build_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building is what takes for ever; that it is not begun shows without a clock."""

    def build(config: NetworkConfig) -> ESC:
        assert config.num_blocks < 20
        return ESC(config)

    monkeypatch.setattr(checkpoints, "ESC", build)
    monkeypatch.setattr(published_keys, "ESC", build)


@pytest.mark.parametrize(
    "change",
    [
        {"num_blocks": 200_000},
        {"num_blocks": 900},
        {"num_conv_attn": 10**9},
        {"num_attention": 10**6},
        {"ffn_ratio": "a"},
        {"ffn_ratio": "2"},
        {"ffn_ratio": float("nan")},
        {"ffn_ratio": float("inf")},
        {"ffn_ratio": 1e18},
        {"ffn_ratio": True},
        {"scale": 2.0},
        {"scale": 10**30},
        {"window_size": 10**30},
        {"window_size": 200},
        {"dim": [24]},
        {"bias_rank": True},
        {"norm_last": "no"},
        {"upsampler": ["lte"]},
        {"shortcut": {"a": 1}},
        {"large_kernel": None},
        {"no_such_setting": 1},
    ],
    ids=str,
)
def test_configurations(change: dict[str, Any], ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_build_many(monkeypatch)
    fields = read_header(ours).metadata
    config = json.dumps(json.loads(fields["config"]) | change)
    save_file(load_file(ours), ours, metadata=fields | {"config": config})
    with pytest.raises(CheckpointError, match=r"ours\.safetensors"):
        load_network(ours)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        '{"dim": ' + "9" * 5000 + "}",
        "[]",
        "null",
        "",
        "{",
        "\0",
    ],
    ids=range(9),
)
def test_json(text: str, ours: Path) -> None:
    fields = read_header(ours).metadata
    save_file(load_file(ours), ours, metadata=fields | {"config": text})
    with pytest.raises(CheckpointError, match="configuration"):
        load_network(ours)


def test_many_empty_blocks_of_a_pickle(
    published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_build_many(monkeypatch)
    for index in range(900):
        published[f"blocks.{index}.x"] = torch.zeros(1)
    torch.save(published, tmp_path / "many.pth")
    with pytest.raises(CheckpointError, match="too few for 900 blocks"):
        load_network(tmp_path / "many.pth")
    for index in range(1100):
        published[f"blocks.{index}.x"] = torch.zeros(1)
    torch.save(published, tmp_path / "more.pth")
    with pytest.raises(CheckpointError, match="num_blocks"):
        load_network(tmp_path / "more.pth")


def nested() -> Tensor:
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.strided)


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "integer": Tensor.int,
    "boolean": Tensor.bool,
    "complex": lambda x: x.to(torch.complex64),
    "float8": lambda x: x.to(torch.float8_e5m2),
    "sparse": Tensor.to_sparse,
    "quantised": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "meta": lambda x: x.to("meta"),
    "nested": lambda _: nested(),
    "expanded": lambda x: torch.zeros(1).expand(1 << 40),
    "empty": lambda x: x[:0],
    "scalar": lambda x: x.sum(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key", ["proj.weight", "blocks.0.convffns.0.proj.weight", "to_img.bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_tensors(kind: str, key: str, published: dict[str, Tensor], tmp_path: Path) -> None:
    try:
        torch.save(published | {key: KINDS[kind](published[key])}, tmp_path / "net.pth")
    except (RuntimeError, NotImplementedError) as error:  # a kind that this PyTorch has no longer
        pytest.skip(str(error)[:80])
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        load_network(tmp_path / "net.pth")


@pytest.mark.parametrize("kind", ["integer", "float8", "empty"])
def test_kinds_of_our_tensors(kind: str, ours: Path) -> None:
    fields, weights = read_header(ours).metadata, load_file(ours)
    save_file(weights | {"last.bias": KINDS[kind](weights["last.bias"])}, ours, metadata=fields)
    with pytest.raises(CheckpointError, match=r"ours\.safetensors: .*last\.bias"):
        load_network(ours)


def test_an_archive_that_unpacks_to_more(
    published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch writes its archives uncompressed, and reads others too."""
    torch.save(published | {"zeros": torch.zeros(1 << 20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(CheckpointError, match="unpacks to more than it holds"):
        load_network(tmp_path / "net.pth")


def test_one_storage_for_many_tensors(published: dict[str, Tensor], tmp_path: Path) -> None:
    """Each a view of the same bytes: copies would take what no file holds."""
    shared = torch.zeros(1 << 20)
    torch.save(published | {f"x{index}": shared for index in range(9)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="claim 3"):
        load_network(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "error", [IndexError, AssertionError, TypeError, KeyError, RecursionError, MemoryError, OverflowError]
)
def test_whatever_the_reader_raises(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise error("crafted")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "content", [b"\x80\x02K\x01.", b"\x80\x02]q\x00.", b"\x80\x02h\x05.", b"\x80\x02."]
)
def test_tiny_pickles(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        load_network(tmp_path / "net.pth")


@pytest.mark.parametrize("shape", [None, (1,), (12, 24), (5, 24, 3, 3)])
def test_an_output_layer_that_cannot_be_converted(shape: tuple[int, ...] | None, ours: Path) -> None:
    fields, weights = read_header(ours).metadata, load_file(ours)
    del weights["upsampler.conv.weight"]
    if shape is not None:
        weights["upsampler.conv.weight"] = torch.zeros(shape)
    save_file(weights, ours, metadata=fields)
    with pytest.raises(CheckpointError, match="cannot be converted to ×3"):
        load_network(ours, scale=3)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [48, 50, 60, 64, 96])
def test_every_hidden_width_is_detected(dim: int) -> None:
    """Also those whose quotient, times the width, is a hair less: 123 / 60 · 60 = 122.99…"""
    for hidden in range(dim, 2 * dim + 4):
        ratio = next(r for r in (hidden / dim, (hidden + 0.5) / dim) if int(dim * r) == hidden)
        config = NetworkConfig(dim=dim, num_heads=2, num_blocks=1, num_conv_attn=1, ffn_ratio=ratio)
        with torch.device("meta"):
            weights = ESC(config).state_dict()
        detected = detect_config(to_published(weights, config))
        assert int(dim * detected.ffn_ratio) == hidden


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a/" * 3000, "~nobody-has-this-name/x", "a\0b", ""], ids=range(5)
)
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model(name)
    assert len(str(caught.value)) < 500
    with pytest.raises(CheckpointError):
        read_checkpoint(name)


def test_a_damaged_header_is_named(ours: Path) -> None:
    ours.write_bytes(ours.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(ours)


def test_a_conversion_says_what_the_model_has(tmp_path: Path) -> None:
    save_network(small_network("esc-lte"), tmp_path / "any.safetensors")
    with pytest.raises(
        ConfigError, match="has any scale, given at each call; it cannot be converted to ×3"
    ):
        load_network(tmp_path / "any.safetensors", scale=3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from escsr.errors import OutputError
from escsr.models.saving import save_network
from escsr.networks import ESC, NetworkConfig
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_network(ESC(NetworkConfig(num_blocks=1)), sys.argv[1])
except OutputError as error:
    assert "Cannot write" in str(error), error
else:
    raise AssertionError("written")
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.safetensors")], check=True)
    assert list(tmp_path.iterdir()) == []


def test_without_a_configuration_the_shapes_tell_it(ours: Path) -> None:
    config = load_network(ours).config
    save_file(load_file(ours), ours, metadata={"format": "escsr"})
    assert load_network(ours).config == config
    with pytest.raises(OutputError, match=r"\.safetensors"):
        save_network(small_network("esc"), ours.with_suffix(".bin"))
