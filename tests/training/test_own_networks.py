"""A network and a loss of the caller's own, from the first step to evaluation; and hints before it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import GAN, REAL, TINY, write_pictures
from torch import Tensor, nn
from torch.nn import functional as F

import escsr
from escsr.errors import CheckpointError, ConfigError, DeviceError, EscError
from escsr.evaluation.opening import open_model
from escsr.models.bundled import find_model
from escsr.networks import ESC
from escsr.training.config import TrainingConfig
from escsr.training.hints import hints_for
from escsr.training.objectives import PixelObjective
from escsr.training.recipes import recipe
from escsr.training.records import RunFolder
from escsr.training.schedule import learning_rate_at
from escsr.training.starting import NetworkFactory
from escsr.training.state import TrainingState


class Tiny(nn.Module):
    """Two convolutions with running statistics between them."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.last = nn.Sequential(nn.Conv2d(8, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        return self.last(self.norm(self.first(lr)).relu())


def tiny(config: TrainingConfig) -> nn.Module:
    assert config.network.scale is not None
    return Tiny(config.network.scale)


class MeanSquare(PixelObjective):
    def loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        return 100 * F.mse_loss(sr, hr)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures")
    return tmp_path / "pictures"


def run(
    pictures: Path,
    folder: Path,
    *,
    stop_at: int | None = None,
    iterations: int = 6,
    objective: type[PixelObjective] = MeanSquare,
) -> Path:
    stop = threading.Event()
    settings = [*TINY, f"iterations={iterations}", "validate_every=3", "optimizer.type=adamw"]
    return escsr.train(
        "esc-light-x2-quick",
        pictures,
        folder,
        settings=settings,
        validate={"own": pictures},
        network=tiny,
        objective=objective,
        device="cpu",
        stop=stop,
        on_progress=lambda progress: stop.set() if progress.iteration == stop_at else None,
    )


def test_a_run_of_an_own_network(pictures: Path, tmp_path: Path) -> None:
    last = run(pictures, tmp_path / "whole")
    network = Tiny(2)
    network.load_state_dict(load_file(tmp_path / "whole" / "best.safetensors"))
    measured = escsr.evaluate(network, pictures, scale=2)
    assert measured.model == "Tiny"
    assert not measured.padded_to_window
    assert measured.psnr_y > 5
    assert network.training, "measuring leaves the mode as it was"
    stopped = run(pictures, tmp_path / "parts", stop_at=1)
    assert stopped.name == "iter_0000002.safetensors"
    resumed = run(pictures, tmp_path / "parts")
    whole, parts = load_file(last), load_file(resumed)
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key
    with pytest.raises(CheckpointError, match="a network of your own \\(Tiny\\)"):
        escsr.load_network(find_model(tmp_path / "whole"))


def test_a_network_with_dropout_resumes_bit_for_bit(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(self: Tiny, lr: Tensor) -> Tensor:
        return self.last(F.dropout(self.norm(self.first(lr)).relu(), 0.5, self.training))

    monkeypatch.setattr(Tiny, "forward", make)
    whole = run(pictures, tmp_path / "whole")
    torch.rand(7)
    run(pictures, tmp_path / "halves", stop_at=3)
    torch.rand(5)  # another process would have drawn other numbers
    halves = load_file(run(pictures, tmp_path / "halves"))
    assert all(torch.equal(value, halves[name]) for name, value in load_file(whole).items())


def test_the_loss_is_the_own_one(pictures: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    for name, objective in (("own", MeanSquare), ("usual", None)):
        escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / name,
            settings=[*TINY, "iterations=1"],
            objective=objective,
            device="cpu",
            on_progress=lambda progress: losses.append(progress.loss),
        )
    assert losses[0] != pytest.approx(losses[1], rel=0.2)


def test_own_modules_need_a_scale_and_no_start(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Which scale has Tiny"):
        open_model(Tiny(2))
    with pytest.raises(ConfigError, match="starts as it is made"):
        escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / "run",
            settings=TINY,
            network=tiny,
            start="esc-light-x2",
            device="cpu",
        )


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Tiny(2), "function that makes the network; .* returns this Tiny, such as lambda config"),
        (lambda _: None, "must return a torch module, not NoneType"),
        (lambda _: Tiny(2).requires_grad_(False), "Tiny has no weights to train"),
        (lambda _: nn.Upsample(scale_factor=2), "Upsample has no weights to train"),
    ],
)
def test_networks_that_cannot_learn_are_told_before_pictures_are_read(
    pictures: Path, tmp_path: Path, network: NetworkFactory, words: str
) -> None:
    read: list[int] = []
    with pytest.raises(ConfigError, match=words):
        escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / "run",
            settings=TINY,
            network=network,
            device="cpu",
            on_load=lambda done, _total: read.append(done),
        )
    assert not read


class OfEachPixel(PixelObjective):
    def loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        return (sr - hr).abs()


class OfNoTensor(PixelObjective):
    def loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        return (sr - hr).abs().mean().item()  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (OfEachPixel, r"'loss' .* one number, not a tensor \(4, 3, 32, 32\)"),
        (OfNoTensor, "one number, not float"),
    ],
)
def test_a_loss_is_one_number(
    pictures: Path, tmp_path: Path, objective: type[PixelObjective], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run(pictures, tmp_path / "run", objective=objective)


@pytest.mark.parametrize(
    ("recipe_name", "settings", "words"),
    [
        ("esc-real-light-x2", [*REAL, "start=none"], "MeanSquare is a PixelObjective, .* not 'real'"),
        (
            "esc-lte-quick",
            [*TINY, "start=none"],
            "MeanSquare is a PixelObjective, .* not 'arbitrary_scale'",
        ),
    ],
)
def test_a_loss_of_pixels_is_for_recipes_of_pixels(
    pictures: Path, tmp_path: Path, recipe_name: str, settings: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        escsr.train(
            recipe_name, pictures, tmp_path / "run", settings=settings, objective=MeanSquare, device="cpu"
        )


def test_networks_for_any_scale_can_sample(pictures: Path, tmp_path: Path) -> None:
    settings = [*TINY, "start=none"]
    with pytest.raises(ConfigError, match="Tiny has no method `sample"):
        escsr.train(
            "esc-lte-quick",
            pictures,
            tmp_path / "run",
            settings=settings,
            network=lambda _: Tiny(2),
            device="cpu",
        )


class Sampling(nn.Module):
    """A colour for each picture."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1)

    def sample(self, lr: Tensor, sizes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return self.last(lr).mean((2, 3))[:, :, None].expand(-1, -1, rows.shape[1])


class Measurable(Sampling):
    name, scale, pad_multiple = "measurable", None, 1

    def forward(self, lr: Tensor, *, size: tuple[int, int]) -> Tensor:
        return F.interpolate(self.last(lr), size)


def test_networks_for_any_scale_are_measured_or_refused_early(pictures: Path, tmp_path: Path) -> None:
    def run(folder: str, network: nn.Module) -> Path:
        return escsr.train(
            "esc-lte-quick",
            pictures,
            tmp_path / folder,
            settings=[*TINY, "start=none", "iterations=1", "validation_scales=[2.0]"],
            validate={"own": pictures},
            network=lambda _: network,
            device="cpu",
            on_load=lambda done, _total: read.append(done),
        )

    read: list[int] = []
    with pytest.raises(ConfigError, match="Sampling cannot be measured at any scale: leave out the valid"):
        run("refused", Sampling())
    assert not (tmp_path / "refused").exists()
    assert not read
    run("measured", Measurable())
    (line,) = (tmp_path / "measured" / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["validation"].keys() == {"own ×2"}


@pytest.mark.parametrize(
    ("settings", "validation", "words"),
    [
        ([], "empty", "empty"),
        (["batch_size=100000000"], None, "requires at least .* GiB of memory"),
    ],
)
def test_cheap_mistakes_are_told_before_pictures_are_read(
    pictures: Path, tmp_path: Path, settings: list[str], validation: str | None, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    read: list[int] = []
    with pytest.raises(EscError, match=words):
        escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / "run",
            settings=[*TINY, *settings],
            validate={} if validation is None else {"own": tmp_path / validation},
            device="cpu",
            on_load=lambda done, _total: read.append(done),
        )
    assert not read


@pytest.mark.parametrize(
    ("recipe_name", "settings", "output", "words"),
    [
        ("esc-light-x2-quick", ["start=esc-light-x2"], "run", "are of another network than the recipe's"),
        (
            "esc-real-light-x2",
            [*REAL, "start=none", "objective.perceptual.network=none.pth"],
            "run",
            r"none\.pth",
        ),
        ("esc-real-light-gan-x2", [*GAN, "start=none", "patch_size=18"], "run", "multiples of 8, not 36"),
        ("esc-light-x2-quick", [], "file/run", "file is a file"),
        ("esc-light-x2-quick", ["seed=7"], "begun", "holds a run of another recipe .*seed was 0, now 7"),
        ("esc-light-x2-quick", [], "busy", "another training writes to this folder"),
    ],
)
def test_a_run_that_cannot_begin_reads_no_pictures(
    pictures: Path, tmp_path: Path, recipe_name: str, settings: list[str], output: str, words: str
) -> None:
    (tmp_path / "file").touch()
    busy = RunFolder(tmp_path / "busy")
    usual = TINY if recipe_name == "esc-light-x2-quick" else []
    busy.begin(recipe("esc-light-x2-quick").with_settings(TINY), 0, data="")
    read: list[int] = []

    def run(output: str, settings: list[str]) -> None:
        escsr.train(
            recipe_name,
            pictures,
            tmp_path / output,
            settings=[*usual, "iterations=1", *settings],
            device="cpu",
            on_load=lambda done, _total: read.append(done),
        )

    if output == "begun":
        run(output, [])
        read.clear()
    with pytest.raises(EscError, match=words):
        run(output, settings)
    busy.close()
    assert not read


class Thirsty(MeanSquare):
    def loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def test_out_of_memory_is_one_line(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="Out of memory; choose a smaller batch_size or patch_size, or a"):
        escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / "run",
            settings=TINY,
            network=tiny,
            objective=Thirsty,
            device="cpu",
        )


def deeper(config: TrainingConfig) -> nn.Module:
    return ESC(config.network.replace(num_conv_attn=2))


def test_an_esc_of_another_shape_than_the_recipes_resumes(pictures: Path, tmp_path: Path) -> None:
    read: list[int] = []

    def run(folder: str, network: NetworkFactory | None = deeper, *, stop_at: int = 0) -> Path:
        stop = threading.Event()
        read.clear()
        settings = [*TINY, "iterations=4", "validate_every=2", "precision=float32"]
        return escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / folder,
            settings=settings,
            network=network,
            device="cpu",
            stop=stop,
            on_load=lambda done, _total: read.append(done),
            on_progress=lambda progress: stop.set() if progress.iteration == stop_at else None,
        )

    whole = load_file(run("whole"))
    assert run("parts", stop_at=1).name == "iter_0000002.safetensors"
    parts = load_file(run("parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())
    assert escsr.load_network(tmp_path / "whole").config.num_conv_attn == 2
    with pytest.raises(CheckpointError, match=r"not this training's \(num_conv_attn 2 there, 1 here\)"):
        run("parts", None)
    assert not read
    with pytest.raises(CheckpointError, match="an ESC network there, a network of your own here"):
        run("parts", tiny)
    assert not read


def test_changed_code_of_an_own_network_is_told_before_pictures_are_read(
    pictures: Path, tmp_path: Path
) -> None:
    def run(network: NetworkFactory) -> None:
        escsr.train(
            "esc-light-x2-quick",
            pictures,
            tmp_path / "run",
            settings=[*TINY, "iterations=1"],
            network=network,
            device="cpu",
            on_load=lambda done, _total: read.append(done),
        )

    read: list[int] = []
    run(tiny)
    assert read
    read.clear()
    with pytest.raises(CheckpointError, match=r"its weights do not fit the network: .*size mismatch"):
        run(lambda _: Tiny(3))
    assert not read


def grey(config: TrainingConfig) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.PixelShuffle(2))


def unscaled(config: TrainingConfig) -> nn.Module:
    return nn.Conv2d(3, 3, 3, padding=1)


@pytest.mark.parametrize(
    ("recipe_name", "settings"),
    [("esc-light-x2-quick", TINY), ("esc-real-light-x2", [*REAL, "start=none"])],
)
@pytest.mark.parametrize(
    ("network", "given"),
    [
        (grey, r"Sequential gives \(4, 1, 32, 32\) for \(4, 3, 16, 16\)"),
        (unscaled, r"Conv2d gives \(4, 3, 16, 16\) for \(4, 3, 16, 16\)"),
    ],
)
def test_results_of_another_shape_are_refused(
    pictures: Path,
    tmp_path: Path,
    recipe_name: str,
    settings: list[str],
    network: NetworkFactory,
    given: str,
) -> None:
    with pytest.raises(ConfigError, match=rf"{given}, not \(4, 3, 32, 32\)\."):
        escsr.train(
            recipe_name, pictures, tmp_path / "run", settings=settings, network=network, device="cpu"
        )


class Volume(nn.Module):
    """A convolution over the colours too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv3d(1, 1, 3, padding=1), nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last(self.first(lr[:, None])[:, 0]), 2)


def test_weights_of_five_dimensions(pictures: Path, tmp_path: Path) -> None:
    settings = [*TINY, "iterations=2"]
    last = escsr.train(
        "esc-light-x2-quick",
        pictures,
        tmp_path / "run",
        settings=settings,
        network=lambda _: Volume(),
        device="cpu",
    )
    assert load_file(last)["first.weight"].shape == (1, 1, 3, 3, 3)
    state = TrainingState(recipe("esc-light-x2-quick").with_settings(TINY), torch.device("cpu"))
    weight = state.network.last.weight
    assert weight.is_contiguous(memory_format=torch.channels_last), "others lie channels last"


def test_hints(pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    short = recipe("esc-x2").with_settings(["iterations=30000"])
    (hint,) = hints_for(short, [], {})
    assert "warm-up takes 20,000 of 30,000 steps" in hint
    assert "--set schedule.warmup=1500" in hint
    assert hints_for(recipe("esc-x2"), [], {}) == []
    for iterations, warmup in ((30, 1), (7, 0)):
        shortest = recipe("esc-light-x2").with_settings([f"iterations={iterations}"])
        (hint,) = hints_for(shortest, [], {})
        assert f"--set schedule.warmup={warmup} would" in hint
        followed = shortest.with_settings([f"schedule.warmup={warmup}"])
        assert hints_for(followed, [], {}) == []
        rates = {learning_rate_at(iteration, followed) for iteration in range(1, iterations + 1)}
        assert rates == {followed.optimizer.learning_rate}, "as advised, it learns from the first step on"
    assert hints_for(recipe("esc-x2").with_settings(["iterations=2", "schedule.warmup=1"]), [], {}) == []
    first = sorted(pictures.iterdir())[0]
    (tmp_path / "test").mkdir()
    shutil.copy(first, tmp_path / "test" / "copy.png")
    quick = recipe("esc-light-x2-quick")
    (hint,) = hints_for(quick, sorted(pictures.iterdir()), {"test": tmp_path / "test"})
    assert "1 validation picture is among the training pictures too (copy.png)" in hint
    assert hints_for(quick, sorted(pictures.iterdir())[1:], {"test": tmp_path / "test"}) == []
    with caplog.at_level(logging.WARNING):
        run(pictures, tmp_path / "run", iterations=1)
    assert "3 validation pictures are among the training pictures too" in caplog.text


def test_a_run_folder_is_a_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a folder without a trained model"):
        find_model(tmp_path)
    for name in ("iter_0000002.safetensors", "iter_0000010.safetensors"):
        shutil.copy(find_model("esc-light-x2"), tmp_path / name)
    assert find_model(tmp_path).name == "iter_0000010.safetensors"
    shutil.copy(find_model("esc-light-x2"), tmp_path / "best.safetensors")
    upscaler = escsr.Upscaler(tmp_path, device="cpu")
    assert upscaler.name == f"{tmp_path.name}/best"
