"""A run on Ray that is killed twice and started again, with an S3-compatible store as output."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet, table

from escsr.errors import ConfigError, DataError, ModelNotFoundError, NoImagesError, OutputError
from escsr.fleet import run, upscale
from escsr.fleet.outcomes import claim, claimed_by
from samples import ROOT

NEEDED = ("ray", "s3fs", "moto", "flask", "flask_cors")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"requires {', '.join(MISSING)}")
def test_killed_twice_and_started_again() -> None:
    command = [sys.executable, "fleet_kills.py", "--store", "s3", "--pictures", "16"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT / "benchmarks", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["rows_twice"], found["dead_letters"]) == (16, 0, 1)
    assert found["results_equal_to_escsr_upscale"] == 15
    assert 4 <= found["results_when_an_actor_was_killed"] <= found["results_when_the_driver_was_killed"]
    assert found["third_run"] == {"done": 0, "failed": 0, "done_before": 15, "given_up_before": 1}


def test_a_mistyped_command_leaves_a_run_at_work_alone(tmp_path: Path, nearest: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "in" / "out"
    source.mkdir()
    claim(str(output), "at work")
    with pytest.raises(DataError, match="no such folder"):
        upscale(tmp_path / "typo", output, model=nearest)
    with pytest.raises(NoImagesError, match="no pictures in it"):
        upscale(source, output, model=nearest)
    with pytest.raises(ModelNotFoundError):
        upscale(source, output, model="typo")
    with pytest.raises(OutputError, match="holds the pictures"):
        upscale(output, output, model=nearest)
    rows = {"path": ["a.png", "b.png"], "options": ['{"scale": 3}', '{"scael": 3}']}
    parquet.write_table(table(rows), tmp_path / "rows.parquet")
    with pytest.raises(ConfigError, match="no option scael"):
        upscale(tmp_path / "rows.parquet", output, model=nearest)
    (tmp_path / "rows.csv").write_text("path\na.png\n")
    with pytest.raises(DataError, match=r"neither a picture nor a table, which ends in \.parquet"):
        upscale(tmp_path / "rows.csv", output, model=nearest)
    assert claimed_by(str(output)) == "at work"


def test_what_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="http is for reading"):
        upscale("photos", "https://host/results")
    with pytest.raises(ConfigError, match="at least 1"):
        upscale("photos", "out", num_actors=0)
    with pytest.raises(OutputError, match="xyz"):
        upscale("photos", "out", format="xyz")
    monkeypatch.setattr(run, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"ray, pyarrow, fsspec not installed.*fleet"):
        upscale("photos", "out")
