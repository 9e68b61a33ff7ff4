import json

import numpy as np
import pytest
import scipy.ndimage

from tests.metrics.test_region import folders, plain_iou, plain_truth  # noqa: F401
from vadjax.data.video.boxes import cell_edges
from vadjax.data.video.masks import open_masks
from vadjax.metrics import frame, pixel, region, region_boxes, region_maps
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores


def parts(case, name) -> list:
    count = sum(key.startswith("map_") for key in case.files)
    return [case[f"{name}_{i}"] for i in range(count)]


@pytest.mark.golden
def test_golden_curves_and_areas(score_map_case):
    case = np.load(score_map_case)
    maps, tracks = parts(case, "map"), parts(case, "tracks")
    tags = [key.removesuffix("_params") for key in case.files if key.endswith("_params")]
    assert tags
    for tag in tags:
        alpha, beta, min_area = case[f"{tag}_params"]
        points = region_maps.curve(
            maps, tracks, case["thresholds"], alpha, beta, min_area=int(min_area)
        )
        for ours, theirs in (
            (points.fpr, "fpr"),
            (points.rbdr, "region_tpr"),
            (points.tbdr, "track_tpr"),
            (points.rbdc, "region_auc"),
            (points.tbdc, "track_auc"),
        ):
            np.testing.assert_allclose(ours, case[f"{tag}_{theirs}"], atol=1e-9, rtol=0)


@pytest.mark.golden
def test_golden_frames_and_pixels(score_map_case):
    case = np.load(score_map_case)
    maps, masks = parts(case, "map"), parts(case, "mask")
    labels = np.concatenate([mask.any((1, 2)) for mask in masks])
    np.testing.assert_array_equal(labels, case["frame_labels"])
    highest = np.concatenate([found.max((1, 2)) for found in maps])
    np.testing.assert_allclose(highest, case["frame_scores"], atol=1e-9, rtol=0)
    rule = [pixel.frame_score(values, mask) for values, mask in pixel.pairs(maps, masks)]
    np.testing.assert_allclose(rule, case["pixel40_scores"], atol=1e-9, rtol=0)
    for ours, theirs in (
        (frame.auc(labels, highest), "frame_auc"),
        (frame.auc(labels, rule), "pixel40_auc"),
        (pixel.pixel_auc(pixel.pairs(maps, masks)), "pixelwise_auc"),
    ):
        np.testing.assert_allclose(ours, case[theirs], atol=1e-9, rtol=0)


def plain_regions(values, threshold, min_area) -> list:
    labels, count = scipy.ndimage.label(values >= threshold, np.ones((3, 3)))
    found = []
    for i in range(1, count + 1):
        rows, columns = np.nonzero(labels == i)
        if len(rows) >= min_area:
            found.append((columns.min(), rows.min(), columns.max(), rows.max()))
    return found


def plain_curve(maps, tracks, thresholds, alpha, beta, min_area) -> np.ndarray:
    """Rates [thresholds, 3] by looking at every frame at every threshold."""
    truth, frames = plain_truth(tracks), sum(map(len, maps))
    rates = []
    for threshold in thresholds:
        false, hit = 0, set()
        for video, found in enumerate(maps):
            for t, values in enumerate(found):
                own = {k: rows[t] for k, rows in truth.items() if k[0] == video and t in rows}
                for box in plain_regions(values, threshold, min_area):
                    hits = {(k, t) for k, other in own.items() if plain_iou(box, other) >= beta}
                    hit |= hits
                    false += not hits
        tracked = [
            sum((k, t) in hit for t in rows) / len(rows) >= alpha for k, rows in truth.items()
        ]
        boxes = sum(map(len, truth.values()))
        rates.append((false / frames, len(hit) / boxes, sum(tracked) / len(tracked)))
    return np.array(rates)


def random_maps(rng, height=8, width=11):
    """Smooth maps on few levels, so that regions merge, and boxes where some of them are high."""
    maps, tracks = [], []
    for _ in range(2):
        found = scipy.ndimage.gaussian_filter(rng.random((5, height, width)), (0, 1, 1))
        maps.append((np.round(found * 40) / 40).astype(np.float32))
        rows = []
        for track in range(3):
            for t in range(track, 5):
                y, x = np.unravel_index(found[t].argmax(), (height, width))
                rows.append([track, t, max(0, x - track), max(0, y - 1), x + 1, y + track])
        tracks.append(np.array(rows, float))
    return maps, tracks


@pytest.mark.parametrize("seed", range(6))
def test_equals_looking_at_every_frame_at_every_threshold(seed):
    rng = np.random.default_rng(seed)
    maps, tracks = random_maps(rng)
    thresholds = region_maps.default_thresholds(maps, 12)
    alpha, beta, min_area = [(0.1, 0.1, 1), (0.6, 0.3, 3)][seed % 2]
    ours = region_maps.curve(maps, tracks, thresholds, alpha, beta, min_area, (12, 15))
    cells = [np.arange(pixels) * count // pixels for pixels, count in ((12, 8), (15, 11))]
    large = [found[:, cells[0]][:, :, cells[1]] for found in maps]
    expected = plain_curve(large, tracks, thresholds, alpha, beta, min_area)
    np.testing.assert_array_equal(np.stack([ours.fpr, ours.rbdr, ours.tbdr], 1), expected)
    assert (np.diff(ours.fpr) < 0).any()  # regions do merge here
    assert seed % 2 or (0 < ours.rbdr).any()


@pytest.mark.parametrize(("cells", "pixels"), [(1, 1), (3, 3), (4, 10), (7, 12), (11, 240)])
def test_edges_of_cells(cells, pixels):
    owner = np.arange(pixels) * cells // pixels
    np.testing.assert_array_equal(np.diff(cell_edges(cells, pixels)), np.bincount(owner))


def test_default_thresholds_are_quantiles_and_the_maximum():
    maps = [
        np.arange(50, dtype=np.float32).reshape(2, 5, 5),
        np.arange(50, 101.0).reshape(1, 51, 1),
    ]
    found = region_maps.default_thresholds([m.astype(np.float32) for m in maps], 4)
    np.testing.assert_array_equal(found, [100, 75, 50, 25, 0])
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match="0 thresholds"):
        region_maps.default_thresholds(maps, 0)


def test_what_a_map_curve_refuses():
    maps, tracks = random_maps(np.random.default_rng(0))
    tracks = [np.minimum(rows, [9, 9, 10, 7, 10, 7]) for rows in tracks]
    for arguments, message in (
        ({"thresholds": [0.1, 0.2]}, "thresholds rise"),
        ({"min_area": 0}, "min_area 0"),
        ({"alpha": 2}, "alpha 2"),
        ({"tracks": [tracks[0] + [0, 3, 0, 0, 0, 0], tracks[1]]}, "a track has frame 7"),
        ({"tracks": [tracks[0] + [0, 0, 9, 0, 9, 0], tracks[1]]}, "give the size of the frames"),
        ({"frame_size": (4, 11)}, "8 cells of a map for 4 pixels"),
    ):
        call = {"maps": maps, "tracks": tracks, "thresholds": [0.5]} | arguments
        with pytest.raises(ValueError, match=message):
            region_maps.curve(**call)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9, 10, 25, 50])
def test_forty_percent_rule_by_its_definition(count):
    rng = np.random.default_rng(count)
    values, mask = rng.permutation(100).reshape(10, 10) / 7, np.zeros((10, 10), bool)
    mask.ravel()[rng.permutation(100)[:count]] = True
    found = pixel.frame_score(values, mask)
    reached = [t for t in values.ravel() if (values[mask] >= t).mean() >= 0.4]
    assert found == max(reached)
    assert pixel.frame_score(values, np.zeros_like(mask)) == values.max()


def test_pixel_auc_counts_ties_one_half_and_needs_both_classes(monkeypatch):
    monkeypatch.setattr(pixel, "BLOCK", 7)
    rng = np.random.default_rng(0)
    values, mask = rng.integers(0, 5, (3, 8, 8)) / 4, rng.random((3, 8, 8)) < 0.3
    expected = frame.auc(mask.ravel(), values.ravel())
    assert pixel.pixel_auc(zip(values, mask, strict=True)) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="all pixels are normal"):
        pixel.pixel_auc(zip(values, np.zeros_like(mask), strict=True))
    for count in (2, 4):
        with pytest.raises(ValueError, match="a map of 3 frames, but"):
            list(pixel.pairs([values], [np.zeros((count, 8, 8), bool)]))


@pytest.fixture
def scored(tmp_path, folders, masks_of, write_images):  # noqa: F811
    """Score files of two videos with maps of 12 x 18 cells, tracks, masks of 24 x 36 pixels."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        found = rng.random((6, 12, 18)).astype(np.float32)
        masks = masks_of(6, 2, 4 if name == "a" else 2)
        found += masks[:, ::2, ::2] / 255
        score_files.write(tmp_path / "scores", Scores(name, found.max((1, 2)), map=found))
        write_images(tmp_path / "masks" / name, 6, "{:03d}.png", images=list(masks))
    tracks = {"a.txt": "0,2,10,4,19,8\n0,3,10,4,19,8\n"}
    return tmp_path / "scores", folders({}, tracks)[1], tmp_path / "masks"


def test_the_command_on_maps_and_masks(scored, tmp_path, capsys):
    found, tracks, masks = map(str, scored)
    flags = ["--frame_size=24x36", "--thresholds=30", "--min_area=5"]
    region.main([found, tracks, f"--masks={masks}", *flags, "--json", f"--curves={tmp_path / 'c'}"])
    figures = json.loads(capsys.readouterr().out)
    files = score_files.read_folder(found)
    maps = [video.map for video in files]
    truth = [np.loadtxt(tmp_path / "tracks/a.txt", delimiter=","), np.zeros((0, 6))]
    levels = region_maps.default_thresholds(maps, 30)
    points = region_maps.curve(maps, truth, levels, min_area=5, frame_size=(24, 36))
    assert (figures["rbdc"], figures["tbdc"]) == (points.rbdc, points.tbdc)
    assert 0 < figures["rbdc"] < 1 and figures["curve_points"] == 31
    assert (figures["frames"], figures["boxes"], figures["min_area"]) == (12, 2, 5)
    stored = np.load(tmp_path / "c/region_bbox_fpr.npy")
    assert region_boxes.area(stored, np.load(tmp_path / "c/region_bbox_tpr.npy")) == points.rbdc
    large = np.concatenate([np.kron(m, np.ones((1, 2, 2))) for m in maps])
    mask = np.zeros(large.shape, bool)
    mask[2:4, 4:9, 10:20] = True
    expected = frame.auc(mask.ravel(), large.ravel())
    assert figures["pixel_auc"] == pytest.approx(expected, abs=1e-12)
    labels = mask.any((1, 2))
    rule = [pixel.frame_score(v, m) for v, m in zip(large, mask, strict=True)]
    assert figures["pixel40_auc"] == pytest.approx(frame.auc(labels, rule), abs=1e-12)
    expected = frame.equal_error_rate(frame.curve(labels, rule))
    assert figures["pixel40_eer"] == pytest.approx(expected, abs=1e-12)


def test_masks_in_one_array_of_either_order_give_the_same_figures(scored, tmp_path, capsys):
    found, tracks, masks = scored
    figures = []
    for axis in (None, 0, 2):
        if axis is not None:
            masks = tmp_path / f"masks_{axis}"
            masks.mkdir()
            for own in open_masks(scored[2]).values():
                np.save(masks / f"{own.name}.npy", np.stack(list(own), axis))
        flags = ["--frame_size=24x36", "--json", f"--masks={masks}"]
        region.main([str(found), str(tracks), *flags])
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0] == figures[1] == figures[2]
    np.save(masks / "c.npy", np.zeros((24, 36, 6)))
    with pytest.raises(SystemExit, match="masks of 3 videos, but maps of 2; no map of video c"):
        region.main([str(found), str(tracks), *flags])
    (masks / "c.npy").unlink()
    np.save(masks / "b.npy", np.zeros((24, 36, 5)))
    with pytest.raises(SystemExit, match=r"b\.npy: masks of shape \(24, 36, 5\), .* frames 6"):
        region.main([str(found), str(tracks), *flags])


def test_one_clear_line_for_maps_that_cannot_be_measured(scored, tmp_path, write_images, capsys):
    found, tracks, _ = map(str, scored)
    other = tmp_path / "other"
    write_images(other / "c", 6)
    for flags, message in (
        ([], "give the size of the frames"),
        (["--num_frames=13"], "maps of 12 frames, but --num_frames says 13"),
        (["--source=boxes"], r"a\.npz: has no boxes"),
        (["--frame_size=24x36", f"--masks={other}"], "no masks of video a, b"),
        (["--frame_size=24x36", f"--masks={tmp_path / 'none'}"], "no such folder"),
    ):
        with pytest.raises(SystemExit, match=f"^error: .*{message}"):
            region.main([found, tracks, *flags])
    (tmp_path / "tracks/c.txt").write_text("0,0,0,0,5,5\n")
    with pytest.raises(SystemExit, match=r"c\.txt: no score file c\.npz"):
        region.main([found, tracks])
    score_files.write(scored[0], Scores("b", np.zeros(6)))
    (tmp_path / "tracks/c.txt").unlink()
    with pytest.raises(SystemExit, match=r"b\.npz: has no boxes \[n, 6\] and no map"):
        region.main([found, tracks, "--frame_size=24x36"])
    with pytest.raises(SystemExit):
        region.main([found, tracks, "--frame_size=24"])
    assert "argument --frame_size: '24'; expected HEIGHTxWIDTH" in capsys.readouterr().err
