"""Runs stages over a film: analysis, windows, tiles, segments, executors, resuming.

Nothing here knows a model.
"""

from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.estimate import Estimate, estimate
from oldfilm.pipeline.executors import EXECUTORS, LocalExecutor, open_executor
from oldfilm.pipeline.executors.base import Executor, StageFactory
from oldfilm.pipeline.job import restore
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.photo_job import PhotoJob
from oldfilm.pipeline.preview import Preview, preview
from oldfilm.pipeline.report import (
    ANALYZING,
    JOINING,
    RESTORING,
    JobProgress,
    Needs,
    Progress,
    Summary,
)
from oldfilm.pipeline.results import (
    PredictorNames,
    is_own_result,
    is_result_path,
    separate_stems,
)
from oldfilm.pipeline.runnable import RestoredFilm, RestoredPhotograph, RunnableStage
from oldfilm.stage import FilmInfo

__all__ = [
    "ANALYZING",
    "EXECUTORS",
    "JOINING",
    "RESTORING",
    "Estimate",
    "Executor",
    "FilmInfo",
    "JobProgress",
    "LocalExecutor",
    "Needs",
    "PhotoJob",
    "PredictorNames",
    "Preview",
    "Progress",
    "RestoreOptions",
    "RestoredFilm",
    "RestoredPhotograph",
    "RunnableStage",
    "StageFactory",
    "Summary",
    "estimate",
    "is_own_result",
    "is_result_path",
    "open_executor",
    "preview",
    "restore",
    "restore_frames",
    "separate_stems",
]
