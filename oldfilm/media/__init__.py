"""Read and write films and photographs without losing frames, time, tracks or metadata.

PyAV probes files. The ffmpeg that imageio-ffmpeg installs decodes, encodes, joins and muxes them,
as a child process. This package does not know stages or models.
"""

from oldfilm.media.analysis import Analysis, analyze, analyze_part
from oldfilm.media.codecs import (
    FRAMES_PATTERN,
    EncodeSettings,
    default_suffix,
    holds_film,
    is_pattern,
    keeps_alpha,
    segment_suffix,
)
from oldfilm.media.contents import Track
from oldfilm.media.decode import decode, decode_alpha, frames_at
from oldfilm.media.encode import Encoder
from oldfilm.media.excerpt import EXCERPT_SUFFIXES, write_excerpt
from oldfilm.media.ffmpeg import executable as ffmpeg_executable
from oldfilm.media.ffmpeg import version as ffmpeg_version
from oldfilm.media.film import ColorTags, Film
from oldfilm.media.image_results import check_replaceable
from oldfilm.media.image_sequence import numbered_frames, sequence_notes
from oldfilm.media.interlacing import DEINTERLACING, deinterlaced
from oldfilm.media.losses import LOST_ALPHA
from oldfilm.media.measure import Curves, measure
from oldfilm.media.mux import first_sound, join, mux
from oldfilm.media.photo import (
    Photograph,
    keeps_pages,
    read_photograph,
    write_pages,
    write_photograph,
)
from oldfilm.media.picture_formats import PHOTOGRAPH_SUFFIXES, WRITTEN_SUFFIXES
from oldfilm.media.side_by_side import compare, contact_sheet, side_by_side
from oldfilm.media.sources import RESULT_SUFFIXES, is_photograph, sources

__all__ = [
    "DEINTERLACING",
    "EXCERPT_SUFFIXES",
    "FRAMES_PATTERN",
    "LOST_ALPHA",
    "Analysis",
    "ColorTags",
    "Curves",
    "EncodeSettings",
    "Encoder",
    "Film",
    "PHOTOGRAPH_SUFFIXES",
    "Photograph",
    "RESULT_SUFFIXES",
    "Track",
    "WRITTEN_SUFFIXES",
    "analyze",
    "analyze_part",
    "check_replaceable",
    "compare",
    "contact_sheet",
    "decode",
    "decode_alpha",
    "default_suffix",
    "deinterlaced",
    "ffmpeg_executable",
    "ffmpeg_version",
    "first_sound",
    "frames_at",
    "holds_film",
    "is_pattern",
    "is_photograph",
    "join",
    "keeps_alpha",
    "keeps_pages",
    "measure",
    "mux",
    "numbered_frames",
    "read_photograph",
    "segment_suffix",
    "sequence_notes",
    "side_by_side",
    "sources",
    "write_excerpt",
    "write_pages",
    "write_photograph",
]
