"""The arithmetic of attributes equals the golden numbers (their README has the recipes)."""

import cv2
import ml_collections
import numpy as np
import pytest

from tests.helpers.places import real_data
from vadjax.ops.flow import make_flow
from vadjax.systems.attributes import (
    bank,
    camera,
    density,
    folds,
    mixture,
    motion,
    smoothing,
    values,
)
from vadjax.systems.attributes.calibration import calibrate
from vadjax.systems.attributes.learn import frame_scores, fuse

FPS = 10.0
NEWEST_FLOW = cv2.__version__.startswith("5.0.")  # of which the golden flow is

pytestmark = pytest.mark.golden


def near(found, wanted, name, tolerance=1e-9):
    """Within the tolerance of the value, or absolutely, whichever is larger."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape, name
    assert (np.abs(found - wanted) <= tolerance * np.maximum(np.abs(wanted), 1)).all(), name


def column(row):
    return np.asarray(row)[:, None]


def tables(golden) -> list:
    """The files of made object tables."""
    found = [dict(np.load(path)) for path in sorted((golden / "attributes").glob("*.npz"))]
    return [table for table in found if "held_frame_smooth" in table]


def held_out(video, frame, lengths, speed, look, most):
    """Novelties of every object by a model that never saw its video."""
    novelty = {"speed": np.full(len(video), np.nan), "look": np.full(len(video), np.nan)}
    for fold in folds.folds(video, frame, lengths, FPS):
        fitted = mixture.fit(column(speed[fold.fitted])).mixture
        novelty["speed"][fold.judged] = fitted.novelty(column(speed[fold.judged]))
        rows = look[fold.fitted]
        chosen, _ = bank.farthest_first(rows, most)
        novelty["look"][fold.judged], _ = bank.nearest(look[fold.judged], rows[chosen])
    return novelty


def test_mixtures(golden):
    assert tables(golden)
    for case in tables(golden):
        fit = mixture.fit(column(case["speed"]))
        for key, found in zip(("weights", "means", "covs"), fit.mixture, strict=True):
            near(found, case[f"gmm_{key}"], key)
        near(fit.log_likelihood, case["gmm_mean_loglik"], "likelihood")
        assert fit.steps == case["gmm_steps"]
        near(fit.mixture.novelty(column(case["test_speed"])), case["nll_test"], "nll")
        two = np.stack([case["speed"], case["height"] / 30], 1)
        fit = mixture.fit(two, 3)
        for key, found in zip(("weights", "means", "covs"), fit.mixture, strict=True):
            near(found, case[f"gmm2_{key}"], key)
        assert fit.steps == case["gmm2_steps"]
        near(fit.mixture.novelty(two[:50]), case["nll2_first50"], "nll2")


def test_banks(golden):
    for case in tables(golden):
        most = len(case["exemplars_farthest"])
        chosen, radius = bank.farthest_first(case["look"], most)
        np.testing.assert_array_equal(chosen, case["exemplars_farthest"])
        near(radius, case["radius"], "radius")
        distance, index = bank.nearest(case["test_look"], case["look"][chosen])
        near(distance, case["look_distance"], "distance")
        np.testing.assert_array_equal(chosen[index], case["look_nearest"])


def test_greedy_banks(golden):
    """As `bank.selection = "greedy"` chooses, at the threshold of the recipe."""
    options = ml_collections.ConfigDict({"selection": "greedy", "most": 5000, "threshold": 0.5})
    for case in tables(golden):
        chosen = density.choose(case["look"], options, 0)
        np.testing.assert_array_equal(chosen, case["exemplars_greedy"])


def test_calibration_and_scores(golden):
    for case in tables(golden):
        video, frame, most = case["vid"], case["frame"], len(case["exemplars_farthest"])
        lengths = np.full(video.max() + 1, case["held_frame_smooth"].shape[1])
        novelty = held_out(video, frame, lengths, case["speed"], case["look"], most)
        calibrated = {}
        for name, own in novelty.items():
            near(own, case[f"held_{name}"], name)
            table = calibrated[name] = calibrate(own)
            near(table.quantiles[::100], case[f"{name}_table_every100"], name)
            near(table.quantiles[-1], case[f"{name}_u"], name)
            near(table.excess, case[f"{name}_beta"], name)
            near(table.cap, case[f"{name}_cap"], name)
        judged = {"speed": case["nll_test"], "look": case["look_distance"]}
        evidence = {name: calibrated[name].evidence(own) for name, own in judged.items()}
        for name, own in evidence.items():
            near(own, case[f"evidence_{name}"], name)
        score = fuse(evidence, "sum")
        near(score, case["object_score"], "score")
        frames = frame_scores(score, case["test_frame"], len(case["frame_score"]))
        near(frames, case["frame_score"], "frames")
        for key in case:
            if key.startswith("smooth_gauss"):  # the deviation, in frames
                near(smoothing.gaussian(frames, 2 * float(key[12:])), case[key], key)
            elif key.startswith("smooth_ema"):
                near(smoothing.live(frames, 2 * float(key[10:])), case[key], key)
        score = fuse({n: calibrated[n].evidence(own) for n, own in novelty.items()}, "sum")
        smooth = [
            smoothing.gaussian(frame_scores(score[video == v], frame[video == v], lengths[v]), FPS)
            for v in range(len(lengths))
        ]
        near(np.stack(smooth), case["held_frame_smooth"], "held frames")
        near(smoothing.alarm_line(np.concatenate(smooth)), case["threshold"], "line")


@pytest.fixture
def edges(golden):
    return dict(np.load(golden / "attributes" / "edge_cases.npz"))


def test_mixtures_of_few_and_of_equal_objects(edges):
    at = column([0.5, 1, 2])
    for key in [key for key in edges if key.startswith("few") and "_" not in key]:
        fit = mixture.fit(column(edges[key]))
        for part, found in zip(("weights", "means", "covs"), fit.mixture, strict=True):
            near(found, edges[f"{key}_{part}"], key)
        near(fit.mixture.novelty(at), edges[f"{key}_nll"], key)
        near(fit.log_likelihood, edges[f"{key}_mean_loglik"], key)
        assert fit.steps == edges[f"{key}_steps"]
    many = np.abs(np.random.default_rng(45001).normal(1, 0.35, 45001))
    near(mixture.fit(column(many)).mixture.novelty(at), edges["many_nll"], "many")
    same = mixture.fit(np.full((200, 1), 1.5)).mixture
    near(same.covariances, edges["constant_covs"], "constant")
    near(same.novelty(column([1.5, 1.6])), edges["constant_nll"], "constant")


def test_calibration_of_equal_novelties(edges):
    table = calibrate(edges["ties"])
    near(table.quantiles[::100], edges["ties_table_every100"], "ties")
    near(
        [table.quantiles[-1], table.excess, table.cap],
        [edges["ties_u"], edges["ties_beta"], edges["ties_cap"]],
        "ties",
    )
    near(table.evidence(edges["at"]), edges["ties_evidence"], "ties")
    table = calibrate(np.full(500, 0.7))
    near([table.quantiles[-1], table.excess], [edges["flat_u"], edges["flat_beta"]], "flat")
    near(table.evidence(edges["flat_at"]), edges["flat_evidence"], "flat")


def test_geometry(edges):
    count, size = int(edges["geometry_train"]), tuple(edges["geometry_size"])
    rows = values.geometry(edges["geometry_boxes"], size)
    deviations = values.deviations(rows[:count])
    near(deviations, edges["geometry_sd"], "deviations")
    rows = rows / deviations
    chosen, _ = bank.farthest_first(rows[:count], len(edges["geometry_bank"]))
    np.testing.assert_array_equal(chosen, edges["geometry_bank"])
    distance, index = bank.nearest(rows[count:], rows[chosen])
    near(distance, edges["geometry_distance"], "distance")
    np.testing.assert_array_equal(chosen[index], edges["geometry_nearest"])


def test_whether_speeds_are_divided_by_heights(edges):
    for key in ("weak", "strong"):
        height, speed = edges[f"height_{key}"], edges[f"height_{key}_speed"]
        divides, correlation = values.divides("auto", speed, height)
        near(correlation, edges[f"height_{key}_spearman"], key)
        assert divides == edges[f"height_{key}_divide"]
    assert values.divides("no", speed, height)[0] is False
    assert values.divides("auto", np.ones(9), np.arange(9.0)) == (False, 0.0)


def test_one_video_alone(edges):
    frame, length = edges["one_frame"], len(edges["one_smooth"])
    nothing = np.zeros(len(frame), int)
    novelty = held_out(
        nothing, frame, np.array([length]), edges["one_speed"], edges["one_look"], 40
    )
    for name, own in novelty.items():
        near(own, edges[f"one_held_{name}"], name)
    score = fuse({name: calibrate(own).evidence(own) for name, own in novelty.items()}, "sum")
    near(score, edges["one_object_score"], "score")
    frames = frame_scores(score, frame, length)
    smooth, live = smoothing.gaussian(frames, FPS), smoothing.live(frames, FPS)
    near(smooth, edges["one_smooth"], "smooth")
    near(live, edges["one_live"], "live")
    near(smoothing.alarm_line(smooth), edges["one_threshold"], "line")
    near(smoothing.alarm_line(live), edges["one_threshold_live"], "line live")


def test_alarm_intervals(edges):
    keys = [key for key in edges if key.startswith("events_fps")]
    assert keys
    for key in keys:
        found = smoothing.intervals(edges["reported"], float(key.removeprefix("events_fps")))
        np.testing.assert_array_equal(found, edges[key], err_msg=key)


def as_set(boxes) -> list:
    return sorted(np.asarray(boxes, float).tolist())


def test_moving_boxes_of_made_frames(golden):
    case = dict(np.load(golden / "attributes" / "motion_made.npz"))
    mask = motion.changed(case["before"], case["after"])
    assert as_set(motion.moving_boxes(mask, np.zeros((0, 4)))) == as_set(case["motion"])
    assert as_set(motion.moving_boxes(mask, case["box"])) == as_set(case["motion_with_box"])


def test_objects_of_real_frames(golden):
    paths = sorted((golden / "attributes").glob("objects_*.npz"))
    assert paths
    for path in paths:
        case = dict(np.load(path))
        split, video, frame = str(case["frame"]).split("/")
        folder = real_data("ucsd_ped2") / split / "frames" / video
        number = int(frame)
        grey = [cv2.imread(str(folder / f"{n:03d}.jpg"), 0) for n in (number - 1, number)]
        mask = motion.changed(*grey)
        assert as_set(motion.moving_boxes(mask, case["detected"])) == as_set(case["motion"])
        assert as_set(motion.moving_boxes(mask, np.zeros((0, 4)))) == as_set(case["motion_alone"])
        flow = make_flow("dis")(*grey)
        near(flow[::20, ::20], case["flow_every20"], "flow", 1e-3 if NEWEST_FLOW else 0.03)
        boxes = np.concatenate([case["detected"], case["motion"]])
        moved = motion.motions(flow, boxes)
        for name, found in moved._asdict().items():
            near(found, case[name], name, 1e-3 if NEWEST_FLOW else 0.02)
        if NEWEST_FLOW:
            size = flow.shape[:2]
            added = (flow + camera.field(case["camera_added"], size)).astype(np.float32)
            fitted = camera.fit(added, case["detected"])
            near(fitted, case["camera_fit"], "camera", 1e-5)
            left = motion.motions(added - camera.field(fitted, size), boxes)
            near(left.speed, case["speed_compensated"], "compensated", 1e-5)
