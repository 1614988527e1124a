"""What docs/video.md says of codecs, containers and measurements is what the code and the records have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from escsr.video.encoding import CODECS
from escsr.video.frame_folders import TIMES
from escsr.video.kinds import CONTAINERS
from samples import ROOT

PAGE = (ROOT / "docs" / "video.md").read_text()
RESULTS = ROOT / "results" / "video"
COLUMNS = ("bicubic x2", "esc-light-x2", "bicubic x4", "real x4, strength 0", "real x4, strength 0.9")


def rows(first: str) -> list[str]:
    """Cells of the row that begins so."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


@pytest.mark.parametrize("name", CODECS)
def test_codecs(name: str) -> None:
    codec = CODECS[name]
    _, quality, speed, files = rows(f"`{name}`")
    if codec.crf is not None:
        assert quality.startswith(f"{codec.crf}; 0 to {codec.most_crf}")
        assert speed.startswith(f"{codec.preset}; {codec.presets[0]}")
    named = {suffix for suffix, container in CONTAINERS.items() if name in container.codecs} - {".m4v"}
    assert set(files.split()) == named


def test_flicker_is_that_of_the_record() -> None:
    shots: dict[str, Any] = json.loads((RESULTS / "flicker.json").read_text())["shots"]
    for shot, words in (
        ("noisy 2", "still, noise of σ 2"),
        ("noisy 8", "still, noise of σ 8"),
        ("moving", "moving"),
    ):
        both = shots[f"{shot}, x2"] | shots[f"{shot}, x4"]
        assert rows(words) == [f"{both[name]['flicker']:.2f}" for name in COLUMNS]
        blended = [f"{both[name]['blended_flicker']:.2f}" for name in COLUMNS]
        assert rows(f"{words}, blended") == blended


def test_speed_is_that_of_the_record() -> None:
    record = json.loads((RESULTS / "speed-esc-light-x2.json").read_text())
    share = f"{record['share_of_processor_time']:.2f} of its processor time is the network's"
    assert share in " ".join(PAGE.split())


def test_the_file_of_times() -> None:
    assert f"`{TIMES}`" in PAGE
