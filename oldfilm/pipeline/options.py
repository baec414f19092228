"""Everything that can be chosen about a job, apart from its stages."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from oldfilm.pipeline.segments import SEGMENT_FRAMES


@dataclass(frozen=True)
class RestoreOptions:
    """What a job does beside its stages.

    codec, crf, pix_fmt: of the result; by default what suits its container. deinterlace: one of
    `media.DEINTERLACING`; a Deinterlace among the stages asks for it as well. audio: a file whose
    sound replaces the film's. start, duration: seconds of the source, to restore only a part.
    input_fps: rate of a folder of numbered frames. height: lines of the result. compare: also write
    original and result side by side. save_frames: also keep the result's frames as PNG files.

    A job that was stopped is gone on with. restart: begin it anew. work_dir: where it keeps what is
    finished until all is; beside the result by default. segment_frames: source frames that are
    restored and kept as a unit, at most.
    """

    codec: str | None = None
    crf: int | None = None
    pix_fmt: str | None = None
    audio: Path | None = None
    keep_audio: bool = True
    start: Fraction | None = None
    duration: Fraction | None = None
    input_fps: Fraction | None = None
    deinterlace: str = "auto"
    height: int | None = None
    compare: bool = False
    save_frames: bool = False
    overwrite: bool = False
    restart: bool = False
    work_dir: Path | None = None
    segment_frames: int = SEGMENT_FRAMES
