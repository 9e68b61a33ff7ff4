"""`vadjax.metrics.region` on detections and tracks as people have them, end to end."""

import json

import numpy as np
import pytest

from tests.metrics.test_region import HIT, TRACK, figures_of, folders  # noqa: F401
from vadjax.metrics import region
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores

FRAMES = 100
MARKED = range(20, 60)


def walker():
    """A person who walks through 100 frames, with high scores in 40 of them; right figures: 1."""
    frame = np.arange(FRAMES)
    x, y = 50.0 + 3 * frame, np.full(FRAMES, 100.0)
    score = np.where(np.isin(frame, MARKED), 0.9, 0.1)
    found = np.stack([frame, x, y, x + 39, y + 79, score], 1)
    truth = np.insert(found[MARKED.start : MARKED.stop, :5], 0, 0, 1)
    return found, truth


def text(rows, heading=""):
    lines = [",".join(f"{value:.15g}" for value in row) for row in rows]
    return "\n".join([*([heading] if heading else []), *lines, ""])


@pytest.fixture
def cases(folders):  # noqa: F811
    """Function: writes both sides as one video."""

    def write(found=None, truth=None):
        plain = map(text, walker())
        found, truth = (own or other for own, other in zip((found, truth), plain, strict=True))
        return folders({"01.csv": found}, {"01.csv": truth})

    return write


def right(paths, capsys, *flags):
    found = figures_of(paths, capsys, *flags)
    assert (found["rbdc"], found["tbdc"], found["frames"]) == (1, 1, FRAMES)


def refused(paths, *flags):
    with pytest.raises(SystemExit) as end:
        region.main([*map(str, paths), f"--num_frames={FRAMES}", *flags])
    assert str(end.value).startswith("error: ") and "\n" not in str(end.value)
    return str(end.value)


def test_headings_that_name_another_order(cases, capsys):
    found, truth = walker()
    swapped = text(found[:, [0, 1, 3, 2, 4, 5]], "frame,x_min,x_max,y_min,y_max,score")
    tracks = text(truth[:, [1, 0, 2, 3, 4, 5]], "frame_id,track_id,x_min,y_min,x_max,y_max")
    right(cases(swapped, tracks), capsys, "--num_frames=100")
    right(cases(swapped, tracks), capsys, "--num_frames=100", "--drop_degenerate")
    flag = "--detection_columns=frame,x_min,y_min,x_max,y_max,score"
    message = refused(cases(swapped), flag)
    assert "01.csv:1: its heading begins with 'frame,x_min,x_max" in message
    assert "leave --detection_columns out to follow the heading" in message


def test_advice_does_not_lead_to_a_wrong_figure(cases, capsys):
    swapped = text(walker()[0][:, [0, 1, 3, 2, 4, 5]])
    message = refused(cases(swapped))
    assert "looks wrong; name the right one with --detection_columns" in message
    assert "looks wrong" in refused(cases(swapped), "--drop_degenerate")
    flag = "--detection_columns=frame,x_min,x_max,y_min,y_max,score"
    right(cases(swapped), capsys, "--num_frames=100", flag)


def test_shares_of_the_frame(cases, capsys):
    found, truth = walker()
    side = np.array([640, 360, 640, 360])
    found[:, 1:5] = (found[:, 1:5] + [0, 0, 1, 1]) / side
    message = refused(cases(text(found)))
    assert "all coordinates of the detections lie between 0 and 1" in message
    right(cases(text(found)), capsys, "--num_frames=100", "--frame_size=360x640")
    truth[:, 2:] = (truth[:, 2:] + [0, 0, 1, 1]) / side
    assert "coordinates of the tracks lie" in refused(cases(None, text(truth)))
    right(cases(text(found), text(truth)), capsys, "--num_frames=100", "--frame_size=360x640")


def test_sides_of_another_size_are_said(cases, capsys):
    found, truth = walker()
    truth[:, 2:] *= 8
    region.main([*map(str, cases(text(found), text(truth))), "--num_frames=100"])
    assert "are they of pictures of the same size?" in capsys.readouterr().err
    assert "far outside its frame of 360 x 640" in refused(
        cases(text(found), text(truth)), "--frame_size=360x640"
    )
    region.main([*map(str, cases(None, text(walker()[1]))), "--num_frames=100"])
    assert "same size" not in capsys.readouterr().err


def test_shares_in_score_files(tmp_path, folders):  # noqa: F811
    boxes = np.array([[0, 0.1, 0.1, 0.2, 0.2, 0.5]])
    score_files.write(tmp_path / "scores", Scores("a", np.zeros(4), boxes=boxes))
    paths = tmp_path / "scores", folders({}, {"a.txt": TRACK})[1]
    assert "a.npz: all coordinates of the detections lie between 0 and 1" in refused(paths)


def test_a_readme_among_tracks(cases, capsys):
    paths = cases()
    for folder in paths:
        (folder / "readme.txt").write_text("The files have this format:\n\ntrack_id, frame_id, …\n")
    right(paths, capsys, "--num_frames=100")
    region.main([*map(str, paths), "--num_frames=100"])
    said = capsys.readouterr().err
    assert said.count("readme.txt: holds no row of numbers, so it is passed over") == 2


def test_marks_and_utf_16(cases, capsys):
    found, truth = walker()
    paths = cases()
    (paths[0] / "01.csv").write_bytes(text(found).encode("utf-16"))
    (paths[1] / "01.csv").write_bytes(text(truth).encode("utf-8-sig"))
    counts = paths[0].parent / "counts.csv"
    counts.write_bytes("01,100\r\n".encode("utf-16"))
    right(paths, capsys, f"--num_frames={counts}")
    (paths[0] / "01.csv").write_bytes(text(found).encode("utf-16-le"))
    assert "01.csv:1: a zero byte, so this is no text in UTF-8" in refused(paths)


def test_coco_results(cases, tmp_path, capsys):
    found, _ = walker()
    images = [{"id": 7 + i, "file_name": f"01/{i + 1:05d}.jpg"} for i in range(FRAMES)]
    results = [
        {"image_id": 7 + int(f), "bbox": [x, y, x1 - x + 1, y1 - y + 1], "score": score}
        for f, x, y, x1, y1, score in found.tolist()
    ]
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    (tmp_path / "results.json").write_text(json.dumps(results))
    paths = tmp_path / "results.json", cases()[1]
    right(paths, capsys, f"--images={tmp_path / 'images.json'}")  # knows the number of frames
    assert "--images FILE.json" in refused(paths)
    assert "--images: for COCO's results" in refused(cases(), "--images=x.json")


def test_yolo_files(cases, tmp_path, capsys):
    found, _ = walker()
    for folder, name in (("nested", "01/{}.txt"), ("flat", "01_{}.txt")):
        for frame, x, y, x1, y1, score in found:
            shares = np.array([(x + x1 + 1) / 2, (y + y1 + 1) / 2, x1 - x + 1, y1 - y + 1])
            path = tmp_path / folder / name.format(int(frame) + 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            values = " ".join(f"{share:.9f}" for share in shares / [640, 360, 640, 360])
            path.write_text(f"0 {values} {score}\n")
    truth = cases()[1]
    flags = ["--num_frames=100", "--frame_size=360x640", "--first_frame=1"]
    right((tmp_path / "nested", truth), capsys, *flags)
    right((tmp_path / "flat", truth), capsys, *flags, "--detection_format=yolo")
    assert "give the size of the frames" in refused((tmp_path / "nested", truth))
    message = refused((tmp_path / "flat", truth))
    assert "columns" in message or "between 0 and 1" in message


def test_score_files_of_other_names(tmp_path, folders):  # noqa: F811
    boxes = np.array([[0, 0, 0, 10, 10, 0.5]])
    score_files.write(tmp_path / "scores", Scores("a", np.zeros(4), boxes=boxes))
    _, tracks = folders({}, {"b.txt": TRACK})
    with pytest.raises(
        SystemExit, match="of b is not known, and .*scores has no detections of them"
    ):
        region.main([str(tmp_path / "scores"), str(tracks)])


def test_flags_of_another_form(cases, tmp_path):
    paths = cases()
    scores = ["--detection_format=scores"]
    assert "01.csv: expected score files *.npz; text is" in refused(paths, *scores)
    flags = [*scores, "--detection_columns=frame,x,y,w,h,score"]
    assert "--detection_columns: for tables, and" in refused(paths, *flags)
    assert refused(paths, "--detection_format=coco") and refused(paths, "--detection_format=yolo")
    (tmp_path / "results.csv").write_text("x")
    assert "results.csv: a file; expected a folder" in refused((tmp_path / "results.csv", paths[1]))


def test_videos_that_are_only_counted_are_named(folders, tmp_path, capsys):  # noqa: F811
    paths = folders({"a.txt": HIT}, {"a.txt": TRACK})
    (tmp_path / "counts.txt").write_text("a,4\nb,6\n")
    region.main([*map(str, paths), f"--num_frames={tmp_path / 'counts.txt'}"])
    assert "1 videos of --num_frames have neither detections nor tracks" in capsys.readouterr().err


def test_too_few_frames_are_said(folders, capsys):  # noqa: F811
    paths = folders({"a.txt": HIT, "b.txt": "9,0,0,9,9,0.5\n"}, {"a.txt": TRACK})
    region.main([*map(str, paths), "--num_frames=10"])
    assert (
        "10 frames in all, but the videos have 11 up to their last boxes" in capsys.readouterr().err
    )
    region.main([*map(str, paths), "--num_frames=11"])
    assert "in all" not in capsys.readouterr().err


def test_no_traceback_for_any_bytes(folders, capsys):  # noqa: F811
    """Pieces of tables, JSON and binary files, cut and mixed: a figure, or one line."""
    rng = np.random.default_rng(0)
    pieces = [
        *[b"0,0,0,9,9,0.5", b"frame,x,y,w,h,score", b"#", b"\n", b"\r\n", b",", b";", b" ", b"nan"],
        *[
            b"1e400",
            b"-1",
            b"1e19",
            b"inf",
            b"x_max",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\x00",
            b"\xe9",
        ],
        *[b"[", b'{"images": [', b"0x1p3", b"\xd9\xa1", b'"', b"000012.jpg", b"-", b"1_0", b"0.5"],
    ]
    ends = {"figure": 0, "line": 0}
    for _ in range(400):
        sides = [b"".join(rng.choice(pieces, rng.integers(1, 9))) for _ in range(2)]
        good = [HIT.encode(), TRACK.encode()]
        sides = [
            own if rng.random() < 0.6 else other for own, other in zip(sides, good, strict=True)
        ]
        paths = folders({"a.txt": ""}, {"a.txt": ""})
        for folder, content in zip(paths, sides, strict=True):
            (folder / "a.txt").write_bytes(content)
        try:
            region.main([*map(str, paths), "--num_frames=4"])
            ends["figure"] += 1
        except SystemExit as end:
            assert str(end).startswith("error: ") and len(str(end).splitlines()) == 1, sides
            ends["line"] += 1
    assert min(ends.values()) > 20
