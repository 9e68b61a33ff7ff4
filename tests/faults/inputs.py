"""Small undamaged inputs of every format, and the programs that read them.

Each builder writes into an empty folder; what it writes is what strangers hand over.
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import scipy.io

from tests.faults.process import ROOT, Worker

SIZE = (24, 36)


class Input(NamedTuple):
    """A format, and a program that reads it.

    Attributes:
      name: of the format.
      build: writes it to a folder, with the help of the programs.
      damaged: patterns of the files to damage.
      module: the program.
      options: its command line; `{in}` is the folder, `{out}` an empty one for what it writes.
      weight: how often it is drawn.
    """

    name: str
    build: Callable[[pathlib.Path, Worker], None]
    damaged: tuple[str, ...]
    module: str
    options: tuple[str, ...]
    weight: int = 2

    def command(self, folder: pathlib.Path, out: pathlib.Path) -> list[str]:
        """The command line for an input in `folder`."""
        return [
            text.replace("{in}", str(folder)).replace("{out}", str(out)) for text in self.options
        ]


def grey(path: pathlib.Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """A random picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, size, np.uint8))


def mask(start: int, stop: int, t: int) -> np.ndarray:
    """A mask that is white somewhere in the frames [start, stop)."""
    picture = np.zeros(SIZE, np.uint8)
    if start <= t < stop:
        picture[4:9, 10 + t : 20 + t] = 255
    return picture


def scores(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Score files with everything that they may hold."""
    rng = np.random.default_rng(0)
    (folder / "scores").mkdir(parents=True)
    for name, labels in (("v1", np.arange(20) % 2), ("v2", np.zeros(20, int))):
        arrays = {
            "frame_scores": rng.random(20).astype(np.float32),
            "labels": labels.astype(np.uint8),
            "scored": np.arange(20) > 1,
            "times": np.arange(20) / 25,
            "alternative_motion": rng.random(20).astype(np.float32),
            "boxes": np.array([[3, 2, 2, 9, 9, 0.5], [7, 1, 1, 5, 6, 0.25]]),
            "map": rng.random((20, 3, 4)).astype(np.float32),
            "picture_frames": np.array([3, 5]),
            "picture_seen": rng.integers(0, 255, (2, *SIZE, 3)).astype(np.uint8),
            "picture_predicted": rng.integers(0, 255, (2, *SIZE, 3)).astype(np.uint8),
        }
        np.savez(folder / "scores" / f"{name}.npz", **arrays)
        reason = {"frame": 3, "frames": [2, 5], "score": 1.5, "text": f"{name}: unusual speed."}
        lines = json.dumps(reason | {"box": [2, 2, 9, 9], "terms": {"speed": 1.0}}) + "\n"
        (folder / "scores" / f"{name}.reasons.jsonl").write_text(lines * 2, "utf-8")


def segment_scores(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Score files with a score a segment, and labels beside in every form."""
    rng, labels = np.random.default_rng(1), {}
    (folder / "scores").mkdir(parents=True)
    for name in ("v1", "v2"):
        arrays = {"segment_scores": rng.random(32), "num_frames": np.array(640)}
        np.savez(folder / "scores" / f"{name}.npz", **arrays)
        labels[name] = (np.arange(640) // 100 % 2).astype(np.uint8)
    np.savez(folder / "labels.npz", **labels)
    scipy.io.savemat(folder / "labels.mat", labels)
    rows = {name: row.tolist() for name, row in labels.items()}
    (folder / "labels.json").write_text(json.dumps(rows), "utf-8")
    lines = [f"{name} {' '.join(map(str, row))}\n" for name, row in rows.items()]
    (folder / "labels.txt").write_text("".join(lines), "utf-8")
    (folder / "labels").mkdir()
    for name, row in labels.items():
        np.save(folder / "labels" / f"{name}.npy", row)


def boxes(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Detections as tables, COCO and YOLO, and the tracks of the truth."""
    rng = np.random.default_rng(2)
    # One box a frame, which moves to the right; five of them are the track
    rows = [(t, *(5 + t, 5, 14 + t, 15), round(rng.random(), 3)) for t in range(10)]
    for name in ("v1", "v2"):
        for kind in ("detections", "tracks", "yolo"):
            (folder / kind / (name if kind == "yolo" else "")).mkdir(parents=True, exist_ok=True)
        table = "".join(",".join(map(str, row)) + "\n" for row in rows)
        (folder / "detections" / f"{name}.csv").write_text(table, "utf-8")
        track = "".join(f"0,{row[0]},{','.join(map(str, row[1:5]))}\n" for row in rows[2:7])
        (folder / "tracks" / f"{name}.txt").write_text(track, "utf-8")
        for t, _, _, _, _, score in rows:
            text = f"0 0.4 0.4 0.25 0.4 {score}\n"
            (folder / "yolo" / name / f"{t:06d}.txt").write_text(text, "utf-8")
    images = [
        {"id": 100 * v + t, "file_name": f"v{v}/{t:06d}.jpg", "width": 36, "height": 24}
        for v in (1, 2)
        for t in range(10)
    ]
    detections = [
        {"image_id": image["id"], "bbox": [5, 5, 10, 11], "score": 0.5, "category_id": 1}
        for image in images
    ]
    (folder / "results.json").write_text(json.dumps(detections), "utf-8")
    (folder / "images.json").write_text(json.dumps({"images": images}), "utf-8")
    (folder / "frames.txt").write_text("v1,10\nv2,10\n", "utf-8")


def masks(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Masks as pictures and as arrays."""
    for t in range(6):
        path = folder / "masks" / "v1" / f"{t:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask(1, 5, t))
    np.save(folder / "masks" / "v2.npy", np.stack([mask(2, 4, t) for t in range(6)]))


def frame_folders(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """The layout of frame folders with labels, masks, boxes and tracks."""
    for part, names in (("training", ("01", "02")), ("testing", ("01", "02"))):
        for name in names:
            for t in range(6):
                grey(folder / part / "frames" / name / f"{t:03d}.jpg", 10 * t + len(part))
            lines = "frame,x0,y0,x1,y1,confidence\n"
            lines += "".join(f"{t},2,2,9,9,0.9\n" for t in range(6))
            (folder / part / "detections").mkdir(exist_ok=True)
            (folder / part / "detections" / f"{name}.csv").write_text(lines, "utf-8")
    for t in range(6):
        path = folder / "testing" / "masks" / "01" / f"{t:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask(1, 4, t))
    spans = json.dumps({"01": [[1, 4]], "02": [[0, 3]]})
    (folder / "testing" / "anomalous_frames.json").write_text(spans, "utf-8")
    (folder / "tracks").mkdir()
    for name in ("01", "02"):
        (folder / "tracks" / f"{name}.txt").write_text("0,1,2,2,9,9\n0,2,3,2,10,9\n", "utf-8")


def ped2_clips(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """The 28 clips of UCSD Ped2 as folders of 33 tiny pictures each, and their features."""
    rng = np.random.default_rng(5)
    for part, count in (("training", 16), ("testing", 12)):
        for number in range(1, count + 1):
            name = f"{part}/frames/{number:02d}"
            for t in range(33):
                grey(folder / "frames" / name / f"{t:03d}.png", t, (4, 4))
            path = folder / "features" / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rng.random((2, 8)).astype(np.float32))
    spans = json.dumps({f"{number:02d}": [[number, number + 5]] for number in range(1, 13)})
    (folder / "frames" / "testing" / "anomalous_frames.json").write_text(spans, "utf-8")


def original_ped2(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """UCSD Ped2 as published: TIFF pictures, BMP masks, intervals in MATLAB's text."""
    for part in ("Train", "Test"):
        for t in range(1, 6):
            grey(folder / part / f"{part}001" / f"{t:03d}.tif", t)
    (folder / "Test" / "Test001_gt").mkdir()
    for t in range(1, 6):
        cv2.imwrite(str(folder / "Test" / "Test001_gt" / f"{t:03d}.bmp"), mask(2, 4, t))
    text = "TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:3];\n"
    (folder / "Test" / "UCSDped2.m").write_text(text, "utf-8")


def avenue(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Avenue as published: AVI files, masks in `.mat` files."""
    for part, count in (("training", 8), ("testing", 8)):
        path = folder / f"{part}_videos" / "01.avi"
        path.parent.mkdir(parents=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, SIZE[::-1])
        for t in range(count):
            writer.write(np.full((*SIZE, 3), 20 * t, np.uint8))
        writer.release()
    cells = np.empty((1, 8), object)
    for t in range(8):
        cells[0, t] = mask(2, 5, t) // 255
    path = folder / "ground_truth_demo" / "testing_label_mask" / "1_label.mat"
    path.parent.mkdir(parents=True)
    scipy.io.savemat(path, {"volLabel": cells})


def shanghaitech(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """ShanghaiTech as published: videos, frames, labels and masks as arrays."""
    avenue(folder / "made")
    (folder / "training" / "videos").mkdir(parents=True)
    (folder / "made" / "training_videos" / "01.avi").rename(
        folder / "training" / "videos" / "01_001.avi"
    )
    for path in sorted((folder / "made").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "made").rmdir()
    for t in range(6):
        grey(folder / "testing" / "frames" / "01_0014" / f"{t:03d}.jpg", t)
    for kind, array in (
        ("frame", (np.arange(6) > 2).astype(np.uint8)),
        ("pixel", np.stack([mask(3, 6, t) // 255 for t in range(6)])),
    ):
        path = folder / "testing" / f"test_{kind}_mask" / "01_0014.npy"
        path.parent.mkdir(parents=True)
        np.save(path, array)


def street_scene(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Street Scene as published."""
    for part in ("Train", "Test"):
        for t in range(1, 6):
            grey(folder / part / f"{part}001" / f"{t:03d}.jpg", t)
    text = "".join(f"00{t}.jpg 1 10 10 6 8\n" for t in range(2, 5))
    (folder / "Test" / "Test001" / "Test001_gt.txt").write_text(text, "utf-8")


def labelled_images(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Pictures with their classes."""
    for n in range(12):
        grey(folder / f"{n}.{'jpg' if n % 2 else 'png'}", n, (40, 40))
    rows = [
        f"{n}.{'jpg' if n % 2 else 'png'},{'person' if n % 3 else 'car;tree'}" for n in range(12)
    ]
    (folder / "labels.csv").write_text("file,class\n" + "\n".join(rows) + "\n", "utf-8")


def bag_features(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Features of UCF-Crime with the four lists."""
    rng = np.random.default_rng(3)
    for kind, name in (
        ("Abuse", "Abuse001_x264"),
        ("Abuse", "Abuse002_x264"),
        ("Normal", "Normal_Videos_001_x264"),
        ("Normal", "Normal_Videos_002_x264"),
    ):
        (folder / kind).mkdir(exist_ok=True)
        np.save(folder / kind / f"{name}.npy", rng.random((32, 8)).astype(np.float32))
    # The lists: one video of each kind in each split
    videos = []
    for split, n in (("train", 1), ("test", 2)):
        for kind, name, label in (
            ("Abuse", f"Abuse00{n}_x264", 1),
            ("Normal", f"Normal_Videos_00{n}_x264", 0),
        ):
            videos.append(
                {
                    "name": name,
                    "split": split,
                    "class_name": kind,
                    "anomalous": bool(label),
                    "frames": 640,
                    "intervals": [[100, 200]] if label else [],
                }
            )
    (folder / "videos.json").write_text(json.dumps(videos, indent=1), "utf-8")


def text_features(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """The same as text."""
    bag_features(folder)
    for path in sorted(folder.rglob("*.npy")):
        np.savetxt(path.with_suffix(".txt"), np.load(path), fmt="%.4f")
        path.unlink()


def crop_features(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Features of crops with S3R's lists and truth."""
    rng, truth = np.random.default_rng(4), {}
    lists = {"training": ["01_001", "01_002"], "testing": ["01_0014", "01_0025"]}
    for part, names in lists.items():
        lines = ["video-id,n_frames,label"]
        for n, name in enumerate(names):
            path = folder / "i3d" / part[:5].replace("testi", "test") / f"{name}_i3d.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rng.random((6, 10, 8)).astype(np.float32))
            lines.append(f"{name},96,{n}")
            truth[name] = {"num_frames": 96, "labels": [0] * 40 + [n] * 56}
        (folder / f"shanghaitech.{part}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    truth = {name: truth[name] for name in lists["testing"]}
    (folder / "shanghaitech_ground_truth.testing.json").write_text(json.dumps(truth), "utf-8")


def toy_bags(folder: pathlib.Path, worker: Worker) -> None:
    """A prepared dataset of bags."""
    sizes = ["--train", "4", "4", "--test", "3", "3", "--width", "16"]
    worker.run("data_prep.toy", ["--out", str(folder / "data"), *sizes], folder)


def toy_scenes(folder: pathlib.Path, worker: Worker) -> None:
    """A prepared dataset of frames."""
    sizes = ["--size", "48x64", "--train", "1", "--test", "1", "--frames", "20"]
    options = ["--kind", "scenes", "--out", str(folder / "data"), *sizes, "--encoding", "jpeg"]
    worker.run("data_prep.toy", options, folder)


def mil_run(folder: pathlib.Path, worker: Worker) -> None:
    """A finished run with its checkpoints, on a dataset beside it."""
    toy_bags(folder, worker)
    worker.run("vadjax.main", mil_options(folder, folder / "run"), folder, seconds=300)


def mil_options(folder: pathlib.Path, workdir: pathlib.Path, *more: str) -> list[str]:
    """Command line of the smallest training."""
    return [
        f"--config={ROOT}/configs/ucf_mil.py:smoke",
        f"--config.data.dir={folder}/data",
        f"--workdir={workdir}",
        "--config.train.batch=2",
        *more,
    ]


def curves(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """A curve as two arrays."""
    np.save(folder / "fpr.npy", np.linspace(0, 1, 9))
    np.save(folder / "tpr.npy", np.linspace(0, 1, 9) ** 0.5)


FRAME, REGION = "vadjax.metrics.frame", "vadjax.metrics.region"
NUMBERS = ("--num_frames", "{in}/frames.txt")


def _labels(form: str, *damaged: str) -> Input:
    options = ("{in}/scores", "--labels", f"{{in}}/{form}")
    return Input(f"labels, {form}", segment_scores, damaged or (form,), FRAME, options)


def _prepared(name: str, build: Callable, damaged: tuple[str, ...], module: str, *more: str):
    flag = "--features" if "features" in name else "--data"
    options = (flag, "{in}", "--out", "{out}/data", *more)
    return Input(name, build, damaged, f"data_prep.{module}", options)


INPUTS: Sequence[Input] = (
    Input("score files", scores, ("scores/*.npz",), FRAME, ("{in}/scores",), 6),
    Input(
        "score files, report",
        scores,
        ("scores/*",),
        "vadjax.report",
        ("{in}/scores", "--out", "{out}/r", "--videos=1", "--windows=1", "--reasons=1"),
        2,
    ),
    Input(
        "score files of segments",
        segment_scores,
        ("scores/*",),
        FRAME,
        ("{in}/scores", "--labels", "{in}/labels.npz"),
    ),
    _labels("labels.npz"),
    _labels("labels.mat"),
    _labels("labels.json"),
    _labels("labels.txt"),
    _labels("labels", "labels/*.npy"),
    Input(
        "boxes, table",
        boxes,
        ("detections/*", "tracks/*", "frames.txt"),
        REGION,
        ("{in}/detections", "{in}/tracks", *NUMBERS),
        4,
    ),
    Input(
        "boxes, COCO",
        boxes,
        ("results.json", "images.json"),
        REGION,
        ("{in}/results.json", "{in}/tracks", "--images", "{in}/images.json", *NUMBERS),
        3,
    ),
    Input(
        "boxes, YOLO",
        boxes,
        ("yolo/v1/00000[0-4].txt",),
        REGION,
        ("{in}/yolo", "{in}/tracks", "--frame_size=24x36", *NUMBERS),
    ),
    Input(
        "tracks",
        boxes,
        ("tracks/*",),
        "data_prep.tracks",
        ("text", "{in}/tracks", "--out", "{out}/tracks"),
        3,
    ),
    Input(
        "masks",
        masks,
        ("masks/v1/*", "masks/*.npy"),
        "data_prep.tracks",
        ("masks", "{in}/masks", "--out", "{out}/tracks", "--mask_order=thw"),
        4,
    ),
    _prepared(
        "frame folders",
        frame_folders,
        ("testing/*/*/*", "testing/*.json", "testing/detections/*", "tracks/*"),
        "ucsd_ped",
    ),
    _prepared("Ped2 as published", original_ped2, ("*/*/*", "Test/*.m"), "ucsd_ped"),
    Input(
        "clips of Ped2 with features",
        ped2_clips,
        ("features/testing/frames/*", "frames/testing/*.json"),
        "data_prep.ped2_weak",
        ("--data", "{in}/frames", "--features", "{in}/features", "--out", "{out}/d", "--split=3"),
        1,
    ),
    _prepared("videos and .mat masks", avenue, ("*/*.avi", "*/*/*.mat"), "avenue"),
    _prepared(
        "arrays of masks",
        shanghaitech,
        ("testing/*/*.npy", "training/videos/*", "testing/frames/*/*"),
        "shanghaitech",
    ),
    _prepared("Street Scene", street_scene, ("Test/*/*",), "street_scene"),
    _prepared(
        "labelled pictures",
        labelled_images,
        ("*",),
        "labelled_images",
        "--classes",
        "person",
        "car",
        "tree",
    ),
    _prepared("features, npy", bag_features, ("*/*.npy", "videos.json"), "ucf_crime"),
    _prepared("features, text", text_features, ("*/*.txt", "videos.json"), "ucf_crime"),
    _prepared(
        "features of crops", crop_features, ("i3d/*/*", "*.csv", "*.json"), "shanghaitech_features"
    ),
    Input(
        "dataset of bags",
        toy_bags,
        ("data/*",),
        "vadjax.systems.s3r",
        ("dictionary", "--data={in}/data", "--out={out}/d.npy", "--layout=atoms", "--ratio=0.3"),
        2,
    ),
    Input(
        "dataset of frames",
        toy_scenes,
        ("data/*",),
        "data_prep.extract_objects",
        ("--data", "{in}/data", "--out", "{out}/objects", "--boxes", "stored"),
        3,
    ),
    Input(
        "run folder, evaluate",
        mil_run,
        ("run/*.json", "run/checkpoints/*/*", "run/checkpoints/*/*/*", "run/checkpoints/*/*/*/*"),
        "vadjax.main",
        tuple(mil_options(pathlib.Path("{in}"), pathlib.Path("{in}/run"), "--mode=evaluate")),
        3,
    ),
    Input(
        "run folder, train",
        mil_run,
        ("run/*.jsonl", "run/*.json", "run/checkpoints/*/*/*", "run/finished/*"),
        "vadjax.main",
        tuple(mil_options(pathlib.Path("{in}"), pathlib.Path("{in}/run"))),
        1,
    ),
    Input(
        "run folder, table",
        mil_run,
        ("run/metrics.json", "run/config.json"),
        "vadjax.report.table",
        ("{in}/run", "{in}/run"),
    ),
    Input(
        "curves", curves, ("*.npy",), "vadjax.metrics.compute_auc", ("{in}/fpr.npy", "{in}/tpr.npy")
    ),
)
