"""Selection, merging and scoring of EVAL by its own road: golden, by brute force (eval §5-7)."""

import functools

import numpy as np
import pytest

from vadjax.ops.distance import Exemplars, Metric
from vadjax.runtime import mesh
from vadjax.runtime.cache import RunCache
from vadjax.systems.exemplar import model, scoring
from vadjax.systems.exemplar.features import Features
from vadjax.systems.exemplar.files import StageFiles
from vadjax.systems.exemplar.space import Space

COMPONENTS = ("app", "ang", "mag", "bkg")
SPACE = Space("appearance_motion", "outputs", ("all",))
RELATIVE, ABSOLUTE = 1e-5, 5e-4  # golden README
STEP = 5  # frames between volumes


def as_features(parts: dict[str, np.ndarray]) -> Features:
    """Features of arrays [R, N, D] by component."""
    parts = {name: part.swapaxes(0, 1) for name, part in parts.items()}
    empty = np.zeros((*parts["bkg"].shape[:2], 0), np.float32)
    times = np.arange(len(empty)) * STEP
    return Features(**parts, app_prob=empty, speeds=empty, hidden=empty, t_start=times)


def golden_cases(golden):
    files = sorted((golden / "eval").glob("*exemplars_*.npz"))
    assert files
    for file in files:
        with np.load(file) as case:
            yield file.stem, dict(case)


@pytest.fixture(scope="module")
def sharding():
    return mesh.by_row(mesh.make(1, 1))


@pytest.mark.golden
def test_golden_exemplars_through_files(golden, tmp_path, monkeypatch):
    for name in ("select", "merge"):  # with room for all at once: half as much is compiled
        roomy = functools.partial(getattr(model.distance, name), capacity=64)
        monkeypatch.setattr(model.distance, name, roomy)
    for name, case in golden_cases(golden):
        train = [
            as_features({c: case[f"train_{c}"][:, s] for c in COMPONENTS})
            for s in range(case["train_bkg"].shape[1])
        ]
        rows = np.concatenate([SPACE.rows(one).reshape(-1, sum(SPACE.sizes(one))) for one in train])
        scales = SPACE.scales(rows, SPACE.sizes(train[0]))
        np.testing.assert_allclose(scales, [case[f"Z_{c}"] for c in COMPONENTS], RELATIVE)
        metric = SPACE.metric(SPACE.sizes(train[0]), scales)
        for i, th in enumerate(case["thresholds"].tolist()):
            files = StageFiles(RunCache(tmp_path / f"{name}_{i}"), "golden")
            meta = {"threshold": th}
            for s, one in enumerate(train):
                found, own = model.select(one, SPACE, metric, th)
                files.write_clusters(f"{s:02}", found, own, meta)
            parts = [files.read_clusters(f"{s:02}", meta) for s in range(len(train))]
            merged = model.merge(parts, SPACE, metric, th)
            check_exemplars(case, i, [found for found, _ in parts], merged)
            check_scores(case, i, merged, metric)


def check_exemplars(case, i: int, chosen: list[Exemplars], merged: dict) -> None:
    """Indices, counts and merged order are those of the golden file, and the features belong."""
    for r in range(len(merged["offsets"]) - 1):
        for s, one in enumerate(chosen):
            own = slice(one.offsets[r], one.offsets[r + 1])
            np.testing.assert_array_equal(one.index[own], case[f"t{i}_r{r}_s{s}_idx"])
            np.testing.assert_array_equal(one.count[own], case[f"t{i}_r{r}_s{s}_count"])
        own = slice(merged["offsets"][r], merged["offsets"][r + 1])
        sequence, index = case[f"t{i}_r{r}_merged_seq"], case[f"t{i}_r{r}_merged_idx"]
        np.testing.assert_array_equal(merged["source_sequence"][own], sequence)
        np.testing.assert_array_equal(merged["source_t"][own], index * STEP)
        np.testing.assert_array_equal(merged["count"][own], case[f"t{i}_r{r}_merged_count"])
        for c in COMPONENTS:
            np.testing.assert_array_equal(merged[c][own], case[f"train_{c}"][r, sequence, index])


def check_scores(case, i: int, merged: dict, metric: Metric) -> None:
    """Scores, nearest and terms are those of the golden file within its tolerance."""
    test = as_features({c: case[f"test_{c}"] for c in COMPONENTS})
    exemplars = SPACE.rows(model.as_features(merged))
    offsets = merged["offsets"]
    found = scoring.score(SPACE.rows(test), exemplars, offsets, metric, 1)
    for r in range(len(offsets) - 1):
        score, terms = case[f"t{i}_r{r}_test_score"], case[f"t{i}_r{r}_test_component"]
        np.testing.assert_allclose(found.score[:, r], score, RELATIVE, ABSOLUTE)
        np.testing.assert_allclose(found.score[:, r], score, RELATIVE, 1e-6)
        same = found.nearest[:, r] - offsets[r] == case[f"t{i}_r{r}_test_nn"]
        assert same[case[f"t{i}_r{r}_test_nn_gap"] > ABSOLUTE].all()
        np.testing.assert_allclose(found.terms[same, r], terms[same], RELATIVE, ABSOLUTE)


SIZES, ROWS, COLUMNS = (3, 4, 2, 1), 3, 4
METRIC = Metric(SIZES, (2.0, 1.5, 1.0, 1.0))


def random_case(seed: int, volumes: int = 5):
    """Volumes of a grid of 3 × 4 regions, and one to four exemplars of each region."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, ROWS * COLUMNS)
    exemplars = rng.normal(0, 1, (counts.sum(), sum(SIZES))).astype(np.float32)
    rows = rng.normal(0, 1, (volumes, ROWS * COLUMNS, sum(SIZES))).astype(np.float32)
    return rows, exemplars, np.concatenate([[0], np.cumsum(counts)])


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_nearest_of_the_regions_around_by_brute_force(reach):
    rows, exemplars, offsets = random_case(reach)
    found = scoring.score(rows, exemplars, offsets, METRIC, COLUMNS, reach)
    owner = np.repeat(np.arange(ROWS * COLUMNS), np.diff(offsets))
    y, x = np.divmod(owner, COLUMNS)
    for region in range(ROWS * COLUMNS):
        row, column = divmod(region, COLUMNS)
        near = np.flatnonzero((abs(y - row) <= reach) & (abs(x - column) <= reach))
        for time in range(len(rows)):
            terms = METRIC.terms(rows[time, region], exemplars[near])
            best = terms.sum(-1).argmin()
            assert found.nearest[time, region] == near[best]
            np.testing.assert_allclose(found.score[time, region], terms[best].sum(), 1e-5)
            np.testing.assert_allclose(found.terms[time, region], terms[best], 1e-5, 1e-6)
    assert found.score.shape == (5, 12) and found.score.dtype == np.float32


def test_of_equal_distances_the_own_region_wins():
    rows, exemplars, offsets = random_case(3, volumes=2)
    exemplars[:] = exemplars[0]  # all regions have the same
    found = scoring.score(rows, exemplars, offsets, METRIC, COLUMNS, 1)
    np.testing.assert_array_equal(found.nearest, np.broadcast_to(offsets[:-1], (2, 12)))


@pytest.mark.parametrize("volumes", [1, scoring.TIMES, scoring.TIMES + 1])
def test_padding_in_time_changes_nothing(volumes):
    rows, exemplars, offsets = random_case(4, scoring.TIMES + 1)
    whole = scoring.score(rows, exemplars, offsets, METRIC, COLUMNS, 1)
    part = scoring.score(rows[:volumes], exemplars, offsets, METRIC, COLUMNS, 1)
    np.testing.assert_array_equal(part.nearest, whole.nearest[:volumes])
    np.testing.assert_allclose(part.score, whole.score[:volumes], 1e-6)
    np.testing.assert_allclose(part.terms, whole.terms[:volumes], 1e-5, 1e-7)


def test_names_survive_as_bytes():
    for names in ([], ["a"], ["Prüfung_01", "b", "ein langer Name"]):
        assert model.from_bytes(model.to_bytes(names)) == names


def test_the_table_of_exemplars_has_every_region_and_the_total():
    offsets = np.cumsum([0, 3, 1, 1200, 1, 2, 3])
    lines = model.describe(offsets, 3).split("\n")
    assert [line.split()[2:] for line in lines[:-1]] == [["3", "1", "1,200"], ["1", "2", "3"]]
    assert lines[-1] == "1,210 exemplars in 6 regions"
    assert len({len(line) for line in lines[:-1]}) == 1


def parts_of(count: int, seed: int = 0) -> Features:
    """Random features of `count` times of two regions."""
    rng = np.random.default_rng(seed)
    widths = {"app": 3, "ang": 12, "mag": 12, "bkg": 1, "app_prob": 2, "speeds": 4, "hidden": 384}
    made = {name: rng.uniform(0, 1, (count, 2, n)).astype(np.float32) for name, n in widths.items()}
    return Features(**made, t_start=np.arange(count))


def test_what_is_compared():
    own = parts_of(4)
    still = Space("motion", "outputs", ("all",)).rows(own)
    np.testing.assert_array_equal(
        still, np.concatenate([own.app, own.ang, own.mag, own.bkg], -1), strict=True
    )
    robust = Space("motion", "robust", ("p99", "moving"))
    assert robust.sizes(own) == (3, 12, 2, 1)
    moving = own.ang * (1 - own.bkg)
    chosen = own.speeds[..., [2, 0]]
    expected = np.concatenate([own.app, moving, chosen, own.bkg], -1)
    np.testing.assert_array_equal(robust.rows(own), expected)
    hidden = Space("appearance_motion", "penultimate", ("all",))
    assert hidden.sizes(own) == (3, 128, 128, 128)
    np.testing.assert_array_equal(hidden.rows(own)[..., 3:], own.hidden)
    blind = own._replace(app=own.app[..., :0])
    assert Space("motion", "outputs", ("all",)).sizes(blind) == (1, 12, 12, 1)
    assert not Space("motion", "outputs", ("all",)).rows(blind)[..., 0].any()


def test_a_component_that_never_changes_has_scale_one():
    space, own = Space("motion", "outputs", ("all",)), parts_of(6)
    own = own._replace(bkg=np.ones_like(own.bkg), app=own.app[..., :0])
    scales = space.scales(space.rows(own).reshape(12, -1), space.sizes(own))
    assert scales[0] == scales[3] == 1 and scales.dtype == np.float32
    pairs = own.ang.reshape(12, 12)
    largest = max(np.linalg.norm(a - b) for a in pairs for b in pairs)
    np.testing.assert_allclose(scales[1], largest, 1e-6)


def test_a_threshold_of_zero_keeps_every_distinct_volume_and_a_large_one_keeps_the_first(sharding):
    space, own = Space("motion", "outputs", ("all",)), parts_of(6)
    own = Features(*(part[[0, 1, 1, 2, 0, 3]] for part in own[:-1]), np.arange(6))
    metric = space.metric(space.sizes(own), np.ones(4))
    every, arrays = model.select(own, space, metric, 0.0, sharding)
    assert every.index.tolist() == [0, 1, 3, 5] * 2 and every.count.tolist() == [2, 2, 1, 1] * 2
    np.testing.assert_array_equal(arrays["bkg"], own.bkg[[0, 1, 3, 5]].swapaxes(0, 1).reshape(8, 1))
    assert arrays["source_t"].tolist() == [0, 1, 3, 5] * 2
    first, _ = model.select(own, space, metric, 1e3, sharding)
    assert first.index.tolist() == [0, 0] and first.count.tolist() == [6, 6]
    merged = model.merge([(first, _), (every, arrays)], space, metric, 1e3, sharding)
    assert merged["count"].tolist() == [12, 12] and merged["source_sequence"].tolist() == [0, 0]
    rows, exemplars = space.rows(own), space.rows(model.as_features(merged))
    found = scoring.score(rows, exemplars, merged["offsets"], metric, 2, sharding=sharding)
    assert found.nearest.tolist() == [[0, 1]] * 6 and not found.score[[0, 4]].any()
