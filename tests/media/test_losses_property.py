"""Films with random tracks and metadata: a note names everything that a result lacks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oldfilm.media import Film
from oldfilm.media.contents import ATTACHMENT, COVER, SOUND, SUBTITLES, Contents, read_contents
from oldfilm.media.opening import opened

from .conftest import ffmpeg, moving, restore
from .test_captions import caption_pairs, captioned

SOUNDS = {
    ".mkv": ["aac", "ac3", "flac", "libvorbis", "pcm_s16le", "mp2"],
    ".mp4": ["aac", "ac3", "libmp3lame", "alac"],
    ".mov": ["aac", "pcm_s24be", "alac"],
    ".ts": ["aac", "mp2", "ac3"],
    ".avi": ["libmp3lame", "pcm_s16le", "ac3"],
}
DISPLAY = "master-display=G(1,2)B(3,4)R(5,6)WP(7,8)L(10000,1):max-cll=1000,400"
TEXTS = {".mkv": ["srt", "ass", "webvtt"], ".mp4": ["mov_text"], ".mov": ["mov_text"]}
HDR10 = ["-pix_fmt", "yuv420p10le", "-x265-params", f"log-level=error:{DISPLAY}"]
LANGUAGES = [None, "eng", "fra", "jpn", "de", "zh-CN"]
SAME = {("de", "deu"), ("de", "ger")}
"""Codes of one language."""
PICTURES = {
    "alpha": {".mkv": ["ffv1", "-pix_fmt", "yuva444p"], ".mov": ["qtrle", "-pix_fmt", "argb"]},
    "hdr10": {".mkv": ["libx265", *HDR10], ".mp4": ["libx265", *HDR10]},
    "captions": {".mkv": ["libx264"], ".ts": ["libx264"], ".mp4": ["libx264"]},
}
"""How a film is encoded whose frames carry more than colors, by suffix."""
TITLES = [None, "Commentary", "Ton"]
MARKS = ["0", "default", "comment", "forced", "hearing_impaired"]


@dataclass(frozen=True)
class Given:
    """What a source is made of."""

    suffix: str
    sound: list = field(default_factory=list)
    text: list = field(default_factory=list)
    title: str | None = None
    video_title: str | None = None
    video_language: str | None = None
    chapters: int = 0
    timecode: str | None = None
    attached: bool = False
    cover: bool = False
    tags: dict = field(default_factory=dict)
    picture: str | None = None


@st.composite
def sources(draw):
    suffix = draw(st.sampled_from(sorted(SOUNDS)))
    track = st.tuples(*map(st.sampled_from, (LANGUAGES, TITLES, MARKS)))
    sound = st.tuples(st.sampled_from(SOUNDS[suffix]), track)
    text = st.tuples(st.sampled_from(TEXTS.get(suffix, ["srt"])), track)
    maybe = st.sampled_from
    return Given(
        suffix,
        draw(st.lists(sound, max_size=3)),
        draw(st.lists(text, max_size=2)) if suffix in TEXTS else [],
        draw(maybe([None, "My film"])),
        draw(maybe(TITLES)),
        draw(maybe(LANGUAGES)),
        draw(st.integers(0, 2)),
        draw(maybe([None, "01:02:03:04"])),
        draw(st.booleans()) and suffix == ".mkv",
        draw(st.booleans()) and suffix in (".mkv", ".mp4"),
        draw(maybe([{}, {"comment": "a note", "barcode": "12"}, {"location": "+48.1+011.5/"}])),
        draw(maybe([None, *(kind for kind, by in PICTURES.items() if suffix in by)])),
    )


def make(folder, given):
    """Write the source, and the files of which it is made."""
    (folder / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n")
    chapters = "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={200 * i}\nEND={200 * i + 200}\ntitle=Part {i}\n"
        for i in range(given.chapters)
    )
    (folder / "c.txt").write_text(f";FFMETADATA1\n{chapters}")
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", 1, folder / "c.jpg")
    picture = moving("25", 0.4)
    if given.picture == "alpha":
        picture[-1] += ",format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='4*X'"
    if given.picture == "captions":
        picture = ["-r", "25", "-i", captioned(folder, caption_pairs("HI"), 0.7)]
    inputs = [*picture, "-f", "lavfi", "-i", "sine=duration=0.4"]
    inputs += ["-i", folder / "s.srt", "-i", folder / "c.txt", "-i", folder / "c.jpg"]
    options = ["-map", 0, "-map_chapters", 3]
    for kind, source, tracks in (("a", 1, given.sound), ("s", 2, given.text)):
        for i, (codec, (language, title, mark)) in enumerate(tracks):
            options += ["-map", source, f"-c:{kind}:{i}", codec]
            options += [f"-disposition:{kind}:{i}", mark]
            options += described(f"{kind}:{i}", {"language": language, "title": title})
    video = {"title": given.video_title, "language": given.video_language}
    options += described("v:0", {**video, "timecode": given.timecode})
    for key, value in {"title": given.title, **given.tags}.items():
        options += ["-metadata", f"{key}={value}"] if value else []
    if given.cover and given.suffix == ".mp4":
        options += ["-map", 4, "-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic"]
    attached = [(folder / "s.srt", "text/plain")] * given.attached
    attached += [(folder / "c.jpg", "image/jpeg")] * (given.cover and given.suffix == ".mkv")
    for i, (path, kind) in enumerate(attached):
        options += ["-attach", path, f"-metadata:s:t:{i}", f"mimetype={kind}"]
    codec = ["mpeg4" if given.suffix == ".avi" else "libx264"]
    codec = PICTURES[given.picture][given.suffix] if given.picture else codec
    ffmpeg(*inputs, *options, "-c:v:0", *codec, folder / f"in{given.suffix}")
    return folder / f"in{given.suffix}"


def described(stream, tags):
    return [a for k, v in tags.items() if v for a in (f"-metadata:s:{stream}", f"{k}={v}")]


def contents(path):
    if path.suffix == ".gif":
        return Contents()
    with opened(path) as container:
        return read_contents(path, container)


def unnamed(source, result, notes):
    """List what the result lacks without a note. Independent of how oldfilm compares."""
    said, lacks = " ".join(notes), []
    for kind, word in ((SOUND, "sound"), (SUBTITLES, "subtitle"), (ATTACHMENT, "attached"),
                       (COVER, "cover")):  # fmt: skip
        before, after = source.of(kind), result.of(kind)
        if len(after) < len(before) and word not in said:
            lacks.append(word)
        if kind not in (SOUND, SUBTITLES) or len(after) < len(before):
            continue
        for number, (one, other) in enumerate(zip(before, after), 1):
            what = f"{word} track {number}"
            layers = {one.codec, other.codec} <= {"mp2", "mp3"}  # MP4 has one tag for both.
            if one.codec != other.codec and not layers and f"{what} was converted" not in said:
                lacks.append(f"codec of {what}")
            for name in ("language", "title"):
                same = (getattr(one, name), getattr(other, name))
                if getattr(one, name) not in (None, getattr(other, name)) and same not in SAME:
                    named = f"the {name} of {what}" in said or f"in the {name} of {what}" in said
                    lacks += [f"{name} of {what}"] * (not named)
            if one.dispositions - other.dispositions and f"marks of {what}" not in said:
                lacks.append(f"marks of {what}")
    for name in ("title", "language"):
        value = getattr(source.video, name)
        stored = result.video and getattr(result.video, name)
        kept = stored == value or (value, stored) in SAME
        if value and not kept and f"the {name} of the video track" not in said:
            lacks.append(f"{name} of the video track")
    if source.timecode != result.timecode and "timecode" not in said:
        lacks.append("timecode")
    if len(result.chapters) < len(source.chapters) and "chapters" not in said:
        lacks.append("chapters")
    for key in ("title", "comment", "barcode", "location"):
        if source.tags.get(key) and not result.tags.get(key):
            lacks += [key] * (key not in said)
    return lacks


def check(given, suffix):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make(folder, given)
        film = Film.open(path)
        notes = restore(film, folder / f"out{suffix}")
        result = contents(folder / f"out{suffix}")
        assert unnamed(contents(path), result, notes) == []
        assert picture_is_kept_or_named(given, film, Film.open(folder / f"out{suffix}"), notes)


def picture_is_kept_or_named(given, film, result, notes):
    said = " ".join(notes)
    if given.picture == "alpha":
        return film.alpha and (result.alpha or "transparency" in said)
    if given.picture == "hdr10":
        return film.hdr10 and (result.hdr10 == film.hdr10 or "HDR10" in said)
    if given.picture == "captions":
        titles = [track.title for track in result.subtitles]
        return "Closed captions" in titles or "left out, because" in said and "captions" in said
    return True


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize(
    ("source", "picture"), [(s, kind) for kind, by in PICTURES.items() for s in by]
)
def test_what_frames_carry_is_kept_or_named(source, picture, suffix):
    check(Given(source, picture=picture), suffix)


PLAIN = ("eng", "Commentary", "comment")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".gif"])
@pytest.mark.parametrize("source", [".mkv", ".mp4"])
def test_a_full_film_loses_nothing_without_a_note(source, suffix):
    given = Given(
        source,
        [(SOUNDS[source][0], PLAIN), (SOUNDS[source][1], ("de", None, "0"))],
        [(TEXTS[source][0], ("fra", "Ton", "forced"))],
        *("My film", "Print", "jpn", 2, "01:02:03:04", source == ".mkv", True),
        {"comment": "a note", "barcode": "12"},
    )
    check(given, suffix)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sources(), st.sampled_from([".mkv", ".mp4", ".m4v", ".mov", ".webm", ".gif"]))
def test_no_film_loses_anything_without_a_note(given, suffix):
    check(given, suffix)
