"""Writes the tables of models (README, docs/models.md and others) and the models' cards from the records.

Records are the JSON beside the weights, and those of costs in `results`.

python scripts/model_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path

from escsr.models.overview import ModelOverview, model_overviews
from model_cards import Record, card, figures, is_real

ROOT = Path(__file__).resolve().parent.parent
COSTS = ROOT / "results" / "models" / "compare-cpu.json"
CARDS = ROOT / "src" / "escsr" / "models" / "weights"
README = ROOT / "README.md"
CHOICE = ROOT / "results" / "models" / "any-scale.json"
MODELS_PAGE = ROOT / "docs" / "models.md"
CHOICE_PAGE = ROOT / "docs" / "upscale.md"
REAL = ROOT / "results" / "real" / "photos-x4.json"
REAL_PAGE = ROOT / "docs" / "real-world.md"
START, END = "<!-- models -->", "<!-- /models -->"
SETS = ("Set5", "Set14", "B100")

_ABOUT_FAMILIES = (
    "Quality: PSNR above bicubic interpolation on Set14, a set of clean test pictures (`esc-lte`: at ×2); "
    "+3 dB is half the\nsquared error. Time: per megapixel of the input on two cores of a server CPU; "
    "a GPU takes far less."
)


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
    costs = json.loads(COSTS.read_text())
    tables = {
        README: family_table(),
        MODELS_PAGE: model_table(records, costs),
        CHOICE_PAGE: choice_table(json.loads(CHOICE.read_text())),
        REAL_PAGE: real_table(json.loads(REAL.read_text())),
    }
    return {page: with_table(page.read_text(), each) for page, each in tables.items()}


def with_table(text: str, table: str) -> str:
    """A text with what stands between its markers replaced."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table}{END}{after}"


def family_table() -> str:
    """README's: one row a family, what it is for, how much better than bicubic, how fast."""
    families: dict[str, list[ModelOverview]] = {}
    for each in model_overviews():
        families.setdefault(each.name.removesuffix(f"-x{each.scale}"), []).append(each)
    lines = ["| model | for | scales | quality | time |", "|---|---|---|---|---|"]
    for family, of in families.items():
        scales = ", ".join("any" if each.scale is None else f"×{each.scale}" for each in of)
        gains = ", ".join(f"+{each.gain_db:.1f}" for each in of if each.gain_db is not None)
        quality = f"{gains} dB" if gains else "[figures](docs/real-world.md#figures)"
        default = " (default)" if family == "esc-light" else ""
        lines.append(
            f"| `{family}` | {of[0].purpose}{default} | {scales} | {quality} | "
            f"{of[0].seconds_per_megapixel:.0f} s |"
        )
    return "\n".join(lines) + f"\n\n{_ABOUT_FAMILIES}\n"


def model_table(records: list[Record], costs: Record) -> str:
    """One row a model with all its figures; then those of bicubic and of the paper; then of any scale."""
    lines = [
        "| model | for | scale | " + " | ".join(SETS) + " | s/MP | MiB/MP | size | licence |",
        "|---|---|---|" + "---|" * (len(SETS) + 4),
    ]
    record_of = {record["model"]: record for record in records}
    for overview in model_overviews():
        record = record_of[overview.name]
        cost = _cost_of(record, costs)
        scale = "any" if record["scale"] is None else f"×{record['scale']}"
        size = (CARDS / f"{record['model']}.safetensors").stat().st_size / 1e6
        lines.append(
            f"| `{record['model']}` | {overview.purpose} | {scale} | {_cells(record, 'model')} | "
            f"{cost['seconds_per_megapixel']:.0f} | {cost['memory_mib_per_megapixel']:,.0f} | "
            f"{size:.1f} MB | {record['licence']} |"
        )
    any_scale = "".join(any_scale_table(each) for each in records if each["scale"] is None)
    return "\n".join(lines) + f"\n\n{_conditions(costs)}\n{reference_table(records)}{any_scale}"


def reference_table(records: list[Record]) -> str:
    """Bicubic interpolation at each scale, and what the paper reports for its own training."""
    lines = [
        "\n## Beside bicubic and the paper\n",
        "| | scale | " + " | ".join(SETS) + " |",
        "|---|---|" + "---|" * len(SETS),
    ]
    fixed = [each for each in records if each["scale"] is not None and not is_real(each)]
    bicubic = {
        each["scale"]: f"| bicubic | ×{each['scale']} | {_cells(each, 'bicubic')} |" for each in fixed
    }
    paper = [
        f"| {each['variant']} in the paper (DIV2K) | ×{each['scale']} | {_cells(each, 'paper')} |"
        for each in fixed
    ]
    return "\n".join([*lines, *bicubic.values(), *paper]) + "\n"


def any_scale_table(record: Record) -> str:
    """One column a scale, on Set5."""
    sets = {name.split()[1]: each for name, each in record["sets"].items() if name.startswith("Set5 ")}
    rows = {
        f"`{record['model']}`": "model",
        "bicubic": "bicubic",
        "ESC+LTE in the paper (DIV2K)": "paper",
    }
    lines = [
        "\n## The model for any scale\n",
        f"Y-PSNR in dB on Set5, protocol `{record['conditions']['protocol']}`; "
        f"{record['parameters']:,} parameters.\n",
        "| model | " + " | ".join(sets) + " |",
        "|---|" + "---|" * len(sets),
    ]
    for name, key in rows.items():
        lines.append(f"| {name} | " + " | ".join(figures(each[key]) for each in sets.values()) + " |")
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
        each = [of_models[model] for of_models in presets.values()]
        cells = [f"{one['psnr_y']:.2f} / {one['distance']:.2f}" for one in each]
        shift = max(one["largest_colour_shift"] for one in each)
        lines.append(f"| `{model}` | {' | '.join(cells)} | {clean:.2f} | {shift:.2f} |")
    pictures, seeds = len(record["pictures"]), record["seeds"]
    return (
        "\n".join(lines)
        + f"\n\nMeans of {pictures} pictures × {seeds} seeds at ×{record['scale']}; distance: features of "
        f"{record['perceptual']}, lower is better; clean: {record['clean']['set']}, protocol `classic`; "
        "colour: largest shift of a picture's mean, levels of 255.\n"
    )


def _cost_of(record: Record, costs: Record) -> Record:
    """Seconds and memory: the model's own, or those of the same network with other weights."""
    costs_of = {each["model"]: each for each in costs["models"]}
    same: Record = costs_of.get(record["model"]) or costs_of[f"{record['variant']}-x{record['scale']}"]
    return same


def _cells(record: Record, key: str) -> str:
    """Cells of the test sets; a model for any scale is measured otherwise, in a table of its own."""
    return " | ".join(
        "" if record["scale"] is None else figures(record["sets"][name][key]) for name in SETS
    )


def _conditions(costs: Record) -> str:
    width, height = costs["size"]
    kinds = ", ".join(dict.fromkeys(costs["precision"].values()))
    rounds = len(costs["models"][0]["seconds"])
    versions = f"{kinds}, PyTorch {costs['torch']}, {costs['date']}"
    return (
        "s/MP and MiB/MP: seconds and memory per megapixel of the input, measured on "
        f"{width}×{height} (a larger picture takes less\nmemory per megapixel) with "
        f"{costs['threads']} threads of a server CPU ({costs['device_name']}), {versions};\n"
        f"median of {rounds}; models not measured have the figures of the same network with other weights."
        "\n"
        "Measure your own device with `escsr models compare`."
    )


if __name__ == "__main__":
    main()
