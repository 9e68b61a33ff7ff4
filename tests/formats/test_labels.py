"""Labels of frames in the forms of several programs, and what is refused in them."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.io

from vadjax.formats.labels import match_labels, read_labels, read_row

FRAMES = {"01": 6, "02": 4}
LABELS = {"01": [0, 0, 0, 1, 1, 0], "02": [1, 0, 0, 0]}
ROW = [*LABELS["01"], *LABELS["02"]]


def equal(found, expected=LABELS):
    assert list(found) == list(expected)
    for name, row in expected.items():
        assert found[name].dtype == np.uint8
        np.testing.assert_array_equal(found[name], row)


def write_cells(path, cells):
    made = np.empty((1, len(cells)), object)
    for i, cell in enumerate(cells):
        made[0, i] = np.asarray(cell)
    scipy.io.savemat(path, {"gt": made})


def follow(message):
    """Runs the command that a message ends with."""
    command = "python -c" + message.split("python -c")[1]
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)


def as_arrays(kind):
    return {name: np.array(row, kind) for name, row in LABELS.items()}


@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
@pytest.mark.parametrize("ending", [".mat", ".npz"])
def test_an_array_a_video(tmp_path, ending, shape):
    path = tmp_path / f"labels{ending}"
    arrays = {name: row.reshape(shape) for name, row in as_arrays(np.int32).items()}
    scipy.io.savemat(path, arrays) if ending == ".mat" else np.savez(path, **arrays)
    equal(read_labels(path))
    equal(match_labels(path, FRAMES))


@pytest.mark.parametrize(
    "content",
    [
        LABELS,
        {name: [row] for name, row in LABELS.items()},
        {name: {"num_frames": len(row), "labels": row} for name, row in LABELS.items()},
    ],
)
def test_json_of_rows(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    equal(read_labels(path))


def test_json_of_numbers_and_words_is_refused(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"01": [true, false]}')
    assert read_labels(path)["01"].tolist() == [1, 0]
    path.write_text('{"01": [1, 0, true]}')
    with pytest.raises(ValueError, match="labels.json: 01: some labels are true or false and some"):
        read_labels(path)


def test_json_of_intervals_needs_the_numbers_of_frames(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"01": [[3, 5]], "02": [[0, 1]]}))
    equal(match_labels(path, FRAMES))
    with pytest.raises(ValueError, match="labels.json: 01 has intervals"):
        read_labels(path)
    path.write_text(json.dumps({"01": [[3, 5]], "02": [1, 0, 0, 0]}))
    with pytest.raises(ValueError, match="some videos have labels, others intervals"):
        match_labels(path, FRAMES)
    path.write_text(json.dumps({"01": [[3, 7]], "02": []}))
    with pytest.raises(ValueError, match=r"01: interval \[3, 7\) is not within its 6 frames"):
        match_labels(path, FRAMES)


@pytest.mark.parametrize("line", ["{},{}", "{} {}", "{}: {}", "\ufeff{};{}"])
def test_text_of_a_line_a_video(tmp_path, line):
    path = tmp_path / "labels.txt"
    mark = "," if "," in line else ";" if ";" in line else " "
    rows = [line.format(name, mark.join(map(str, row))) for name, row in LABELS.items()]
    path.write_text("\r\n".join(rows).replace("\ufeff02", "02"), encoding="utf-8")
    equal(read_labels(path))


def test_a_file_a_video(tmp_path):
    folder = tmp_path / "test_frame_mask"
    folder.mkdir()
    np.save(folder / "01.npy", LABELS["01"])
    (folder / "02.txt").write_text("1\n0.0\n0.000e+00\n0\n")
    (folder / ".DS_Store").write_text("")
    equal(read_labels(folder))
    equal({"01": read_row(folder / "01.npy")}, {"01": LABELS["01"]})
    (folder / "README").write_text("x")
    with pytest.raises(ValueError, match="README: not VIDEO.npy"):
        read_labels(folder)


def write_row(path):
    row = np.array(ROW)
    match path.suffix:
        case ".npy":
            np.save(path, row[None])
        case ".mat":
            scipy.io.savemat(path, {"gt": row})
        case ".npz":
            np.savez(path, row)
        case ".json":
            path.write_text(json.dumps(ROW))
        case ".txt":
            path.write_text("\n".join(map(str, ROW)))


@pytest.mark.parametrize("ending", [".npy", ".mat", ".npz", ".json", ".txt"])
def test_one_row_for_all_videos(tmp_path, ending):
    path = tmp_path / f"frame_labels{ending}"
    write_row(path)
    equal(match_labels(path, FRAMES))
    with pytest.raises(ValueError, match="10 labels, but the 2 videos have 11 frames"):
        match_labels(path, {"01": 6, "02": 5})


def test_a_row_without_names_is_nobodys(tmp_path):
    np.save(tmp_path / "row.npy", ROW)
    with pytest.raises(ValueError, match="row.npy: 10 labels without names of videos"):
        read_labels(tmp_path / "row.npy")


def test_cells_of_rows_and_of_intervals(tmp_path, capsys):
    path = tmp_path / "avenue.mat"
    write_cells(path, [[row] for row in LABELS.values()])
    equal(match_labels(path, FRAMES))
    assert "in the order of the videos" in capsys.readouterr().err
    write_cells(path, [[[4], [5]], [[1], [1]]])  # first and last frames, from 1
    equal(match_labels(path, FRAMES))
    assert "first and last anomalous frames" in capsys.readouterr().err
    with pytest.raises(ValueError, match="rows of 2 videos, but there are 1: 01"):
        match_labels(path, {"01": 6})
    write_cells(path, [[[4], [7]], np.zeros((2, 0))])
    with pytest.raises(ValueError, match=r"video 01: interval \[3, 7\) is not within its 6"):
        match_labels(path, FRAMES)


def test_a_struct_and_names_that_matlab_changed(tmp_path):
    path = tmp_path / "labels.mat"
    scipy.io.savemat(path, {"labels": {f"v{name}": row for name, row in as_arrays(bool).items()}})
    equal(read_labels(path), {f"v{name}": row for name, row in LABELS.items()})
    scipy.io.savemat(path, {f"x{name}": row for name, row in LABELS.items()})
    equal(match_labels(path, FRAMES))


def test_both_sides_are_counted(tmp_path):
    path = tmp_path / "labels.npz"
    np.savez(path, **{"01": LABELS["01"], "03": [0], "04": [1]})
    text = "2 videos and 3 rows of labels, 1 .*: no labels for 02 and labels for 03, 04, not among"
    with pytest.raises(ValueError, match=text):
        match_labels(path, FRAMES)
    np.savez(path, **{"01": LABELS["01"][:5], "02": [0]})
    with pytest.raises(ValueError, match="video 01: 5 labels for 6 frames, and 1 more such"):
        match_labels(path, FRAMES)


@pytest.mark.parametrize("name", ["gt_label.json", "gt.pkl", "avenue.mat"])
def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps([np.array(row) for row in LABELS.values()]))
    with pytest.raises(ValueError, match="a Python pickle") as caught:
        read_labels(path)
    assert "copy it again" not in str(caught.value)
    follow(str(caught.value))  # what the message says works, and its result is read
    equal(match_labels(tmp_path / f"{path.stem}_labels.npy", FRAMES))
    path.write_bytes(pickle.dumps(as_arrays(np.uint8)))
    follow(str(caught.value))
    equal(match_labels(tmp_path / f"{path.stem}_labels.npz", FRAMES))


def test_arrays_of_objects_are_refused_with_the_command_that_converts_them(tmp_path):
    path = tmp_path / "shanghai.npy"
    rows = np.empty(2, object)
    rows[:] = [np.array(row) for row in LABELS.values()]
    np.save(path, rows, allow_pickle=True)
    with pytest.raises(ValueError, match="holds Python objects") as caught:
        match_labels(path, FRAMES)
    assert "copy it again" not in str(caught.value)
    follow(str(caught.value))
    equal(match_labels(tmp_path / "shanghai_row.npy", FRAMES))


def test_matlab_7_3_is_refused_with_the_command_that_converts_it(tmp_path):
    path = tmp_path / "avenue.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\0" * 400)
    with pytest.raises(ValueError, match="MATLAB 7.3 file .* save.'avenue.mat'.*'-v7'"):
        read_labels(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mat", b"", "not a readable .mat"),
        ("a.mat", b"no MATLAB file" * 30, "not a readable .mat"),
        ("a.npz", b"PK\3\4", "not a readable .npz"),
        ("a.npy", b"\x93NUMPY", "not a readable array"),
        ("a.npy", b"", "not a readable array"),
        ("a.json", b"{", r"a\.json:1: not JSON \(.*; expected \.mat"),
        ("a.json", b"3", r"expected \[frames\]"),
        ("a.json", b'{"01": [[0, 1], [1]]}', "expected labels, or intervals"),
        ("a.json", b'{"01": {"frames": 3}}', "has frames; expected labels"),
        ("a.json", b'{"01": {"num_frames": 3, "labels": [0]}}', "num_frames 3, but 1 labels"),
        ("a.json", b'{"01": "0011"}', r"expected \[frames\]"),
        ("a.txt", b"", "empty"),
        ("a.txt", b"\xff\xfe\0", "not a text file"),
        ("a.txt", b"01,0,2\n", "a.txt:1: labels other than 0 and 1"),
        ("a.txt", b"v,0,x\n", "a.txt:1: 'x' is not a label"),
        ("a.txt", b"v,0,1\nv,0,1\n", "a.txt:2: v has a line already"),
        ("a.txt", b"0,0\n1,0\n2,1\n", "some lines with a name and some without"),
        ("a.xlsx", b"PK", ".xlsx; expected .mat"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_labels(path)
    assert str(caught.value).startswith(str(path))


def test_values_and_shapes_that_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    for values in ([0, 2], [0.5], [np.nan], [[0, 1], [1, 0]], ["0"]):
        np.savez(path, v=values)
        with pytest.raises(ValueError, match=r"a\.npz: v: "):
            read_labels(path)
    with pytest.raises(FileNotFoundError, match="no such file or folder of labels"):
        read_labels(tmp_path / "none.mat")


def test_a_cut_mat_file_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"v01": np.zeros(500), "v02": np.ones(500)}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged or cut short"):
        read_labels(path)
