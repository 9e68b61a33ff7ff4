"""One thread at a time, in the order in which they asked."""

import itertools
import threading
import time

import pytest

from vadjax.predict.turns import Turns


def test_one_at_a_time_and_nobody_is_kept_waiting():
    """Each has frames at all times, and would never let the others in by itself."""
    turns, order, inside = Turns(), [], []

    def score(name):
        with turns:
            for _ in itertools.islice(turns.between(itertools.count()), 50):
                inside.append(name)
                assert len(inside) == 1
                time.sleep(0.001)
                order.append(inside.pop())

    threads = [threading.Thread(target=score, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(order) == sorted("abc" * 50)
    together = "".join(order)[10:100]
    assert max(len(list(run)) for _, run in itertools.groupby(together)) <= 3


def test_while_one_waits_for_a_frame_another_has_its_turn():
    turns, asked, frame = Turns(), threading.Event(), threading.Event()

    def frames():
        asked.set()
        assert frame.wait(10)
        yield 1

    def score():
        with turns:
            assert list(turns.between(frames())) == [1]

    thread = threading.Thread(target=score)
    thread.start()
    assert asked.wait(10)
    with turns:
        frame.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_source_that_fails_gives_its_turn_back():
    def frames():
        yield 1
        raise ValueError("broken")

    turns = Turns()
    with pytest.raises(ValueError, match="broken"):
        with turns:
            list(turns.between(frames()))
    with turns:
        pass
