"""Work that stops between its steps."""

import threading

import numpy as np
import pytest

from oldfilm.pipeline.chain import restore_frames
from oldfilm.repair.sharpen import Sharpen
from oldfilm.system.stopping import next_step, stoppable


class Stop(Exception):
    pass


def stopping_before(step):
    """Return a check that raises before a step, and the list of the steps so far."""
    steps = []

    def check():
        steps.append(len(steps))
        if len(steps) > step:
            raise Stop

    return check, steps


def test_a_chain_stops_between_frames():
    check, steps = stopping_before(3)
    frames = np.zeros((5, 8, 8, 1), np.float32)
    with pytest.raises(Stop), stoppable(check):
        restore_frames([Sharpen()], frames)
    assert len(steps) == 4
    assert len(restore_frames([Sharpen()], frames)) == 5


def test_a_network_stops_between_its_runs():
    paddle = pytest.importorskip("paddle")
    from oldfilm.engine.paddle import DynamicGraph

    graph = DynamicGraph(paddle.nn.ReLU(), "cpu")
    check, steps = stopping_before(1)
    with pytest.raises(Stop), stoppable(check):
        for _ in range(3):
            graph(np.zeros(2, np.float32))
    assert len(steps) == 2


def test_other_threads_do_not_stop():
    check, steps = stopping_before(0)
    with stoppable(check):
        thread = threading.Thread(target=next_step)
        thread.start()
        thread.join()
    assert steps == []
