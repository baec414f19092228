import threading
from fractions import Fraction

import numpy as np
import pytest

from oldfilm.pipeline.prefetch import prefetch
from oldfilm.stage import Frame
from tests.pipeline.stages import film, numbers


def test_frames_come_in_order():
    frames, _ = film([200])
    assert numbers(prefetch(frames, ahead_bytes=1000)) == list(range(200))


def test_no_more_bytes_wait_than_allowed():
    made, each = [], 4 * 6 * 3 * 4
    resting = threading.Event()

    def maker():
        for frame in film([50])[0]:
            made.append(frame)
            if len(made) == 5:
                resting.set()
            yield frame

    taker = prefetch(maker(), ahead_bytes=3 * each)
    next(taker)
    assert resting.wait(10)
    assert len(made) <= 6
    taker.close()


def test_an_error_is_raised_where_the_frame_would_have_come():
    def maker():
        yield Frame(np.zeros((1, 1, 3), np.float32), Fraction(0))
        raise ValueError("no more film")

    taker = prefetch(maker())
    next(taker)
    with pytest.raises(ValueError, match="no more film"):
        next(taker)


def test_closing_closes_the_maker():
    closed = threading.Event()

    def maker():
        try:
            yield from film([100])[0]
        finally:
            closed.set()

    taker = prefetch(maker(), ahead_bytes=1)
    next(taker)
    taker.close()
    assert closed.is_set()
