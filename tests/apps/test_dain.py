"""DAIN on films: how many frames come out, when, and what they show."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldfilm.apps.dain import DAINPredictor
from oldfilm.errors import OptionError
from oldfilm.flow import Motion
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.segments import segments
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, Frame

pytest.importorskip("paddle")

RATES = st.sampled_from(
    [Fraction(16), Fraction(24000, 1001), Fraction(25, 2), Fraction(30), Fraction(2997, 100)]
)
NEW_RATES = st.sampled_from(["60", "59.94", "24000/1001", "10", "16", "37/3"])
BARS = np.linspace(0.2, 0.8, 24, dtype=np.float32)[None, :, None]


def info_of(count: int, rate: Fraction = Fraction(16)) -> FilmInfo:
    return FilmInfo(width=24, height=16, rate=rate, frames=count)


def film(info: FilmInfo) -> list[Frame]:
    """Frames that all differ, so that each can be told from the others."""
    return [
        Frame(np.full((16, 24, 3), (i + 1) / (info.frames + 1), np.float32) * BARS, i / info.rate)
        for i in range(info.frames)
    ]


def run(
    dain: DAINPredictor,
    info: FilmInfo,
    facts: FilmFacts | None = None,
    length: int = 1000,
    frames: list[Frame] | None = None,
) -> list[Frame]:
    """What comes out when the film is restored in segments of `length` source frames."""
    facts = facts or FilmFacts()
    frames = frames or film(info)
    chain = Chain([dain], info)
    chain.analyse(facts)
    cuts = [round(cut * info.rate) for cut in facts.cuts]
    made = []
    for part in segments(info.frames, cuts, chain.before, chain.after, length):
        wanted = Span(part.start / info.rate, part.stop / info.rate)
        made += chain.run(frames[part.first : part.last], wanted)
    return made


def same(ours: list[Frame], theirs: list[Frame]) -> bool:
    return [f.time for f in ours] == [f.time for f in theirs] and all(
        np.array_equal(a.image, b.image) for a, b in zip(ours, theirs)
    )


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 12), steps=st.integers(2, 6), rate=RATES, length=st.integers(2, 8))
def test_n_frames_become_exactly_k_n_however_the_film_is_divided(count, steps, rate, length):
    dain = DAINPredictor(time_step=Fraction(1, steps))
    info = info_of(count, rate)
    frames = film(info)
    made = run(dain, info, length=length)
    assert len(made) == dain.describe(info).frames == count * steps
    assert [frame.time for frame in made] == [n / (rate * steps) for n in range(count * steps)]
    assert all(
        made[i * steps].image is frames[i].image
        or np.array_equal(made[i * steps].image, frames[i].image)
        for i in range(count)
    )
    assert same(made, run(dain, info))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 12), fps=NEW_RATES, rate=RATES, length=st.integers(2, 8))
def test_any_rate_becomes_any_other_without_losing_the_end(count, fps, rate, length):
    dain = DAINPredictor(fps=fps)
    info = info_of(count, rate)
    result = dain.describe(info)
    made = run(dain, info, length=length)
    assert len(made) == result.frames == math.ceil(info.duration * result.rate)
    times = [frame.time for frame in made]
    assert times == [n / result.rate for n in range(len(made))]
    assert times[-1] < info.duration
    assert np.array_equal(made[0].image, film(info)[0].image)
    assert all(frame.image.min() >= 0 and frame.image.max() <= 1 for frame in made)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 16),
    repeats=st.sets(st.integers(1, 15)),
    cut=st.none() | st.integers(1, 15),
    length=st.integers(3, 9),
)
def test_removing_duplicates_keeps_count_and_times(count, repeats, cut, length):
    dain = DAINPredictor(time_step=0.5, remove_duplicates=True)
    info = info_of(count)
    facts = FilmFacts(
        cuts=() if cut is None or cut >= count else (cut / info.rate,),
        repeats=frozenset(i / info.rate for i in repeats if i < count),
    )
    made = run(dain, info, facts, length)
    assert [frame.time for frame in made] == [n / (info.rate * 2) for n in range(count * 2)]
    assert same(made, run(dain, info, facts))


def test_a_frame_between_lies_between():
    info = info_of(2)
    first, between, second, held = (frame.image.mean() for frame in run(DAINPredictor(), info))
    assert first < between < second
    assert held == second


def test_the_last_frame_before_a_cut_is_held():
    info = info_of(4)
    frames = film(info)
    made = run(DAINPredictor(time_step=0.25), info, FilmFacts(cuts=(2 / info.rate,)))
    shown = [frame.image for frame in made]
    assert all(np.array_equal(image, frames[1].image) for image in shown[4:8])
    assert np.array_equal(shown[8], frames[2].image)
    assert not np.array_equal(shown[9], frames[2].image)


def test_a_repeated_frame_gives_way_to_one_in_motion():
    info = info_of(3)
    a, b, c = film(info)
    frames = [a, Frame(a.image, b.time), c]
    facts = FilmFacts(repeats=frozenset([b.time]))
    moving = run(DAINPredictor(remove_duplicates=True), info, facts, frames=frames)
    means = [frame.image.mean() for frame in moving[:5]]
    assert means == sorted(set(means))
    staying = run(DAINPredictor(), info, facts, frames=frames)
    assert np.array_equal(staying[2].image, a.image)


def test_a_still_of_many_repeats_is_kept():
    info = info_of(8)
    frames = film(info)
    frames = [Frame(frames[min(i, 1)].image, f.time) for i, f in enumerate(frames)]
    facts = FilmFacts(repeats=frozenset(f.time for f in frames[2:7]))
    made = run(DAINPredictor(remove_duplicates=True), info, facts, frames=frames)
    assert np.array_equal(made[8].image, frames[1].image)


def test_slow_motion_keeps_the_rate_and_stretches_time():
    info = info_of(6)
    result = DAINPredictor(time_step=0.25, slow_motion=True).describe(info)
    assert (result.rate, result.frames, result.stretch) == (info.rate, 24, 4)
    result = DAINPredictor(fps=24, slow_motion=True).describe(info)
    assert (result.rate, result.frames, result.stretch) == (info.rate, 9, Fraction(3, 2))
    with pytest.raises(OptionError, match="slow"):
        DAINPredictor(fps=12, slow_motion=True).describe(info)


def test_predict_doubles_the_frames_of_an_array():
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    made = DAINPredictor().predict(frames)
    assert (made.shape, made.dtype) == ((6, 16, 24, 3), np.uint8)
    assert np.array_equal(made[::2], frames)


def test_motion_is_sought_once_for_all_frames_between_two(monkeypatch):
    sought = []

    class Counted(Motion):
        def __init__(self, *frames):
            sought.append(frames)
            super().__init__(*frames)

    monkeypatch.setattr("oldfilm.apps.dain.Motion", Counted)
    run(DAINPredictor(time_step=0.1), info_of(3))
    assert len(sought) == 2


def test_a_large_frame_keeps_its_size_and_its_borders():
    info = info_of(2)
    image = np.random.default_rng(0).random((90, 700, 3), dtype=np.float32)
    frames = [Frame(image, Fraction(0)), Frame(image.copy(), 1 / info.rate)]
    between = run(DAINPredictor(), info, frames=frames)[1].image
    assert between.shape == image.shape
    assert np.abs(between - image).mean() < 0.05


def test_grey_frames_stay_grey():
    info = info_of(2)
    grey = [Frame(frame.image[..., :1], frame.time) for frame in film(info)]
    made = run(DAINPredictor(), info, frames=grey)
    assert [frame.image.shape for frame in made] == [(16, 24, 1)] * 4


@pytest.mark.parametrize("fps", [59.94, "59.94", "60000/1001", Fraction(60000, 1001)])
def test_ntsc_rates_are_meant_exactly(fps):
    assert DAINPredictor(fps=fps).describe(info_of(4)).rate == Fraction(60000, 1001)


@pytest.mark.parametrize("time_step", [0, 1, -0.5, 0.3, 2, float("nan")])
def test_a_time_step_that_is_no_whole_part_is_refused(time_step):
    with pytest.raises(OptionError, match="--fps"):
        DAINPredictor(time_step=time_step)


@pytest.mark.parametrize("fps", [0, -24, "fast", "1/0", float("inf")])
def test_a_rate_that_is_none_is_refused(fps):
    with pytest.raises(OptionError, match="--fps"):
        DAINPredictor(fps=fps)


def test_a_time_step_of_a_hundredth_is_a_hundred():
    assert DAINPredictor(time_step=0.01).describe(info_of(3)).frames == 300


def test_time_step_and_fps_together_are_refused():
    with pytest.raises(OptionError, match="one"):
        DAINPredictor(time_step=0.5, fps=60)
