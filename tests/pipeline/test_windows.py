from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from oldfilm.pipeline.windows import Span, windows
from oldfilm.stage import Window
from tests.pipeline.stages import film, numbers

EVERYTHING = Span(Fraction(0), Fraction(10**6))


def shots_of(lengths):
    frames, cuts = film(lengths)
    return [type(f)(f.image, f.time, f.time in cuts) for f in frames]


shots = st.lists(st.integers(1, 12), min_size=1, max_size=5)
any_window = st.builds(Window, st.integers(1, 6), st.integers(0, 4), st.integers(0, 4))


@given(shots, any_window)
def test_every_frame_is_in_exactly_one_core_and_in_order(lengths, window):
    cores = [f for w, core in windows(shots_of(lengths), window, EVERYTHING) for f in w[core]]
    assert numbers(cores) == list(range(sum(lengths)))


@given(shots, any_window)
def test_no_window_crosses_a_cut(lengths, window):
    for frames, _ in windows(shots_of(lengths), window, EVERYTHING):
        assert not any(frame.starts_shot for frame in frames[1:])


@given(st.integers(1, 30), any_window)
def test_a_window_includes_the_neighbors_that_the_shot_has(length, window):
    for frames, core in windows(shots_of([length]), window, EVERYTHING):
        seen = numbers(frames)
        first, last = seen[core][0], seen[core][-1]
        assert seen[0] == max(0, first - window.before)
        assert seen[-1] == min(length - 1, last + window.after)
        assert len(seen) <= window.before + window.core + window.after


@given(st.integers(1, 30), any_window, st.integers(0, 30), st.integers(0, 30))
def test_only_frames_of_the_wanted_span_are_in_cores(length, window, a, b):
    start, stop = sorted((a, b))
    span = Span(Fraction(start, 16), Fraction(stop, 16))
    cores = [f for w, core in windows(shots_of([length]), window, span) for f in w[core]]
    assert numbers(cores) == list(range(start, min(stop, length)))
