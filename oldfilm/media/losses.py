"""What a result lacks of its source: tracks, chapters, tags and facts of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from oldfilm.media.containers import described
from oldfilm.media.contents import (
    ATTACHMENT,
    COVER,
    DATA,
    SOUND,
    SUBTITLES,
    VIDEO,
    Contents,
    Track,
)
from oldfilm.media.languages import has_region, language_code
from oldfilm.media.picture import TRANSPARENCY

_TECHNICAL = frozenset(
    # fmt: off
    [
        "alpha_mode",
        "bps",
        "compatible_brands",
        "duration",
        "encoder",
        "filename",
        "handler_name",
        "language",
        "major_brand",
        "mimetype",
        "minor_version",
        "name",
        "number_of_bytes",
        "number_of_frames",
        "rotate",
        "source_id",
        "stereo_mode",
        "timecode",
        "title",
        "variant_bitrate",
        "vendor_id",
    ]
    # fmt: on
)
"""Tags that describe a file and its coding, not the film, or that are compared by themselves."""
_STATISTICS = ("_statistics", "bps-", "duration-", "number_of_frames-", "number_of_bytes-")
"""The beginnings of tags with which mkvmerge counts a track."""

_EVERY = {
    SOUND: "sound",
    SUBTITLES: "subtitles",
    ATTACHMENT: "attached files",
    COVER: "cover pictures",
    DATA: "tracks of other data",
}


LOST_ALPHA = (
    f"left out, because this kind of result cannot hold it: {TRANSPARENCY}; a .mov (ProRes 4444), "
    ".webm (VP9), .apng, .webp or .gif can, and an .mkv with `codec=ffv1`"
)
"""What a result lacks that has no alpha channel."""


def is_technical(key: str) -> bool:
    """Return whether a tag describes a file and its coding, not the film."""
    return key in _TECHNICAL or key.startswith(_STATISTICS)


def unused_tracks(source: Contents) -> list[str]:
    """Name the video tracks that are not restored, and the tracks of other programs."""
    notes = []
    for track in source.of(VIDEO):
        size = "{}x{}".format(*track.size) if track.size else "of unknown size"
        what = described(track, source.number(track))
        notes.append(
            f"{what} ({track.codec}, {size}) was left out: only one video track is restored"
        )
    for program, streams in source.foreign.items():
        tracks = [track for track in source.tracks if track.index in streams]
        names = ", ".join(described(track, source.number(track)) for track in tracks)
        notes.append(f"program {program} was left out ({names}): only one program is restored")
    return notes


def listed(source: Contents, kinds: Iterable[str] = tuple(_EVERY)) -> list[str]:
    """Name the kinds of tracks that a source has, with its chapters after the subtitles."""
    names = [name for kind, name in _EVERY.items() if kind in kinds and _tracks(source, kind)]
    if source.chapters:
        names.insert(sum(name in (_EVERY[SOUND], _EVERY[SUBTITLES]) for name in names), "chapters")
    return names


def missing(
    source: Contents, result: Contents, kept: Mapping[str, Sequence[Track]], *, whole: bool = True
) -> list[str]:
    """Name what a result lacks of its source, apart from tracks that were left out knowingly.

    kept: the tracks of the source that the result should have, by kind, in its order.
    whole: whether the result shows all of the source, so that no chapter is outside.
    """
    names = [f"the {name}" for name in _file_tags(source, result)]
    if source.video:
        found = result.video or Track(0, "")
        names += _of_track("the video track", source.video, found, result.tags)
    for kind, tracks in kept.items():
        present = _tracks(result, kind)
        for number, track in enumerate(tracks, 1):
            what = described(track, number)
            if number > len(present):
                names.append(what)
            elif kind in (SOUND, SUBTITLES):
                names += _of_track(what, track, present[number - 1], result.tags)
    if whole and len(result.chapters) < len(source.chapters):
        names.append("chapters")
    elif whole and result.chapters != source.chapters:
        names.append("titles of chapters")
    return names


def without_pictures(source: Contents, result: Contents) -> list[str]:
    """Name what the frames of the source carry, and those of the result do not."""
    lost, notes = set(source.picture - result.picture), []
    if TRANSPARENCY in lost:
        lost.remove(TRANSPARENCY)
        notes.append(LOST_ALPHA)
    if lost:
        names = ", ".join(sorted(lost))
        notes.append(f"left out, because frames are restored without it: {names}")
    return notes


def data_tracks(contents: Contents) -> list[Track]:
    """Return the tracks of other data, without those that hold the timecode."""
    return [track for track in contents.of(DATA) if "timecode" not in track.tags]


def _tracks(contents: Contents, kind: str) -> Sequence[Track]:
    return data_tracks(contents) if kind == DATA else contents.of(kind)


def _file_tags(source: Contents, result: Contents) -> list[str]:
    names = []
    if source.timecode and not result.timecode:
        names.append(f"timecode ({source.timecode})")
    title = source.tags.get("title")
    if title and result.tags.get("title") != title:
        names.append(f'title ("{title}")')
    if source.reel and not result.reel:
        names.append(f"reel name ({source.reel})")
    lost = _lost_tags(source.tags, result.tags)
    return [*names, f"tags of the file ({', '.join(lost)})"] if lost else names


def _of_track(what: str, source: Track, result: Track, tags: Mapping[str, str]) -> list[str]:
    """Name what a track of the result lacks. tags: those of the file with the result."""
    names = []
    if source.title and result.title != source.title:
        names.append(f'the title of {what} ("{source.title}")')
    names += _language(what, source.language, result.language)
    marks = source.dispositions - result.dispositions
    if source.kind == VIDEO:
        marks -= {"default"}
    if marks:
        names.append(f"marks of {what} ({', '.join(sorted(marks))})")
    lost = _lost_tags(source.tags, {**tags, **result.tags, "reel_name": ""})
    return [*names, f"tags of {what} ({', '.join(lost)})"] if lost else names


def _language(what: str, source: str | None, result: str | None) -> list[str]:
    """Name the language of a track if the result has another, or lacks the region."""
    if source in (None, result):
        return []
    code = language_code(source)
    if code is None or result is None or language_code(result) != code:
        return [f"the language of {what} ({source})"]
    return [f"the region in the language of {what} ({source})"] if has_region(source) else []


def _lost_tags(source: Mapping[str, str], result: Mapping[str, str]) -> list[str]:
    """Return the tags that a result has under neither the same name nor another."""
    values = set(result.values())
    return [
        key
        for key, value in source.items()
        if value and key not in result and value not in values and not is_technical(key)
    ]
