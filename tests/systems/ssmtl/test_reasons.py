import numpy as np
import pytest

from vadjax.systems.ssmtl.reasons import EVERY, Reasons, excess, reason

TASKS = ("arrow", "middle")
NORMAL = np.array([[1.0, 0.5], [10.0, 2.0]])  # mean and deviation of each task


def flagged(reasons: Reasons, frame: int, *scores: float, arrow: float = 3.0) -> None:
    """Takes objects of a frame, each with its score, `arrow` and a normal look."""
    count = len(scores)
    by_task = {"arrow": np.full(count, arrow), "middle": np.full(count, 10.0)}
    reasons.add(frame, np.zeros((count, 4)), np.array(scores), by_task)


def test_scores_are_told_in_deviations_above_normal():
    found = excess({"arrow": np.array([1.0, 3.0]), "middle": np.array([9.0, 14.0])}, NORMAL)
    assert found["arrow"].tolist() == [0, 4] and found["middle"].tolist() == [-0.5, 2]


def test_a_deviation_of_zero_does_not_divide():
    found = excess({"arrow": np.array([2.0])}, np.array([[1.0, 0.0]]))
    assert found["arrow"].tolist() == pytest.approx([1e6])


def test_the_sentence_names_the_largest_term_and_those_near_it():
    terms = {"arrow": 2.0, "irregularity": 1.9, "middle": 4.0, "distillation": 1.0}
    found = reason(7, (1.04, 2, 30.5, 40), 2.345, terms)
    assert found["dominant"] == "middle" and found["also"] == ["arrow"]  # half of 4 or more
    assert found["text"] == (
        "frame 7, object [1,2,30,40], score 2.35: how it looks cannot be told from before and "
        "after; also it moves against the learned direction of time."
    )
    assert found["box"] == [1.0, 2.0, 30.5, 40.0] and found["score"] == 2.345
    assert found["frame"] == 7 and found["terms"] == terms


def test_the_highest_flagged_object_of_sixteen_frames_is_told():
    reasons = Reasons(2.0, NORMAL)
    flagged(reasons, 3, 0.5, 0.8)
    flagged(reasons, 9, 0.7)
    flagged(reasons, 10, 9.0, arrow=1.9)  # 1.8 deviations above: not flagged, however high
    assert reasons.take(14, last=False) == ()
    (found,) = reasons.take(EVERY - 1, last=False)
    assert (found["frame"], found["score"], found["frames"]) == (3, 0.8, [0, EVERY])
    assert found["terms"] == {"arrow": 4.0, "middle": 0.0}
    assert reasons.take(2 * EVERY - 1, last=False) == ()  # each is told once


def test_the_last_frame_ends_the_sixteen():
    reasons = Reasons(2.0, NORMAL)
    flagged(reasons, 17, 0.4)
    (found,) = reasons.take(19, last=True)
    assert found["frames"] == [16, 20]


def test_a_frame_without_objects_has_no_reason():
    reasons = Reasons(2.0, NORMAL)
    flagged(reasons, 0)
    assert reasons.take(0, last=True) == ()
