from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oldfilm.errors import OptionError
from oldfilm.pipeline.chain import WINDOW_BYTES, Chain
from oldfilm.pipeline.segments import segments
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, Window
from tests.pipeline.stages import Doubler, Recorder, film, info, numbers

RATE = Fraction(16)


def run_in_segments(chain, frames, cuts, length):
    indices = [int(cut * RATE) for cut in cuts]
    chain.analyze(FilmFacts(cuts=cuts))
    out = []
    for part in segments(len(frames), indices, chain.before, chain.after, length):
        wanted = Span(part.start / RATE, part.stop / RATE)
        out += chain.run(frames[part.first : part.last], wanted)
    return out


any_window = st.builds(Window, st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))


@given(
    st.lists(st.integers(1, 15), min_size=1, max_size=4), any_window, any_window, st.integers(1, 20)
)
def test_every_frame_is_returned_once_and_in_order_for_any_segments(lengths, first, second, length):
    frames, cuts = film(lengths)
    stages = [Recorder(first, "A"), Doubler(), Recorder(second, "B")]
    out = run_in_segments(Chain(stages, info(len(frames))), frames, cuts, length)
    assert [frame.time for frame in out] == [n / RATE / 2 for n in range(2 * len(frames))]
    assert numbers(out) == [n // 2 for n in range(2 * len(frames))]


@given(st.integers(2, 40), any_window, any_window, st.integers(1, 20))
def test_the_last_stage_gets_its_neighbors_across_a_segment_boundary(count, first, second, length):
    frames, _ = film([count])
    last = Recorder(second, "B")
    run_in_segments(Chain([Recorder(first, "A"), last], info(count)), frames, (), length)
    for seen, core in last.seen:
        assert seen[0] == max(0, seen[core][0] - second.before)
        assert seen[-1] == min(count - 1, seen[core][-1] + second.after)


def test_a_cut_stays_a_cut_after_a_stage_that_changes_the_frame_rate():
    frames, cuts = film([3, 4])
    last = Recorder(Window(2, 2, 2), "B")
    run_in_segments(Chain([Doubler(), last], info(7)), frames, cuts, 100)
    assert all(max(seen) < 3 or min(seen) >= 3 for seen, _ in last.seen)


def test_a_window_is_shortened_to_fit_into_memory():
    stage = Recorder(Window(core=100, before=2, after=2))
    stage.bytes_per_frame = lambda film: WINDOW_BYTES // 10
    assert Chain([stage], info(500)).links[0].window == Window(6, 2, 2)


def test_a_chain_with_the_same_stage_twice_is_refused():
    with pytest.raises(OptionError, match="each stage once"):
        Chain([Recorder(), Recorder()], info(3))


class Student(Recorder):
    """Asks for frames, and records what it sees of them."""

    name = "Student"

    def __init__(self, times):
        super().__init__(name="Student")
        self._times = times
        self.studied = []

    def key_times(self):
        return self._times

    def study(self, frames):
        self.studied.append(numbers(frames))


def test_a_stage_sees_the_frames_that_it_asks_for_as_earlier_stages_return_them():
    frames, cuts = film([5, 7])
    times = [Fraction(0), Fraction(9, 32), Fraction(5, 16), Fraction(11, 16)]
    for earlier, expected in (
        ([], [0, 4, 5, 11]),
        ([Recorder(Window(2, 3, 1)), Doubler()], [0, 4, 5, 11]),
    ):
        student = Student(times)
        chain = Chain([*earlier, student], info(len(frames)))
        chain.analyze(FilmFacts(cuts))
        for _ in range(2):  # the second time, it knows them already
            chain.study(lambda span: [frame for frame in frames if span.holds(frame)])
        assert student.studied == [expected]


def test_nothing_is_read_for_stages_that_ask_for_no_frames():
    chain = Chain([Recorder()], info(3))
    chain.study(lambda span: pytest.fail("a frame was read"))
