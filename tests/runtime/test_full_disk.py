"""A full disk or a place that cannot be written: one line, exit 1, and then the same goes on.

The disk is a small one in memory of its own, or a limit on the size of files: that needs no rights.
"""

import contextlib
import functools
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data_prep import toy as toy_program
from data_prep import tracks
from data_prep.lib.extractor import _write as write_features
from tests.helpers import commands, rights
from tests.helpers.places import ROOT
from vadjax.convert import published
from vadjax.data import volumes
from vadjax.data.toy import datasets
from vadjax.data.toy.images import ToyImages
from vadjax.metrics import region
from vadjax.metrics.region_boxes import RegionCurve
from vadjax.predict import live
from vadjax.report import film, marked, overlay, page
from vadjax.report.overlay import FrameSource
from vadjax.runtime import checkpoint, command, metric_writers, space
from vadjax.runtime.cache import RunCache
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.scores import files
from vadjax.systems.exemplar.files import StageFiles
from vadjax.systems.s3r import __main__ as s3r

SIZE = 8_000_000
KB = 1000


def _mount(place: pathlib.Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(place)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MB; skips where nothing may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        _mount(place, "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here ({error})")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: pathlib.Path, left: int) -> pathlib.Path:
    """Writes a file after which so many bytes are free."""
    path = disk / "fill"
    with path.open("wb") as file:
        file.write(bytes(max(0, space.free(disk) - left)))
    return path


RNG = np.random.default_rng(0)
STATE = {"w": RNG.standard_normal(100_000).astype(np.float32)}  # 400 kB, which do not compress
FRAMES = RNG.integers(0, 256, (20, 64, 64, 3), np.uint8)
SOURCE = FrameSource(FRAMES, 20)
SCORED = files.Scores(
    "v", RNG.random(20), labels=np.arange(20) % 2, map=RNG.random((20, 40, 40)).astype(np.float32)
)
SMALL = files.Scores("v", RNG.random(60), labels=np.arange(60) % 2)
LARGE = files.Scores("v", RNG.random(50_000), labels=np.arange(50_000) % 2)


def _save(place, steps=(1,)):
    with Checkpoints(place) as checkpoints:
        for step in steps:
            checkpoints.save(step, STATE)
        checkpoints.wait()


def _log(place):
    with contextlib.closing(metric_writers.Writer(place)) as writer:
        for step in range(1, 3000):
            writer.write(step, {"loss": 0.5})


def _curves(place):
    points = RegionCurve(*RNG.random((4, 20_000)))
    region.write_curves(place / "curves", points)


def _bags(place):
    toy_program.main(["--out", str(place / "bags"), "--train", "40", "40", "--test", "4", "4"])


def _scenes(place):
    toy_program.main(
        [
            "--kind",
            "scenes",
            "--out",
            str(place / "scenes"),
            "--train",
            "1",
            "--test",
            "2",
            "--frames",
            "40",
            "--size",
            "96x128",
        ]
    )


def _lines(place):
    with live._Lines(place / "live.csv") as lines:
        for _ in range(5000):
            lines.add(["now", 0.5, 1, 2, 0.25, 0, "why"])


def _report(place):
    page.build(place / "report", [SMALL], page.summarize(place, [SMALL]))


def stage_files(place):
    return StageFiles(RunCache(place), "v")


WRITERS = {  # what writes to a place, and with how little room it must fail
    "checkpoint": (_save, 200 * KB),
    "checkpoint's folders": (_save, 0),
    "checkpoint, the next one": (functools.partial(_save, steps=(1, 2, 3)), 700 * KB),
    "finished": (lambda place: checkpoint.write_finished(place, STATE), 200 * KB),
    "finished, at its end": (lambda place: checkpoint.write_finished(place, STATE), 380 * KB),
    "metrics": (_log, 60 * KB),
    "metrics, at once": (_log, 0),
    "json": (lambda place: metric_writers.write_json(place / "a.json", list(range(9999))), 8 * KB),
    "scores": (lambda place: files.write(place / "scores", LARGE), 100 * KB),
    "scores, at once": (lambda place: files.write(place / "scores", LARGE), 0),
    "features": (lambda place: write_features(place / "c" / "v.npy", np.ones((99, 999))), 300 * KB),
    "stage": (lambda place: stage_files(place).write(place / "s.npz", {"a": FRAMES}, {}), 100 * KB),
    "stage's array": (
        lambda place: stage_files(place).write_array(place / "s.npy", FRAMES),
        100 * KB,
    ),
    "motion": (lambda p: volumes._write(p / "m.npy", 9999, [np.ones((9999, 25))]), 500 * KB),
    "dictionary": (lambda place: s3r.save(np.ones((99, 2048)), place / "d.npy"), 300 * KB),
    "tracks": (lambda place: tracks.write({"v": RNG.random((9999, 6))}, place / "t"), 100 * KB),
    "curves": (_curves, 50 * KB),
    "bags": (_bags, 900 * KB),
    "bags, found ahead": (_bags, 500 * KB),
    "bags, at once": (_bags, 0),
    "scenes": (_scenes, 1_700 * KB),
    "drawings": (lambda place: datasets.write_images(place / "i", ToyImages(train=4, test=4)), 0),
    "report": (_report, 60 * KB),
    "report, at once": (_report, 0),
    "marked": (lambda p: marked.write(SCORED, FrameSource(FRAMES, 20), p / "m", 0.0), 100 * KB),
    "film": (lambda p: overlay.write(SCORED, FrameSource(FRAMES, 20), p / "f.webm", 25), 4 * KB),
    "film of a page": (lambda p: film.write(SOURCE, p / "f.mp4", 25, "f"), 4 * KB),
    "live": (_lines, 40 * KB),
}


def said(write, place, capsys) -> str:
    """The line that a program ends with which does nothing but `write`."""
    with pytest.raises(SystemExit) as caught:
        command._run(functools.partial(command.report_errors, write, place))
    assert caught.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


# A thread of TensorBoard's ends by the full disk; `command.run` keeps it silent.
THREAD = "ignore::pytest.PytestUnhandledThreadExceptionWarning"


MANY = """
import pathlib, sys
import numpy as np
from data_prep.lib import command
from vadjax.runtime.checkpoint import Checkpoints

def save():
    rng = np.random.default_rng(0)
    state = {f"w{n}": rng.standard_normal(50_000).astype("f") for n in range(150)}
    with Checkpoints(pathlib.Path(sys.argv[1])) as checkpoints:
        checkpoints.save(0, state)

command.run(lambda: command.report_errors(save))
"""


def test_a_save_of_many_files_that_is_given_up_is_one_line(disk):
    """The others fail or end after the first failed, each in a thread of TensorStore's."""
    done = subprocess.run([sys.executable, "-c", MANY, str(disk)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"error: {disk}/checkpoints: not written: no space left")
    assert "30.0 MB or more are needed" in done.stderr


def test_weights_are_refused_before_they_fill_the_disk(disk):
    params = {"a": np.zeros(3_200_000, np.float32)}
    with pytest.raises(space.NotWritten, match=r"out: the weights: .* 1\.\d MB are missing"):
        published._write({"params": params}, disk / ".out.tmp" / "made", disk / "out")
    assert not [*disk.iterdir()]


@pytest.mark.filterwarnings(THREAD)
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_with_room_the_same_goes_on(name, disk, capfd):
    write, left = WRITERS[name]
    place = disk / "place"
    place.mkdir()
    filling = fill(disk, left)
    line = said(write, place, capfd)
    assert str(place) in line, line
    assert "no space left" in line or "is the disk full" in line, line
    assert "free" in line, line
    filling.unlink()
    write(place)
    hidden = [path for path in place.rglob(".*") if not path.name.startswith(".vadjax-")]
    assert not hidden and not [*place.rglob("*orbax-checkpoint-tmp*")]


@pytest.mark.parametrize("name", [name for name in WRITERS if "," not in name])
def test_a_disk_that_is_read_only_is_one_line(name, disk, capfd):
    write, _ = WRITERS[name]
    place = disk / "place"
    place.mkdir()
    _mount(disk, "-o", "remount,ro")
    line = said(write, place, capfd)
    assert str(place) in line and "the file system is read-only" in line, line
    _mount(disk, "-o", "remount,rw")
    write(place)


@pytest.fixture
def closed(tmp_path):
    """A folder in which nothing may be made, not even by root."""
    place = tmp_path / "closed"
    place.mkdir(mode=0o555)
    with rights.plain():
        with pytest.raises(PermissionError):
            (place / "file").touch()
        yield place
    place.chmod(0o755)


@pytest.mark.parametrize("name", [name for name in WRITERS if "," not in name])
def test_a_folder_without_permission_is_one_line(name, closed, capfd):
    line = said(WRITERS[name][0], closed, capfd)
    assert str(closed) in line and "permission" in line, line


# The whole program.

LEFT = {  # bytes, of which a run takes 3 MB
    "at once": 0,
    "for its first files": 40 * KB,
    "before the first checkpoint": 1_000 * KB,
    "for some checkpoints": 2_100 * KB,
}


@pytest.mark.slow
@pytest.mark.parametrize("when", LEFT)
def test_a_run_on_a_full_disk_ends_in_one_line_and_goes_on(when, disk, toy_bags):
    options = [
        "--config=configs/ucf_mil.py:smoke",
        f"--config.data.dir={toy_bags}",
        "--config.train.save_every=1",
        "--config.train.keep=15",
        "--config.train.steps=8",
    ]
    filling = fill(disk, LEFT[when])
    code, _, errors = commands.run("vadjax.main", *options, f"--workdir={disk / 'run'}")
    assert code == 1 and errors.count("\n") == 1, errors
    assert errors.startswith("error: ") and str(disk / "run") in errors and "free" in errors
    assert "no space left" in errors
    filling.unlink()
    _mount(disk, "-o", "remount,size=200m")
    code, out, errors = commands.run("vadjax.main", *options, f"--workdir={disk / 'run'}")
    assert code == 0, errors
    assert sorted(path.name for path in (disk / "run").iterdir()) == [
        "checkpoints",
        "config.json",
        "dataset.json",
        "finished",
        "metrics.json",
        "metrics.jsonl",
        "provenance.json",
        "report",
        "scores",
        "tensorboard",
    ]
    steps = [row["step"] for row in metric_writers.read(disk / "run") if "loss" in row]
    assert steps == list(range(1, 9))


def test_an_output_that_is_full_is_one_line(tmp_path):
    script = f"{sys.executable} -m data_prep.tracks --help > /dev/full"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "what the program prints could not be written: No space left on device" in done.stderr


# The same without rights: the system's limit on the size of a file.

LIMITED = """
import json, pathlib, resource, signal, sys, threading
sys.path.insert(0, {root!r})
from tests.runtime import test_full_disk
import vadjax.runtime.command
from data_prep.lib import command
threading.excepthook = vadjax.runtime.command._thread_failed  # as `command.run` does
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, -1))
for name in sys.argv[2:]:
    place = pathlib.Path(sys.argv[1]) / name
    place.mkdir()
    try:
        command.report_errors(test_full_disk.WRITERS[name][0], place)
    except SystemExit as end:
        print(json.dumps([str(place), end.code]))
"""
OF_FILES = ("checkpoint", "finished", "metrics", "scores", "bags", "curves", "tracks", "report")


@pytest.mark.slow
def test_a_limit_on_files_is_one_line(tmp_path):
    script = LIMITED.format(root=str(ROOT), limit=20 * KB)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *OF_FILES], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [pathlib.Path(place).name for place, _ in rows] == [*OF_FILES], done.stdout
    for place, line in rows:
        assert line.startswith("error: ") and place in line and "\n" not in line, line
        assert "larger than the system allows (ulimit -f)" in line, line
