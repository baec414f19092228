"""Runs stages over a film: analysis, windows, tiles, segments, progress. It knows no model."""

from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.engines import ENGINES, hired
from oldfilm.pipeline.job import (
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
from oldfilm.pipeline.pieces import Recipe, Workers
from oldfilm.pipeline.restorer import Restored, Restorer
from oldfilm.pipeline.workers import LocalWorkers
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
