"""What models cost and how good they are: measured in turn, in processes of their own, read from cards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

import escsr
import model_tables
from escsr import images
from escsr.errors import CheckpointError, ConfigError, DeviceError
from escsr.evaluation.benchmark.timing import time_in_turn, warm_up
from escsr.evaluation.benchmark.upscaling import Job, measure_peak_memory
from escsr.evaluation.comparison import compare, read_quality
from escsr.evaluation.cost import count_macs, count_parameters
from escsr.images import Picture
from escsr.models.saving import save_network
from escsr.runtime.devices import device_name
from samples import EXAMPLES, NearestResolver, small_config, small_network


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Two small networks as files, ×2 and of any scale."""
    paths = [tmp_path / "fixed.safetensors", tmp_path / "any.safetensors"]
    for path, variant in zip(paths, ("esc", "esc-lte"), strict=True):
        save_network(small_network(variant), path)
    return [str(path) for path in paths]


def test_runs_take_turns_and_the_first_is_not_counted() -> None:
    order: list[str] = []
    waits = {"a": iter([0.1, 0.02, 0.02, 0.02]), "b": iter([0.1, 0.0, 0.0, 0.0])}

    def run(name: str) -> None:
        order.append(name)
        time.sleep(next(waits[name]))

    runs = {"a": lambda: run("a"), "b": lambda: run("b")}
    assert warm_up(runs, rounds=1) == 1
    seconds = time_in_turn(runs, rounds=3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(times) for times in seconds.values()] == [3, 3]
    assert all(0.02 <= taken < 0.1 for taken in seconds["a"])
    assert all(taken < 0.02 for taken in seconds["b"])


@pytest.mark.slow
def test_peak_memory_grows_with_the_picture_not_with_this_process(models: list[str]) -> None:
    ballast = torch.ones(2**28, dtype=torch.uint8)  # 256 MiB that a child must not be charged with
    small, large = (
        measure_peak_memory(Job(models[0], side, side, None, "cpu", "float32", 1)) for side in (16, 512)
    )
    assert small is not None
    assert large is not None
    # The run holds at least the picture, its maps of 24 channels and the result at ×2, in float32.
    least = 512 * 512 * 4 * (3 + 24 + 12)
    assert least < large.run < 20 * least
    assert small.run < large.run / 4
    assert small.peak < large.peak
    assert small.peak < 2**30 + len(ballast)


def test_a_failed_measurement_says_why() -> None:
    with pytest.raises(DeviceError, match=r"memory of nothing failed .*Unknown model nothing"):
        measure_peak_memory(Job("nothing", 8, 8, None, "cpu", "float32", 1))


@pytest.mark.slow
def test_compare_tells_what_the_parts_tell(models: list[str], tmp_path: Path) -> None:
    pictures = tmp_path / "Own" / "HR"
    images.write(Picture(images.read(EXAMPLES / "city.png").pixels[:48, :60]), pictures / "city.png")
    steps: list[str] = []
    result = compare(
        models, data=pictures, size="40x24", scale=3, rounds=2, device="cpu", on_step=steps.append
    )
    fixed, free = result.models
    assert (fixed.scale, free.scale) == (2, 3)
    assert fixed.parameters == sum(p.numel() for p in small_network("esc").parameters())
    megapixels = 40 * 24 / 1e6
    assert fixed.macs_g_per_megapixel == pytest.approx(
        count_macs(small_config("esc"), 24, 40) / 1e9 / megapixels
    )
    assert free.seconds_per_megapixel == pytest.approx(sum(free.seconds) / 2 / megapixels)
    assert fixed.memory_mib_per_megapixel is not None
    assert fixed.quality[0].data == "Own"
    measured = escsr.evaluate(models[0], pictures, device="cpu")
    bicubic = escsr.evaluate("bicubic", pictures, scale=2)
    assert fixed.quality[0].psnr_y == pytest.approx(measured.psnr_y, abs=1e-4)
    assert fixed.quality[0].bicubic_ssim_y == bicubic.ssim_y
    told = result.to_dict()
    assert told["size"] == (40, 24)
    assert told["precision"] == dict.fromkeys(models, "float32")
    assert told["device_name"] == device_name(torch.device("cpu"))
    assert len(steps) == 5


def test_anybodys_models_are_compared(models: list[str], tmp_path: Path) -> None:
    images.write(Picture(images.read(EXAMPLES / "city.png").pixels[:48, :60]), tmp_path / "in" / "city.png")
    conv = torch.nn.Conv2d(3, 12, 3, padding=1)

    class Convolution(NearestResolver):
        def __call__(self, lr: torch.Tensor, *, size: tuple[int, int] | None = None) -> torch.Tensor:
            return torch.nn.functional.pixel_shuffle(conv(lr), 2)

    theirs, network = Convolution(2), small_network("esc")
    result = compare(
        [theirs, "bicubic", network], data=tmp_path / "in", size="10x8", rounds=1, device="cpu"
    )
    convolution, bicubic, ours = result.models
    assert [row.model for row in result.models] == ["nearest", "bicubic", "network"]
    assert convolution.macs_g_per_megapixel * 1e9 * 80e-6 == pytest.approx(12 * 3 * 9 * 80)
    assert (bicubic.parameters, bicubic.scale, bicubic.peak_memory_mib) == (0, 2, None)
    assert bicubic.quality[0].psnr_y == bicubic.quality[0].bicubic_psnr_y
    assert ours.parameters == count_parameters(network)
    assert result.precision == {"nearest": "its own", "bicubic": "its own", "network": "float32"}
    with pytest.raises(ConfigError, match="Two models are called network"):
        compare([network, small_network("esc-lte")], size="8x8", rounds=1, device="cpu")


def test_modules_are_compared_at_the_scale_given_or_at_their_own() -> None:
    def module(scale: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(3, 3 * scale**2, 1), torch.nn.PixelShuffle(scale))

    (given,) = compare(module(3), scale=3, size="10x8", rounds=1, device="cpu").models
    assert (given.model, given.scale, given.parameters) == ("Sequential", 3, 4 * 27)
    assert given.macs_g_per_megapixel * 1e9 * 80e-6 == pytest.approx(27 * 3 * 80)
    of_its_own = module(4)
    of_its_own.scale = 4  # type: ignore[assignment]
    (own,) = compare([of_its_own], scale=3, size="10x8", rounds=1, device="cpu").models
    assert (own.scale, own.parameters) == (4, 4 * 48)


@pytest.mark.parametrize("name", escsr.list_models())
def test_cards_are_read_as_they_were_written(name: str) -> None:
    record = next(record for record in model_tables.read_records() if record["model"] == name)
    quality = {each.data: each for each in read_quality(name)}
    assert set(quality) == set(record["sets"])
    for data, figures in record["sets"].items():
        assert quality[data].psnr_y == figures["model"][0]
        ssim = None if record["scale"] is None else figures["bicubic"][1]
        assert quality[data].bicubic_ssim_y == ssim


def test_no_card_no_figures(models: list[str]) -> None:
    assert read_quality(models[0]) == ()


def test_refusals(models: list[str]) -> None:
    with pytest.raises(ConfigError, match="rounds must be at least 1, not 0"):
        compare(models, rounds=0)
    with pytest.raises(ConfigError, match="WIDTHxHEIGHT"):
        compare(models, size="512")
    with pytest.raises(CheckpointError, match="Unknown model esc-heavy"):
        compare("esc-heavy")
