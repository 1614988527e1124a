"""Published folders: read by us, by spandrel, by the hub's own reader, by OpenModelDB's rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

import escsr
from escsr import cli
from escsr.errors import CheckpointError, ConfigError, OutputError
from escsr.evaluation.comparison import read_quality
from escsr.files import sha256_of
from escsr.integrations import publishing
from escsr.integrations.publishing import publish
from escsr.integrations.spandrel import install
from escsr.models.checkpoints import read_checkpoint
from escsr.models.published_keys import detect_config
from escsr.models.saving import save_network
from escsr.networks import ESC
from other_models import NEEDS_SPANDREL, real_spandrel
from samples import small_config, small_network


@pytest.mark.slow
@pytest.mark.parametrize("name", escsr.list_models())
def test_a_published_model_is_the_same_model(name: str, tmp_path: Path) -> None:
    files = publish(name, tmp_path / name, author="The escsr authors")
    assert all(file.is_file() for file in files)
    weights = tmp_path / name / "model.safetensors"
    with safe_open(weights, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    ours, theirs = escsr.load_network(name), escsr.load_network(tmp_path / name)
    assert detect_config(tensors) == ours.config == theirs.config
    assert all(value.dtype == torch.float16 for value in tensors.values())  # as the bundled file has them
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    assert metadata["format"] == "pt"
    assert metadata["licence"] == "MIT"
    assert metadata["training"] in (tmp_path / name / "README.md").read_text()
    upscaler = escsr.Upscaler(tmp_path / name, device="cpu")
    assert upscaler.name == name
    assert upscaler.keeps_colour == escsr.Upscaler(name, device="cpu").keeps_colour
    assert "The escsr authors" in (tmp_path / name / "LICENSE").read_text()


@pytest.mark.slow
@NEEDS_SPANDREL
@pytest.mark.parametrize("name", [name for name in escsr.list_models() if "lte" not in name])
def test_spandrel_loads_what_is_published(name: str, tmp_path: Path) -> None:
    weights, *_ = publish(name, tmp_path)
    spandrel: Any = real_spandrel()
    install()
    lr = torch.rand(1, 3, 37, 41)
    expected = escsr.Upscaler(name, device="cpu", keep_colour=False)(lr)
    assert (spandrel.ModelLoader().load_from_file(weights)(lr) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["esc-light-x2", "esc-real-light-x4", "esc-lte"])
def test_the_hubs_own_reader_understands_the_card(name: str, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason='needs the extra: pip install "escsr[hub]"')
    publish(name, tmp_path)
    card = hub.ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "mit"
    assert card.data.pipeline_tag == "image-to-image"
    results = {(each.dataset_name, each.metric_type): each.metric_value for each in card.data.eval_results}
    record = json.loads((Path(escsr.__file__).parent / "models" / "weights" / f"{name}.json").read_text())
    assert {data for data, _ in results} == set(record["sets"])
    for data, figures in record["sets"].items():
        assert results[data, "psnr"] == pytest.approx(figures["model"][0], abs=0.006)


def test_the_database_entry_keeps_to_its_rules(tmp_path: Path) -> None:
    """Names, types and bounds as OpenModelDB's own validation has them (src/lib/model-props.ts)."""
    publish("esc-real-light-x4", tmp_path, author="Some Body", url="https://example.org/m.safetensors")
    (path,) = (tmp_path / "openmodeldb").iterdir()
    assert path.name == "4x-esc-real-light.json"
    assert re.fullmatch(r"\d+x-[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*", path.stem)
    entry = json.loads(path.read_text())
    assert list(entry) == [
        *("name", "author", "license", "tags", "description", "date", "architecture", "size", "scale"),
        *("inputChannels", "outputChannels", "resources", "images"),
    ]
    assert re.fullmatch("[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*", entry["author"])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry["date"])
    assert (entry["scale"], entry["inputChannels"], entry["outputChannels"]) == (4, 3, 3)
    assert {"denoise", "restoration"} <= set(entry["tags"])
    assert entry["size"] == ["64nf", "3nb"]
    (resource,) = entry["resources"]
    weights = tmp_path / "model.safetensors"
    assert resource == {
        "platform": "pytorch",
        "type": "safetensors",
        "size": weights.stat().st_size,
        "sha256": sha256_of(weights),
        "urls": ["https://example.org/m.safetensors"],
    }
    publish("esc-lte", tmp_path / "any")
    assert not (tmp_path / "any" / "openmodeldb").exists()


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_network(small_network("esc-fp"), path, training="on my cats", extra={"training.x": torch.ones(2)})
    with pytest.raises(ConfigError, match="does not state its licence"):
        publish(path, tmp_path / "out")
    done = CliRunner().invoke(
        cli.app,
        ["publish", str(path), "-o", str(tmp_path / "out"), "--name", "cats-x2", "--licence", "CC-BY-4.0"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert done.stdout.split() == [
        str(tmp_path / "out" / name)
        for name in ("model.safetensors", "config.json", "README.md", "LICENSE", "openmodeldb/2x-cats.json")
    ]
    assert read_checkpoint(tmp_path / "out" / "model.safetensors").extra == {}
    assert escsr.load_network(tmp_path / "out").config == small_config("esc-fp")
    assert 'license: "cc-by-4.0"' in (tmp_path / "out" / "README.md").read_text()
    assert "CC-BY-4.0" in (tmp_path / "out" / "LICENSE").read_text()
    publish(path, tmp_path / "out", name="cats-x2", licence="MIT")  # over what was published before
    assert "Permission is hereby granted" in (tmp_path / "out" / "LICENSE").read_text()


def test_a_folder_has_the_entry_of_its_model_alone(tmp_path: Path) -> None:
    publish("esc-light-x2", tmp_path / "out")
    publish("esc-light-x3", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out" / "openmodeldb").iterdir()] == ["3x-esc-light.json"]
    publish("esc-lte", tmp_path / "out")
    assert not list((tmp_path / "out" / "openmodeldb").iterdir())


@pytest.mark.parametrize("content", ["[1, 2]", "3", '{"format": "mine"}'])
def test_json_of_another_program_beside_the_weights_is_no_card(tmp_path: Path, content: str) -> None:
    save_network(small_network("esc"), tmp_path / "mine.safetensors", licence="MIT")
    (tmp_path / "mine.json").write_text(content)
    assert read_quality(tmp_path / "mine.safetensors") == ()
    assert publish(tmp_path / "mine.safetensors", tmp_path / "out")
    (tmp_path / "mine.json").write_text(content[:-1] + "{")
    with pytest.raises(CheckpointError, match="unreadable figures"):
        read_quality(tmp_path / "mine.safetensors")


def test_what_a_killed_run_left_is_published_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "m.safetensors", tmp_path / "out"
    save_network(small_network("esc-fp"), path, licence="MIT")
    folder.mkdir()
    part = folder / f".{'0a' * 8}.part.json"
    part.write_text("{")
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "card_text", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(path, folder)
    assert (folder / "model.safetensors").is_file()
    assert not part.exists()
    files = publish(path, folder)
    assert sorted(file for file in folder.rglob("*") if file.is_file()) == sorted(files)
    (tmp_path / "other").mkdir()
    for name in (part.name, "model.safetensors"):  # of somebody else
        (tmp_path / "other" / name).write_text("")
    with pytest.raises(OutputError, match="holds other files"):
        publish(path, tmp_path / "other")
    assert (tmp_path / "other" / part.name).exists()


def interrupted(*_: object) -> str:
    raise KeyboardInterrupt


def test_what_cannot_be_published(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    ablation = ESC(small_config("esc").replace(shortcut="bicubic"))
    save_network(ablation, path, licence="MIT")
    with pytest.raises(CheckpointError, match="do not tell its shape"):
        publish(path, tmp_path / "out")
    save_network(ESC(small_config("esc").replace(num_attention=0)), path, licence="MIT")
    with pytest.raises(CheckpointError, match="do not tell its shape"):
        publish(path, tmp_path / "out")
    save_network(small_network("esc"), path, licence="MIT")
    with pytest.raises(ConfigError, match="letters, digits"):
        publish(path, tmp_path / "out", name="../x")
    with pytest.raises(ConfigError, match="ASCII letters, digits"):
        publish(path, tmp_path / "out", name="modèle")  # which the hub refuses
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        publish(path, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "out").exists()
