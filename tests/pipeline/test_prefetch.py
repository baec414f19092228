import threading
from fractions import Fraction

import numpy as np
import pytest

from oldfilm.pipeline.prefetch import prefetch
from oldfilm.stage import Frame
from tests.pipeline.stages import film, numbers


def test_frames_keep_their_order():
    frames, _ = film([200])
    assert numbers(prefetch(frames, ahead_bytes=1000)) == list(range(200))


def test_waiting_frames_stay_within_the_byte_limit():
    produced, each = [], 4 * 6 * 3 * 4
    idle = threading.Event()

    def source():
        for frame in film([50])[0]:
            produced.append(frame)
            if len(produced) == 5:
                idle.set()
            yield frame

    consumer = prefetch(source(), ahead_bytes=3 * each)
    next(consumer)
    assert idle.wait(10)
    assert len(produced) <= 6
    consumer.close()


def test_an_error_is_raised_where_the_frame_would_have_been():
    def source():
        yield Frame(np.zeros((1, 1, 3), np.float32), Fraction(0))
        raise ValueError("no more film")

    consumer = prefetch(source())
    next(consumer)
    with pytest.raises(ValueError, match="no more film"):
        next(consumer)


def test_closing_the_generator_closes_its_source():
    closed = threading.Event()

    def source():
        try:
            yield from film([100])[0]
        finally:
            closed.set()

    consumer = prefetch(source(), ahead_bytes=1)
    next(consumer)
    consumer.close()
    assert closed.is_set()
