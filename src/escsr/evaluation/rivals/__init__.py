"""The systems beside which the paper sets its networks (Tables 2, 4, 5 and 6): what they are, and they."""

from escsr.evaluation.rivals.building import build_rival
from escsr.evaluation.rivals.table import RIVALS, Rival, rival_named
from escsr.evaluation.rivals.weights import load_rival_weights

__all__ = ["RIVALS", "Rival", "build_rival", "load_rival_weights", "rival_named"]
