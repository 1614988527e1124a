"""`escsr benchmark`: what it counts, times and measures, in the library and as a user meets it."""

from __future__ import annotations

import csv
import inspect
import io
import itertools
import json
import time
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from escsr import cli, images
from escsr.cli.benchmarking import benchmark as command
from escsr.errors import ConfigError, DataError, DeviceError, ModelNotFoundError, OutputError
from escsr.evaluation.benchmark import rows as rows_module
from escsr.evaluation.benchmark.chart import choose_set, draw_chart, points_of
from escsr.evaluation.benchmark.conditions import HD, choose_effort
from escsr.evaluation.benchmark.forward import Forward, Way, count_subject, parse_way
from escsr.evaluation.benchmark.memory import peak_of
from escsr.evaluation.benchmark.paper import ABLATION_FIGURES, PaperFigures, paper_figures
from escsr.evaluation.benchmark.result import Benchmark, PairedRatios, Row
from escsr.evaluation.benchmark.run import benchmark
from escsr.evaluation.benchmark.subjects import Subject, subject_of
from escsr.evaluation.benchmark.tables import TableRow, table_rows
from escsr.evaluation.benchmark.timing import device_clock, time_in_turn, warm_up
from escsr.evaluation.benchmark.writing import (
    as_csv,
    as_json,
    as_markdown,
    cost_table,
    quality_table,
    reason_lines,
)
from escsr.evaluation.rivals import RIVALS, build_rival
from escsr.images import Picture
from escsr.models.bundled import list_models
from escsr.models.checkpoints import load_network
from escsr.models.saving import save_network
from escsr.networks.attention import AttentionBackend
from escsr.runtime.choices import Attention
from samples import EXAMPLES, small_network

CPU = torch.device("cpu")
QUICK = {"size": "64x48", "device": "cpu", "runs": 2, "memory": False}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_network(small_network("esc"), tmp_path / "small.safetensors")
    save_network(small_network("esc-lte"), tmp_path / "any.safetensors")
    pixels = images.read(EXAMPLES / "city.png").pixels
    images.write(Picture(pixels[:40, :48]), tmp_path / "Own" / "HR" / "city.png")
    # The commands of a test share its process, whose allocator stays as it is.
    monkeypatch.setattr("escsr.runtime.allocator.keep_freed_memory", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["benchmark", *arguments], catch_exceptions=False)


def test_costs_of_our_networks_are_the_papers() -> None:
    for name, scale in (("esc-light", 2), ("esc-fp", 4)):  # all of them: tests/networks/test_config.py
        parameters, macs = count_subject(subject_of(name, scale=scale), HD)
        paper = paper_figures(name, scale)
        assert paper.parameters_k == pytest.approx(parameters / 1e3, abs=0.7)  # ESC-light: 603.6 as 603
        assert paper.macs_g == pytest.approx(macs.paper / 1e9, abs=0.06)
        assert 0.98 * macs.paper < macs.products < macs.paper


@pytest.mark.parametrize("name", ["attention-only"])
def test_costs_of_ablations_are_the_papers(name: str) -> None:
    parameters, macs = count_subject(subject_of(f"esc-x2-{name}"), HD)
    assert ABLATION_FIGURES[name].parameters_k == pytest.approx(parameters / 1e3, abs=0.5)
    assert ABLATION_FIGURES[name].macs_g == pytest.approx(macs.paper / 1e9, abs=0.1)


def test_names_say_what_is_measured(folder: Path) -> None:
    assert subject_of("esc-light", scale=3).path is not None
    assert subject_of("esc-light", scale=8).weights == "random"
    assert subject_of("small.safetensors").weights == "trained"
    assert subject_of("any.safetensors", scale=2.5).scale == 2.5
    assert subject_of("window-attention-16-64").side == 64
    assert subject_of("RDN", scale=4).scale == 4
    with pytest.raises(ConfigError, match="upscales by 2, not by 3"):
        subject_of("small.safetensors", scale=3)
    with pytest.raises(ConfigError, match=r"scales ×2, ×3, ×4, not ×5"):
        subject_of("rdn", scale=5)
    with pytest.raises(ConfigError, match=r"a whole number, not by 2\.5"):
        subject_of("esc-xl", scale=2.5)
    with pytest.raises(ModelNotFoundError, match="Unknown model esc-heavy"):
        subject_of("esc-heavy")


def test_settings_behind_a_name() -> None:
    name, way = parse_way("a.pth, attention=flex,precision=float16", Way(form="trained"))
    assert (name, way) == ("a.pth", Way("float16", "flex", "trained"))
    for text in ("esc,attention", "esc,scale=2"):
        with pytest.raises(ConfigError, match="SETTING=VALUE with attention, compile, form, precision"):
            parse_way(text, Way())
    with pytest.raises(ConfigError, match="attention must be one of"):
        parse_way("esc,attention=flash", Way())
    with pytest.raises(ConfigError, match="form=streaming"):
        Way(form="streaming", compile="default")
    assert Way().on(CPU) == Way("float32", "sdpa")


def test_attention_is_listed_alike_for_commands_and_networks() -> None:
    assert get_args(Attention) == get_args(AttentionBackend)


@pytest.mark.parametrize("name", ["small.safetensors", "any.safetensors"])
def test_every_form_gives_the_networks_result(name: str, folder: Path) -> None:
    network = load_network(name)
    lr = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(lr, **({} if network.config.scale else {"scale": 2}))
    for form, attention in itertools.product(("inference", "trained", "streaming"), ("plain", "sdpa")):
        way = Way(form=form, attention=attention)  # type: ignore[arg-type]
        forward = Forward(subject_of(name), way, device=CPU, shape=(1, 3, 20, 24))
        with forward.prepared() as runs:
            torch.testing.assert_close(runs(), expected, atol=2e-5, rtol=0)


def test_half_precision_is_used_and_float32_not_left(folder: Path) -> None:
    shape = (1, 3, 20, 24)
    results = {}
    for precision in ("float32", "bfloat16"):
        way = Way(precision)
        with Forward(subject_of("small.safetensors"), way, device=CPU, shape=shape).prepared() as runs:
            results[precision] = runs()
    difference = (results["float32"] - results["bfloat16"].float()).abs().max()
    assert 1e-6 < difference < 0.1


@pytest.mark.slow
def test_a_row_has_what_was_asked_for(folder: Path) -> None:
    steps: list[tuple[str, float | None]] = []
    result = benchmark(
        ["small.safetensors", "any.safetensors,attention=plain", "rdn"],
        batch=2,
        data=["Own/HR"],
        on_step=lambda step, share: steps.append((step, share)),
        **QUICK,  # type: ignore[arg-type]
    )
    small, free, rdn = result.rows
    assert (small.input_size, small.attention, small.form, small.warm_up) == (
        (24, 32),
        "sdpa",
        "inference",
        1,
    )
    assert len(small.latency_ms) == 2
    assert small.median_ms == pytest.approx(sum(small.latency_ms) / 2)
    assert (free.attention, free.scale) == ("plain", 2)
    assert (rdn.attention, rdn.weights, rdn.quality) == ("its own", "random", {})
    assert rdn.paper.macs_g == RIVALS["rdn"].paper_macs_g[2]
    assert small.quality_from == "measured"
    assert small.quality["Own"][0] > 5
    assert result.conditions["batch"] == 2
    assert "64×48" in result.conditions["note"]
    assert steps[-1][0] == "rdn: timing"
    assert all(share is not None and 0 <= share < 1 for _, share in steps)


def test_two_in_turn_and_their_ratios(folder: Path) -> None:
    result = benchmark(["esc-light"], against="small.safetensors", **QUICK)  # type: ignore[arg-type]
    first, second = result.rows
    pair = result.against
    assert pair is not None
    assert pair.ratios == pytest.approx(
        [a / b for a, b in zip(first.latency_ms, second.latency_ms, strict=True)]
    )
    assert pair.median > 1, "three blocks of 64 channels take longer than two of 24"
    assert pair.interval[0] <= pair.median <= pair.interval[1]
    assert "times as long as small.safetensors (median of 2 rounds" in as_markdown(result)
    with pytest.raises(ConfigError, match="give one"):
        benchmark(["esc", "esc-fp"], against="esc-light")


@pytest.mark.slow
def test_a_rival_gets_quality_from_its_authors_weights(folder: Path) -> None:
    network = build_rival("asid-d8", 2)
    torch.save({"params": network.state_dict()}, folder / "asid.pth")
    weights = ["ASID-D8=asid.pth"]
    result = benchmark(["asid-d8"], data=["Own/HR"], weights=weights, **QUICK)  # type: ignore[arg-type]
    assert result.rows[0].quality_from == "measured"
    without = benchmark(["asid-d8"], data=["Own/HR"], **QUICK)  # type: ignore[arg-type]
    assert without.rows[0].quality == {}
    assert quality_table(without) == (["network", "paper Urban100"], [["asid-d8", "33.35"]])
    for bad, why in (("esc=asid.pth", "NAME of rdn"), ("rdn=none.pth", "no file 'none.pth'")):
        with pytest.raises(ConfigError, match=why):
            benchmark(["rdn"], data=["Own/HR"], weights=[bad])


def test_options_without_effect_are_refused(folder: Path) -> None:
    (folder / "rdn.pth").touch()
    weights = "rdn=rdn.pth"
    with pytest.raises(ConfigError, match="give test pictures as well"):
        benchmark("rdn", weights=weights, device="cpu")
    with pytest.raises(ConfigError, match="weights of rdn: it is not among"):
        benchmark("small.safetensors", weights=weights, data="Own/HR", device="cpu")
    with pytest.raises(ConfigError, match="--plot-data is for --plot"):
        run("small.safetensors", "--plot-data", "Set5")


def test_folders_that_are_not_there_are_told_before_any_network(folder: Path) -> None:
    layer = "window-attention-8-16"  # of random weights, whose quality is not measured
    with pytest.raises(DataError, match="Set99: there is no such folder"):
        benchmark(layer, data=["Own/HR", "Set99"], **QUICK)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must have different names"):
        benchmark(layer, data=["Own/HR", "Own"], **QUICK)  # type: ignore[arg-type]


def test_one_network_is_no_sequence_of_letters() -> None:
    with pytest.raises(ModelNotFoundError, match="Unknown model esc-heavy"):
        benchmark("esc-heavy", device="cpu")


@pytest.mark.slow
def test_peak_memory_of_a_pass_grows_with_its_output(folder: Path) -> None:
    small, large = (
        benchmark(["small.safetensors"], **QUICK | {"size": size, "memory": True}).rows[0].memory_mib  # type: ignore[arg-type]
        for size in ("64x64", "512x512")
    )
    assert small is not None
    assert large is not None
    assert large > 256 * 256 * 4 * (3 * 24 + 12) / 2**20 / 2
    assert small < large / 4


def test_every_row_of_a_table_runs_or_says_why(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    rows = [
        TableRow("small", "small.safetensors", PaperFigures(latency_ms=1.5)),
        TableRow("missing", "rdn", PaperFigures(latency_ms=2.5), reason="RDN requires luck"),
        TableRow("broken", "esc-light", PaperFigures(latency_ms=3.5)),
        TableRow("unknown", "esc-heavy"),
    ]

    def too_large(subject: Subject, *args: object, **kwargs: object) -> Forward:
        if subject.name.startswith("esc-light"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return Forward(subject, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(rows_module, "Forward", too_large)
    monkeypatch.setattr("escsr.evaluation.benchmark.run.table_rows", lambda *_: rows)
    result = benchmark(["table2"], **QUICK)  # type: ignore[arg-type]
    assert [row.reason.partition(".")[0] for row in result.rows] == [
        "",
        "RDN requires luck",
        "out of memory on cpu",
        "Unknown model esc-heavy",
    ]
    assert result.rows[2].parameters == 603_600
    headings, cells = cost_table(result)
    latency = [row[headings.index("ms, median")] for row in cells]
    assert latency[1:] == ["paper", "paper", "paper"]
    assert float(latency[0]) > 0
    assert [row[headings.index("paper ms")] for row in cells] == ["1.5", "2.5", "3.5", ""]
    assert reason_lines(result)[0] == "missing: RDN requires luck"


def test_names_are_looked_up_before_anything_is_measured(folder: Path) -> None:
    steps: list[str] = []
    with pytest.raises(ModelNotFoundError, match="Unknown model esc-tpyo"):
        benchmark(["small.safetensors", "esc-tpyo"], on_step=lambda step, _: steps.append(step), **QUICK)  # type: ignore[arg-type]
    with pytest.raises(ModelNotFoundError, match="Unknown model esc-tpyo"):
        benchmark(
            ["small.safetensors"],
            against="esc-tpyo",
            on_step=lambda step, _: steps.append(step),
            **QUICK,  # type: ignore[arg-type]
        )
    assert not [step for step in steps if step.startswith("small")]


@pytest.mark.parametrize(
    ("broken", "what"),
    [("Forward", "small.safetensors"), ("_times", "small.safetensors beside any.safetensors")],
)
def test_two_in_turn_that_memory_cannot_hold_are_told_so(
    broken: str, what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(rows_module, broken, too_large)
    with pytest.raises(DeviceError, match=f"Out of memory; {what}: choose a smaller"):
        benchmark(["small.safetensors"], against="any.safetensors", **QUICK)  # type: ignore[arg-type]


def test_rows_of_the_papers_tables() -> None:
    table2 = {row.title: row for row in table_rows("table2", 4)}
    assert set(table2) == {"ESC", "ESC-light", "ESC-FP", *(rival.name for rival in RIVALS.values())}
    assert table2["ESC"].paper.quality["Urban100"] == (27.07, 0.8144)
    assert table2["SwinIR-lt"].paper.quality["Urban100"] == (26.47, None)
    assert table2["ESC-FP"].paper.quality["Set5"] == (32.56, None)
    assert len(table_rows("table1", None)) == 12
    assert len(table_rows("table3", 2)) == 9
    assert [row.title for row in table_rows("table5", 2.5)][-1] == "ESC+LTE"
    assert not table_rows("table5", 2.5)[-1].paper.quality
    assert table_rows("table5", 4)[-1].paper.quality["DIV2K"] == (29.37, None)
    with pytest.raises(ConfigError, match="table1 is of a layer"):
        table_rows("table1", 4)
    with pytest.raises(ConfigError, match="table3 has the scales ×2, not ×4"):
        table_rows("table3", 4)
    with pytest.raises(ConfigError, match="measured alone"):
        benchmark(["table1", "esc"])


def test_window_attention_of_table_1_is_measured() -> None:
    names = ["window-attention-8-24,attention=plain", "window-attention-8-24"]
    result = benchmark(names, **QUICK)  # type: ignore[arg-type]
    plain, fused = result.rows
    assert (plain.attention, fused.attention, plain.scale) == ("plain", "sdpa", None)
    products = 24 * 24 * (4 * 64 * 64 + 2 * 64 * 64)  # projections; q·k and weights·v in windows of 64
    assert plain.macs_g == pytest.approx(products / 1e9)


def test_efforts() -> None:
    gpu = choose_effort(torch.device("cuda"), size=None, warm_up=None, runs=None)
    assert (gpu.sr_size, gpu.warm_up, gpu.runs, gpu.note) == (HD, 100, 100, "")
    here = choose_effort(CPU, size=None, warm_up=None, runs=None)
    assert (here.sr_size, here.macs_size, here.warm_up, here.runs) == ((360, 640), HD, 1, 3)
    assert here.note.startswith("Other than the paper's protocol: an output of 640×360")
    asked = choose_effort(CPU, size="320x200", warm_up=2, runs=5)
    assert (asked.sr_size, asked.macs_size, asked.warm_up, asked.runs) == ((200, 320), (200, 320), 2, 5)
    with pytest.raises(ConfigError, match="runs must be at least 1, not 0"):
        choose_effort(CPU, size=None, warm_up=None, runs=0)


def test_a_time_limit_ends_the_rounds_and_not_before_the_first() -> None:
    runs = {"slow": lambda: time.sleep(0.02)}
    assert warm_up(runs, rounds=50, limit=0.2) < 50
    seconds = time_in_turn(runs, rounds=50, limit=0.1, clock=device_clock(CPU))
    assert 1 <= len(seconds["slow"]) < 50
    assert len(time_in_turn(runs, rounds=3, limit=1e-9)["slow"]) == 1


def test_peak_memory_needs_a_device_that_tells() -> None:
    assert peak_of(lambda: None, torch.device("meta")) is None


def example(**changes: object) -> Benchmark:
    quality = {"Urban100": (32.0, 0.93)}
    rows = (
        Row(
            "ours",
            "esc",
            2,
            latency_ms=(2.0, 4.0),
            memory_mib=90.0,
            quality=quality,
            paper=paper_figures("esc", 2),
        ),
        Row("theirs", "rdn", 2, latency_ms=(8.0,), paper=PaperFigures(quality={"Urban100": (32.9, None)})),
        Row("absent", "rcan", 2, reason="needs | a package", paper=paper_figures("srformer-lt", 2)),
    )
    conditions = {"device": "cpu", "device_name": "a chip", "output": "64×48", "precision": "float32"}
    return Benchmark("table2", rows, PairedRatios("a", "b", (2.0,)), HD, (48, 64), conditions | changes)


def test_files_hold_all_of_it() -> None:
    text = as_markdown(example(), "escsr benchmark table2")
    lines = text.splitlines()
    assert lines[0] == "`escsr benchmark table2`"
    columns = [
        line.count("|") for line in lines if line.startswith("| ours") or line.startswith("| absent")
    ]
    assert columns == [10, 10, 8, 8]
    assert "* absent: needs | a package" in text
    read = list(csv.DictReader(io.StringIO(as_csv(example()))))
    assert [row["title"] for row in read] == ["ours", "theirs", "absent"]
    assert (read[0]["median_ms"], read[0]["paper_rtx4090_latency_ms"]) == ("3.0", "120.9")
    assert read[0]["paper_Urban100_psnr_y"] == "33.46"
    told = json.loads(as_json(example(), "escsr"))
    assert told["rows"][0]["latency_ms"] == [2.0, 4.0]
    assert told["rows"][0]["mean_ms"] == 3.0
    assert told["against"]["median"] == 2.0


def test_points_of_a_chart_say_where_they_are_from() -> None:
    points = points_of(example(), "Urban100")
    assert [(point.title, point.kind, point.latency_ms) for point in points] == [
        ("ours", "here", 3.0),
        ("ours", "paper", 120.9),
        ("theirs", "mixed", 8.0),
        ("absent", "paper", 1456.3),
    ]


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_charts_are_drawn(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_chart(example(), tmp_path / f"chart{ending}")
    head = (tmp_path / f"chart{ending}").read_bytes()[:300]
    assert head.startswith(b"\x89PNG") if ending == ".png" else b"<svg" in head or b"<?xml" in head
    with pytest.raises(ConfigError, match="a quality on Set99"):
        draw_chart(example(), tmp_path / f"chart{ending}", data="Set99")


def test_the_command_prints_and_writes(folder: Path) -> None:
    quick = ["--size", "64x48", "--device", "cpu", "--runs", "1", "--no-memory"]
    done = run("small.safetensors", *quick, "-o", "a/all.md", "-o", "all.csv", "-o", "all.json")
    assert done.exit_code == 0
    caption, head, first, *rest = done.stdout.splitlines()
    assert caption.startswith(
        "Multiply-accumulates of an output of 64×48; time and memory of an output of 64×48."
    )
    assert head.startswith("network")
    assert first.startswith("small.safetensors")
    assert any(line.startswith("note: Other than the paper's protocol") for line in rest)
    assert all((folder / name).stat().st_size for name in ("a/all.md", "all.csv", "all.json"))
    told = json.loads(run("small.safetensors", *quick, "--against", "small.safetensors", "--json").stdout)
    assert told["against"]["first"] == "small.safetensors"
    assert told["command"].startswith("escsr")
    for option, file in (("-o", "all.txt"), ("--plot", "chart.pdf")):
        with pytest.raises(OutputError, match="is written as"):
            run("small.safetensors", *quick, option, file)
    with pytest.raises(ConfigError, match=r"[Nn]o quality on '' is known"):
        run("small.safetensors", *quick, "--plot", "chart.png", "--plot-data", "")


@pytest.mark.parametrize(("option", "file"), [("-o", "all.md"), ("--plot", "chart.png")])
def test_files_that_cannot_be_written_are_refused_before_the_work(
    option: str, file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("measured first")

    monkeypatch.setattr("escsr.evaluation.benchmark.run.benchmark", measured)
    monkeypatch.setattr("escsr.evaluation.benchmark.chart.find_spec", lambda _: True)
    (folder / "there" / file).mkdir(parents=True)
    for place in (f"small.safetensors/{file}", f"there/{file}"):
        with pytest.raises(OutputError, match="Cannot write"):
            run("small.safetensors", option, place)


def test_the_set_of_a_chart_is_found_before_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("measured first")

    monkeypatch.setattr("escsr.evaluation.benchmark.run.benchmark", measured)
    monkeypatch.setattr("escsr.evaluation.benchmark.chart.find_spec", lambda _: True)
    with pytest.raises(
        ConfigError, match="No quality on 'set55' is known; draw that on one of Set5, Set14"
    ):
        run("small.safetensors", "--plot", "chart.png", "--plot-data", "set55")
    assert choose_set("set5", ["table2"], []) == "Set5"
    assert choose_set("own", ["small.safetensors"], [folder / "Own" / "HR"]) == "Own"


def test_rows_before_one_that_fails_are_not_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = rows_module._measure

    def failing(row: TableRow, *given: object) -> Row:
        if row.network == "any.safetensors":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return measure(row, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(rows_module, "_measure", failing)
    quick = ["--size", "64x48", "--device", "cpu", "--runs", "1", "--no-memory", "-o", "all.json"]
    (folder / "all.json").write_text("whole, of another run")
    done = CliRunner().invoke(cli.app, ["benchmark", "small.safetensors", "any.safetensors", *quick])
    assert str(done.exception) == "Out of memory; any.safetensors: choose a smaller size or batch."
    assert "\nsmall.safetensors" in done.stdout
    assert len(json.loads((folder / "all.partial.json").read_text())["rows"]) == 1
    assert (folder / "all.json").read_text() == "whole, of another run"
    done = CliRunner().invoke(cli.app, ["benchmark", "small.safetensors", *quick])
    assert done.exit_code == 0, done.stderr
    assert [path.name for path in folder.glob("all*")] == ["all.json"]


@pytest.mark.parametrize("ended", [SystemExit(1), OutputError("full")])
def test_printing_and_writing_do_not_depend_on_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException
) -> None:
    def end(*_: object, **__: object) -> None:
        raise ended

    what = "cli.benchmarking._print" if isinstance(ended, SystemExit) else "files.os.fsync"
    monkeypatch.setattr("escsr.evaluation.benchmark.run.benchmark", lambda *_, **__: example())
    monkeypatch.setattr(f"escsr.{what}", end)
    done = CliRunner().invoke(cli.app, ["benchmark", "small.safetensors", "-o", "all.json"])
    assert done.exit_code == 1
    assert (folder / "all.json").exists() == isinstance(ended, SystemExit)
    assert bool(done.stdout) != isinstance(ended, SystemExit)


def test_the_command_and_its_function_have_the_same_names_and_defaults() -> None:
    ours = inspect.signature(command).parameters
    theirs = inspect.signature(benchmark).parameters
    assert set(ours) - {"output", "plot", "plot_data", "as_json"} == set(theirs) - {"on_step", "on_result"}
    for name in set(theirs) - {"on_step", "on_result"}:
        default = theirs[name].default
        assert ours[name].default == (None if default == () else default), name


def test_names_in_the_tables_are_known() -> None:
    for table, scale in (("table1", None), ("table3", 2), ("table5", 4)):
        for row in table_rows(table, scale):
            if not row.reason:
                assert isinstance(subject_of(parse_way(row.network, Way())[0], scale=scale), Subject)
    assert "esc-x2" in list_models()


def test_counting_builds_nothing() -> None:
    module = subject_of("esc-xl").build(torch.device("meta"))
    assert isinstance(module, nn.Module)
    assert {parameter.device.type for parameter in module.parameters()} == {"meta"}
