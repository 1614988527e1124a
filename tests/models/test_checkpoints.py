from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from types import new_class
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from escsr.errors import CheckpointError, ConfigError, DeviceError, ModelNotFoundError, OutputError
from escsr.models.bundled import find_model, list_models, model_name
from escsr.models.checkpoints import load_network, read_checkpoint
from escsr.models.published_keys import to_published
from escsr.models.saving import save_network
from escsr.networks import ESC, VARIANTS, NetworkConfig
from samples import call_options, lively, small_network


def outputs(network: ESC) -> Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        result: Tensor = network(torch.rand(1, 3, 9, 11), **call_options(network))
    return result


@pytest.mark.parametrize("published_names", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip(variant: str, published_names: bool, tmp_path: Path) -> None:
    network = small_network(variant)
    path = tmp_path / "deep" / "model.safetensors"
    save_network(network, path, training="a note", licence="MIT", published_names=published_names)
    loaded = load_network(path)
    assert loaded.config == network.config
    assert not loaded.training
    assert torch.equal(outputs(loaded), outputs(network))
    assert read_checkpoint(path).metadata["training"] == "a note"
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("bias_rank", [None, 6])
@pytest.mark.parametrize("variant", VARIANTS)
def test_our_names_are_known_by_their_shapes(variant: str, bias_rank: int | None, tmp_path: Path) -> None:
    network = small_network(variant, bias_rank=bias_rank)
    if network.config.bias_hidden_dim:  # no weight tells its window, which is that of the variant
        network = lively(ESC(network.config.replace(window_size=VARIANTS[variant].window_size)))
    save_file(network.state_dict(), tmp_path / "bare.safetensors")
    loaded = load_network(tmp_path / "bare.safetensors")
    assert loaded.config == network.config
    assert torch.equal(outputs(loaded), outputs(network))


@pytest.mark.parametrize("published_names", [False, True])
def test_a_folder_is_a_model(published_names: bool, tmp_path: Path) -> None:
    """Also one whose weights do not tell their shape: an ablation, and a shortcut that no tensor shows."""
    config = small_network("esc").config.replace(
        shortcut="bicubic", num_attention=1 if published_names else 2
    )
    network = lively(ESC(config))
    folder = tmp_path / "mine"
    folder.mkdir()
    weights = network.state_dict()
    save_file(to_published(weights, config) if published_names else weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "esc", "config": config.to_dict()}))
    assert find_model(folder) == folder / "model.safetensors"
    assert model_name(find_model(folder)) == "mine"
    loaded = load_network(folder)
    assert loaded.config == config
    assert torch.equal(outputs(loaded), outputs(network))
    (folder / "config.json").write_text('{"config": {"dim": 24, "colour": 1}}')
    with pytest.raises(CheckpointError, match="colour"):
        load_network(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="unreadable network configuration"):
        load_network(folder)


def test_a_folder_of_the_hubs_own_mixin(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason='needs the extra: pip install "escsr[hub]"')
    coders = {NetworkConfig: (asdict, NetworkConfig.from_dict)}
    published: Any = new_class("Published", (ESC, hub.PyTorchModelHubMixin), {"coders": coders})
    network: Any = lively(published(config=small_network("esc").config))
    network.save_pretrained(tmp_path / "mine")
    loaded = load_network(tmp_path / "mine")
    assert loaded.config == network.config
    assert torch.equal(outputs(loaded), outputs(network))


def test_half_precision_is_loaded_as_float32(tmp_path: Path) -> None:
    network = small_network("esc")
    path = tmp_path / "half.safetensors"
    save_network(network, path, half=True)
    assert all(value.dtype == torch.float16 for value in load_file(path).values())
    loaded = load_network(path)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert (outputs(loaded) - outputs(network)).abs().max() < 0.01


def test_metadata_tells_what_it_is(tmp_path: Path) -> None:
    network = ESC(VARIANTS["esc-light"])
    save_network(network, tmp_path / "m.safetensors", licence="MIT")
    metadata = read_checkpoint(tmp_path / "m.safetensors").metadata
    assert (metadata["variant"], metadata["scale"], metadata["licence"]) == ("esc-light", "2", "MIT")
    assert json.loads(metadata["config"])["num_blocks"] == 3


@pytest.mark.parametrize("wrap", ["bare", "params", "both", "module"])
def test_published_pickles(wrap: str, tmp_path: Path) -> None:
    network = small_network("esc")
    weights = to_published(network.state_dict(), network.config)
    zeros = {key: torch.zeros_like(value) for key, value in weights.items()}
    content = {
        "bare": weights,
        "params": {"params": weights},
        "both": {"params": zeros, "params_ema": weights},
        "module": {"params_ema": {f"module.{key}": value for key, value in weights.items()}},
    }[wrap]
    torch.save(content, tmp_path / "net.pth")
    assert torch.equal(outputs(load_network(tmp_path / "net.pth")), outputs(network))


def test_published_lte_is_nested(tmp_path: Path) -> None:
    network = small_network("esc-lte")
    weights = to_published(network.state_dict(), network.config)
    torch.save(
        {"model": {"name": "lte", "args": {"hidden": 256}, "sd": weights}, "epoch": 3}, tmp_path / "l.pth"
    )
    assert torch.equal(outputs(load_network(tmp_path / "l.pth")), outputs(network))


@pytest.mark.parametrize(("variant", "published_names"), [("esc", False), ("esc-rib", True)])
def test_scale_converts_the_output_layer(variant: str, published_names: bool, tmp_path: Path) -> None:
    network = small_network(variant)
    save_network(network, tmp_path / "x2.safetensors", published_names=published_names)
    converted = load_network(tmp_path / "x2.safetensors", scale=3)
    assert converted.config == network.config.replace(scale=3)
    assert outputs(converted).shape == (1, 3, 27, 33)
    same = {k: v for k, v in converted.state_dict().items() if not k.startswith("upsampler.")}
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in same.items())
    save_network(small_network("esc-real"), tmp_path / "real.safetensors")
    with pytest.raises(ConfigError, match="×4 only"):
        load_network(tmp_path / "real.safetensors", scale=2)


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, (f"would have touched {self.victim}",))


def test_unsafe_pickle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"params": Malicious(tmp_path / "victim")}, tmp_path / "bad.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "victim"), protocol=2))
    for name in ("bad.pth", "raw.pth"):
        with pytest.raises(CheckpointError, match=r"refused|damaged"):
            load_network(tmp_path / name)
    assert capsys.readouterr().out == ""


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    network = small_network("esc")
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    save_network(network, good)
    whole = good.read_bytes()
    for content in (b"", whole[:5], whole[:2000], whole[:-7], b"\x00" * 400, b"no weights"):
        bad.write_bytes(content)
        with pytest.raises(CheckpointError, match="accepted is"):
            load_network(bad)
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match="accepted is"):
            load_network(tmp_path / "bad.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_network(tmp_path / "list.pth")
    save_file({"conv.weight": torch.zeros(3)}, bad)
    with pytest.raises(CheckpointError, match="not weights of an ESC network"):
        load_network(bad)
    tensors = load_file(good)
    fields = read_checkpoint(good).metadata
    save_file({k: v for k, v in tensors.items() if k != "last.bias"}, bad, metadata=fields)
    with pytest.raises(CheckpointError, match=r"last\.bias"):
        load_network(bad)
    save_file(tensors, bad, metadata=fields | {"config": '{"dim": 64, "colour": 3}'})
    with pytest.raises(CheckpointError, match="colour"):
        load_network(bad)


def test_names(tmp_path: Path) -> None:
    assert "esc-light-x2" in list_models()
    assert load_network("esc-light").config == load_network("esc-light-x2").config
    with pytest.raises(ModelNotFoundError, match="Did you mean esc-light-x2"):
        load_network("esc-lihgt-x2")
    with pytest.raises(ModelNotFoundError, match="folder"):
        load_network(tmp_path)
    with pytest.raises(OutputError, match="safetensors"):
        save_network(small_network("esc"), tmp_path / "model.pth")


def test_compiled_networks_are_saved_by_their_own_names(tmp_path: Path) -> None:
    network = small_network("esc")
    expected = outputs(network)
    compiled: Any = torch.compile(network, backend="eager")
    for index, block in enumerate(network.blocks):
        network.blocks[index] = cast("torch.nn.Module", torch.compile(block, backend="eager"))
    save_network(compiled, tmp_path / "compiled.safetensors")
    assert torch.equal(outputs(load_network(tmp_path / "compiled.safetensors")), expected)


@pytest.mark.parametrize("published_names", [False, True])
def test_what_could_not_be_loaded_is_not_saved(published_names: bool, tmp_path: Path) -> None:
    def parametrized(network: ESC) -> None:
        weight_norm(network.last)

    def pruned(network: ESC) -> None:
        prune.l1_unstructured(network.last, "weight", 0.5)  # type: ignore[no-untyped-call]

    def wider(network: ESC) -> None:
        network.shallow = torch.nn.Conv2d(3, 24, 5, padding=2)

    for change in (parametrized, pruned, wider):
        network, path = small_network("esc"), tmp_path / "model.safetensors"
        change(network)
        with pytest.raises(OutputError, match=r"last|shallow"):
            save_network(network, path, published_names=published_names)
        assert not path.exists()


@pytest.mark.parametrize(
    "fields", [{"metadata": {"a": 1}}, {"metadata": {1: "a"}}, {"training": None}, {"licence": 3}]
)
def test_text_fields_that_are_no_text_are_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names and values of text, not"):
        save_network(small_network("esc"), tmp_path / "model.safetensors", **fields)
    assert not list(tmp_path.iterdir())


def test_half_precision_that_does_not_hold_a_weight_is_refused(tmp_path: Path) -> None:
    network, path = small_network("esc"), tmp_path / "model.safetensors"
    with torch.no_grad():
        network.last.weight[0, 0, 0, 0] = 1e6
    with pytest.raises(OutputError, match=r"last\.weight .* float16"):
        save_network(network, path, half=True)
    assert not path.exists()
    save_network(network, path)
    assert torch.equal(load_network(path).last.weight, network.last.weight)


@pytest.mark.parametrize("published_names", [False, True])
def test_modules_that_a_network_shares_are_saved_twice(published_names: bool, tmp_path: Path) -> None:
    network = small_network("esc")
    network.blocks[1] = network.blocks[0]
    save_network(network, tmp_path / "m.safetensors", published_names=published_names)
    assert torch.equal(outputs(load_network(tmp_path / "m.safetensors")), outputs(network))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "auto"])
def test_devices_are_those_of_upscaling(device: str, tmp_path: Path) -> None:
    save_network(small_network("esc"), tmp_path / "m.safetensors")
    if device == "auto":
        assert load_network(tmp_path / "m.safetensors", device=device).config == small_network("esc").config
        return
    with pytest.raises(DeviceError, match="No device"):
        load_network(tmp_path / "m.safetensors", device=device)


@pytest.mark.parametrize("scale", ["3", 2.5, True])
def test_a_scale_that_is_no_integer_is_refused(scale: Any) -> None:
    for name in ("esc-light", "esc-light-x2"):
        with pytest.raises(ConfigError, match="scale must be an integer"):
            load_network(name, scale=scale)


def test_files_of_compiled_networks_and_of_other_loops(tmp_path: Path) -> None:
    network = small_network("esc")
    weights = network.state_dict()
    compiled = {f"module._orig_mod.{key}": value for key, value in weights.items()}
    parts = {key.replace("blocks.0.", "blocks.0._orig_mod."): value for key, value in weights.items()}
    for content in (compiled, parts, {"epoch": 1, "model_state_dict": weights}):
        torch.save(content, tmp_path / "m.pth")
        loaded = load_network(tmp_path / "m.pth").state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in weights.items())
