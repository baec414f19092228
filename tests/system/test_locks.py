"""One holder at a time, even if the lock is deleted together with its folder."""

import shutil
import threading

import pytest

from oldfilm.system.locks import locked


class Busy(Exception):
    pass


def refuse():
    raise Busy


def test_a_second_holder_is_refused_until_the_first_has_finished(tmp_path):
    with locked(tmp_path / "job"), pytest.raises(Busy), locked(tmp_path / "job", refuse):
        pass
    with locked(tmp_path / "job", refuse):
        pass


def test_a_waiting_process_recreates_a_lock_that_its_holder_deleted(tmp_path):
    path = tmp_path / "folder" / "job"
    waiting, held, done = threading.Event(), threading.Event(), threading.Event()

    def wait_and_hold():
        with locked(path, waiting.set):
            held.set()
            done.wait(30)

    waiter = threading.Thread(target=wait_and_hold)
    with locked(path):
        waiter.start()
        assert waiting.wait(30)
        shutil.rmtree(path.parent)
    assert held.wait(30)
    try:
        with pytest.raises(Busy), locked(path, refuse):
            pass
    finally:
        done.set()
        waiter.join()
