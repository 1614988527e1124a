"""`escsr benchmark`."""

from __future__ import annotations

import shlex
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from escsr.cli.console import (
    OUT,
    DeviceOption,
    ScaleOption,
    own_memory,
    plain,
    print_json,
    print_table,
    progress,
)
from escsr.errors import ConfigError
from escsr.runtime.choices import Attention, CompileMode, NetworkForm, Precision

if TYPE_CHECKING:
    from escsr.evaluation.benchmark.result import Benchmark

__all__ = ["benchmark"]


def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="NAMES",
            help="Networks: a name from `escsr models`, a variant (esc-xl), a file of weights, a system of "
            "another paper (swinir-lt), each with settings of its own behind it or without "
            "(esc-x2,attention=plain). Or a table of the paper: table1, table2, table3, table5.",
            show_default=False,
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Time the one network and this in turn; shows the ratios."),
    ] = None,
    scale: ScaleOption = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Size of the output. If not given: 1280x720, on a CPU 640x360.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures at once.")] = 1,
    device: DeviceOption = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            metavar="NAME",
            rich_help_panel="Computation",
            help="Numbers to compute with: float32, tf32 (as PyTorch does by itself), bfloat16, float16.",
        ),
    ] = "tf32",
    attention: Annotated[
        Attention,
        typer.Option(
            metavar="NAME",
            rich_help_panel="Computation",
            help="Attention of networks of escsr: plain, sdpa or flex.",
        ),
    ] = "auto",
    form: Annotated[
        NetworkForm,
        typer.Option(
            metavar="NAME",
            rich_help_panel="Computation",
            help="Networks of escsr: inference (made ready for use), trained (as in training, so the "
            "paper) or streaming (in tiles from memory to memory, as `escsr upscale` works).",
        ),
    ] = "inference",
    compile: Annotated[
        CompileMode,
        typer.Option(
            metavar="MODE",
            rich_help_panel="Computation",
            help="Compile the network: default, reduce-overhead or max-autotune.",
        ),
    ] = "off",
    warm_up: Annotated[
        int | None, typer.Option(help="Runs before those that count. If not given: 100, on a CPU 1.")
    ] = None,
    runs: Annotated[int | None, typer.Option(help="Timed runs. If not given: 100, on a CPU 3.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time limit for the runs of one network; it gets fewer runs then, at least one."),
    ] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory.")] = True,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Test pictures (originals) to measure quality on. If not given: recorded quality. May be "
            "repeated.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Trained weights of a system of another paper, to measure its quality. May be repeated.",
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the result: .md, .csv or .json. May be repeated. Where a network fails, the rows "
            "before it go to all.partial.json for all.json.",
        ),
    ] = None,
    plot: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Draw quality against latency and memory: .png or .svg (requires the extra plots). May be "
            "repeated.",
        ),
    ] = None,
    plot_data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --plot: the test set whose quality is drawn. If not given: Urban100.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure what networks cost, as the paper does: parameters, multiply-accumulates, latency, memory.

    With the name of one of the paper's tables: its rows, measured on this computer, with the paper's
    figures (RTX 4090) beside them.
    """
    own_memory()
    from escsr.evaluation.benchmark.chart import check_chart_path, choose_set, draw_chart
    from escsr.evaluation.benchmark.run import benchmark as measure
    from escsr.evaluation.benchmark.writing import check_output_path

    if plot_data is not None and not plot:
        raise ConfigError("--plot-data is for --plot; without it, nothing is drawn.")
    for path in output or ():
        check_output_path(path)
    for path in plot or ():
        check_chart_path(path)
    drawn = choose_set("Urban100" if plot_data is None else plot_data, models, data or ())
    command = shlex.join(["escsr", *sys.argv[1:]])
    results: deque[Benchmark] = deque(maxlen=1)
    try:
        with progress("Preparing", as_json) as report:
            result = measure(
                models,
                against=against,
                scale=scale,
                size=size,
                batch=batch,
                device=device,
                precision=precision,
                attention=attention,
                form=form,
                compile=compile,
                warm_up=warm_up,
                runs=runs,
                seconds=seconds,
                memory=memory,
                data=data or (),
                weights=weights or (),
                on_step=lambda step, share: report(share, 1.0, step),
                on_result=results.append,
            )
    except BaseException:  # what was measured before one that failed is not lost
        for rows_so_far in results:
            _write_and_print(rows_so_far, output or (), command, as_json=as_json, is_whole=False)
        raise
    _write_and_print(result, output or (), command, as_json=as_json, is_whole=True)
    for path in plot or ():
        draw_chart(result, path, data=drawn)


def _write_and_print(
    result: Benchmark, paths: Sequence[Path], command: str, *, as_json: bool, is_whole: bool
) -> None:
    """Writes first, as rich ends the process at a closed pipe; prints also where that fails.

    A whole result replaces the rows of an earlier run that failed.
    """
    from escsr.evaluation.benchmark.writing import write_benchmark

    try:
        for path in paths:
            partial = path.with_suffix(f".partial{path.suffix}")
            write_benchmark(result, path if is_whole else partial, command=command)
            if is_whole:
                with suppress(OSError):
                    partial.unlink()
    finally:
        _print(result, command, as_json=as_json)


def _print(result: Benchmark, command: str, *, as_json: bool) -> None:
    from escsr.evaluation.benchmark import writing

    if as_json:
        print_json({"command": command, **result.to_dict()})
        return
    OUT.print(plain(writing.caption(result)))
    _print_table(writing.cost_table(result))
    OUT.print(plain(writing.ratios_line(result)))
    quality = writing.quality_table(result)
    if len(quality[0]) > 1:
        OUT.print("Y-PSNR, dB:")
        _print_table(quality)
    for line in (*writing.reason_lines(result), "", *writing.settings_lines(result)):
        OUT.print(plain(line))


def _print_table(cells: tuple[list[str], list[list[str]]]) -> None:
    headings, rows = cells
    table = Table(*map(plain, headings), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(plain, row))
    print_table(table)
