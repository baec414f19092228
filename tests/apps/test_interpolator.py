"""Tests of frame interpolation: the number, times and content of the frames."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldfilm.apps.interpolator import Interpolator
from oldfilm.errors import OptionError
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.segments import segments
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Window

RATES = st.sampled_from(
    [Fraction(16), Fraction(24000, 1001), Fraction(25, 2), Fraction(30), Fraction(2997, 100)]
)
NEW_RATES = st.sampled_from(["60", "59.94", "24000/1001", "10", "16", "37/3"])
BARS = np.linspace(0.2, 0.8, 24, dtype=np.float32)[None, :, None]


class Blend(Interpolator):
    """A minimal interpolator; `pairs` counts the pairs of frames that it has prepared."""

    name = "Blend"
    config = "dain"

    def __init__(self, **options):
        super().__init__(variant="lite", **options)
        self.pairs = 0

    def prepare(self, first, second):
        self.pairs += 1
        return first, second

    def between(self, prepared, time):
        first, second = prepared
        return (1 - np.float32(time)) * first + np.float32(time) * second


def info_of(count: int, rate: Fraction = Fraction(16)) -> FilmInfo:
    return FilmInfo(width=24, height=16, rate=rate, frames=count)


def film(info: FilmInfo) -> list[Frame]:
    """Return frames that all differ, so that each can be recognized."""
    return [
        Frame(np.full((16, 24, 3), (i + 1) / (info.frames + 1), np.float32) * BARS, i / info.rate)
        for i in range(info.frames)
    ]


def run(
    stage: Interpolator,
    info: FilmInfo,
    facts: FilmFacts | None = None,
    length: int = 1000,
    frames: list[Frame] | None = None,
) -> list[Frame]:
    """Run the stage on a film in segments of `length` source frames."""
    facts = facts or FilmFacts()
    frames = frames or film(info)
    chain = Chain([stage], info)
    chain.analyze(facts)
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
def test_time_step_multiplies_frames_in_segments_of_any_length(count, steps, rate, length):
    stage = Blend(time_step=Fraction(1, steps))
    info = info_of(count, rate)
    frames = film(info)
    made = run(stage, info, length=length)
    assert len(made) == stage.describe(info).frames == count * steps
    assert [frame.time for frame in made] == [n / (rate * steps) for n in range(count * steps)]
    assert all(
        made[i * steps].image is frames[i].image
        or np.array_equal(made[i * steps].image, frames[i].image)
        for i in range(count)
    )
    assert same(made, run(stage, info))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 12), fps=NEW_RATES, rate=RATES, length=st.integers(2, 8))
def test_any_rate_converts_to_any_other_without_losing_the_end(count, fps, rate, length):
    stage = Blend(fps=fps)
    info = info_of(count, rate)
    result = stage.describe(info)
    made = run(stage, info, length=length)
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
def test_removing_duplicates_keeps_the_number_and_times_of_frames(count, repeats, cut, length):
    stage = Blend(time_step=0.5, remove_duplicates=True)
    info = info_of(count)
    facts = FilmFacts(
        cuts=() if cut is None or cut >= count else (cut / info.rate,),
        repeats=frozenset(i / info.rate for i in repeats if i < count),
    )
    made = run(stage, info, facts, length)
    assert [frame.time for frame in made] == [n / (info.rate * 2) for n in range(count * 2)]
    assert same(made, run(stage, info, facts))


def test_the_last_frame_before_a_cut_is_held():
    info = info_of(4)
    frames = film(info)
    made = run(Blend(time_step=0.25), info, FilmFacts(cuts=(2 / info.rate,)))
    shown = [frame.image for frame in made]
    assert all(np.array_equal(image, frames[1].image) for image in shown[4:8])
    assert np.array_equal(shown[8], frames[2].image)
    assert not np.array_equal(shown[9], frames[2].image)


def test_a_repeated_frame_is_replaced_by_an_interpolated_one():
    info = info_of(3)
    a, b, c = film(info)
    frames = [a, Frame(a.image, b.time), c]
    facts = FilmFacts(repeats=frozenset([b.time]))
    moving = run(Blend(remove_duplicates=True), info, facts, frames=frames)
    means = [frame.image.mean() for frame in moving[:5]]
    assert means == sorted(set(means))
    staying = run(Blend(), info, facts, frames=frames)
    assert np.array_equal(staying[2].image, a.image)


@pytest.mark.parametrize(("repeats", "before"), [((), 0), ((2, 5), 1), ((2, 3, 7), 2)])
def test_a_sample_sees_no_more_neighbors_than_its_repeats_need(repeats, before):
    info = info_of(9)
    facts = FilmFacts(repeats=frozenset(number / info.rate for number in repeats))
    moving = Blend(remove_duplicates=True)
    assert moving.window_of_sample(info, facts) == Window(1, before, before + 1)
    assert Blend().window_of_sample(info, facts) == Window(1, 0, 1)


def test_a_still_with_many_repeats_is_kept():
    info = info_of(8)
    frames = film(info)
    frames = [Frame(frames[min(i, 1)].image, f.time) for i, f in enumerate(frames)]
    facts = FilmFacts(repeats=frozenset(f.time for f in frames[2:7]))
    made = run(Blend(remove_duplicates=True), info, facts, frames=frames)
    assert np.array_equal(made[8].image, frames[1].image)


def test_slow_motion_keeps_the_rate_and_slows_the_film():
    info = info_of(6)
    result = Blend(time_step=0.25, slow_motion=True).describe(info)
    assert (result.rate, result.frames, result.slowdown) == (info.rate, 24, 4)
    result = Blend(fps=24, slow_motion=True).describe(info)
    assert (result.rate, result.frames, result.slowdown) == (info.rate, 9, Fraction(3, 2))
    with pytest.raises(OptionError, match="slow"):
        Blend(fps=12, slow_motion=True).describe(info)


@pytest.mark.parametrize("fps", [59.94, "59.94", "60000/1001", Fraction(60000, 1001)])
def test_ntsc_rates_are_exact(fps):
    assert Blend(fps=fps).describe(info_of(4)).rate == Fraction(60000, 1001)


@pytest.mark.parametrize("time_step", [0, 1, -0.5, 0.3, 2, float("nan")])
def test_a_time_step_that_does_not_divide_one_is_rejected(time_step):
    with pytest.raises(OptionError, match="set `fps`"):
        Blend(time_step=time_step)


@pytest.mark.parametrize("fps", [0, -24, "fast", "1/0", float("inf")])
def test_an_invalid_rate_is_rejected(fps):
    with pytest.raises(OptionError, match="`fps="):
        Blend(fps=fps)


def test_a_time_step_of_a_hundredth_yields_a_hundred_times_the_frames():
    assert Blend(time_step=0.01).describe(info_of(3)).frames == 300


def test_time_step_and_fps_are_mutually_exclusive():
    with pytest.raises(OptionError, match="one"):
        Blend(time_step=0.5, fps=60)


def test_a_pair_is_prepared_once_for_all_frames_between():
    stage = Blend(time_step=0.1)
    run(stage, info_of(3))
    assert stage.pairs == 2


def test_a_new_frame_is_blended_in_proportion_to_its_time():
    info = info_of(2)
    frames = film(info)
    made = run(Blend(time_step=0.25), info, frames=frames)
    shares = [(frame.image - frames[0].image).mean() for frame in made[:5]]
    whole = (frames[1].image - frames[0].image).mean()
    assert np.allclose(shares, np.array([0, 0.25, 0.5, 0.75, 1]) * whole, atol=1e-6)
