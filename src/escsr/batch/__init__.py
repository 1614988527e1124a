"""Many pictures: which files become which (`jobs`), what is done already (`manifest`), the
way of a picture (`line`) and the whole (`run`).

`forecast` says what a run would do, `pipes` lets `-` stand for standard input and output.
"""

from __future__ import annotations

from escsr.batch.forecast import Forecast, forecast
from escsr.batch.jobs import Job, plan
from escsr.batch.pipeline import Outcome, Progress
from escsr.batch.run import Batch

__all__ = ["Batch", "Forecast", "Job", "Outcome", "Progress", "forecast", "plan"]
