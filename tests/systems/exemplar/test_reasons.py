"""Why a volume scores high: attributes, words, sentences, the choice of examples (eval §8)."""

import json

import numpy as np
import pytest

from vadjax.data.video.grid import Grid
from vadjax.systems.exemplar import events, reasons
from vadjax.systems.exemplar.features import Features
from vadjax.systems.exemplar.model import Model, to_bytes
from vadjax.systems.exemplar.reasons import Explainer, attributes, describe, dominant
from vadjax.systems.exemplar.scoring import VolumeScores

GRID = Grid((24, 48), (4, 16, 16), (2, 8, 16))  # 2 × 3 regions
CLASSES = ("car", "dog", "person")
STILL = 0.98


def direction(bin_: int, share: float = 1.0) -> np.ndarray:
    """Most goes in one direction, the rest in the opposite one."""
    ang = np.zeros(12, np.float32)
    ang[bin_], ang[(bin_ + 6) % 12] = share, 1 - share
    return ang


def made(ang, mag, bkg, prob=None, app=None) -> Features:
    """Features of volumes [...]; only what explanations read."""
    ang, mag = np.asarray(ang, np.float32), np.asarray(mag, np.float32)
    bkg = np.asarray(bkg, np.float32)[..., None]
    none = np.zeros((*bkg.shape[:-1], 0), np.float32)
    prob = none if prob is None else np.asarray(prob, np.float32)
    times = np.arange(len(bkg)) * GRID.step[0]
    return Features(none if app is None else app, ang, mag, bkg, prob, none, none, times)


def one_volume(ang, mag, bkg, prob=None, classes=CLASSES, still=STILL) -> dict:
    prob = np.zeros(3) if prob is None else prob
    return attributes(made([ang], [mag], [bkg], [prob]), (0,), classes, still)


def test_every_direction_has_its_word():
    words = {}
    for bin_ in range(12):
        found = one_volume(direction(bin_, 0.75), np.full(12, 2.0), 0.5)
        words[bin_] = found["direction"]
        centre = np.deg2rad(30 * bin_ + 15)  # clockwise from the right: down is positive
        x, y = np.cos(centre), np.sin(centre)
        far = np.sin(np.deg2rad(22.5))  # of the border to the next of 8 directions
        down = ("down" if y > 0 else "up") if abs(y) > far else ""
        right = ("right" if x > 0 else "left") if abs(x) > far else ""
        assert words[bin_] == "-".join(filter(None, (down, right)))
    assert ", ".join(words.values()) == (
        "right, down-right, down, down, down-left, left, left, up-left, up, up, up-right, right"
    )


def test_attributes_of_a_moving_volume():
    ang = direction(5, 0.75)
    mag = np.zeros(12)
    mag[5], mag[11] = 2.0, 4.0
    found = one_volume(ang, mag, 0.6, [0.5, 0.49, 0.9])
    assert found["classes"] == ["person", "car"]
    assert found["probability"] == {"car": 0.5, "person": 0.9}
    assert found["direction"] == "left" and found["speed"] == 2.5 and found["moving"] == 40
    assert found["directions"][5] == 0.75 and found["directions"][11] == 0.25
    assert sum(found["directions"]) == 1
    text = "person, car, moving left at 2.5 px/frame, 40% of pixels moving"
    assert describe(found, True) == text
    assert describe(found, False) == text.removeprefix("person, car, ")


@pytest.mark.parametrize(
    ("ang", "bkg", "still", "moves"),
    [
        (direction(0), 0.97, STILL, True),
        (direction(0), 0.985, STILL, False),  # where the gate is off for networks
        (direction(0), 0.985, None, True),
        (direction(0), 1.0, None, False),
        (np.zeros(12), 0.5, STILL, False),  # no direction: nothing to say of it
    ],
)
def test_a_volume_that_stands_still_has_no_direction(ang, bkg, still, moves):
    found = one_volume(ang, np.ones(12), bkg, still=still)
    assert (found["direction"] is not None) == moves
    assert ("not moving" in describe(found, False)) == (not moves)
    if not moves:
        assert describe(found, True) == "unknown object, not moving"


def test_the_dominant_component_is_the_largest_and_others_count_from_half_of_it():
    assert dominant(np.array([0.1, 0.4, 0.8, 0.39]), False) == ("speed", ["speed", "angle"])
    names = ["background", "appearance", "angle", "speed"]
    assert dominant(np.array([0.5, 0.5, 0.5, 1.0]), False) == ("background", names)
    assert dominant(np.array([0.0, 0.0, 0.7, 0.0]), False) == ("speed", ["speed"])
    assert dominant(np.array([0.5, 0.5, 0.1, 0.0]), False)[0] == "appearance"  # the first of equals
    assert dominant(np.zeros(4), False)[1] == []


def test_where_nothing_ever_moved_the_background_says_it():
    assert dominant(np.array([0.3, 0.4, 0.3, 0.1]), True) == ("background", ["background"])
    assert dominant(np.array([0.4, 0.4, 0.3, 0.1]), True)[1] == ["background", "appearance"]
    assert dominant(np.array([2.0, 0.4, 0.3, 0.1]), True) == ("appearance", ["appearance"])


def scene(classes=CLASSES, moving=(0, 1, 2, 4, 5)) -> Model:
    """A model with one exemplar in every region, two in region 4; some of them move."""
    owner = np.array([0, 1, 2, 3, 4, 4, 5])
    moves = np.isin(owner, moving)
    bkg = np.where(moves, 0.9, 1.0)
    ang = np.stack([direction(6) * one for one in moves])
    prob = np.tile([0.6, 0.1, 0.8], (7, 1))[:, : len(classes)]
    own = made(ang, ang * 0.5, bkg, prob)
    return Model(
        *(getattr(own, name) for name in Model._fields[:7]),
        offsets=np.searchsorted(owner, np.arange(7)).astype(np.int32),
        count=np.arange(7, dtype=np.int32) + 10,
        source_sequence=np.array([0, 1, 0, 1, 0, 1, 1], np.int32),
        source_t=np.arange(7, dtype=np.int32) * 4,
        Z=np.ones(4, np.float32),
        threshold=np.float32(0.8),
        names=to_bytes(["01", "02_b"]),
        classes=to_bytes(classes),
    )


def seen(score, terms, nearest, classes=3) -> tuple[Features, VolumeScores]:
    """Three times of the six regions; all move to the right by 3 pixels a frame."""
    ang = np.broadcast_to(direction(0), (3, 6, 12))
    prob = np.broadcast_to([0.9, 0.2, 0.4], (3, 6, 3))[..., :classes]
    own = made(ang, ang * 3.04, np.full((3, 6), 0.604), prob)
    return own, VolumeScores(
        np.asarray(score, np.float32),
        np.broadcast_to(nearest, (3, 6)),
        np.broadcast_to(np.asarray(terms, np.float32), (3, 6, 4)),
    )


NEAREST = np.array([0, 1, 2, 3, 5, 6])


def test_the_sentence_of_the_specification():
    explainer = Explainer(scene(), GRID, STILL)
    own, found = seen(np.full((3, 6), 1.254), [0.1, 0.35, 0.6, 0.204], NEAREST)
    reason = explainer.reason(own, found, 2, 4)
    assert reason["text"] == (
        "frame 6, region (1,1) [16,8,32,24], score 1.25: unusual speed. "
        "Here: car, moving right at 3.0 px/frame, 40% of pixels moving. "
        "Closest normal: person, car, moving left at 0.5 px/frame, 10% of pixels moving "
        "(seen 15 times; training 02_b, frames 20-23)."
    )
    assert reason["frame"] == 6 and reason["frames"] == [4, 8] and reason["region"] == [1, 1]
    assert reason["box"] == [16, 8, 32, 24] and reason["score"] == 1.254
    assert reason["dominant"] == "speed" and reason["also"] == ["angle"]
    assert reason["terms"] == {"appearance": 0.1, "angle": 0.35, "speed": 0.6, "background": 0.204}
    assert not reason["never_moved"]
    normal = reason["normal"]
    assert normal["region"] == [1, 1] and normal["box"] == [16, 8, 32, 24]
    assert normal["count"] == 15 and normal["sequence"] == "02_b" and normal["frames"] == [20, 24]


def test_without_an_appearance_network_no_object_is_named():
    explainer = Explainer(scene(()), GRID, STILL)
    own, found = seen(np.ones((3, 6)), [0, 0.3, 0.6, 0.2], NEAREST, classes=0)
    text = explainer.reason(own, found, 0, 0)["text"]
    assert "Here: moving right at 3.0" in text and "Closest normal: moving left" in text
    assert "unknown" not in text


def test_what_was_seen_once_is_not_seen_1_times():
    model = scene()
    model.count[0] = 1
    own, found = seen(np.ones((3, 6)), [0, 0.3, 0.6, 0.2], NEAREST)
    assert (
        "(seen once; training 01, frames 0-3)"
        in (Explainer(model, GRID, STILL).reason(own, found, 0, 0)["text"])
    )


def test_motion_where_only_standing_things_are_normal_is_said():
    explainer = Explainer(scene(), GRID, STILL)
    own, found = seen(np.ones((3, 6)), [0.1, 0.3, 0.4, 0.2], NEAREST)
    reason = explainer.reason(own, found, 0, 3)
    assert reason["never_moved"] and reason["dominant"] == "background" and reason["also"] == []
    assert reason["text"].endswith("frames 12-15). No motion was ever seen here.")
    assert "Closest normal: person, car, not moving (seen 13 times" in reason["text"]
    standing = own._replace(bkg=np.ones_like(own.bkg))
    reason = explainer.reason(standing, found, 0, 3)
    assert not reason["never_moved"] and reason["dominant"] == "speed"
    assert reasons.NO_MOTION not in reason["text"].lower()


@pytest.mark.parametrize(
    ("moving", "reach", "still"),
    [
        ((0, 1, 2, 4), 0, [3, 5]),
        ((2,), 1, [0, 3]),  # row 0, column 2: two columns away from them
        ((2,), 2, []),
        ((), 1, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_region_has_seen_motion_if_one_whose_exemplars_count_has(moving, reach, still):
    explainer = Explainer(scene(moving=moving), GRID, STILL, reach)
    assert np.flatnonzero(explainer.stationary).tolist() == still


def test_one_moving_exemplar_of_several_is_motion_seen():
    model = scene(moving=())
    model.bkg[5] = 0.5  # the second of region 4
    assert np.flatnonzero(~Explainer(model, GRID, STILL).stationary).tolist() == [4]


def test_reasons_come_by_time_and_region_from_the_flag_on():
    score = np.zeros((3, 6))
    score[0, 4] = score[0, 1] = score[2, 0] = 2.0
    score[1, 3] = 1.99
    own, found = seen(score, [0.1, 0.3, 0.4, 0.2], NEAREST)
    explainer = Explainer(scene(), GRID, STILL)
    told = list(explainer.of(own, found, 2.0))
    assert [(one["frames"][0], one["region"]) for one in told] == [
        (0, [0, 1]),
        (0, [1, 1]),
        (4, [0, 0]),
    ]
    assert json.loads(json.dumps(told)) == told
    assert list(explainer.of(own, found, 9.0)) == []


def told(score: float, start: int, row: int, column: int) -> dict:
    return {"score": score, "frames": [start, start + 4], "region": [row, column]}


def test_the_strongest_are_about_different_places_or_times():
    all_of = [
        told(1.0, 0, 0, 0),
        told(3.0, 2, 1, 3),  # the strongest
        told(2.9, 9, 1, 3),  # less than a volume later
        told(2.8, 10, 1, 3),  # a volume later
        told(2.7, 2, 1, 6),  # three columns away
        told(2.6, 2, 1, 7),  # four
        told(2.5, 2, 5, 3),  # four rows away
    ]
    assert events.strongest(all_of, 9) == [1, 3, 5, 6]
    assert events.strongest(all_of, 2) == [1, 3]
    assert events.strongest(all_of, 0) == [] and events.strongest([], 3) == []
    assert events.strongest([told(1, 0, 0, 0), told(1, 90, 0, 0)], 1) == [0]  # the first of equals


class Clip:
    """A video whose frames are as grey as their numbers, plus a base."""

    def __init__(self, frames: int, base: int = 0):
        self.num_frames, self.base = frames, base

    def __getitem__(self, number: int) -> np.ndarray:
        assert 0 <= number < self.num_frames
        return np.full((2, 2, 3), self.base + number, np.uint8)


def test_examples_show_the_middle_of_both_volumes():
    explainer = Explainer(scene(), GRID, STILL)
    score = np.zeros((3, 6))
    score[0, 0], score[2, 5] = 2.0, 3.0  # of training videos 01 and 02_b
    own, found = seen(score, [0.1, 0.3, 0.4, 0.2], NEAREST)
    reasons_ = list(explainer.of(own, found, 1.0))
    training = {"01": Clip(8, 100), "02_b": Clip(26, 200)}  # its volume 24-27 was padded
    shown = events.examples(reasons_, Clip(5), training, 3)
    assert shown.reason.tolist() == [1]  # both are near each other
    assert shown.seen[0, 0, 0, 0] == 4  # frame 6 of a padded video of 5
    assert shown.normal[0, 0, 0, 0] == 200 + 25
    only = {"01": training["01"]}
    assert events.examples(reasons_, Clip(5), only, 3) is None
    assert events.examples(reasons_[:1], Clip(5), only, 3).normal[0, 0, 0, 0] == 102
    assert events.examples([], Clip(5), training, 3) is None
