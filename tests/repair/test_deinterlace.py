"""Deinterlace, in chains, on arrays and on films with telecine."""

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

import oldfilm
from oldfilm.cli.enhance import main
from oldfilm.errors import OptionError
from oldfilm.media import Film, write_photograph
from oldfilm.repair.deinterlace import Deinterlace
from tests.films import facts, ffmpeg, packets


@pytest.fixture(scope="module")
def frames():
    """A drifting texture: uint8 [t, h, w, 3]."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(48, 300, 1)), (0, 0), 2)
    picture = np.clip(128 + 300 * noise, 0, 255).astype(np.uint8)
    return np.stack([np.repeat(picture[:, n : n + 64, None], 3, axis=2) for n in range(0, 216, 3)])


@pytest.fixture
def telecined(frames, tmp_path):
    """A film of 72 frames, telecined to 90 frames of video, with sound."""
    path = tmp_path / "film.mkv"
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", "64x48"]
    ffmpeg(
        *(*raw, "-framerate", "24000/1001", "-i", "pipe:0"),
        *("-f", "lavfi", "-t", "3.003", "-i", "sine=frequency=440"),
        *("-vf", "format=yuv420p,telecine", "-c:v", "ffv1", f"file:{path}"),
        data=frames.tobytes(),
    )
    return path


def interlace(frames, top_first=True):
    """Make every two frames the fields of one."""
    both = frames[::2].copy()
    both[:, top_first::2] = frames[1::2, top_first::2]
    return both


def enhance(source, output, *arguments, order=("Sharpen",)):
    command = ["--input", str(source), "--output", str(output), "--process_order", *order]
    return main([*command, *map(str, arguments)])


def test_telecine_is_undone_in_any_chain(telecined, tmp_path, capsys):
    assert enhance(telecined, tmp_path / "out.mkv") == 0
    assert "note  telecine was undone" in capsys.readouterr().err
    result = facts(tmp_path / "out.mkv")
    assert (result["rate"], result["frames"]) == (Fraction(24000, 1001), 72)
    assert packets(tmp_path / "out.mkv", "audio") == packets(telecined, "audio")
    assert abs(result["duration"] - Fraction("3.003")) < Fraction(1, 24)


def test_a_film_is_left_alone_on_request(telecined, tmp_path, capsys):
    assert enhance(telecined, tmp_path / "out.mp4", "--deinterlace", "off") == 0
    assert "telecine" not in capsys.readouterr().err
    assert facts(tmp_path / "out.mp4")["frames"] == 90


def test_an_excerpt_has_the_same_frames_as_the_whole_film(telecined, tmp_path):
    lossless = ("--codec", "ffv1")
    assert enhance(telecined, tmp_path / "all.mkv", *lossless) == 0
    part = ("--start", "1", "--duration", "1")
    assert enhance(telecined, tmp_path / "part.mkv", *lossless, *part) == 0
    images = facts(tmp_path / "part.mkv")["images"]
    assert len(images) == 24
    assert np.array_equal(images, facts(tmp_path / "all.mkv")["images"][24:48])


def test_a_stopped_job_resumes_with_the_same_fields(telecined, tmp_path, capsys):
    """The job stops after its analysis, with the result in its work folder."""

    def stop(report):
        if report.part == "Restoring":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oldfilm.restore(telecined, ["Sharpen"], tmp_path / "out.mp4", progress=stop)
    manifest = tmp_path / ".out.mp4.oldfilm" / "manifest.json"
    assert json.loads(manifest.read_text())["job"]["fields"] == "telecine, top field first"
    with pytest.raises(OptionError, match="fields was telecine, top field first, is not given"):
        oldfilm.restore(telecined, ["Sharpen"], tmp_path / "out.mp4", deinterlace="off")
    notes = oldfilm.restore(telecined, ["Sharpen"], tmp_path / "out.mp4").notes
    assert any("telecine was undone" in note for note in notes)
    assert facts(tmp_path / "out.mp4")["frames"] == 72


def test_the_stage_deinterlaces_even_where_no_combing_is_measured(frames, tmp_path):
    path = tmp_path / "still.mkv"
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", "64x48", "-framerate", "25"]
    still = np.repeat(frames[:1], 6, axis=0).tobytes()
    ffmpeg(*raw, "-i", "pipe:0", "-c:v", "ffv1", f"file:{path}", data=still)
    summary = oldfilm.restore(path, ["Deinterlace"], tmp_path)
    assert summary.path.name == "still_Deinterlace_out.mp4"
    assert any("was deinterlaced" in note for note in summary.notes)
    doubled = oldfilm.restore(path, ["Deinterlace"], tmp_path / "b", double_rate=True)
    assert (doubled.after.rate, doubled.after.frames) == (50, 12)
    assert facts(doubled.path)["frames"] == 12


def test_contradictory_or_impossible_requests_are_refused(telecined, frames, tmp_path):
    with pytest.raises(OptionError, match="leave out one"):
        oldfilm.restore(telecined, ["Deinterlace"], tmp_path, deinterlace="off")
    with pytest.raises(OptionError, match="comes first"):
        oldfilm.restore(telecined, ["Sharpen", "Deinterlace"], tmp_path)
    write_photograph(tmp_path / "photo.png", frames[0] / np.float32(255))
    with pytest.raises(OptionError, match="is a photograph"):
        oldfilm.restore(tmp_path / "photo.png", ["Deinterlace"], tmp_path)


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_deinterlaced(frames, top_first, channels):
    truth = frames[..., :channels]
    whole = Deinterlace().predict(interlace(truth, top_first))
    assert whole.dtype == np.uint8
    assert whole.shape == truth[::2].shape
    difference = np.abs(whole[1:-1].astype(int) - truth[::2][1:-1])
    assert difference.mean() < 3 < np.abs(interlace(truth).astype(int) - truth[::2]).mean()
    every = Deinterlace(double_rate=True).predict(interlace(truth, top_first) / np.float32(255))
    assert every.dtype == np.float32
    assert np.abs(every[2:-2] - truth[2:-2] / np.float32(255)).mean() < 0.012


def test_a_single_interlaced_picture_is_deinterlaced(frames):
    picture = interlace(frames)[3]
    assert Deinterlace().predict(picture).shape == picture.shape


def test_the_result_is_not_flagged_as_interlaced(frames, tmp_path):
    path = tmp_path / "film.mkv"
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", "64x48", "-framerate", "25"]
    coded = ["-vf", "format=yuv420p,setfield=tff", "-c:v", "ffv1"]
    ffmpeg(*raw, "-i", "pipe:0", *coded, f"file:{path}", data=interlace(frames).tobytes())
    made = Deinterlace(str(tmp_path / "out")).run(str(path)).path
    assert Film.open(made).frames == 36
    with av.open(str(path)) as before, av.open(made) as after:
        assert all(frame.interlaced_frame for frame in before.decode(video=0))
        assert not any(frame.interlaced_frame for frame in after.decode(video=0))
