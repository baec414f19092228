"""The containers of results: the tracks that each can hold, and conversions of the others."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from oldfilm.errors import MachineError, MediaError
from oldfilm.media.contents import ATTACHMENT, COVER, DATA, SOUND, SUBTITLES, Track
from oldfilm.media.ffmpeg import reading, run, url
from oldfilm.media.languages import stored_language
from oldfilm.media.opening import opened

if TYPE_CHECKING:
    from av.stream import Stream

_REFUSAL = re.compile(
    r"find tag for codec|codec tag found|\bsupported\b|experimental|can only be written"
)
"""The words with which ffmpeg's muxers refuse a codec."""
_NO_DECODER = re.compile(r"no decoder|[Dd]ecoder .*not found")

_COVERS = frozenset({"mjpeg", "png", "bmp"})
"""Codecs of cover pictures that MP4 holds."""
_MPEG_AUDIO = frozenset({"mp1", "mp2", "mp3"})
"""Layers of one codec, for which MP4 has one tag."""

TAGGED = ("mp4", "ipod", "mov")
"""Muxers of MP4 and its relatives."""

_SAMPLE = 8
"""How many packets of a track to try."""


@dataclass(frozen=True)
class Container:
    """A container of results.

    format: ffmpeg's name of the muxer. lossy, lossless: encoders for sound that the container
    cannot hold. text: the encoder for text subtitles that it cannot hold. covers: the kind of
    track used for cover pictures; None if it does not hold them. attachments: whether it
    holds attached files.
    converted: sound that ffmpeg would copy, but few players would play.
    options: further arguments for ffmpeg.
    """

    name: str
    format: str
    lossy: str
    lossless: str
    text: str
    covers: str | None = None
    attachments: bool = False
    converted: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The suffix of its files."""
        return f".{self.name}"

    @property
    def copies(self) -> frozenset[str]:
        """The kinds of tracks that it holds whatever their codec."""
        kinds = {ATTACHMENT: self.attachments, COVER: self.covers is not None}
        return frozenset(kind for kind, is_held in kinds.items() if is_held)


_MP4 = Container(
    name="mp4",
    format="mp4",
    lossy="aac",
    lossless="alac",
    text="mov_text",
    covers=COVER,
    converted=frozenset({"vorbis", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"}),
    options=("-movflags", "+faststart"),
)
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": replace(_MP4, name="m4v", format="ipod"),
    ".mov": replace(_MP4, name="mov", format="mov", covers=None, converted=frozenset({"vorbis"})),
    ".mkv": Container(
        name="mkv",
        format="matroska",
        lossy="flac",
        lossless="flac",
        text="srt",
        covers=ATTACHMENT,
        attachments=True,
    ),
    ".webm": Container(
        name="webm", format="webm", lossy="libopus", lossless="libopus", text="webvtt"
    ),
}
"""By suffix."""


# What ffmpeg can do


@cache
def declared_codecs(form: str) -> frozenset[str]:
    """Return the codecs that a muxer of ffmpeg declares."""
    import av

    with av.open(io.BytesIO(), "w", format=form) as container:
        return frozenset(_canonical(name) for name in container.supported_codecs)


def _canonical(name: str) -> str:
    import av

    try:
        return av.Codec(name, "r").canonical_name
    except ValueError:
        return av.Codec(name, "w").canonical_name


def _has(codec: str, property: str) -> bool:
    """Return whether ffmpeg can decode a codec that has a property, such as `text_sub`."""
    import av

    try:
        return bool(getattr(av.Codec(codec, "r"), property))
    except ValueError:
        return False


_answers: dict[tuple[str, str], bool] = {}
"""Whether a container, by suffix, holds a codec: what ffmpeg has answered in this process."""


def holds(container: Container, path: Path, track: Track) -> bool:
    """Return whether a container holds the codec of a track, as ffmpeg's muxer says.

    path: a file with this track. A muxer is asked once for each codec.
    """
    if track.kind == DATA:  # The muxer of MP4 accepts data of any kind.
        gopro = "GoPro MET" in track.tags.get("handler_name", "")
        return gopro and container.format in ("mp4", "mov")
    if track.kind == COVER:
        return track.codec in _COVERS
    key = container.suffix, track.codec
    if key not in _answers:
        answer = _ask(container, path, track)
        if answer is None:
            return True  # The track itself is at fault.
        _answers[key] = answer
    return _answers[key]


def _ask(container: Container, path: Path, track: Track) -> bool | None:
    is_declared = track.codec in declared_codecs(container.format)
    if track.kind == SUBTITLES:  # The first one may come late in the film.
        return is_declared
    if track.codec in container.converted:
        return False
    if (
        container.format in TAGGED and not is_declared
    ):  # ffmpeg would write a tag that few players know.
        return False
    with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
        trial = Path(folder) / f"track{container.suffix}"
        options = ["-map", f"0:{track.index}", "-c", "copy", "-frames:0", str(_SAMPLE)]
        try:
            run([*reading(path), *options, url(trial)], "")
            with opened(trial) as written:
                return any(_same_codec(stream, track) for stream in written.streams)
        except MachineError:
            raise
        except MediaError as error:
            return False if _REFUSAL.search(str(error)) else None


def _same_codec(stream: Stream, track: Track) -> bool:
    if stream.codec_context is None:
        return False
    names = {stream.codec_context.codec.canonical_name, track.codec}
    return len(names) == 1 or names <= _MPEG_AUDIO


# Copying and converting

Faults = Mapping[tuple[Path, int], str | None]
"""Tracks, by file and stream, that cannot be copied. The text is ffmpeg's complaint about a track
that cannot be converted either.
"""

_LETTERS = {SOUND: "a", SUBTITLES: "s", ATTACHMENT: "t", COVER: "v", DATA: "d"}
_NAMES = {
    SOUND: "sound track",
    SUBTITLES: "subtitle track",
    ATTACHMENT: "attached file",
    COVER: "cover picture",
    DATA: "data track",
}


def described(track: Track, number: int) -> str:
    """Return the name of a track for a sentence, such as "sound track 2"."""
    return f"{_NAMES.get(track.kind, 'video track')} {number}"


class TrackMapping:
    """ffmpeg's options that copy or convert tracks into a container.

    options: arguments for ffmpeg. notes: a sentence for each track that is converted or left out.
    kept: the tracks of the source, by kind, in the order of the result.
    """

    def __init__(self, container: Container, faults: Faults | None = None) -> None:
        """Begin without any track. faults: what an attempt to map all tracks has shown."""
        self.options: list[str] = []
        self.notes: list[str] = []
        self.kept: dict[str, list[Track]] = {kind: [] for kind in _LETTERS}
        self._container = container
        self._faults = faults or {}

    def add(self, number: int, path: Path, tracks: Sequence[Track]) -> None:
        """Add the tracks of a kind of the input with this number, which is the file `path`."""
        if tracks and self._refuses(tracks[0].kind):
            names = ", ".join(_file_names(tracks))
            self.notes.append(
                f"{_NAMES[tracks[0].kind]}s{names and f' ({names})'} were left out: "
                f"{self._container.name} cannot hold them"
            )
            return
        for i, track in enumerate(tracks, 1):
            codec = self._codec(path, track, described(track, i))
            if codec is None:
                continue
            kept = self.kept[track.kind]
            stream = f"{_LETTERS[track.kind]}:{len(kept) + (track.kind == COVER)}"
            kept.append(track)
            self.options += ["-map", f"{number}:{track.index}", f"-c:{stream}", codec]
            self.options += _encoder_options(codec, stream, track)
            if track.kind == COVER:
                self.options += [f"-disposition:{stream}", "attached_pic"]
            if track.title:
                self.options += [f"-metadata:s:{stream}", f"title={track.title}"]
            if track.language:
                language = stored_language(track.language, self._container.format)
                self.options += [f"-metadata:s:{stream}", f"language={language}"]

    def add_captions(self, number: int, title: str) -> None:
        """Add the captions of the frames, which are the input with this number, as subtitles."""
        kept = self.kept[SUBTITLES]
        stream, codec = f"s:{len(kept)}", self._container.text
        kept.append(Track(0, codec, kind=SUBTITLES, title=title))
        self.options += ["-map", f"{number}:0", f"-c:{stream}", codec]
        self.options += [f"-metadata:s:{stream}", f"title={title}"]
        self.notes.append(
            f"the closed captions of the frames became subtitle track {len(kept)}: one channel of "
            "CEA-608, without its colors and positions; other channels and CEA-708 are left out"
        )

    def attach(self, picture: Path | None, cover: Track, number: int) -> None:
        """Attach a file with a cover picture; all other attachments are added before.

        picture: None if it is damaged.
        """
        if picture is None:
            self._leave_out(described(cover, number), cover, "it is damaged")
            return
        suffix = picture.suffix[1:]
        name = cover.tags.get("filename") or f"cover{number if number > 1 else ''}.{suffix}"
        stream = f"s:t:{len(self.kept[ATTACHMENT]) + len(self.kept[COVER])}"
        self.kept[COVER].append(cover)
        mime = f"mimetype=image/{suffix.replace('jpg', 'jpeg')}"
        self.options += ["-attach", url(picture), f"-metadata:{stream}", mime]
        self.options += [f"-metadata:{stream}", f"filename={name}"]

    def _refuses(self, kind: str) -> bool:
        return kind in (ATTACHMENT, COVER) and kind not in self._container.copies

    def _codec(self, path: Path, track: Track, what: str) -> str | None:
        """Return "copy" or an encoder, None to leave a track out; note any but "copy"."""
        name, fault = self._container.name, (path, track.index)
        held = track.kind == ATTACHMENT or holds(self._container, path, track)
        if held and fault not in self._faults:
            return "copy"
        codec, complaint = self._encoder(track), self._faults.get(fault)
        if complaint:
            reason = f"it is damaged ({complaint})"
            if not held and _NO_DECODER.search(complaint):
                reason = f"{name} cannot hold it, and ffmpeg cannot decode it"
            self._leave_out(what, track, reason)
            return None
        if codec is None:
            self._leave_out(what, track, f"{name} cannot hold it")
            return None
        reason = "it cannot be copied" if held else f"{name} cannot hold the original"
        shown = codec.replace("lib", "")
        self.notes.append(f"{what} was converted from {track.codec} to {shown}: {reason}")
        return codec

    def _leave_out(self, what: str, track: Track, reason: str) -> None:
        self.notes.append(f"{what} ({track.codec}) was left out: {reason}")

    def _encoder(self, track: Track) -> str | None:
        """Return the encoder for a track that cannot be copied; None if there is none."""
        if track.kind == SUBTITLES:
            return self._container.text if _has(track.codec, "text_sub") else None
        if track.kind != SOUND:
            return "png" if track.kind == COVER else None
        exact = _has(track.codec, "lossless") and track.codec != "dts"  # seldom lossless
        if exact and track.codec.startswith("pcm_f") and self._container.name != "webm":
            return f"{track.codec[:-2]}le"
        return self._container.lossless if exact else self._container.lossy


def _encoder_options(codec: str, stream: str, track: Track) -> list[str]:
    options = []
    if codec in ("aac", "libopus"):
        options = [f"-b:{stream}", f"{96 * max(2, track.channels)}k"]
    if codec == "libopus":  # It rejects other channel layouts.
        options += [f"-filter:{stream}", "aformat=channel_layouts=7.1|5.1|stereo|mono"]
    return options


def _file_names(tracks: Sequence[Track]) -> list[str]:
    return [track.tags["filename"] for track in tracks if track.tags.get("filename")]
