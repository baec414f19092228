"""DeOldify with hints: colors at points and in boxes, which a shot keeps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import oldfilm
from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.stage import seconds
from tests.films import facts, ffmpeg

pytest.importorskip("paddle")

from oldfilm.apps.deoldify.hints import hinted_frame, read_hints  # noqa: E402
from oldfilm.apps.deoldify.predictor import DeOldifyPredictor  # noqa: E402

GREEN = {"point": [40, 60], "color": "dark green"}
"""On the coat of `scene`."""


def scene(shift: int = 0, seed: int = 0) -> np.ndarray:
    """A dark figure in front of a light textured wall, float32 [96, 128, 1]."""
    rng = np.random.default_rng(seed)
    wall = cv2.resize(rng.random((12, 16), dtype=np.float32), (128, 96)) * 0.25 + 0.6
    coat = cv2.resize(rng.random((10, 6), dtype=np.float32), (36, 60)) * 0.08 + 0.25
    wall[30:90, 24 + shift : 60 + shift] = coat
    return wall[..., None]


def predictor(**options) -> DeOldifyPredictor:
    return DeOldifyPredictor(device="cpu", variant="lite", render_factor=6, **options)


def chroma(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2LAB)[..., 1:]


def greenness(picture: np.ndarray, shift: int = 0) -> tuple[float, float]:
    """How green, minus a*, the coat and the wall right of it are."""
    a = chroma(picture)[..., 0]
    return -float(a[40:80, 30 + shift : 54 + shift].mean()), -float(a[:, 100:].mean())


def test_a_hint_colors_its_surface_and_nothing_else() -> None:
    plain = greenness(predictor().predict(scene()))
    coat, wall = greenness(predictor(color_hints=[GREEN]).predict(scene()))
    assert coat > plain[0] + 12
    assert abs(wall - plain[1]) < 3


def test_a_hint_follows_the_motion_through_the_shot() -> None:
    film = np.stack([scene(4 * t) for t in range(8)])
    plain = predictor().predict(film)
    hinted = predictor(color_hints=[{"at": 0, **GREEN}]).predict(film)
    for t in range(8):
        assert greenness(hinted[t], 4 * t)[0] > greenness(plain[t], 4 * t)[0] + 8


@pytest.mark.parametrize(
    "hint",
    [
        {"box": [26, 35, 56, 85], "color": "#006400"},
        {"box": ["20%", "36%", "44%", "88%"], "color": [0, 100, 0]},
        {"point": ["31%", "62%"], "color": "DarkGreen"},
    ],
)
def test_boxes_percentages_and_rgb_work_too(hint) -> None:
    alike = predictor(color_hints=[hint]).predict(scene())
    point = predictor(color_hints=[GREEN]).predict(scene())
    assert greenness(alike)[0] == pytest.approx(greenness(point)[0], abs=4)


def test_colors_spread_up_to_the_edges_of_luma() -> None:
    colored = hinted_frame(scene()[..., 0], read_hints([GREEN]))
    coverage = cv2.resize(colored.colors[..., 0], (128, 96))
    assert coverage[38:82, 30:54].min() > 0.8
    assert coverage[:, 90:].max() < 0.05


def test_two_hints_share_a_frame() -> None:
    hints = [GREEN, {"point": [100, 20], "color": "red"}]
    colors = hinted_frame(scene()[..., 0], read_hints(hints)).colors
    colors = cv2.resize(colors, (128, 96))
    assert colors[60, 40, 1] < -10
    assert colors[20, 100, 1] > 10


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two shots of six frames, 8 frames a second."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    frames = [scene(2 * t) for t in range(6)] + [1 - scene(2 * t, seed=5) for t in range(6)]
    raw = np.rint(np.stack(frames) * 255).astype(np.uint8)
    options = ["-f", "rawvideo", "-pixel_format", "gray", "-video_size", "128x96"]
    ffmpeg(*options, "-framerate", "8", "-i", "pipe:0", "-c:v", "ffv1", path, data=raw.tobytes())
    return path


def colored(film, output, hints, order="DeOldify", **options):
    """Restore a film with hints, and return its frames, float32."""
    path = output.with_suffix(".yaml")
    path.write_text(hints)
    same = {"variant": "lite", "device": "cpu", "render_factor": 6, "color_hints": path}
    summary = oldfilm.restore(film, order, output, codec="ffv1", **same, **options)
    return facts(summary.path)["images"] / np.float32(255)


HINTS = "- at: 0:00.25\n  point: [44, 60]\n  color: dark green\n"


def test_segments_and_workers_give_the_same_frames(film, tmp_path) -> None:
    whole = colored(film, tmp_path / "a.mkv", HINTS)
    parts = colored(film, tmp_path / "b.mkv", HINTS, segment_frames=3, workers=2)
    np.testing.assert_array_equal(parts, whole)
    assert greenness(whole[0])[0] > 8
    assert greenness(whole[5], 10)[0] > 8


@pytest.mark.slow
def test_the_next_shot_is_colored_as_without_hints(film, tmp_path) -> None:
    hinted = colored(film, tmp_path / "a.mkv", HINTS)
    plain = oldfilm.restore(
        film,
        "DeOldify",
        tmp_path / "b.mkv",
        codec="ffv1",
        variant="lite",
        device="cpu",
        render_factor=6,
    )
    plain = facts(plain.path)["images"] / np.float32(255)
    np.testing.assert_array_equal(hinted[6:], plain[6:])
    assert np.abs(hinted[:6] - plain[:6]).mean() > 0.005


@pytest.mark.slow
def test_times_are_those_of_the_source_if_only_a_part_is_restored(film, tmp_path, caplog) -> None:
    part = colored(film, tmp_path / "a.mkv", HINTS, start="0.25", duration="0.5")
    assert greenness(part[0], 4)[0] > 8
    colored(film, tmp_path / "b.mkv", HINTS, start="0.5")
    assert "the hint at 0.25 seconds is outside what is restored" in caplog.text


@pytest.mark.slow
def test_a_hinted_frame_is_seen_as_earlier_stages_return_it(film, tmp_path) -> None:
    repaired = colored(film, tmp_path / "a.mkv", HINTS, order=["Deflicker", "Despot", "DeOldify"])
    assert greenness(repaired[0])[0] > 8
    faster = colored(film, tmp_path / "b.mkv", HINTS, order=["DAIN", "DeOldify"])
    assert len(faster) == 24
    assert greenness(faster[4], 4)[0] > 8


def test_hints_work_for_photographs(tmp_path) -> None:
    media.write_photograph(tmp_path / "old.png", scene())
    (tmp_path / "hints.yaml").write_text("- {point: [40, 60], color: dark green}\n")
    summary = oldfilm.restore(
        tmp_path / "old.png",
        "DeOldify",
        tmp_path / "out.png",
        variant="lite",
        device="cpu",
        color_hints=tmp_path / "hints.yaml",
    )
    assert greenness(media.read_photograph(summary.path).image)[0] > 8


def test_minutes_and_hours_are_read_as_people_write_them(tmp_path) -> None:
    times = ["0:12", "1:30", "1:02:03.5", "12", "0.5"]
    path = tmp_path / "hints.yaml"
    path.write_text("".join(f"- {{at: {t}, point: [1, 1], color: red}}\n" for t in times))
    assert [hint.time for hint in read_hints(path)] == [seconds(t) for t in times]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {point: [1, 2], color: red}\n- {point: [1], color: red}\n", "line 2: .*length 2"),
        ("\n\n- point: [1, 2]\n", "line 3: .*`color`"),
        ("- point: [1, 2]\n  color: #ff0000\n", "line 1: .*quotes around colors"),
        ("- {point: [1, 2], color: gren}\n", "line 1: color: 'gren' is not known; give a name"),
        ("- {color: red}\n", "line 1: give either `point`"),
        ("- {point: [1, 2], box: [1, 2, 3, 4], color: red}\n", "line 1: give either `point`"),
        ("- {pont: [1, 2], color: red}\n", "line 1: .*`pont`"),
        ("- {at: noon, point: [1, 2], color: red}\n", "line 1: at: 'noon' is not a time"),
        ("- {at: -3, point: [1, 2], color: red}\n", "line 1: at: -3.* is not a time"),
        ("- {point: [1, 2], color: [300, 0, 0]}\n", "line 1: color: .*between 0 and 255"),
        ("color: red\n", "it needs a list of hints"),
        ("", "it needs a list of hints"),
        ("- [", "this is not valid YAML"),
        ("- {point: [1, 2], color: [1, 2]}\n", "line 1"),
        ("- !!python/object:os.system {}\n", "line 1: could not determine"),
        ("- red\n", "line 1: .*a hint is written as"),
    ],
)
def test_an_invalid_hint_is_refused_with_its_line(text, message, tmp_path) -> None:
    path = tmp_path / "hints.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=f"`color_hints={path}`: .*({message})"):
        predictor(color_hints=path)


def test_a_missing_file_or_other_data_is_refused(tmp_path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        predictor(color_hints=tmp_path / "none.yaml")
    with pytest.raises(OptionError, match="a list of hints"):
        predictor(color_hints=[1, 2])
    with pytest.raises(OptionError, match="hint 1: .*`color`"):
        predictor(color_hints=[{"point": [1, 2]}])


@pytest.mark.parametrize(
    "hint",
    [
        {"point": [500, 60], "color": "red"},
        {"box": [50, 60, 40, 80], "color": "red"},
        {"point": ["x%", 3], "color": "red"},
    ],
)
def test_a_place_outside_the_frame_is_refused_before_any_work(hint, film, tmp_path) -> None:
    with pytest.raises(OptionError, match="is not in a frame of 128x96"):
        oldfilm.restore(
            film, "DeOldify", tmp_path / "a.mkv", variant="lite", device="cpu", color_hints=[hint]
        )


def test_other_hints_make_another_job() -> None:
    prints = [
        predictor(color_hints=[{**GREEN, "at": at}]).fingerprint()["color_hints"] for at in (1, 2)
    ]
    assert prints[0] != prints[1]
