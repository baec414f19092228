"""One at a time, also where the lock is removed with its folder."""

import shutil
import threading

import pytest

from oldfilm.system.locks import locked


class Busy(Exception):
    pass


def refuse():
    raise Busy


def test_the_second_is_refused_until_the_first_is_done(tmp_path):
    with locked(tmp_path / "job"), pytest.raises(Busy), locked(tmp_path / "job", refuse):
        pass
    with locked(tmp_path / "job", refuse):
        pass


def test_who_waited_for_a_lock_that_was_removed_holds_the_one_that_is_there(tmp_path):
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
