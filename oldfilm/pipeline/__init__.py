"""Runs stages over a film: analysis, windows, tiles, segments, progress. It knows no model."""

from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.executors import EXECUTORS, LocalExecutor, open_executor
from oldfilm.pipeline.executors.base import Executor, StageFactory
from oldfilm.pipeline.film_job import (
    ANALYZING,
    JOINING,
    RESTORING,
    JobProgress,
    Progress,
    RestoreOptions,
    Summary,
    is_result_path,
    restore,
)
from oldfilm.pipeline.runnable import Restored, RunnableStage
from oldfilm.stage import FilmInfo

__all__ = [
    "ANALYZING",
    "EXECUTORS",
    "JOINING",
    "RESTORING",
    "FilmInfo",
    "JobProgress",
    "LocalExecutor",
    "RestoreOptions",
    "Progress",
    "StageFactory",
    "Restored",
    "RunnableStage",
    "Summary",
    "Executor",
    "open_executor",
    "is_result_path",
    "restore",
    "restore_frames",
]
