import jax
import numpy as np
import pytest
from jax import export

from vadjax.ops.distance import (
    COMPONENTS,
    VERSIONS,
    Exemplars,
    Metric,
    kernels,
    largest_distances,
    merge,
    nearest,
    scoring,
    select,
    selection,
)
from vadjax.runtime import mesh

SIZES, SCALES = (40, 5, 3, 1), (8.0, 4.0, 2.0, 1.0)
METRIC = Metric(SIZES, SCALES)
LOWEST, RELATIVE, ABSOLUTE = 1.9e-4, 1e-5, 5e-4  # golden README: margin, scores


def by_the_rule(x, th, scales=SCALES, sizes=SIZES, weights=None):
    """Spec §6 for one region, a volume and an exemplar at a time, in plain float64."""
    x, kept, count = np.asarray(x, np.float64), [], []
    ends = np.cumsum(sizes)
    for i, volume in enumerate(x):
        best, at = np.inf, -1
        for j, k in enumerate(kept):
            total = 0.0
            for end, size, scale in zip(ends, sizes, scales, strict=True):
                difference = volume[end - size : end] - x[k][end - size : end]
                total += np.sqrt((difference * difference).sum()) / scale
            if total < best:
                best, at = total, j
        weight = 1 if weights is None else weights[i]
        if best > th:
            kept.append(i)
            count.append(weight)
        else:
            count[at] += weight
    return kept, count


def agree(found, x, th, lengths=None, **options):
    lengths = [len(x[0])] * len(x) if lengths is None else lengths
    for r, (a, b) in enumerate(zip(found.offsets, found.offsets[1:], strict=False)):
        kept, count = by_the_rule(x[r][: lengths[r]], th, **options)
        assert found.index[a:b].tolist() == kept, r
        assert found.count[a:b].tolist() == count, r


def clusters(regions=4, volumes=90, modes=6, spread=0.15, seed=0):
    """Volumes near a few modes, some of them repeated exactly."""
    rng = np.random.default_rng(seed)
    middle = np.random.default_rng(100).normal(size=(regions, modes, METRIC.width))
    which = rng.integers(0, modes, (regions, volumes))
    x = np.take_along_axis(middle, which[..., None], 1)
    x = (x + spread * rng.normal(size=x.shape)).astype(np.float32)
    x[:, volumes // 2 :: 3] = x[:, : volumes // 2 : 3][:, : len(x[0, volumes // 2 :: 3])]
    return x


def lattice(regions=5, volumes=120, seed=0):
    """Volumes whose distances are multiples of 1/8, exactly, in any arithmetic: ties abound."""
    rng = np.random.default_rng(seed)
    x = np.zeros((regions, volumes, METRIC.width), np.float32)
    for column in (3, 40, 45, 48):  # one feature of each component
        x[..., column] = rng.integers(0, 4, (regions, volumes))
    return x


@pytest.mark.parametrize("th", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_same_exemplars_as_one_volume_at_a_time(th, seed):
    x = clusters(seed=seed)
    agree(select(x, METRIC, th, capacity=128), x, th)


@pytest.mark.parametrize("th", [0.0, 0.125, 0.5, 1.0, 1.25, 2.0])
def test_ties_and_distances_of_exactly_the_threshold(th):
    x = lattice()
    exact = [METRIC.distances(one, one) for one in x]
    assert all((one == th).sum() > 50 for one in exact)
    agree(select(x, METRIC, th, capacity=128), x, th)
    assert (by_the_rule(x[0], th) != by_the_rule(x[0], np.nextafter(th, -1))) or th > 1.25


@pytest.mark.parametrize("relative", [0, 1e-15, 1e-12, 1e-9, 1e-7])
def test_distances_closer_to_the_threshold_than_float32_can_tell(relative):
    x = clusters(regions=8, volumes=40, spread=0.6)
    for k, sign in enumerate((1, -1, 1, -1)):
        th = METRIC.distances(x[k, :1], x[k, 5 + k : 6 + k]).item() * (1 + sign * relative)
        agree(select(x, METRIC, th), x, th)


def test_unsure_volumes_are_decided_again_in_float64(monkeypatch):
    x = clusters(regions=2, volumes=40, spread=0.6)
    between = [METRIC.distances(x[0, :1], x[0, k : k + 1]).item() for k in range(1, 40)]
    thresholds = [d * (1 + s * 1e-9) for d in between for s in (-1, 1)]
    wanted = [by_the_rule(x[0], th)[0] for th in thresholds]

    def right():
        found = [select(x[:1], METRIC, th, capacity=64).index.tolist() for th in thresholds]
        return sum(a == b for a, b in zip(found, wanted, strict=True))

    assert right() == len(thresholds)
    monkeypatch.setattr(selection, "_decide_again", lambda *_: None)
    assert right() < len(thresholds)  # float32 alone does err here


@pytest.mark.parametrize("large", [1.0, 1e4])
def test_intervals_hold_the_true_distance(large):
    x = clusters(regions=3, volumes=60, spread=1e-3) + np.float32(large)
    y = x - x.mean(1, keepdims=True)
    low, high = jax.jit(kernels.bounds, static_argnums=3)(y, y, np.float32(SCALES), METRIC.spans)
    exact = np.stack([METRIC.distances(one, one) for one in np.asarray(y)])
    assert (low <= exact).all() and (exact <= high).all()
    assert np.quantile(high - low, 0.4) < 0.01


@pytest.mark.parametrize(
    ("th", "options"),
    [
        (0.6, {"block": 1}),
        (0.6, {"block": 7}),
        (0.6, {"block": 1000}),
        (1.0, {"capacity": 1}),
        (1.0, {"capacity": 4}),
        (1.0, {"capacity": 1000}),
    ],
)
def test_block_and_capacity_change_nothing(th, options):
    x = clusters(regions=5, volumes=60)
    agree(select(x, METRIC, th, **options), x, th)


def test_overflow_is_detected_and_done_again_with_more_room(monkeypatch):
    x = clusters(regions=6, volumes=60)
    x[1] = x[1, :1]  # one exemplar: fits at once
    sizes, compiled = [], kernels.compiled

    def spy(kernel, *arguments, **static):
        function = compiled(kernel, *arguments, **static)

        def run(*inputs):
            found = function(*inputs)
            sizes.append((static["capacity"], len(inputs[0]), int(found[0].max())))
            return found

        return run

    monkeypatch.setattr(kernels, "compiled", spy)
    found = select(x, METRIC, 0.6, capacity=2)
    agree(found, x, 0.6)
    assert np.diff(found.offsets).max() > 8
    assert [size for size, _, _ in sizes[:4]] == [2, 4, 8, 16]
    assert all(most > size for size, _, most in sizes[:-1]) and sizes[-1][2] <= sizes[-1][0]
    assert {regions for _, regions, _ in sizes[:2]} == {8}  # five or six, filled to eight


@pytest.mark.parametrize(("regions", "capacity"), [(1, 16), (5, 8), (8, 16), (11, 16)])
def test_eight_devices_find_what_one_finds(regions, capacity):
    assert jax.device_count() == 8
    rows = mesh.by_row(mesh.make(8))
    assert rows.mesh.size == 8
    x, test = clusters(regions), clusters(regions, 50, seed=1)
    one, eight = (select(x, METRIC, 0.8, capacity=capacity, sharding=s) for s in (None, rows))
    agree(eight, x, 0.8)
    assert 8 < np.diff(one.offsets).max() <= 16  # so that with room for 8 some are done again
    exemplars = x[np.repeat(np.arange(regions), np.diff(one.offsets)), one.index]
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_array_equal(a, b)
    alone, shared = (
        nearest(test, exemplars, one.offsets, METRIC, sharding=s) for s in (None, rows)
    )
    np.testing.assert_array_equal(alone.index, shared.index)
    np.testing.assert_allclose(alone.score, shared.score, rtol=1e-6)


def test_regions_of_different_lengths_and_weights():
    x, lengths = clusters(regions=5, volumes=60), np.array([1, 60, 13, 32, 59])
    weights = np.random.default_rng(0).integers(1, 1000, x.shape[:2])
    found = select(x, METRIC, 0.5, lengths, weights)
    poisoned = np.where((np.arange(60) < lengths[:, None])[..., None], x, np.nan)
    for one in (found, select(poisoned, METRIC, 0.5, lengths, weights)):
        for r, (a, b) in enumerate(zip(one.offsets, one.offsets[1:], strict=False)):
            part = slice(lengths[r])
            kept, count = by_the_rule(x[r, part], 0.5, weights=weights[r, part])
            assert (one.index[a:b].tolist(), one.count[a:b].tolist()) == (kept, count)


def test_merging_is_selection_over_the_exemplars_one_sequence_after_the_other():
    x, th = [clusters(volumes=n, seed=n) for n in (40, 26, 60)], 0.5
    chosen = [select(one, METRIC, th) for one in x]
    merged = merge(x, chosen, METRIC, th)
    flat = [
        one[np.repeat(np.arange(4), np.diff(c.offsets)), c.index]
        for one, c in zip(x, chosen, strict=True)
    ]
    for a, b in zip(merged, merge(flat, chosen, METRIC, th), strict=True):
        np.testing.assert_array_equal(a, b)
    for r in range(4):
        candidates, weights = [], []
        for s, c in enumerate(chosen):
            own = slice(c.offsets[r], c.offsets[r + 1])
            candidates += [(s, i) for i in c.index[own]]
            weights += c.count[own].tolist()
        kept, count = by_the_rule([x[s][r, i] for s, i in candidates], th, weights=weights)
        own = slice(merged.offsets[r], merged.offsets[r + 1])
        pairs = list(zip(merged.sequence[own], merged.index[own], strict=True))
        assert pairs == [candidates[k] for k in kept] and len(pairs) < len(candidates)
        assert merged.count[own].tolist() == count and sum(count) == 126


@pytest.mark.parametrize("make", [clusters, lattice])
@pytest.mark.parametrize("block", [1, 40, 1000])
def test_nearest_exemplar_is_the_first_of_the_nearest(make, block):
    x, test = make(seed=1), make(seed=2)
    sets = select(x, METRIC, 0.4, capacity=128)
    exemplars = x[np.repeat(np.arange(len(x)), np.diff(sets.offsets)), sets.index]
    found = nearest(test, exemplars, sets.offsets, METRIC, block)
    ties = 0
    for r, (a, b) in enumerate(zip(sets.offsets, sets.offsets[1:], strict=False)):
        exact = METRIC.distances(test[r], exemplars[a:b])
        ties += (exact == exact.min(1, keepdims=True)).sum() - len(exact)
        np.testing.assert_array_equal(found.index[r], exact.argmin(1))
        np.testing.assert_allclose(found.score[r], exact.min(1), rtol=3e-6)
        terms = METRIC.terms(test[r], exemplars[a:b][found.index[r]])
        np.testing.assert_allclose(found.terms[r], terms, rtol=3e-6)
    assert (ties > 100) == (make is lattice)


def test_crowded_regions_beside_almost_empty_ones():
    x, test = clusters(3, 150, modes=100, seed=3), clusters(3, 20, seed=4)
    counts = np.array([1, 150, 20])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    exemplars = np.concatenate([one[:n] for one, n in zip(x, counts, strict=True)])
    found = nearest(test, exemplars, offsets, METRIC)
    for r, n in enumerate(counts):
        np.testing.assert_array_equal(found.index[r], METRIC.distances(test[r], x[r, :n]).argmin(1))


@pytest.mark.parametrize("tile", [1, 40_000])
def test_tiles_change_nothing(tile, monkeypatch):
    x, test = clusters(11), clusters(11, 90, seed=2)
    exemplars, offsets = x[:, :8].reshape(-1, METRIC.width), np.arange(12) * 8
    whole = nearest(test, exemplars, offsets, METRIC)
    monkeypatch.setattr(scoring, "TILE", tile)  # regions one by one; eight at once, then three
    for a, b in zip(whole, nearest(test, exemplars, offsets, METRIC), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    monkeypatch.setattr(scoring, "HOST_ELEMENTS", 1)
    monkeypatch.setattr(kernels, "SLACK", 1.0)  # all are unsure
    monkeypatch.setattr(kernels, "compiled", kernels.compiled.__wrapped__)  # and compiled anew
    found = nearest(test, exemplars, offsets, METRIC)
    np.testing.assert_array_equal(found.index, whole.index)


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_use_their_components_only(version):
    metric = Metric.version(version, SIZES, SCALES)
    used = [name in VERSIONS[version] for name in COMPONENTS]
    x = clusters()
    whole, partial = (m.terms(x[0, :10], x[0, 10:20]) for m in (METRIC, metric))
    np.testing.assert_array_equal(partial, np.where(used, whole, 0))
    scales = np.where(used, SCALES, np.inf)
    agree(select(x, metric, 0.3, capacity=128), x, 0.3, scales=scales)
    exemplars, offsets = x[:, :7].reshape(-1, METRIC.width), np.arange(5) * 7
    found = nearest(x, exemplars, offsets, metric)
    assert (found.terms[..., ~np.array(used)] == 0).all() and found.terms.max() > 0
    np.testing.assert_array_equal(found.index[2], metric.distances(x[2], x[2, :7]).argmin(1))


def test_a_constant_component_is_divided_by_one():
    assert Metric.version("appearance_motion", SIZES, (2, 0, 3, 0)).scales == (2, 1, 3, 1)


def test_threshold_beyond_every_distance_leaves_one_exemplar():
    found = select(clusters(), METRIC, 1e300, capacity=128)
    assert found.index.tolist() == [0] * 4 and found.count.tolist() == [90] * 4


@pytest.mark.parametrize("make", [clusters, lattice])
def test_largest_distances_are_exact(make):
    x = make(regions=3).reshape(-1, METRIC.width) + np.float32(50)
    difference = x[:, None].astype(np.float64) - x
    parts = np.split(difference, np.cumsum(SIZES)[:-1], -1)
    exact = [np.sqrt(np.square(part).sum(-1)).max() for part in parts]
    np.testing.assert_allclose(largest_distances(x, SIZES), exact, rtol=1e-14)


def test_largest_distances_of_a_seeded_sample():
    x = clusters().reshape(-1, METRIC.width)
    whole = largest_distances(x, SIZES)
    part = largest_distances(x, SIZES, most=20)
    assert (part < whole).any() and (part <= whole).all()
    np.testing.assert_array_equal(part, largest_distances(x, SIZES, most=20))


def with_one(x, value, region=1, volume=3):
    x = x.copy()
    x[region, volume, -1] = value
    return x


GOOD = clusters(3, 10)
FLAT, OFFSETS = GOOD[:, 0], np.arange(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select(with_one(GOOD, np.nan), METRIC, 1), "region 1, volume 3"),
        (lambda: select(with_one(GOOD, -np.inf), METRIC, 1), "region 1, volume 3"),
        (lambda: select(with_one(GOOD, 1e16), METRIC, 1), "region 1, volume 3"),
        (lambda: select(GOOD[..., 1:], METRIC, 1), r"features \(3, 10, 48\); expected.* 49\]"),
        (lambda: select(GOOD[0], METRIC, 1), "expected .regions, volumes"),
        (lambda: select(GOOD[:, :0], METRIC, 1), "none of them 0"),
        (lambda: select(GOOD, METRIC, -0.1), "threshold -0.1"),
        (lambda: select(GOOD, METRIC, np.nan), "threshold nan"),
        (lambda: select(GOOD, METRIC, 1, [4, 0, 2]), "region 1 has 0 volumes"),
        (lambda: select(GOOD, METRIC, 1, [4, 11, 2]), "region 1 has 11 volumes; expected 1 to 10"),
        (lambda: select(GOOD, METRIC, 1, [4, 2]), "lengths"),
        (lambda: select(GOOD, METRIC, 1, weights=np.ones((3, 10))), "weights float64"),
        (lambda: nearest(with_one(GOOD, np.nan), FLAT, OFFSETS, METRIC), "region 1, volume 3"),
        (lambda: nearest(GOOD, with_one(GOOD, np.nan)[:, 3], OFFSETS, METRIC), "exemplar 1"),
        (lambda: nearest(GOOD, FLAT, [0, 1, 1, 3], METRIC), "region 1 has 0"),
        (lambda: nearest(GOOD, FLAT, OFFSETS, METRIC, block=0), "block 0"),
        (lambda: nearest(GOOD, FLAT, [0, 1, 2], METRIC), "offsets"),
        (lambda: nearest(GOOD, FLAT[:, 1:], OFFSETS, METRIC), "exemplars"),
        (lambda: merge([GOOD], [], METRIC, 1), "1 arrays of features, 0 sets"),
        (
            lambda: merge([FLAT[:2]], [Exemplars(OFFSETS, *np.ones((2, 3), int))], METRIC, 1),
            "2 rows",
        ),
        (lambda: Metric((1, 2), (1.0,)), "sizes"),
        (lambda: Metric((1, 2), (1.0, 0.0)), "scales"),
        (lambda: Metric((1, 2), (np.inf, np.inf)), "scales"),
        (lambda: Metric.version("everything", SIZES, SCALES), "expected one of appearance, motion"),
        (lambda: largest_distances(with_one(GOOD, np.nan)[1], SIZES), "volume 3"),
    ],
)
def test_bad_input_gets_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("shared", [False, True])
def test_lowers_for_accelerators(platform, shared):
    rows = mesh.by_row(mesh.make(8)) if shared else None
    x, counts, scales = np.zeros((8, 64, 49), np.float32), np.ones(8, np.int32), np.float32(SCALES)
    for kernel, arguments, whole in (
        (kernels.select, (x, counts, scales, np.ones(2, np.float32)), 2),
        (kernels.nearest, (x, x[:, :16], counts, scales), 1),
    ):
        static = {"capacity": 16, "block": 32} if kernel is kernels.select else {}
        function = kernels.compiled(kernel, rows, whole, spans=METRIC.spans, **static)
        lowered = export.export(function, platforms=[platform])(*arguments)
        text = lowered.mlir_module()
        assert lowered.nr_devices == (8 if shared else 1)
        assert "stablehlo.dot_general" in text and "HIGHEST" in text
        assert "all_reduce" not in text and "all_gather" not in text


def golden_cases(golden):
    files = sorted((golden / "eval").glob("*exemplars_*.npz"))
    assert files
    for file in files:
        with np.load(file) as case:
            case = dict(case)
        x, test = (
            np.concatenate([case[f"{split}_{c}"] for c in COMPONENTS], -1)
            for split in ("train", "test")
        )
        sizes = [case[f"train_{c}"].shape[-1] for c in COMPONENTS]
        yield file.stem, case, x, test, sizes, [float(case[f"Z_{c}"]) for c in COMPONENTS]


@pytest.mark.golden
def test_golden_scales(golden):
    for name, _, x, _, sizes, scales in golden_cases(golden):
        found = largest_distances(x.reshape(-1, x.shape[-1]), sizes)
        np.testing.assert_allclose(found, scales, rtol=RELATIVE, err_msg=name)


@pytest.mark.golden
def test_golden_exemplars_and_scores(golden):
    for name, case, x, test, sizes, scales in golden_cases(golden):
        metric = Metric(tuple(sizes), tuple(scales))
        for i, th in enumerate(case["thresholds"]):
            where = f"{name}, threshold {th}"
            each = [x[:, s] for s in range(x.shape[1])]
            chosen = [select(one, metric, th, capacity=64) for one in each]
            merged = merge(each, chosen, metric, th, capacity=64)
            rows = np.repeat(np.arange(len(x)), np.diff(merged.offsets))
            exemplars = x[rows, merged.sequence, merged.index]
            found = nearest(test, exemplars, merged.offsets, metric)
            for r in range(len(x)):
                for s, one in enumerate(chosen):
                    own = slice(one.offsets[r], one.offsets[r + 1])
                    key = f"t{i}_r{r}_s{s}"
                    np.testing.assert_array_equal(one.index[own], case[f"{key}_idx"], where)
                    np.testing.assert_array_equal(one.count[own], case[f"{key}_count"], where)
                own, key = slice(merged.offsets[r], merged.offsets[r + 1]), f"t{i}_r{r}"
                for ours, theirs in (("sequence", "seq"), ("index", "idx"), ("count", "count")):
                    ours, theirs = getattr(merged, ours)[own], case[f"{key}_merged_{theirs}"]
                    np.testing.assert_array_equal(ours, theirs, where)
                score, terms = case[f"{key}_test_score"], case[f"{key}_test_component"]
                np.testing.assert_allclose(found.score[r], score, 0, ABSOLUTE, err_msg=where)
                np.testing.assert_allclose(found.score[r], score, RELATIVE, err_msg=where)
                apart = case[f"{key}_test_nn_gap"] > RELATIVE * score
                same = found.index[r] == case[f"{key}_test_nn"]
                assert same[apart].all(), where
                np.testing.assert_allclose(
                    found.terms[r][same], terms[same], RELATIVE, ABSOLUTE, err_msg=where
                )
