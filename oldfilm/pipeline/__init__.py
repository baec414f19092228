"""Runs stages over a film: analysis, windows, tiles, segments, progress. It knows no model."""

from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.executors.base import Recipe, Workers
from oldfilm.pipeline.executors.choice import ENGINES, hired
from oldfilm.pipeline.executors.local import LocalWorkers
from oldfilm.pipeline.film_job import (
    ANALYSING,
    JOINING,
    RESTORING,
    Options,
    Progress,
    Report,
    Summary,
    is_result_path,
    restore,
)
from oldfilm.pipeline.runnable import Restored, Restorer
from oldfilm.stage import FilmInfo

__all__ = [
    "ANALYSING",
    "ENGINES",
    "JOINING",
    "RESTORING",
    "FilmInfo",
    "LocalWorkers",
    "Options",
    "Progress",
    "Recipe",
    "Report",
    "Restored",
    "Restorer",
    "Summary",
    "Workers",
    "hired",
    "is_result_path",
    "restore",
    "restore_frames",
]
