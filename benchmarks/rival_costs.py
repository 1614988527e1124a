"""Parameters and MACs of rivals beside what the paper prints: a record, and the table of docs/rivals.md.

Networks run on shapes alone, for an output of 1280×720. Needs spandrel and spandrel_extra_arches.

PYTHONPATH=tests python benchmarks/rival_costs.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from conditions import record
from escsr.evaluation.mac_convention import PAPERS_OWN
from escsr.evaluation.rivals import RIVALS, build_rival
from other_models import real_spandrel

PAGE = Path(__file__).parent.parent / "docs" / "rivals.md"
START, END = "<!-- costs -->", "<!-- /costs -->"


def main() -> None:
    """Counts all, writes the record and the page."""
    real_spandrel()
    rows = [_row(name, scale) for name, rival in RIVALS.items() for scale in rival.scales]
    record("rivals/costs", {"output": [1280, 720], "rows": rows})
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(f"{before}{START}\n{table(rows)}{END}{rest.split(END)[1]}")


def _row(name: str, scale: int) -> dict[str, Any]:
    rival = RIVALS[name]
    network = build_rival(name, scale, device="meta")
    counter = FlopCounterMode(display=False, custom_mapping=dict(PAPERS_OWN))
    with torch.no_grad(), counter:
        network(torch.empty(1, 3, 720 // scale, 1280 // scale, device="meta"))
    counts = counter.get_flop_counts()["Global"]
    own = sum(count for operation, count in counts.items() if operation in PAPERS_OWN)
    return {
        "rival": name,
        "scale": scale,
        "parameters": _parameters(network),
        "paper_parameters_k": rival.paper_parameters[scale],
        "products_g": (sum(counts.values()) - own) / 2e9,
        "macs_g": sum(counts.values()) / 2e9,
        "paper_macs_g": rival.paper_macs_g[scale],
    }


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: three scales in a cell."""
    lines = [
        "| rival | definition | parameters, K | paper | products, G | MACs, G | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rival in RIVALS.items():
        own = [row for row in rows if row["rival"] == name]
        forms = {"paper_parameters_k": "d", "products_g": ".1f", "macs_g": ".1f", "paper_macs_g": ".1f"}
        cells = [" / ".join(f"{row['parameters'] / 1000:.1f}" for row in own)]
        cells += [" / ".join(f"{row[key]:{form}}" for row in own) for key, form in forms.items()]
        lines.append(f"| {rival.name} | {rival.source} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
