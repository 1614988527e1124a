"""Exact tiled execution: any picture in bounded memory, equal to the whole-picture forward."""

from __future__ import annotations

from escsr.streaming.feature_store import FeatureStorage
from escsr.streaming.memory import Memory, predict_memory
from escsr.streaming.runner import Compute, run
from escsr.streaming.tiles import Span, Tile, cut_side

__all__ = ["Compute", "FeatureStorage", "Memory", "Span", "Tile", "cut_side", "predict_memory", "run"]
