"""What a position bias of low rank costs: Y-PSNR of bundled models and of what `convert` makes of them.

    python benchmarks/bias_rank.py --data Set5/HR --data Set14/HR --data B100/HR

Each model is measured on each folder of test pictures by the protocol `classic`, as it is and with
position biases of each rank. Records results/models/bias-rank.json, anew after every rank.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from conditions import record
from escsr.evaluation.protocols import evaluate
from escsr.models.bundled import find_model
from escsr.models.checkpoints import Checkpoint, network_of, read_checkpoint
from escsr.models.conversion import with_bias_rank

_MODELS, _RANKS = ("esc-x4", "esc-light-x2"), (16, 48, 112)


def main() -> None:
    """Measures every model on every set, at every rank."""
    options = _options()
    rows: list[dict[str, Any]] = []
    for name in options.model or _MODELS:
        ranks = options.rank or _RANKS
        exact = read_checkpoint(find_model(name))
        converted = with_bias_rank(exact, max(ranks))
        for folder in options.data:
            expected = _quality(name, exact, folder)
            row = {"model": name, "data": folder.parent.name if folder.name == "HR" else folder.name}
            rows.append({**row, "rank": None, "psnr_y": round(expected, 4)})
            print(rows[-1], flush=True)
            for rank in ranks:
                quality = _quality(name, _of_rank(converted, rank), folder)
                figures = {"psnr_y": round(quality, 4), "change_db": round(quality - expected, 4)}
                rows.append({**row, "rank": rank, **figures})
                print(rows[-1], flush=True)
                record("models/bias-rank", {"protocol": "classic", "rows": rows})


def _quality(name: str, checkpoint: Checkpoint, folder: Path) -> float:
    """Mean Y-PSNR, dB."""
    return evaluate(network_of(checkpoint, name=name).requires_grad_(False), folder).psnr_y


def _of_rank(converted: Checkpoint, rank: int) -> Checkpoint:
    """What `with_bias_rank` gives for a lower rank: the first columns of the same factors."""
    ends = ("bias_query", "bias_key")
    weights = {k: v[..., :rank] if k.endswith(ends) else v for k, v in converted.weights.items()}
    return replace(converted, config=converted.config.replace(bias_rank=rank), weights=weights)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of HR pictures")
    parser.add_argument("--model", action="append", help="bundled model; may be repeated")
    parser.add_argument("--rank", type=int, action="append", help="rank; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    main()
