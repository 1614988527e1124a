"""Writes README's table of models, that of the models' choice, and the cards from the records.

Records are the JSON beside the weights, and those of costs in `results`.

python scripts/model_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from escsr.evaluation.stability import BORDER, HALF_LIMIT

ROOT = Path(__file__).resolve().parent.parent
COSTS = ROOT / "results" / "models" / "compare-cpu.json"
CARDS = ROOT / "src" / "escsr" / "models" / "weights"
README = ROOT / "README.md"
CHOICE = ROOT / "results" / "models" / "any-scale.json"
CHOICE_PAGE = ROOT / "docs" / "command-line.md"
REAL = ROOT / "results" / "real" / "photos-x4.json"
REAL_PAGE = ROOT / "docs" / "real-world.md"
START, END = "<!-- models -->", "<!-- /models -->"
SETS = ("Set5", "Set14", "B100")

Record = dict[str, Any]


def main() -> None:
    """Rewrites the cards, and the parts of pages between their markers."""
    records = read_records()
    for record in records:
        (CARDS / f"{record['model']}.md").write_text(card(record))
    for page, text in pages(records).items():
        page.write_text(text)


def read_records() -> list[Record]:
    """All records of quality, sorted by model."""
    return [json.loads(path.read_text()) for path in sorted(CARDS.glob("*.json"))]


def pages(records: list[Record]) -> dict[Path, str]:
    """The pages that hold a table, with that table as the records have it."""
    tables = {
        README: table(records, json.loads(COSTS.read_text())),
        CHOICE_PAGE: choice_table(json.loads(CHOICE.read_text())),
        REAL_PAGE: real_table(json.loads(REAL.read_text())),
    }
    return {page: with_table(page.read_text(), each) for page, each in tables.items()}


def with_table(text: str, table: str) -> str:
    """A text with what stands between its markers replaced."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table}{END}{after}"


def table(records: list[Record], costs: Record) -> str:
    """One row a model, one for bicubic at the same scale, one for the paper; below, what the cost is of."""
    lines = [
        "| model | scale | parameters | s/MP | MiB/MP | " + " | ".join(SETS) + " |",
        "|---|---|---|---|---|" + "---|" * len(SETS),
    ]
    cost_of = {figures["model"]: figures for figures in costs["models"]}
    for record in (each for each in records if each["scale"] is not None and not _is_real(each)):
        size = f"{record['parameters']:,} | {_cost(cost_of.get(record['model']))}"
        lines.append(_row(f"`{record['model']}`", record, size, "model"))
        lines.append(_row("bicubic", record, "| |", "bicubic"))
        lines.append(_row(f"{record['variant']} in the paper (DIV2K)", record, "| |", "paper"))
    any_scale = "".join(any_scale_table(each) for each in records if each["scale"] is None)
    return "\n".join(lines) + f"\n\n{_conditions(costs)}\n{any_scale}"


def any_scale_table(record: Record) -> str:
    """One column a scale, on Set5."""
    sets = {name.split()[1]: each for name, each in record["sets"].items() if name.startswith("Set5 ")}
    rows = {
        f"`{record['model']}`": "model",
        "bicubic": "bicubic",
        "ESC+LTE in the paper (DIV2K)": "paper",
    }
    lines = [
        f"\nAny scale, by one model of {record['parameters']:,} parameters: Y-PSNR in dB on Set5, protocol "
        f"`{record['conditions']['protocol']}`.\n",
        "| model | " + " | ".join(sets) + " |",
        "|---|" + "---|" * len(sets),
    ]
    for name, key in rows.items():
        lines.append(f"| {name} | " + " | ".join(_figures(each[key]) for each in sets.values()) + " |")
    return "\n".join(lines) + "\n"


def choice_table(record: Record) -> str:
    """One row a scale: the next fixed model, its result resized, and the one of any scale."""
    lines = [
        f"| scale | `{record['fixed']}`, resized | seconds | `{record['any']}` | seconds |",
        "|---|---|---|---|---|",
    ]
    for row in record["scales"]:
        fixed, anything = (
            f"{row[f'{way}_psnr_y']:.2f} dB | {row[f'{way}_seconds']:.0f}" for way in ("fixed", "any")
        )
        lines.append(f"| ×{row['scale']:g} | {fixed} | {anything} |")
    device, threads = record["conditions"]["cpu"], record["conditions"]["threads"]
    return (
        "\n".join(lines)
        + f"\n\nY-PSNR on {record['data']}; {threads} threads of a server CPU ({device}).\n"
    )


def real_table(record: Record) -> str:
    """One row a model: Y-PSNR and perceptual distance by degradation, clean pictures, colours."""
    presets = record["degraded"]
    lines = [
        "| model | "
        + " | ".join(f"{preset}, dB / distance" for preset in presets)
        + " | clean, dB | colour |",
        "|---|" + "---|" * (len(presets) + 2),
    ]
    for model, clean in record["clean"]["psnr_y"].items():
        each = [figures[model] for figures in presets.values()]
        cells = [f"{figures['psnr_y']:.2f} / {figures['distance']:.2f}" for figures in each]
        shift = max(figures["largest_colour_shift"] for figures in each)
        lines.append(f"| `{model}` | {' | '.join(cells)} | {clean:.2f} | {shift:.2f} |")
    pictures, seeds = len(record["pictures"]), record["seeds"]
    return (
        "\n".join(lines)
        + f"\n\nMeans of {pictures} pictures × {seeds} seeds at ×{record['scale']}; distance: features of "
        f"{record['perceptual']}, lower is better; clean: {record['clean']['set']}, protocol `classic`; "
        "colour: largest shift of a picture's mean, levels of 255.\n"
    )


def _is_real(record: Record) -> bool:
    """Whether a model was trained on damaged photographs."""
    return "degradation" in record


def _cost(figures: Record | None) -> str:
    if figures is None:
        return "|"
    return f"{figures['seconds_per_megapixel']:.0f} | {figures['memory_mib_per_megapixel']:,.0f}"


def _conditions(costs: Record) -> str:
    width, height = costs["size"]
    kinds = ", ".join(dict.fromkeys(costs["precision"].values()))
    rounds = len(costs["models"][0]["seconds"])
    versions = f"{kinds}, PyTorch {costs['torch']}, {costs['date']}"
    return (
        f"s/MP and MiB/MP: seconds and memory of a run on {width}×{height} per megapixel of the input "
        f"(a larger picture takes less\nmemory per megapixel), on {costs['threads']} threads of a server "
        f"CPU ({costs['device_name']}), {versions}; median of {rounds}.\n"
        "On your own device: `escsr models compare`."
    )


def card(record: Record) -> str:
    """The card that lies beside the weights."""
    training, conditions, stability = record["training"], record["conditions"], record["stability"]
    rows = "\n".join(
        f"| {name} | {_figures(sets['model'])} | {_figures(sets['bicubic'])} | {_figures(sets['paper'])} |"
        for name, sets in record["sets"].items()
    )
    any_scale = record["scale"] is None
    scale = "any scale" if any_scale else f"×{record['scale']}"
    measure = "Y-PSNR (dB)" if any_scale else "Y-PSNR (dB) and SSIM"
    way = "float32" if any_scale else "LR padded to the window, float32"
    paper = f"{'ESC+LTE' if any_scale else record['variant']} in the paper (DIV2K)"
    shrunk = "Pillow's" if any_scale else "MATLAB's"
    return f"""# {record["model"]}

{training["summary"]}

| | |
|---|---|
| network | {record["variant"]}, {scale}, {record["parameters"]:,} parameters |
| file | `{record["model"]}.safetensors`, half precision, sha256 `{record["sha256"]}` |
| started from | {_start(record)} |
| recipe | `{training["recipe"]}`, {training["iterations"]:,} iterations |
| hardware and time | {training["hardware"]}; {training["time"]} |
| data | {training["data"]} |
| licence of the weights | {record["licence"]} |

{measure} by protocol `{conditions["protocol"]}`, {way}:

| set | this model | bicubic | {paper} |
|---|---|---|---|
{rows}

Measured on {conditions["date"]} with PyTorch {conditions["torch"]} on {conditions["device"]}:
`{conditions["command"]}`

Stability, on made pictures of noise, patterns, lettering and pure colours (`escsr.evaluation.stability`):

* {_half_precision(stability["activations"])}
* {_constants(stability)}

{_real_limits(record) if _is_real(record) else _limits(shrunk)}{_lost(record)}
"""


def _limits(shrunk: str) -> str:
    return (
        f"Limits: trained on clean pictures shrunk by {shrunk} bicubic. Noise and compression artefacts of "
        "a photo\nare enlarged with it; they are not removed."
    )


def _real_limits(record: Record) -> str:
    training, preset = record["training"], record["degradation"]
    losses, network = training.get("losses", "L1"), training.get("perceptual")
    perceptual = f" Perceptual network: {network}." if network else ""
    invents = "It smooths what it cannot tell." if losses == "L1" else "It invents detail."
    return f"""Trained on photographs damaged by the degradation `{preset}`; losses: {losses}.{perceptual}
Figures on damaged pictures: docs/real-world.md.

Limits: {invents} Clean pictures come out less sharp than by models for them. Not for measuring, for
evidence, or for faces of people whom one must recognise."""


def _start(record: Record) -> str:
    start = record["training"]["started_from"]
    if start == record["model"]:
        return "its own earlier weights"
    return f"the weights of `{start}`" if start else "random weights"


def _half_precision(activations: dict[str, float]) -> str:
    """How far the model stays below what half precision holds, and where it does not."""
    over = {name: largest for name, largest in activations.items() if largest > HALF_LIMIT}
    largest = max(value for name, value in activations.items() if name not in over)
    line = f"Largest activation {largest:,.0f} of {HALF_LIMIT:,.0f}"
    if not over:
        return f"{line}: it does not overflow in float16."
    worst = ", ".join(f"{value:.1e} on {name}" for name, value in over.items())
    return (
        f"{line}, but {worst} (single-pixel patterns): float16\n  overflows there, which `escsr` notices "
        "and computes again in bfloat16; the result is close to float32's."
    )


def _constants(stability: Record) -> str:
    names = ("constant_inside", "constant_border", "pure_border")
    inside, border, pure = (stability[name] for name in names)
    return (
        f"A grey picture stays so within {inside:.2f} of 255 levels, in the {BORDER} outermost LR pixels\n"
        f"  within {border:.2f}, one of pure red, green or the like there within {pure:.1f}: convolutions\n"
        "  see zeros beyond the border."
    )


def _lost(record: Record) -> str:
    """The pictures that bicubic enlarges better, where there are any."""
    names = [name for sets in record["sets"].values() for name in sets["not_above_bicubic"]]
    return f" Bicubic has the higher PSNR on {', '.join(names)}." if names else ""


def _row(name: str, record: Record, size: str, key: str) -> str:
    figures = " | ".join(_figures(record["sets"][name][key]) for name in SETS)
    return f"| {name} | ×{record['scale']} | {size} | {figures} |"


def _figures(pair: list[float] | None) -> str:
    """PSNR / SSIM, or PSNR alone."""
    if not pair:
        return ""
    return f"{pair[0]:.2f}" + "".join(f" / {ssim:.4f}" for ssim in pair[1:])


if __name__ == "__main__":
    main()
