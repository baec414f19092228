"""Runs stages over a film: analysis, windows, tiles, segments, progress. It knows no model."""

from oldfilm.pipeline.chain import restore_frames
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
from oldfilm.pipeline.restorer import Restored, Restorer
from oldfilm.stage import FilmInfo

__all__ = [
    "ANALYSING",
    "JOINING",
    "RESTORING",
    "FilmInfo",
    "Options",
    "Progress",
    "Report",
    "Restored",
    "Restorer",
    "Summary",
    "is_result_path",
    "restore",
    "restore_frames",
]
