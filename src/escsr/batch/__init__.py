"""Many pictures: which files become which (`jobs`), what is done already (`manifest`), three steps at
once (`pipeline`), what is said of a picture on its way (`pictures`) and the whole (`run`).

`forecast` says what a run would do, `pipes` lets `-` stand for standard input and output.
"""

from __future__ import annotations

from escsr.batch.forecast import Forecast, forecast
from escsr.batch.jobs import Job, plan
from escsr.batch.pictures import Outcome, Progress
from escsr.batch.pipeline import Pipeline, PipelineItem
from escsr.batch.run import Batch, upscale

__all__ = [
    "Batch",
    "Forecast",
    "Job",
    "Outcome",
    "Pipeline",
    "PipelineItem",
    "Progress",
    "forecast",
    "plan",
    "upscale",
]
