"""What a position bias of low rank costs: Y-PSNR of bundled models and of what `convert` makes of them.

    python benchmarks/bias_rank.py --data Set5/HR --data Set14/HR --data B100/HR

Each model is measured on each folder of test pictures by the protocol `classic`, as it is and with
position biases of each rank. Records results/models/bias-rank.json, after every model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from conditions import record
from escsr.evaluation.protocols import evaluate
from escsr.models.bundled import find_model
from escsr.models.checkpoints import Checkpoint, network_of, read_checkpoint
from escsr.models.conversion import with_bias_rank

_MODELS, _RANKS = ("esc-x4", "esc-light-x2"), (16, 48, 112)


def main() -> None:
    """Measures every model at every rank."""
    options = _options()
    rows: list[dict[str, Any]] = []
    for name in options.model or _MODELS:
        checkpoint = read_checkpoint(find_model(name))
        exact = _quality(name, checkpoint, options.data)
        rows.append({"model": name, "rank": None, "psnr_y": exact})
        print(rows[-1], flush=True)
        for rank in options.rank or _RANKS:
            quality = _quality(name, with_bias_rank(checkpoint, rank), options.data)
            change = {data: round(quality[data] - exact[data], 4) for data in exact}
            rows.append({"model": name, "rank": rank, "psnr_y": quality, "change_db": change})
            print(rows[-1], flush=True)
        print(record("models/bias-rank", {"protocol": "classic", "rows": rows}))


def _quality(name: str, checkpoint: Checkpoint, folders: list[Path]) -> dict[str, float]:
    """Mean Y-PSNR by test set, dB."""
    network = network_of(checkpoint, name=name).requires_grad_(False)
    sets = {folder.parent.name if folder.name == "HR" else folder.name: folder for folder in folders}
    return {data: round(evaluate(network, folder).psnr_y, 4) for data, folder in sets.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of HR pictures")
    parser.add_argument("--model", action="append", help="bundled model; may be repeated")
    parser.add_argument("--rank", type=int, action="append", help="rank; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    main()
