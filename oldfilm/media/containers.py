"""The tracks that each container holds, and the codecs to which it converts others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from oldfilm.media.film import Track

_TEXT_SUBTITLES = frozenset(
    {"subrip", "ass", "ssa", "webvtt", "mov_text", "text", "microdvd", "subviewer"}
)
_BITMAP_SUBTITLES = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack", "tta", "truehd", "mlp")


@dataclass(frozen=True)
class Container:
    """The tracks that a container holds.

    audio: prefixes of the names of accepted sound codecs; "" accepts all.
    encode, encode_lossless: the codec for lossy and lossless sound that is not accepted.
    subtitles: accepted subtitle codecs. text: the codec for other text subtitles.
    options: further arguments for ffmpeg.
    """

    name: str
    audio: tuple[str, ...]
    encode: str
    encode_lossless: str
    subtitles: frozenset[str]
    text: str
    attachments: bool = False
    options: tuple[str, ...] = ()


_MP4 = Container(
    name="mp4",
    audio=("aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts"),
    encode="aac",
    encode_lossless="aac",
    subtitles=frozenset({"mov_text"}),
    text="mov_text",
    options=("-movflags", "+faststart"),
)
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": replace(_MP4, name="m4v"),
    ".mov": replace(
        _MP4,
        name="mov",
        audio=("aac", "mp3", "ac3", "eac3", "alac", "pcm_"),
        encode_lossless="alac",
    ),
    ".mkv": Container(
        name="mkv",
        audio=("",),
        encode="flac",
        encode_lossless="flac",
        subtitles=_BITMAP_SUBTITLES - {"xsub"} | {"subrip", "ass", "ssa", "webvtt"},
        text="srt",
        attachments=True,
    ),
    ".webm": Container(
        name="webm",
        audio=("opus", "vorbis"),
        encode="libopus",
        encode_lossless="libopus",
        subtitles=frozenset({"webvtt"}),
        text="webvtt",
    ),
}
"""By suffix."""


class TrackMapping:
    """ffmpeg's options that copy or convert tracks into a container.

    options: arguments for ffmpeg. notes: a sentence for each track that is converted or left out.
    """

    def __init__(self, container: Container) -> None:
        self.options: list[str] = []
        self.notes: list[str] = []
        self._container = container

    def add_sound(self, number: int, tracks: Sequence[Track]) -> None:
        """Add sound tracks of the input file with this number."""
        for i, track in enumerate(tracks):
            codec = "copy"
            if not track.codec.startswith(self._container.audio):
                lossless = track.codec.startswith(_LOSSLESS)
                codec = self._container.encode_lossless if lossless else self._container.encode
                self._note_conversion(f"sound track {i + 1}", track, codec)
            self.options += ["-map", f"{number}:{track.index}", f"-c:a:{i}", codec]
            if codec in ("aac", "libopus"):
                self.options += [f"-b:a:{i}", "192k"]

    def add_subtitles(self, number: int, tracks: Sequence[Track]) -> None:
        """Add subtitle tracks of the input file with this number."""
        kept = 0
        for i, track in enumerate(tracks):
            codec = "copy"
            if track.codec not in self._container.subtitles:
                if track.codec not in _TEXT_SUBTITLES:
                    self.notes.append(
                        f"subtitle track {i + 1} ({track.codec}) was left out: "
                        f"{self._container.name} cannot hold it"
                    )
                    continue
                codec = self._container.text
                self._note_conversion(f"subtitle track {i + 1}", track, codec)
            self.options += ["-map", f"{number}:{track.index}", f"-c:s:{kept}", codec]
            kept += 1

    def add_attachments(self, number: int, tracks: Sequence[Track]) -> None:
        """Add attached files of the input file with this number."""
        if tracks and not self._container.attachments:
            name = self._container.name
            self.notes.append(f"attached files were left out: {name} cannot hold them")
            return
        for track in tracks:
            self.options += ["-map", f"{number}:{track.index}"]
        if tracks:
            self.options += ["-c:t", "copy"]

    def _note_conversion(self, what: str, track: Track, codec: str) -> None:
        self.notes.append(
            f"{what} was converted from {track.codec} to {codec.replace('lib', '')}: "
            f"{self._container.name} cannot hold the original"
        )
