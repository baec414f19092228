from hypothesis import given
from hypothesis import strategies as st

from oldfilm.pipeline.segments import segments

films = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def cuts_of(lengths):
    return [sum(lengths[:i]) for i in range(1, len(lengths))]


@given(films, st.integers(1, 30), st.integers(0, 9), st.integers(0, 9))
def test_segments_cover_the_film_once_and_in_order(lengths, length, before, after):
    parts = segments(sum(lengths), cuts_of(lengths), before, after, length)
    covered = [frame for part in parts for frame in range(part.start, part.stop)]
    assert covered == list(range(sum(lengths)))
    assert all(0 < part.stop - part.start <= length for part in parts)


@given(films, st.integers(1, 30), st.integers(0, 9), st.integers(0, 9))
def test_a_segment_includes_neighbors_of_its_shots_but_none_across_a_cut(
    lengths, length, before, after
):
    edges = [0, *cuts_of(lengths), sum(lengths)]
    for part in segments(sum(lengths), cuts_of(lengths), before, after, length):
        shot_start = max(edge for edge in edges if edge <= part.start)
        shot_stop = min(edge for edge in edges if edge >= part.stop)
        assert part.first == max(shot_start, part.start - before)
        assert part.last == min(shot_stop, part.stop + after)


def test_short_shots_share_a_segment_and_a_long_shot_is_divided_evenly():
    parts = segments(20 + 30 + 90, [20, 50], 2, 2, length=50)
    assert [(p.start, p.stop) for p in parts] == [(0, 50), (50, 95), (95, 140)]
    assert [(p.first, p.last) for p in parts] == [(0, 50), (50, 97), (93, 140)]
