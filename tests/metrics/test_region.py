import json

import numpy as np
import pytest

from vadjax.formats.detections import DETECTIONS
from vadjax.formats.tracks import TRACKS
from vadjax.metrics import compute_auc, region, region_boxes
from vadjax.metrics.region_files import frame_counts, read_videos
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores

LAYOUTS = (DETECTIONS, TRACKS)


def golden_detections(case, tmp_path):
    """The folder of the case, or one of text that is written from its `detections.npz`."""
    if (case / "detections").is_dir():
        return case / "detections"
    for name, rows in np.load(case / "detections.npz").items():
        np.savetxt(tmp_path / f"{name}.txt", rows, "%.17g", delimiter=",")
    return tmp_path


@pytest.mark.golden
def test_golden_curves_and_areas(region_case, tmp_path):
    case = np.load(region_case / "expected.npz")
    frames = int(case["num_frames"])
    found = golden_detections(region_case, tmp_path)
    videos = read_videos(found, region_case / "tracks", LAYOUTS, frames)
    points = region.measure(videos).whole()
    for ours, theirs in (("fpr", "fpr"), ("rbdr", "rbdr"), ("tbdr", "tbdr")):
        np.testing.assert_allclose(getattr(points, ours), case[theirs], atol=1e-12, rtol=0)
    figures = region.figures(videos, region.measure(videos))
    for ours, theirs in (
        ("detections", "n_detections"),
        ("boxes", "n_gt_regions"),
        ("tracks", "n_tracks"),
        ("frames", "num_frames"),
    ):
        assert figures[ours] == case[theirs]
    assert (len(points.fpr) == figures["detections"] + 2) == case["extended_to_one"]
    for alpha, beta, rbdc, tbdc in [(0.1, 0.1, case["rbdc"], case["tbdc"]), *case["param_table"]]:
        points = region.measure(videos, alpha, beta)
        np.testing.assert_allclose(points.rbdc, rbdc, atol=1e-12, rtol=0)
        np.testing.assert_allclose(points.tbdc, tbdc, atol=1e-12, rtol=0)


@pytest.mark.golden
def test_golden_areas_by_the_command(region_case, tmp_path, capsys):
    case = np.load(region_case / "expected.npz")
    found = str(golden_detections(region_case, tmp_path))
    for alpha, beta, rbdc, tbdc in case["param_table"]:
        region.main(
            [
                found,
                str(region_case / "tracks"),
                f"--num_frames={case['num_frames']}",
                f"--alpha={alpha}",
                f"--beta={beta}",
                "--json",
            ]
        )
        figures = json.loads(capsys.readouterr().out)
        np.testing.assert_allclose(figures["rbdc"], rbdc, atol=1e-12, rtol=0)
        np.testing.assert_allclose(figures["tbdc"], tbdc, atol=1e-12, rtol=0)


def plain_iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(0, width) * max(0, height)
    sizes = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return shared / (sum(sizes) - shared)


def plain_truth(tracks) -> dict:
    """(video, track) → frame → box; a later row replaces an earlier one."""
    found = {}
    for video, rows in enumerate(tracks):
        for track, frame, *box in rows.tolist():
            found.setdefault((video, track), {})[frame] = box
    return found


def plain_counts(taken, truth, alpha, beta) -> tuple[int, int, int]:
    """False positives, detected boxes and tracks of (video, score, frame, box) detections."""
    hit, false = set(), 0
    for video, _, frame, box in taken:
        own = [
            key
            for key, found in truth.items()
            if key[0] == video and frame in found and plain_iou(box, found[frame]) >= beta
        ]
        hit |= {(key, frame) for key in own}
        false += not own
    tracks = 0
    for key, found in truth.items():
        tracks += sum((key, frame) in hit for frame in found) / len(found) >= alpha
    return false, len(hit), tracks


def plain_list(detections) -> list:
    rows = [
        (video, score, frame, box)
        for video, own in enumerate(detections)
        for score, frame, *box in own.tolist()
    ]
    return sorted(rows, key=lambda row: -row[1])


def random_case(rng, videos=4, frames=9):
    """Tracks with gaps, repeats and one empty video; detections near them and elsewhere; ties."""
    tracks, detections = [], []
    for video in range(videos):
        count = 0 if video == 1 else int(rng.integers(1, 25))
        corner = rng.integers(0, 30, (count, 2))
        size = rng.integers(0, 14, (count, 2))
        labels = np.stack([rng.choice([0, 3, 4, 9], count), rng.integers(0, frames, count)], 1)
        tracks.append(np.concatenate([labels, corner, corner + size], 1).astype(float))
        chosen = tracks[-1][rng.integers(0, count, 2 * count)] if count else np.zeros((0, 6))
        near = chosen[:, 1:] + np.pad(rng.integers(-4, 5, (len(chosen), 1)), ((0, 0), (1, 3)))
        near[:, 3] = np.maximum(near[:, 3], near[:, 1])
        corner = rng.integers(0, 40, (12, 2))
        far = np.concatenate([rng.integers(0, frames, (12, 1)), corner, corner + 7], 1)
        rows = np.concatenate([near, far])
        score = rng.integers(0, 12, (len(rows), 1)) / 7
        detections.append(rng.permutation(np.concatenate([score, rows], 1)))
    return detections, tracks


@pytest.mark.parametrize("seed", range(12))
def test_equals_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    detections, tracks = random_case(rng)
    frames = int(rng.integers(20, 90))
    alpha, beta = rng.choice([0.1, 0.3, 0.5, 1.0], 2)
    truth, taken = plain_truth(tracks), plain_list(detections)
    total = sum(map(len, truth.values())), len(truth)
    ours = region_boxes.curve(detections, tracks, frames, alpha, beta)
    expected = [plain_counts(taken[: n + 1], truth, alpha, beta) for n in range(len(taken))]
    false, found, tracked = np.array(expected).T
    np.testing.assert_array_equal(ours.thresholds, [row[1] for row in taken])
    np.testing.assert_array_equal(ours.fpr, false / frames)
    np.testing.assert_array_equal(ours.rbdr, found / total[0])
    np.testing.assert_array_equal(ours.tbdr, tracked / total[1])
    for area, rate in ((ours.rbdc, ours.rbdr), (ours.tbdc, ours.tbdr)):
        np.testing.assert_allclose(area, step_area(false, rate, frames), atol=1e-12, rtol=0)
    grouped = region_boxes.curve(detections, tracks, frames, alpha, beta, ties="group")
    scores = sorted({row[1] for row in taken}, reverse=True)
    expected = [
        plain_counts([row for row in taken if row[1] >= t], truth, alpha, beta) for t in scores
    ]
    false, found, tracked = np.array(expected).T
    np.testing.assert_array_equal(grouped.thresholds, scores)
    np.testing.assert_array_equal(grouped.fpr, false / frames)
    np.testing.assert_array_equal(grouped.rbdr, found / total[0])
    np.testing.assert_array_equal(grouped.tbdr, tracked / total[1])


def step_area(false, rate, frames) -> float:
    """Spec metrics §3a: the rate just before each false positive, up to as many as frames."""
    steps = np.flatnonzero(np.diff(np.append(0, false)))
    before = np.append(0, rate)[steps][:frames]
    return before.sum() / frames + max(0, 1 - len(steps) / frames) * rate[-1]


def test_grouped_points_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(3)
    detections, tracks = random_case(rng)
    one = region_boxes.curve(detections, tracks, 40, ties="group")
    mixed = [rng.permutation(rows) for rows in detections]
    other = region_boxes.curve(mixed, tracks, 40, ties="group")
    np.testing.assert_array_equal([one.fpr, one.tbdr], [other.fpr, other.tbdr])
    ordered = region_boxes.curve(mixed, tracks, 40)
    assert (region_boxes.curve(detections, tracks, 40).fpr != ordered.fpr).any()


def test_hand_computed_case():
    tracks = [np.array([[7, 0, 0, 0, 9, 9], [7, 1, 0, 0, 9, 9], [2, 1, 50, 50, 59, 59]])]
    detections = [
        np.array(
            [
                [0.9, 0, 0, 0, 9, 9],  # box 0 of track 7: half of it
                [0.8, 5, 0, 0, 9, 9],  # no box in frame 5: false
                [0.7, 0, 1, 1, 9, 9],  # hits what is detected: nothing
                [0.6, 1, 0, 0, 59, 59],  # overlaps both boxes of frame 1 with IoU 1/36: false
                [0.5, 1, 50, 50, 59, 59],  # track 2
            ]
        )
    ]
    points = region_boxes.curve(detections, tracks, 4, alpha=0.5, beta=0.1)
    np.testing.assert_array_equal(points.fpr, [0, 0.25, 0.25, 0.5, 0.5])
    np.testing.assert_allclose(points.rbdr, [1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_array_equal(points.tbdr, [0.5, 0.5, 0.5, 0.5, 1])
    assert points.rbdc == pytest.approx(0.5 / 3 + 0.5 * 2 / 3)
    assert points.tbdc == pytest.approx(0.75)
    assert region_boxes.curve(detections, tracks, 4, alpha=0.51).tbdr[0] == 0
    low = region_boxes.curve(detections, tracks, 4, beta=1 / 36)  # now the big one detects two
    np.testing.assert_allclose(low.rbdr[3:], 1)


@pytest.mark.parametrize("alpha", [0.07, 0.1, 0.3, 0.57, 0.7, 1.0])
def test_boxes_that_a_track_needs_by_division(alpha):
    sizes = np.arange(1, 400)
    expected = [next(m for m in range(n + 1) if m / n >= alpha) for n in sizes.tolist()]
    np.testing.assert_array_equal(region_boxes.boxes_needed(sizes, alpha), expected)


@pytest.mark.parametrize(
    ("fpr", "rate", "expected"),
    [
        ([], [], 0.0),
        ([0.0], [0.6], 0.6),
        ([0.5, 1.0], [0.5, 1.0], 0.5),
        ([0.5, 2.0], [0.5, 1.0], 0.125 + 0.25 + 0.5 * 0.5 / 6),  # cut at 1, rate 2/3
        ([0.8, 0.2, 0.2], [0.4, 0.4, 0.2], 0.02 + 0.8 * 0.4),  # sorted; equal FPR: a vertical
        ([0.0, 3.0], [0.3, 0.3], 0.3),
    ],
)
def test_area_rule_by_hand(fpr, rate, expected):
    assert region_boxes.area(np.array(fpr), np.array(rate)) == pytest.approx(expected, abs=1e-15)


def test_area_refuses_what_is_no_curve():
    for fpr, rate in (([0.0], [0.1, 0.2]), ([np.nan], [0.0]), ([-0.1], [0.0])):
        with pytest.raises(ValueError, match="expected two rows|negative, NaN"):
            region_boxes.area(np.array(fpr), np.array(rate))


def test_arguments_out_of_range_and_nan_arrays_are_refused():
    tracks, found = [np.array([[0, 0, 0, 0, 5, 5.0]])], [np.array([[1, 0, 0, 0, 5, 5.0]])]
    good = {"detections": found, "tracks": tracks, "num_frames": 1}
    for arguments, message in (
        ({"alpha": 0}, "alpha 0"),
        ({"beta": 1.5}, "beta 1.5"),
        ({"num_frames": 0}, "0 frames"),
        ({"ties": "mean"}, "ties 'mean'"),
        ({"tracks": [np.zeros((0, 6))]}, "no ground-truth"),
        ({"detections": [found[0] * [np.nan, 1, 1, 1, 1, 1]]}, "a score is NaN"),
        ({"detections": [found[0] * [1, 1, 1, 1, -1, 1]]}, "width or height of 0"),
        ({"tracks": [tracks[0] * [1, 1, 1, 1, -1, 1]]}, "width or height of 0"),
    ):
        with pytest.raises(ValueError, match=message):
            region_boxes.curve(**(good | arguments))


@pytest.fixture
def folders(tmp_path):
    """Function that writes texts to `detections/` and `tracks/` and returns both folders."""

    def write(detections: dict, tracks: dict):
        for folder, files in (("detections", detections), ("tracks", tracks)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name, text in files.items():
                (tmp_path / folder / name).write_text(text)
        return tmp_path / "detections", tmp_path / "tracks"

    return write


def figures_of(paths, capsys, *flags) -> dict:
    region.main([*map(str, paths), "--json", *flags])
    return json.loads(capsys.readouterr().out)


HIT, TRACK = "0,0,0,9,9,0.5\n", "0,0,0,0,9,9\n"


def test_one_line_files_are_accepted(folders, capsys):
    found = figures_of(folders({"a.txt": HIT}, {"a.txt": TRACK}), capsys, "--num_frames=4")
    assert (found["rbdc"], found["tbdc"], found["detections"], found["tracks"]) == (1, 1, 1, 1)


def test_empty_files_are_accepted(folders, capsys):
    paths = folders({"a.txt": "", "b.txt": HIT}, {"a.txt": TRACK, "b.txt": "\n"})
    found = figures_of(paths, capsys, "--num_frames=4")
    assert (found["rbdc"], found["detections"], found["tracks"], found["fpr"]) == (0, 1, 1, 0.25)


def test_no_detection_at_all_gives_zero(folders, capsys):
    found = figures_of(folders({"a.txt": ""}, {"a.txt": TRACK}), capsys, "--num_frames=4")
    assert found["rbdc"] == found["tbdc"] == found["fpr"] == found["curve_points"] == 0


def test_files_of_only_one_side_are_accepted(folders, capsys):
    paths = folders({"a.txt": HIT, "only.txt": HIT}, {"a.txt": TRACK, "other.txt": TRACK})
    with pytest.raises(SystemExit, match="1 of 2 videos with tracks have no detections: other "):
        region.main([*map(str, paths), "--num_frames=4"])
    capsys.readouterr()
    region.main([*map(str, paths), "--num_frames=4", "--allow_missing", "--json"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["videos"], found["rbdr"], found["fpr"]) == (3, 0.5, 0.25)
    assert "1 of 2 videos with tracks have no detections: other; nothing is" in printed.err
    assert "1 of 2 videos with detections have no tracks, so they are normal: only\n" in printed.err
    videos = read_videos(*paths, LAYOUTS, 4)  # the function itself takes both, as the spec says
    assert region.figures(videos, region.measure(videos)).items() <= found.items()


def test_gaps_and_a_smaller_last_id_lose_no_track(folders, capsys):
    rows = "9,0,0,0,9,9\n4,1,0,0,9,9\n2,2,0,0,9,9\n"
    found = figures_of(folders({"a.txt": HIT}, {"a.txt": rows}), capsys, "--num_frames=4")
    assert found["tracks"] == 3 and found["tbdr"] == pytest.approx(1 / 3)


def test_of_rows_of_one_track_and_frame_the_last_counts(folders, capsys):
    rows = "0,0,50,50,59,59\n" + TRACK
    found = figures_of(folders({"a.txt": HIT}, {"a.txt": rows}), capsys, "--num_frames=4")
    assert found["boxes"] == 1 and found["rbdr"] == 1


def test_equal_scores_go_by_file_name(folders):
    false = "1,0,0,9,9,0.5\n"
    for names, first in ((("a.txt", "b.txt"), 0.0), (("b.txt", "a.txt"), 0.25)):
        paths = folders({names[0]: HIT, names[1]: false}, {names[0]: TRACK, names[1]: ""})
        videos = read_videos(*paths, LAYOUTS, 4)
        assert region.measure(videos).fpr[0] == first
    assert read_videos(*folders({"a-b.txt": "", "a.txt": ""}, {}), LAYOUTS, 4).names == [
        "a-b",
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("detections", "tracks", "flags", "message"),
    [
        (HIT + "0,0,0,9,9,nan\n", TRACK, [], r"detections/a\.txt:2: score is NaN: '0,0,0,9,9,nan'"),
        ("\n" + HIT + "0,0,0,9,x,1\n", TRACK, [], r"a\.txt:3: y_max 'x' is not a number"),
        ("0,0,0,9,9\n", TRACK, [], r"detections/a\.txt:1: 5 columns, expected 6 \(frame_id,"),
        (HIT + "0,0,0,9,9\n", TRACK, [], r"a\.txt:2: 5 columns"),
        (HIT, "0.5,0,0,0,9,9\n", [], r"tracks/a\.txt:1: the frame \(or track\) is not a whole"),
        (HIT, TRACK + "0,nan,0,0,9,9\n", [], r"tracks/a\.txt:2: a frame or coordinate is NaN"),
        (HIT, "nan,0,0,0,9,9\n", [], r"tracks/a\.txt:1: track is NaN"),
        ("0,0,0,inf,9,1\n", TRACK, [], r"a\.txt:1: a frame or coordinate is NaN or infinite"),
        ("-1,0,0,9,9,1\n", TRACK, [], r"a\.txt:1: no such frame; frames are numbered 0"),
        (HIT + "0,9,0,8,9,1\n", TRACK, [], r"a\.txt:2: a box of width or height 0 or less"),
        (HIT, "0,0,0,9,9,8\n", [], r"tracks/a\.txt:1: a box of width or height 0 or less"),
        (HIT, TRACK, ["--alpha=0"], "alpha 0; expected above 0"),
        (HIT, TRACK, ["--beta=1.1"], "beta 1.1"),
        (HIT, TRACK, ["--source=map"], "text has no maps"),
        (HIT, TRACK, ["--masks=x"], "need maps, and these are boxes"),
        (HIT, TRACK, ["--track_columns=frame,x,y,w,h"], "expected one of track; got none"),
        (HIT, TRACK, ["--track_columns=track,frame,x,y,w,x1,h"], "got x1 and w"),
        (HIT, TRACK, ["--detection_columns=frame,x,y,w,h,score,score"], "score is given 2 times"),
        (HIT, TRACK, ["--detection_columns=frame,x,y,w,h,scor"], "'scor' is not known"),
        (HIT, "", [], "no ground-truth boxes"),
        ("\xff\xfe\x00", TRACK, [], r"a\.txt:1: a zero byte"),
        ("\xff\xfe", TRACK, [], r"a\.txt:1: 1 columns"),
    ],
)
def test_one_clear_line_for_what_is_wrong(folders, detections, tracks, flags, message):
    paths = folders({"a.txt": detections}, {"a.txt": tracks})
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as stop:
        region.main([*map(str, paths), "--num_frames=4", *flags])
    assert "\n" not in str(stop.value)


def test_files_and_counts_that_are_missing(folders, tmp_path):
    paths = folders({"a.txt": HIT}, {"a.txt": TRACK})
    for found, flags, message in (
        (paths, [], "the number of frames of a is not known; give --num_frames"),
        ((paths[0], tmp_path / "none"), [], "none: no such folder"),
        ((tmp_path, paths[1]), [], r"no files \*.txt or"),
        (paths, ["--num_frames=nowhere"], "nowhere"),
    ):
        with pytest.raises(SystemExit, match=message):
            region.main([*map(str, found), *flags])


def test_frames_outside_a_given_count(folders, tmp_path, write_images, capsys):
    paths = folders({"a.txt": HIT + "3,0,0,9,9,1\n"}, {"a.txt": TRACK})
    counts = tmp_path / "counts.txt"
    counts.write_text("a,3\nnormal,7\n")
    with pytest.raises(SystemExit, match=r"a\.txt:2: no such frame; frames are numbered 0 to 2"):
        region.main([*map(str, paths), f"--num_frames={counts}"])
    counts.write_text("a,4\n\nnormal,6\n")
    assert figures_of(paths, capsys, f"--num_frames={counts}")["frames"] == 10
    counts.write_text("normal,6\n")
    with pytest.raises(SystemExit, match="--num_frames has no video 'a'"):
        region.main([*map(str, paths), f"--num_frames={counts}"])
    for text in ("a,4\na,5\n", "a;4\n", "a,many\n"):
        counts.write_text(text)
        with pytest.raises(SystemExit, match=r"counts\.txt:\d: .*expected VIDEO,FRAMES"):
            region.main([*map(str, paths), f"--num_frames={counts}"])
    write_images(tmp_path / "frames" / "a", 5)
    write_images(tmp_path / "frames" / "b", 2)
    assert frame_counts(str(tmp_path / "frames")) == {"a": 5, "b": 2}


def test_degenerate_boxes_are_left_out_on_request(folders, capsys):
    paths = folders({"a.txt": HIT + "1,9,0,8,9,1\n"}, {"a.txt": TRACK + "1,0,5,5,5,4\n"})
    found = figures_of(paths, capsys, "--num_frames=4", "--drop_degenerate")
    assert (found["detections"], found["tracks"], found["rbdc"]) == (1, 1, 1)


def test_other_columns_bases_and_delimiters_give_the_same(folders, capsys):
    first = folders({"a.txt": HIT + "1,3,4,10,12,0.7\n"}, {"a.txt": TRACK + "0,1,5,6,12,15\n"})
    expected = figures_of(first, capsys, "--num_frames=4", "--beta=0.3")
    assert expected["rbdr"] == 1
    paths = folders(
        {"a.txt": "confidence;class;x0;y0;x1;y1;frame\n0.5;car;0;0;10;10;1\n0.7;cat;3;4;11;13;2\n"},
        {"a.txt": "5 0  0 0 10 10\n6 0  5 6 8 10\n"},
    )
    flags = [
        "--detection_columns=score,-,x0,y0,x1,y1,frame",
        "--first_frame=1",
        "--track_columns=frame,track,x,y,w,h",
        "--first_track_frame=5",
    ]
    assert figures_of(paths, capsys, "--num_frames=4", "--beta=0.3", *flags) == expected


def test_names_that_do_not_agree_are_pointed_out(folders, capsys):
    paths = folders({"a.txt": HIT}, {"b.txt": TRACK})
    with pytest.raises(SystemExit, match="detections: b; do the names of the files agree?"):
        region.main([*map(str, paths), "--num_frames=4"])
    region.main([*map(str, paths), "--num_frames=4", "--allow_missing"])
    assert "do the names of the files agree?" in capsys.readouterr().err
    region.main([*map(str, folders({"b.txt": HIT}, {})), "--num_frames=4"])
    assert "agree" not in capsys.readouterr().err


def test_table_curves_and_their_area(folders, tmp_path, capsys):
    paths = folders({"a.txt": HIT + "1,0,0,9,9,0.7\n"}, {"a.txt": TRACK})
    region.main([*map(str, paths), "--num_frames=4", f"--curves={tmp_path / 'curves'}"])
    table = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert table["rbdc"] == table["tbdc"] == "0.750000" and table["ties"] == "order"
    stored = {path.stem: np.load(path) for path in (tmp_path / "curves").iterdir()}
    assert stored["bbox_thresholds"].tolist() == [0.7, 0.5]
    assert stored["region_bbox_fpr"].tolist() == stored["track_bbox_fpr"].tolist() == [0.25, 0.25]
    for name in ("region", "track"):
        ends = [str(tmp_path / f"curves/{name}_bbox_{rate}.npy") for rate in ("fpr", "tpr")]
        compute_auc.main(ends)
        assert capsys.readouterr().out == "0.75\n"
    with pytest.raises(SystemExit, match=r"a\.txt: not a readable array"):
        compute_auc.main([str(paths[0] / "a.txt")] * 2)


@pytest.fixture
def scored(tmp_path, folders):
    """Function that writes score files of two videos of 4 frames, with tracks of the first."""

    def write(**fields):
        for name in ("a", "b"):
            video = Scores(name, np.zeros(4), boxes=np.zeros((0, 6)))
            score_files.write(tmp_path / "scores", video)
        score_files.write(tmp_path / "scores", Scores("a", np.zeros(4), **fields))
        return tmp_path / "scores", folders({}, {"a.txt": TRACK})[1]

    return write


def test_score_files_with_boxes_know_their_frames(scored, capsys):
    found = np.array([[0, 0, 0, 10, 10, 0.5], [2, 0, 0, 10, 10, 0.7]])
    figures = figures_of(scored(boxes=found), capsys)
    assert (figures["frames"], figures["fpr"], figures["rbdc"]) == (8, 0.125, 0.875)
    exact = figures_of(scored(boxes=found), capsys, "--beta=1")
    assert exact["rbdr"] == 1  # x1, y1 are one past the last pixel there


def test_score_files_that_cannot_be_measured(scored, tmp_path):
    good = [0, 0, 0, 10, 10, 0.5]
    for row, message in (
        ([4, 0, 0, 10, 10, 0.5], r"scores/a\.npz: boxes\[1\] .*its frames are 0 to 3"),
        ([0, 0, 0, 10, 10, np.nan], r"boxes\[1\] .*NaN"),
        ([0, 9, 0, 9, 10, 1], r"boxes\[1\] .*x1 <= x0"),
    ):
        with pytest.raises(SystemExit, match=message):
            region.main([*map(str, scored(boxes=np.array([good, row])))])
    paths = scored(boxes=np.array([good]))
    score_files.write(paths[0], Scores("b", np.zeros(4)))
    with pytest.raises(SystemExit, match=r"b\.npz: has no boxes"):
        region.main([*map(str, paths)])
    counts = tmp_path / "counts.txt"
    counts.write_text("a,5\nb,4\n")
    with pytest.raises(SystemExit, match=r"a\.npz: 4 frame scores, but --num_frames says 5"):
        region.main([*map(str, scored(boxes=np.array([good]))), f"--num_frames={counts}"])


def test_help_explains_every_figure_and_option(capsys):
    with pytest.raises(SystemExit):
        region.main(["--help"])
    text = capsys.readouterr().out
    for action in region.parser()._actions:
        assert action.help and (not action.option_strings or action.option_strings[-1] in text)
    for name in ("rbdc", "tbdc", "rbdr, tbdr", "fpr", "pixel_auc", "pixel40_auc", "pixel40_eer"):
        assert f"\n{name} " in text
