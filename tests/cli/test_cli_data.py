"""`escsr data` as a user meets it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from commands import escsr_command
from escsr import images
from escsr.cli import main
from escsr.cli.data import identify_lr as identify_lr_command
from escsr.cli.data import prepare as prepare_command
from escsr.cli.data import verify as verify_command
from escsr.data.patch_sampler import PatchSampler
from escsr.data.resizers import downscale
from escsr.data.sets.identify import identify_lr
from escsr.data.sets.known_sets import KNOWN_SETS
from escsr.data.sets.prepare import prepare
from escsr.data.sets.verify import verify
from samples import EXAMPLES, flowers


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs `photos/a.png` and `photos/deep/b.png`, and LR by Pillow's Lanczos in `small/`."""
    pixels = flowers()
    for name, picture in {"a": pixels[:128, :160], "deep/b": pixels[-130:, -130:]}.items():
        images.write(images.Picture(picture), tmp_path / "photos" / f"{name}.png")
        lr = downscale(picture, 2, "pil-lanczos")
        images.write(images.Picture(lr), tmp_path / "small" / f"{name}x2.png")
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, which spares a second each time."""
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["escsr", "data", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Done(int(end.value.code or 0), *capsys.readouterr())

    return call


def test_as_a_process(folder: Path) -> None:
    command = [*escsr_command(), "data", "verify", "photos", "--patch-size", "129"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 pictures: 0 faults, 1 warning." in done.stdout


def test_from_photographs_to_a_verified_set(run: Run, folder: Path) -> None:
    make = ["prepare", "photos", "-o", "set", "--sub-image", "64", "--step", "32"]
    make += ["--lr", "pil-bicubic", "--scale", "2", "--scale", "4"]
    made = run(*make)
    assert (made.returncode, made.stderr) == (0, "")
    lines = made.stdout.splitlines()
    assert lines[0] == f"{Path('set/HR')}: 21 pictures HR"
    assert lines[1].endswith("LR ×2 by pil-bicubic")
    assert lines[3] == "From 2 sources."
    assert len(images.find_images(folder / "set" / "LR_pil-bicubic" / "X4")) == 21
    again = run(*make)
    assert "From 2 sources, 2 of them done before." in again.stdout
    assert again.stdout.splitlines()[-1] == lines[-1], "the same fingerprint"
    other = run(*make, "--scale", "8")
    assert other.returncode == 2
    assert "begun with other settings" in other.stderr

    checked = run("verify", "set/HR", "--lr", "set/LR_pil-bicubic/X2", "--scale", "2", "--patch-size", "32")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "21 pictures, 21 pairs: 0 faults, 0 warnings." in checked.stdout


def test_rotated_and_smaller_copies(run: Run, folder: Path) -> None:
    made = run("prepare", "photos", "-o", "set", "--resize", "0.5", "--rotate")
    assert (made.returncode, made.stderr) == (0, "")
    assert "From 4 sources." in made.stdout
    assert len(list((folder / "set" / "HR").rglob("*_rotated_at0.5.png"))) == 2


def test_a_source_that_cannot_be_read(run: Run, folder: Path) -> None:
    (folder / "photos" / "broken.png").write_bytes(b"no picture")
    made = run("prepare", "photos", "-o", "set", "--json")
    assert made.returncode == 1
    assert made.stderr.count("Error:") == 1
    assert "broken.png: not a readable picture" in made.stderr
    output = json.loads(made.stdout)
    assert (output["num_sources"], output["num_images"], output["lr"]) == (2, 2, {})
    assert output["failures"][0]["path"] == str(Path("photos/broken.png"))


def test_faults_are_output_and_end_with_status_1(run: Run, folder: Path) -> None:
    images.write(images.read(folder / "small" / "ax2.png"), folder / "small" / "stranger.png")
    images.write(images.Picture(np.zeros((64, 80, 3), np.uint8)), folder / "small" / "ax2.png")
    lr = ["--lr", "small", "--scale", "2", "--patch-size", "64"]
    for number in range(23):  # more of a kind than are printed
        picture = np.full((140, 140, 3), number, np.uint8)
        images.write(images.Picture(picture), folder / "photos" / f"flat{number}.png")
    found = run("verify", "photos", *lr)
    assert found.returncode == 1
    assert found.stdout.count("no LR  ") == 20
    assert "no LR: 3 more; --json has them all" in found.stdout
    assert "no HR  " in found.stdout
    assert "25 pictures, 2 pairs: 25 faults, 24 warnings." in found.stdout
    output = json.loads(run("verify", "photos", *lr, "--json").stdout)
    assert len(output["problems"]) == 49
    assert f"Fingerprint {output['fingerprint']}" in found.stdout
    warned = run("verify", "photos", "--patch-size", "129")
    assert warned.returncode == 0, "warnings alone are no failure"
    assert "too small  " in warned.stdout


def test_the_resizer_is_named(run: Run, folder: Path) -> None:
    found = run("identify-lr", "photos", "small", "--scale", "2")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[1].split() == ["pil-lanczos", "equal", "0", "0.00%"]
    assert "2 pictures at ×2: pil-lanczos, equal in every sample." in found.stdout
    output = run("identify-lr", "photos", "small", "--scale", "2", "--max-pictures", "1", "--json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads(output.stdout, parse_constant=refuse)
    assert (read["scores"][0]["resizer"], read["scores"][0]["psnr"]) == ("pil-lanczos", None)
    assert read["scores"][1]["psnr"] > 30
    assert read["num_images"] == 1
    helped = run("identify-lr", "--help").stdout
    assert "--max-images" in helped
    assert "--max-pictures" not in helped


def test_known_sets_and_their_licences(run: Run, folder: Path) -> None:
    table = run("sets")
    assert len(table.stdout.splitlines()) == len(KNOWN_SETS) + 1
    for known in KNOWN_SETS:
        assert known.licence in table.stdout
        assert known.homepage in table.stdout
    assert "No known set found" in run("sets", "photos").stdout
    (folder / "photos").rename(folder / "DIV2K_train_HR")
    images.write(images.read(folder / "small" / "ax2.png"), folder / "DIV2K_train_LR_bicubic/X2/ax2.png")
    there = json.loads(run("sets", ".", "--json").stdout)
    assert [(each["set"]["name"], each["hr"]) for each in there] == [("DIV2K", "DIV2K_train_HR")]
    assert there[0]["lr"] == {"2": str(Path("DIV2K_train_LR_bicubic/X2"))}
    made = run("prepare", "DIV2K_train_HR", "-o", "set")
    assert made.returncode == 0
    assert made.stderr.startswith("DIV2K: academic research only")


def test_file_names_of_any_bytes(run: Run, folder: Path) -> None:
    name = os.fsdecode(b"\xff\xe9 [red].png")
    try:
        (folder / "photos" / "a.png").rename(folder / "photos" / name)
    except OSError:
        pytest.skip("this file system wants names in Unicode")
    for _ in range(2):
        made = run("prepare", "photos", "-o", "set", "--scale", "2")
        assert (made.returncode, made.stderr) == (0, "")
    assert "2 of them done before" in made.stdout
    assert (folder / "set" / "HR" / name).exists()
    (folder / "set" / "LR_matlab-bicubic" / "X2" / name.replace(".png", "x2.png")).unlink()
    arguments = ["verify", "set/HR", "--lr", "set/LR_matlab-bicubic/X2", "--scale", "2"]
    assert "no LR  " in run(*arguments).stdout
    output = json.loads(run(*arguments, "--json").stdout)
    assert [Path(problem["path"]).name for problem in output["problems"]] == [name]
    sampler = PatchSampler.from_folder(
        "set/HR", scale=2, patch_size=8, storage="mapped", cache=folder / "cache"
    )
    assert len(sampler) == 2


def test_a_resizer_that_there_is_not(run: Run) -> None:
    failed = run("prepare", "photos", "-o", "set", "--lr", "bicubic")
    assert failed.returncode == 2
    assert "'bicubic' is not one of" in " ".join(failed.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prepare", "nowhere", "-o", "set"], 1, "nowhere: there is no such folder"),
        (["prepare", "empty", "-o", "set"], 3, "no pictures in it"),
        (["prepare", "photos", "-o", "photos/a.png"], 2, "photos/a.png"),
        (["verify", "photos", "--lr", "small"], 2, "Which scale"),
        (["identify-lr", "photos", "small", "--scale", "4"], 1, "no LR picture for a.png"),
    ],
)
def test_mistakes_are_one_clear_line(
    run: Run, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    (folder / "empty").mkdir()
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert "Traceback" not in done.stderr
    assert not (folder / "set").exists()


@pytest.mark.parametrize(
    ("command", "function"),
    [(prepare_command, prepare), (verify_command, verify), (identify_lr_command, identify_lr)],
)
def test_command_and_function_have_the_same_names_and_defaults(
    command: Callable[..., object], function: Callable[..., object]
) -> None:
    ours = {k: v.default for k, v in inspect.signature(command).parameters.items() if k != "as_json"}
    theirs = {k: v.default for k, v in inspect.signature(function).parameters.items() if k != "on_progress"}
    assert ours == {name: None if default == () else default for name, default in theirs.items()}


def test_degrade(run: Run, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    options = ["--count", "3", "--side", "64", "--preset", "gentle"]
    done = run("degrade", str(EXAMPLES / "flowers.png"), "-o", str(sheet), *options)
    assert done.returncode == 0, done.stderr
    assert "3 samples of gentle" in done.stdout
    pixels = images.read(sheet).pixels
    assert pixels.shape == (132, 132, 3)
    clean = flowers()
    top, left = ((side - 64) // 2 for side in clean.shape[:2])
    assert np.array_equal(pixels[:64, :64], clean[top : top + 64, left : left + 64])
    assert not np.array_equal(pixels[:64, 68:], pixels[68:, :64])
    again = run("degrade", str(EXAMPLES / "flowers.png"), "-o", str(sheet), *options, "--json")
    assert len(json.loads(again.stdout)) == 3
    assert np.array_equal(images.read(sheet).pixels, pixels)
    wrong = run("degrade", str(EXAMPLES / "flowers.png"), "-o", str(sheet), "--preset", "fax")
    assert wrong.returncode == 2
    assert "Use one of bicubic" in wrong.stderr


def test_a_sheet_does_not_replace_its_picture(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    images.write(images.read(EXAMPLES / "flowers.png"), picture)
    before = picture.read_bytes()
    done = run("degrade", str(picture), "-o", str(picture), "--preset", "bicubic", "--count", "1")
    assert done.returncode == 2
    assert "is what it would be made from" in done.stderr
    assert picture.read_bytes() == before
