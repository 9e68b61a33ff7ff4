"""OpenCV's threads as a pool."""

import threading

import cv2
import pytest

from vadjax.ops import opencv


@pytest.fixture(autouse=True)
def four_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    yield
    cv2.setNumThreads(before)


def test_all_holders_share_the_threads_that_opencv_had():
    with opencv.threads() as pool:
        assert cv2.getNumThreads() == 1
        with opencv.threads() as other:
            assert other is pool
        assert cv2.getNumThreads() == 1  # the first one still holds them
        together = threading.Barrier(5)
        names = [pool.submit(lambda: threading.current_thread().name) for _ in range(20)]
        assert len({name.result() for name in names}) <= 4
        waiting = [pool.submit(together.wait, 60) for _ in range(4)]
        here = together.wait(60)  # the four run at the same time
        assert sorted([here, *(one.result() for one in waiting)]) == [0, 1, 2, 3, 4]
    assert cv2.getNumThreads() == 4
    with opencv.threads() as later:
        assert later is not pool and later.submit(cv2.getNumThreads).result() == 1


def test_the_threads_are_given_back_after_an_error():
    with pytest.raises(KeyError), opencv.threads() as pool:
        begun = pool.submit({}.__getitem__, "nothing")
        begun.result()
    assert cv2.getNumThreads() == 4


def test_holders_in_several_threads_leave_the_number_as_it_was():
    def hold():
        for _ in range(200):
            with opencv.threads() as pool:
                assert pool.submit(cv2.getNumThreads).result() == 1

    holders = [threading.Thread(target=hold) for _ in range(3)]
    for holder in holders:
        holder.start()
    for holder in holders:
        holder.join()
    assert cv2.getNumThreads() == 4
