"""A short run of the campaign; the long one: `python -m tests.faults`."""

import importlib.util
import json
import os
import pathlib
import zipfile

import numpy as np
import pytest

from tests.faults import disk, fuzz, inputs, jobs, kills, mutations, outcomes
from tests.faults.process import Worker

CHEAP = (
    "score files",
    "labels, labels.json",
    "labels, labels.mat",
    "boxes, table",
    "boxes, COCO",
    "tracks",
    "masks",
    "features, npy",
    "curves",
)
FUZZED, KILLED = 30, 4


BAD_PROGRAM = """
import os, sys, time
from vadjax.runtime import command
def main():
    kind, folder = sys.argv[1:3]
    if kind == "traceback":
        raise KeyError("x")
    if kind == "hang":
        time.sleep(600)
    if kind == "memory":
        block = bytearray(os.urandom(1 << 20)) * 300
        time.sleep(600)
    if kind == "unnamed":
        sys.exit("error: bad input")
    if kind == "named":
        sys.exit(f"error: {folder}/in/a.txt: bad input")
    if kind == "outside":
        open(os.path.join(folder, "..", "escaped"), "w").close()
    if kind == "other":
        open(os.path.join(folder, "out", "file"), "w").close()
    if kind == "signal":
        os.abort()
if __name__ == "__main__":
    command.run(main)
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    modules = tmp_path_factory.mktemp("modules")
    (modules / "misbehaving.py").write_text(BAD_PROGRAM, "utf-8")
    with Worker({"PYTHONPATH": str(modules)}) as running:
        yield running


@pytest.fixture
def root(tmp_path):
    (tmp_path / "campaign").mkdir()
    return tmp_path / "campaign"


def test_damaged_inputs_are_refused_by_name_or_change_nothing(root, worker):
    chosen = [entry._replace(weight=1) for entry in inputs.INPUTS if entry.name in CHEAP]
    results = list(fuzz.run(FUZZED, 7, root, worker, chosen))
    wrong = [outcome for outcome in results if outcome.kind in outcomes.BAD]
    assert len(results) == FUZZED and not wrong, outcomes.table(results)


def test_all_programs_and_configs_of_the_campaign_are_there(tmp_path):
    for entry in fuzz.INPUTS:
        assert importlib.util.find_spec(entry.module), entry.name
        for option in entry.command(tmp_path / "in", tmp_path / "out"):
            if option.startswith("--config="):
                file = option.removeprefix("--config=").split(":")[0]
                assert pathlib.Path(file).is_file(), (entry.name, option)


def test_after_a_kill_the_same_command_makes_the_same_files(root, worker):
    chosen = [job for job in jobs.JOBS if job.name in ("data_prep.tracks", "data_prep.toy, bags")]
    results = list(kills.run(KILLED, 7, root, worker, jobs=chosen))
    assert [outcome.kind for outcome in results] == ["survived"] * KILLED, results


def test_a_full_disk_and_a_read_only_place_are_one_line(root, worker):
    try:
        results = list(disk.run(7, root, worker, "data_prep.tracks", full=1, read_only=1))
    except disk.CannotMount as error:
        pytest.skip(str(error))
    assert [outcome.kind for outcome in results] == ["survived"] * 2, results


# The campaign itself: it sees what it counts


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        ("", "survived"),
        ("named", "named"),
        ("unnamed", "unnamed"),
        ("traceback", "traceback"),
        ("signal", "traceback"),
        ("other", "silent"),
        ("hang", "hang"),
        ("memory", "hang"),
        ("outside", "outside"),
    ],
)
def test_every_kind_is_seen(root, worker, kind, counted, monkeypatch):
    """By a program that misbehaves on a damaged input, and is sound on the undamaged one."""

    def build(folder, worker):
        (folder / "a.txt").write_text("sound", "utf-8")

    run_program = worker.run

    def limited(module, options, folder, **limits):
        sound = (folder / "in" / "a.txt").read_bytes() == b"sound"
        options = ["" if sound else options[0], *options[1:]]
        return run_program(module, options, folder, seconds=1.0, memory=450)

    monkeypatch.setattr(worker, "run", limited)
    monkeypatch.setattr(mutations, "damage", lambda path, rng: str(path.write_text("bad")))
    entry = inputs.Input("a", build, ("a.txt",), "misbehaving", (kind, str(root / "case")))
    (outcome,) = fuzz.run(1, 0, root, worker, [entry])
    assert outcome.kind == counted, outcome


def test_a_kill_is_where_it_is_said_to_be(root, worker):
    """Before the n-th change: of n = 1 nothing is there, and after the last all."""
    job = next(job for job in jobs.JOBS if job.name == "data_prep.toy, bags")
    undamaged = kills.reference(job, root, worker)
    assert undamaged.changes > 5
    for at, stopped in ((1, "wish"), (undamaged.changes, "wish"), (undamaged.changes + 1, "")):
        job.lay(undamaged.source, root / "case")
        ended = job.run(undamaged.source, root / "case", worker, kill_at=at)
        assert ended.stopped == stopped
        files = outcomes.contents(root / "case")
        assert (not files) == (at == 1) and (stopped or files == undamaged.made)


def test_damage_is_the_same_for_a_seed_and_touches_one_file(tmp_path):
    for suffix, content in (
        (".txt", b"a,1,2\nb,3,4\n"),
        (".json", b'{"a": [1, "b"]}'),
        (".jpg", b"x" * 99),
    ):
        for seed in range(40):
            notes = []
            for name in ("one", "two"):
                (tmp_path / name).mkdir(exist_ok=True)
                path = tmp_path / name / f"file{suffix}"
                path.write_bytes(content)
                notes.append(mutations.damage(path, outcomes.of_seed(seed, suffix)))
                notes.append(_state(path))
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            assert notes[0] == notes[2] and notes[1] == notes[3]


def _state(path) -> object:
    if path.is_symlink() or not path.is_file():
        return os.path.islink(path)
    return path.read_bytes().replace(str(path.parents[1]).encode(), b"")


def test_arrays_are_damaged_in_what_they_mean(tmp_path):
    changes = set()
    for seed in range(60):
        np.savez(tmp_path / "a.npz", frame_scores=np.arange(9.0), labels=np.arange(9) % 2)
        rng = outcomes.of_seed(seed)
        kind = mutations.NPZ[rng.integers(len(mutations.NPZ))]
        changes.add(kind(tmp_path / "a.npz", rng).split()[-1])
        assert zipfile.is_zipfile(tmp_path / "a.npz")
    assert {"NaN", "pickle", "0-d", "terabytes", "encrypted", "bomb"} <= changes


def test_the_table_counts(tmp_path):
    results = [
        outcomes.Outcome("a", "cut", "named", "", 1.0),
        outcomes.Outcome("b", "cut: to 3", "silent", "", 1.0),
    ]
    assert outcomes.table(results).splitlines()[-1] == "| all | 2 | – | 1 | – | – | 1 | – | – |"
    assert outcomes.silent(results) == "   1 b: cut"
    outcomes.write_json(tmp_path / "x.json", results)
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["counts"] == {
        "named": 1,
        "silent": 1,
    }
