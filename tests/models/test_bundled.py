"""Names and headers of models, which take no PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import escsr
from escsr.evaluation.cost import count_parameters
from escsr.models.bundled import find_model, list_models, read_header
from escsr.models.checkpoints import read_checkpoint


@pytest.mark.parametrize("name", list_models())
def test_headers_are_what_the_whole_file_says(name: str) -> None:
    header, checkpoint = read_header(find_model(name)), read_checkpoint(find_model(name))
    assert header.num_parameters == count_parameters(checkpoint.config)
    assert header.metadata == checkpoint.metadata


@pytest.mark.parametrize(
    "code",
    [
        "import escsr; escsr.list_models()",
        "from escsr.models.selection import explain; explain('auto', 3)",
        "sys.argv[1:] = ['models']; main()",
        "sys.argv[1:] = ['models', 'path', 'esc-x2']; main()",
        "sys.argv[1:] = ['models', 'info', 'no-such-model']; main()",
        "sys.argv[1:] = ['models', 'fetch', 'no-such-model']; main()",
        "sys.argv[1:] = ['upscale', 'x.png', '--model', 'no-such-model']; main()",
        "sys.argv[1:] = ['evaluate', '--data', '.', '--model', 'no-such-model']; main()",
    ],
)
def test_names_are_answered_without_pytorch(code: str) -> None:
    """Importing it takes seconds, more than all that is asked here."""
    lines = [
        "import sys",
        "from escsr.cli import main",
        "try:",
        f"    {code}",
        "except SystemExit as end:",
        "    assert end.code in (0, 4), end.code",
        "assert 'torch' not in sys.modules",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, stdout=subprocess.DEVNULL)


def test_the_folder_of_weights_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    glob = Path.glob

    def counted(self: Path, pattern: str) -> Iterator[Path]:
        listed.append(self.name)
        return iter(glob(self, pattern))

    monkeypatch.setattr(Path, "glob", counted)
    assert find_model("esc-light", scale=3).stem == "esc-light-x3"
    assert listed == ["weights"]


def test_the_public_list_is_that_of_the_models() -> None:
    assert escsr.list_models() == list_models() == sorted(list_models())
