"""Runs stages over a film: analysis, windows, tiles, segments, progress. It knows no model."""

from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.executors.base import Executor, StageFactory
from oldfilm.pipeline.executors.choice import EXECUTORS, open_executor
from oldfilm.pipeline.executors.local import LocalExecutor
from oldfilm.pipeline.film_job import (
    ANALYZING,
    JOINING,
    RESTORING,
    Progress,
    Report,
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
    "LocalExecutor",
    "RestoreOptions",
    "Progress",
    "StageFactory",
    "Report",
    "Restored",
    "RunnableStage",
    "Summary",
    "Executor",
    "open_executor",
    "is_result_path",
    "restore",
    "restore_frames",
]
