"""A note names everything that a result lacks: tracks, programs, tags, captions and more."""

from __future__ import annotations

import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from oldfilm.media import Encoder, EncodeSettings, Film, analyze
from oldfilm.media.contents import COVER, DATA, read_contents
from oldfilm.media.ffmpeg import executable
from oldfilm.media.opening import opened
from oldfilm.media.picture import with_picture

from .conftest import ffmpeg, images, moving, packets, restore

TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=1"]
SUBTITLE = "1\n00:00:00,200 --> 00:00:00,600\nHello\n"


def contents(path):
    with opened(path) as container:
        return with_picture(path, read_contents(path, container))


def samples(path):
    """Return the decoded sound of a file, as 16 bit numbers."""
    command = [executable(), "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
    raw = subprocess.run([*command, "-f", "s16le", "-"], check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<i2").astype(int)


# Codecs of sound

KINDS = {
    "latm.ts": ["-c:a", "aac", "-mpegts_flags", "latm"],
    "lpcm.vob": ["-c:v", "mpeg2video", "-r", 25, "-c:a", "pcm_dvd", "-f", "vob"],
    "s302m.ts": ["-c:a", "s302m", "-strict", -2],
    "bluray.m2ts": ["-c:a", "pcm_bluray", "-f", "mpegts", "-mpegts_m2ts_mode", 1],
    "ima4.mov": ["-c:v", "mpeg4", "-c:a", "adpcm_ima_qt"],
    "nellymoser.flv": ["-c:v", "flv", "-ar", 44100, "-ac", 1, "-c:a", "nellymoser"],
    "swf.flv": ["-c:v", "flv", "-ar", 44100, "-ac", 1, "-c:a", "adpcm_swf"],
    "truehd.mkv": ["-c:a", "truehd", "-strict", -2],
    "dts.mkv": ["-c:a", "dca", "-strict", -2],
    "wma.wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
    "float.mov": ["-c:v", "mpeg4", "-c:a", "pcm_f32be"],
    "side.mkv": ["-ac", 6, "-af", "aformat=channel_layouts=5.1(side)", "-c:a", "ac3"],
}
LOSSLESS = ["lpcm.vob", "s302m.ts", "bluray.m2ts", "truehd.mkv", "float.mov"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
@pytest.mark.parametrize("name", KINDS)
def test_sound_is_copied_if_the_container_holds_it_else_converted_with_a_note(
    tmp_path, name, suffix
):
    ffmpeg(*moving("25", 1), *TONE, "-ac", 2, *KINDS[name], tmp_path / name)
    film = Film.open(tmp_path / name)
    notes = restore(film, tmp_path / f"out{suffix}")
    result = Film.open(tmp_path / f"out{suffix}")
    assert len(result.audio) == 1
    before, after = film.audio[0].codec, result.audio[0].codec
    if before == after:
        assert notes == []
        assert packets(result.path) == packets(film.path)
    else:
        # PyAV 19 reads a creation time from ASF files that store none.
        notes = [note for note in notes if "creation_time" not in note]
        assert len(notes) == 1
        assert f"was converted from {before} to " in notes[0]
        assert f"{suffix[1:]} cannot hold the original" in notes[0]
    if name in LOSSLESS and suffix != ".webm":
        count = len(samples(film.path))
        assert np.array_equal(samples(result.path)[:count], samples(film.path))


@pytest.mark.parametrize(
    ("name", "suffix", "codec"),
    [
        ("latm.ts", ".mp4", "aac"),
        ("latm.ts", ".mov", "aac"),
        ("lpcm.vob", ".mkv", "flac"),
        ("truehd.mkv", ".mp4", "alac"),
        ("wma.wmv", ".mkv", "wmav2"),
        ("dts.mkv", ".mp4", "dts"),
    ],
)
def test_containers_get_sound_that_players_can_play(tmp_path, name, suffix, codec):
    ffmpeg(*moving("25", 1), *TONE, "-ac", 2, *KINDS[name], tmp_path / name)
    restore(Film.open(tmp_path / name), tmp_path / f"out{suffix}")
    assert [t.codec for t in Film.open(tmp_path / f"out{suffix}").audio] == [codec]


# Which video track, which program


def test_a_single_image_is_not_the_film_even_if_it_is_the_default_track(tmp_path):
    still = ["-f", "lavfi", "-i", "color=red:size=96x72:duration=0.04:rate=25"]
    options = ["-map", 0, "-map", 1, "-c:v:0", "mjpeg", "-c:v:1", "libx264"]
    ffmpeg(*still, *moving("25", 1), *options, "-disposition:v:0", "default", tmp_path / "a.mkv")
    film = Film.open(tmp_path / "a.mkv")
    assert (film.stream, film.frames) == (1, 25)
    notes = restore(film, tmp_path / "out.mkv")
    assert len(notes) == 1
    assert "video track 1 (mjpeg, 96x72) was left out" in notes[0]


@pytest.mark.parametrize(
    ("sizes", "lengths", "default", "chosen"),
    [
        (("64x48", "64x48"), (1, 1), 1, 1),
        (("96x72", "64x48"), (1, 1), 1, 1),
        (("96x72", "64x48"), (0.5, 1), None, 1),
        (("64x48", "96x72"), (1, 1), None, 1),
        (("64x48", "64x48"), (1, 1), None, 0),
    ],
)
def test_the_film_is_the_default_track_else_the_longest_else_the_largest(
    tmp_path, sizes, lengths, default, chosen
):
    inputs = [a for size, length in zip(sizes, lengths) for a in moving("25", length, size)]
    marks = [a for i in (0, 1) for a in (f"-disposition:v:{i}", "default" if i == default else "0")]
    options = ["-map", 0, "-map", 1, *marks, "-default_mode", "passthrough"]
    ffmpeg(*inputs, *options, tmp_path / "a.mkv")
    film = Film.open(tmp_path / "a.mkv")
    assert film.stream == chosen
    notes = restore(film, tmp_path / "out.mp4")
    assert [note for note in notes if f"video track {2 - chosen}" in note] == notes != []


def test_picture_and_sound_are_of_one_program(tmp_path):
    high = ["-f", "lavfi", "-i", "sine=frequency=880:duration=1"]
    maps = [a for i in range(4) for a in ("-map", i)]
    programs = ["-program", "title=One:st=0:st=1", "-program", "title=Two:st=2:st=3"]
    inputs = [*moving("25", 1), *TONE, *moving("25", 1, "96x72"), *high]
    ffmpeg(*inputs, *maps, *programs, "-c:v", "mpeg2video", "-c:a", "mp2", tmp_path / "a.ts")
    film = Film.open(tmp_path / "a.ts")
    assert (film.width, [track.index for track in film.audio]) == (96, [3])
    notes = restore(film, tmp_path / "out.mkv")
    assert len(Film.open(tmp_path / "out.mkv").audio) == 1
    assert notes == [
        "program 1 (One) was left out (video track 1, sound track 1): only one program is restored"
    ]


# Tags, covers, timecode


@pytest.fixture
def described_film(tmp_path):
    """A film with titles, languages, marks, a cover, a timecode and tags."""
    (tmp_path / "s.srt").write_text(SUBTITLE)
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", 1, tmp_path / "c.jpg")
    options = ["-metadata:s:v", "title=Print", "-metadata:s:v", "language=jpn"]
    options += ["-metadata:s:v", "timecode=01:02:03:04", "-metadata:s:v", "reel_name=R1"]
    options += ["-metadata:s:a:1", "title=Talk", "-metadata:s:a:1", "language=fra"]
    options += ["-disposition:a:1", "comment", "-disposition:s:0", "forced"]
    options += ["-metadata", "title=Reel 7", "-metadata", "barcode=123"]
    options += ["-metadata", "creation_time=2001-02-03T04:05:06Z", "-attach", tmp_path / "c.jpg"]
    options += ["-metadata:s:t", "mimetype=image/jpeg", "-c:a", "aac", "-c:s", "srt"]
    inputs = [*moving("25", 1), *TONE, "-i", tmp_path / "s.srt"]
    maps = ["-map", 0, "-map", 1, "-map", 1, "-map", 2]
    ffmpeg(*inputs, *maps, *options, tmp_path / "in.mkv")
    return Film.open(tmp_path / "in.mkv")


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
@pytest.mark.parametrize("marks", ["0", "forced", "default", "default+forced"])
def test_subtitles_are_shown_by_default_only_if_the_source_says_so(tmp_path, suffix, marks):
    (tmp_path / "s.srt").write_text(SUBTITLE)
    inputs = [*moving("25", 1), *TONE, "-i", tmp_path / "s.srt"]
    ffmpeg(*inputs, "-c:s", "srt", "-disposition:s:0", marks, tmp_path / "in.mkv")
    restore(Film.open(tmp_path / "in.mkv"), tmp_path / f"out{suffix}")
    result = Film.open(tmp_path / f"out{suffix}")
    assert ("default" in result.subtitles[0].dispositions) == ("default" in marks)


def test_matroska_keeps_titles_languages_marks_covers_and_timecode(tmp_path, described_film):
    assert restore(described_film, tmp_path / "out.mkv") == []
    result = contents(tmp_path / "out.mkv")
    assert (result.video.title, result.video.language) == ("Print", "jpn")
    assert (result.timecode, result.reel) == ("01:02:03:04", "R1")
    assert len(result.of(COVER)) == 1
    assert result.tags["creation_time"].startswith("2001-02-03T04:05:06")
    assert "comment" in Film.open(tmp_path / "out.mkv").audio[1].dispositions
    again = Film.open(tmp_path / "out.mkv")
    assert restore(again, tmp_path / "again.mkv") == []


def test_statistics_of_the_source_are_neither_copied_nor_missed(tmp_path):
    statistics = ["-metadata:s:v", "BPS-eng=123", "-metadata:s:v", "_STATISTICS_TAGS-eng=BPS"]
    ffmpeg(*moving("25", 0.4), *statistics, tmp_path / "a.mkv")
    assert restore(Film.open(tmp_path / "a.mkv"), tmp_path / "out.mkv") == []
    assert "bps-eng" not in contents(tmp_path / "out.mkv").video.tags


def test_mp4_keeps_what_it_can_and_names_the_rest(tmp_path, described_film):
    notes = restore(described_film, tmp_path / "out.mp4")
    result = contents(tmp_path / "out.mp4")
    assert (result.video.title, result.video.language) == ("Print", "jpn")
    assert result.timecode == "01:02:03:04"
    assert len(result.of(COVER)) == 1
    assert result.tags["title"] == "Reel 7"
    assert len(notes) == 2
    assert "the reel name (R1), the tags of the file (barcode)" in notes[1]
    back = restore(Film.open(tmp_path / "out.mp4"), tmp_path / "back.mkv")
    assert len([note for note in back if "subtitle track 1 was converted" in note]) == 1
    result = contents(tmp_path / "back.mkv")
    assert (result.video.title, result.timecode) == ("Print", "01:02:03:04")
    assert result.of("sound")[1].title == "Talk"


def test_mov_has_a_timecode_track_and_names_the_lost_cover(tmp_path, described_film):
    notes = restore(described_film, tmp_path / "out.mov")
    result = contents(tmp_path / "out.mov")
    assert (result.timecode, result.reel) == ("01:02:03:04", "R1")
    assert [track.tags["timecode"] for track in result.of(DATA)] == ["01:02:03:04"]
    assert [note for note in notes if "cover pictures (c.jpg) were left out: mov" in note]
    assert [note for note in notes if "marks of sound track 2 (comment)" in note]


def test_a_part_has_the_timecode_of_its_first_frame(tmp_path, described_film):
    part = {"start": Fraction(10, 25), "duration": Fraction(10, 25)}
    restore(described_film, tmp_path / "out.mov", 10, 20, **part)
    assert contents(tmp_path / "out.mov").timecode == "01:02:03:14"


def test_slow_motion_keeps_the_cover_and_the_title(tmp_path, described_film):
    notes = restore(described_film, tmp_path / "out.mkv", slowdown=Fraction(2))
    result = contents(tmp_path / "out.mkv")
    assert result.tags["title"] == "Reel 7"
    assert len(result.of(COVER)) == 1
    assert len(notes) == 2
    assert "slow motion cannot hold it: sound, subtitles" in notes[0]
    assert "the timecode (01:02:03:04)" in notes[1]


def test_a_gif_names_all_that_it_lacks(tmp_path, described_film):
    notes = restore(described_film, tmp_path / "out.gif")
    assert len(notes) == 1
    for name in ("sound", "subtitles", "cover pictures", "timecode", "Reel 7", "jpn", "barcode"):
        assert name in notes[0]


def test_timecode_in_the_frames_of_mpeg_2_is_kept(tmp_path):
    options = ["-c:v", "mpeg2video", "-timecode", "10:20:30:05"]
    ffmpeg(*moving("25", 1), *options, tmp_path / "a.mpg")
    assert restore(Film.open(tmp_path / "a.mpg"), tmp_path / "out.mov") == []
    assert contents(tmp_path / "out.mov").timecode == "10:20:30:05"


@pytest.mark.parametrize(("kind", "codec"), [("jpg", "mjpeg"), ("png", "png"), ("gif", "png")])
def test_covers_of_any_kind_get_into_mp4_and_back(tmp_path, kind, codec):
    cover = tmp_path / f"cover.{kind}"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", 1, cover)
    attached = ["-attach", cover, "-metadata:s:t", f"mimetype=image/{kind.replace('jpg', 'jpeg')}"]
    ffmpeg(*moving("25", 0.4), *attached, tmp_path / "a.mkv")
    notes = restore(Film.open(tmp_path / "a.mkv"), tmp_path / "out.mp4")
    assert [track.codec for track in contents(tmp_path / "out.mp4").of(COVER)] == [codec]
    assert len(notes) == (kind == "gif")
    assert restore(Film.open(tmp_path / "out.mp4"), tmp_path / "back.mkv") == []
    assert packets(tmp_path / "back.mkv", "video", 1) == packets(tmp_path / "out.mp4", "video", 1)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_damaged_cover_does_not_stop_the_film(tmp_path, suffix):
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", 1, tmp_path / "cover.png")
    attached = ["-attach", tmp_path / "cover.png", "-metadata:s:t", "mimetype=image/png"]
    ffmpeg(*moving("25", 0.4), *attached, tmp_path / "a.mkv")
    data = (tmp_path / "a.mkv").read_bytes()
    at = data.index(b"\x89PNG") + 8
    (tmp_path / "a.mkv").write_bytes(data[:at] + bytes(60) + data[at + 60 :])
    restore(Film.open(tmp_path / "a.mkv"), tmp_path / f"out{suffix}")
    assert Film.open(tmp_path / f"out{suffix}").frames == 10


def test_other_data_are_named_and_those_of_gopro_are_kept_in_mp4(tmp_path):
    (tmp_path / "data.bin").write_bytes(bytes(range(64)) * 20)
    inputs = [*moving("25", 0.4), "-f", "data", "-i", tmp_path / "data.bin"]
    ffmpeg(*inputs, "-map", 0, "-map", 1, "-c:d", "copy", tmp_path / "a.ts")
    for suffix in (".mp4", ".mkv"):
        notes = restore(Film.open(tmp_path / "a.ts"), tmp_path / f"out{suffix}")
        assert len(notes) == 1
        assert f"data track 1 (bin_data) was left out: {suffix[1:]} cannot hold it" in notes[0]
    ffmpeg("-i", tmp_path / "a.ts", "-map", 0, "-c", "copy", tmp_path / "gopro.mp4")
    assert restore(Film.open(tmp_path / "gopro.mp4"), tmp_path / "out.mp4") == []
    assert packets(tmp_path / "out.mp4", "data") == packets(tmp_path / "gopro.mp4", "data")


# What frames carry

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture
def hdr_film(tmp_path):
    color = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    values = f"log-level=error:master-display={DISPLAY}:max-cll=1000,400:{color}"
    options = ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", values]
    ffmpeg(*moving("25", 0.4), *options, tmp_path / "hdr.mp4")
    return Film.open(tmp_path / "hdr.mp4")


@pytest.mark.parametrize("codec", [None, "h265"])
def test_hdr10_metadata_survive(tmp_path, hdr_film, codec):
    assert hdr_film.hdr10.mastering_display == DISPLAY
    settings = EncodeSettings(codec=codec)
    path = tmp_path / "out.mp4"
    with Encoder(path, hdr_film.info, settings, bits=10, hdr10=hdr_film.hdr10) as encoder:
        for image in images(hdr_film):
            encoder.write(image)
    assert Film.open(path).hdr10 == hdr_film.hdr10


def test_hdr10_metadata_that_a_codec_cannot_store_are_named(tmp_path, hdr_film):
    notes = restore(hdr_film, tmp_path / "out.mov")
    assert len(notes) == 1
    assert "content light level (HDR10), mastering display metadata (HDR10)" in notes[0]


@pytest.mark.parametrize("name", ["a.mov", "a.gif", "a.apng"])
def test_lost_transparency_is_named(tmp_path, name):
    alpha = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*gt(X,30)'"
    codec = {"a.mov": ["-c:v", "qtrle", "-pix_fmt", "argb"]}.get(name, [])
    picture = moving("25", 0.4)
    picture[-1] += f",{alpha}"
    if name == "a.gif":
        picture[-1] += ",split[a][b];[a]palettegen[p];[b][p]paletteuse"
    ffmpeg(*picture, *codec, tmp_path / name)
    notes = restore(Film.open(tmp_path / name), tmp_path / "out.mp4")
    assert len(notes) == 1
    assert "transparency (alpha channel)" in notes[0]


def test_an_opaque_gif_gives_no_note(tmp_path):
    ffmpeg(*moving("25", 0.4), tmp_path / "a.gif")
    assert restore(Film.open(tmp_path / "a.gif"), tmp_path / "out.mp4") == []


def with_captions(path, pairs):
    """Write an MPEG-2 film with the given caption bytes (EIA-608) in every frame."""
    ffmpeg(*moving("25", 0.4), "-c:v", "mpeg2video", "-q:v", 2, path)
    data = path.read_bytes()
    user_data = b"\x00\x00\x01\xb2GA94\x03\x41\xff\xfc" + bytes(pairs) + b"\xff"
    slice_start = b"\x00\x00\x01\x01"
    path.write_bytes(data.replace(slice_start, user_data + slice_start))
    return path


@pytest.mark.parametrize(("pairs", "count"), [((0x94, 0x20), 1), ((0x80, 0x80), 0)])
def test_lost_captions_are_named_unless_they_are_padding(tmp_path, pairs, count):
    film = Film.open(with_captions(tmp_path / "a.m2v", pairs))
    notes = restore(film, tmp_path / "out.mp4")
    assert len([note for note in notes if "closed captions" in note]) == count
    assert len(notes) == count


def test_the_layout_of_stereoscopic_films_is_kept_in_matroska(tmp_path):
    options = ["-c:v", "libx264", "-x264-params", "frame-packing=3"]
    ffmpeg(*moving("25", 0.4), *options, tmp_path / "a.mp4")
    film = Film.open(tmp_path / "a.mp4")
    assert restore(film, tmp_path / "out.mkv") == []
    assert "stereoscopic 3D layout" in restore(film, tmp_path / "out.mp4")[0]
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = next(container.decode(video=0)).side_data
    kinds = {found[i].type.name for i in range(len(found))}
    assert "STEREO3D" in kinds


# Languages and the shape of pixels


@pytest.mark.parametrize(
    ("language", "suffix", "stored", "note"),
    [
        ("en", ".mp4", "eng", None),
        ("de", ".mov", "ger", None),
        ("English", ".mp4", "eng", None),
        ("zh-CN", ".mp4", "zho", "the region in the language of sound track 1 (zh-CN)"),
        ("en", ".mkv", "en", None),
        ("tlh-x", ".mkv", "tlh-x", None),
        ("Klingonese", ".mp4", None, "the language of sound track 1 (Klingonese)"),
    ],
)
def test_languages_are_stored_as_the_container_can(tmp_path, language, suffix, stored, note):
    tags = ["-metadata:s:a:0", f"language={language}"]
    ffmpeg(*moving("25", 0.4), *TONE, *tags, "-c:a", "aac", tmp_path / "a.mkv")
    notes = restore(Film.open(tmp_path / "a.mkv"), tmp_path / f"out{suffix}")
    assert Film.open(tmp_path / f"out{suffix}").audio[0].language == stored
    assert [note in line for line in notes] == ([True] if note else [])


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_pixels_that_change_their_shape_are_noted(tmp_path, codec):
    for name, aspect in (("a.ts", "4/3"), ("b.ts", "16/9")):
        ffmpeg(*moving("25", 0.6), "-vf", f"setdar={aspect}", "-c:v", codec, tmp_path / name)
    both = [(tmp_path / name).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "both.ts").write_bytes(b"".join(both))
    found = analyze(Film.open(tmp_path / "both.ts"))
    assert (
        "the shape of the pixels changes (to 4:3); all frames have the first, 1:1" in found.resized
    )
    assert analyze(Film.open(tmp_path / "a.ts")).resized is None


def test_subtitles_that_ffmpeg_cannot_decode_are_kept_or_named(tmp_path):  # TTML of IMF and DVB
    subtitles = tmp_path / "a.srt"
    subtitles.write_text("1\n00:00:00,200 --> 00:00:00,800\nHello\n", encoding="utf-8")
    path = tmp_path / "a.mp4"
    ffmpeg(*moving(seconds=1), "-i", subtitles, "-c:s", "ttml", path)
    film = Film.open(path)
    assert [track.codec for track in film.subtitles] == ["ttml"]
    assert restore(film, tmp_path / "b.mp4") == []
    assert len(Film.open(tmp_path / "b.mp4").subtitles) == 1
    notes = restore(film, tmp_path / "b.mkv")
    assert notes == ["subtitle track 1 (ttml) was left out: mkv cannot hold it"]
