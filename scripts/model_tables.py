"""Writes README's table of models and the models' cards from the records in `results/quality`.

python scripts/model_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from escsr.evaluation.stability import BORDER, HALF_LIMIT

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results" / "quality"
CARDS = ROOT / "src" / "escsr" / "weights"
README = ROOT / "README.md"
START, END = "<!-- models -->", "<!-- /models -->"
SETS = ("Set5", "Set14", "B100")

Record = dict[str, Any]


def main() -> None:
    """Rewrites the cards and the part of README between its markers."""
    records = read_records()
    for record in records:
        (CARDS / f"{record['model']}.md").write_text(card(record))
    README.write_text(with_table(README.read_text(), records))


def read_records() -> list[Record]:
    """All records, sorted by model."""
    return [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]


def with_table(text: str, records: list[Record]) -> str:
    """A text with the table between its markers replaced."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table(records)}{END}{after}"


def table(records: list[Record]) -> str:
    """One row a model, and one for bicubic at the same scale."""
    lines = [
        "| model | scale | parameters | " + " | ".join(SETS) + " |",
        "|---|---|---|" + "---|" * len(SETS),
    ]
    for record in records:
        lines.append(_row(f"`{record['model']}`", record, f"{record['parameters']:,}", "model"))
        lines.append(_row("bicubic", record, "", "bicubic"))
        lines.append(_row(f"{record['variant']} in the paper (DIV2K)", record, "", "paper"))
    return "\n".join(lines) + "\n"


def card(record: Record) -> str:
    """The card that lies beside the weights."""
    training, conditions, stability = record["training"], record["conditions"], record["stability"]
    rows = "\n".join(
        f"| {name} | {_figures(sets['model'])} | {_figures(sets['bicubic'])} | {_figures(sets['paper'])} |"
        for name, sets in record["sets"].items()
    )
    return f"""# {record["model"]}

{training["summary"]}

| | |
|---|---|
| network | {record["variant"]}, ×{record["scale"]}, {record["parameters"]:,} parameters |
| file | `{record["model"]}.safetensors`, half precision, sha256 `{record["sha256"]}` |
| started from | {_start(training)} |
| recipe | `{training["recipe"]}`, {training["iterations"]:,} iterations |
| hardware and time | {training["hardware"]}; {training["time"]} |
| data | {training["data"]} |
| licence of the weights | {record["licence"]} |

Y-PSNR (dB) and SSIM by protocol `{conditions["protocol"]}`, LR padded to the window, float32:

| set | this model | bicubic | {record["variant"]} in the paper (DIV2K) |
|---|---|---|---|
{rows}

Measured on {conditions["date"]} with PyTorch {conditions["torch"]} on {conditions["device"]}:
`{conditions["command"]}`

Stability, on made pictures of noise, patterns, lettering and pure colours (`escsr.evaluation.stability`):

* {_half_precision(stability["activations"])}
* A constant picture stays so within {stability["constant_inside"]:.2f} of 255 levels, in the {BORDER} outermost LR
  pixels within {stability["constant_border"]:.2f}: convolutions see zeros beyond the border.

Limits: trained on clean pictures shrunk by MATLAB's bicubic. Noise and compression artefacts of a photo
are enlarged with it; they are not removed.{_lost(record)}
"""


def _start(training: Record) -> str:
    start = training["started_from"]
    return f"the weights of `{start}`" if start else "random weights"


def _half_precision(activations: dict[str, float]) -> str:
    """How far the model stays below what half precision holds, and where it does not."""
    over = {name: largest for name, largest in activations.items() if largest > HALF_LIMIT}
    largest = max(value for name, value in activations.items() if name not in over)
    line = f"Largest activation {largest:,.0f} of {HALF_LIMIT:,.0f}"
    if not over:
        return f"{line}: it does not overflow in float16."
    worst = ", ".join(f"{value:.1e} on {name}" for name, value in over.items())
    return f"""{line}, but {worst} (single-pixel patterns): float16
  overflows there, which `escsr` notices and computes again in bfloat16; the result is close to float32's."""


def _lost(record: Record) -> str:
    """The pictures that bicubic enlarges better, where there are any."""
    names = [name for sets in record["sets"].values() for name in sets["not_above_bicubic"]]
    return f" Bicubic has the higher PSNR on {', '.join(names)}." if names else ""


def _row(name: str, record: Record, parameters: str, key: str) -> str:
    figures = " | ".join(_figures(record["sets"][name][key]) for name in SETS)
    return f"| {name} | ×{record['scale']} | {parameters} | {figures} |"


def _figures(pair: list[float] | None) -> str:
    return f"{pair[0]:.2f} / {pair[1]:.4f}" if pair else ""


if __name__ == "__main__":
    main()
