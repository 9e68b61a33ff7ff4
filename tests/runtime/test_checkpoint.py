"""Saved states: nothing is restored but what was saved, and a damaged step is not in the way."""

import json
import os
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

from vadjax.runtime import checkpoint, checksums, processes, space
from vadjax.runtime.checkpoint import Checkpoints, Damaged

STEPS = (3, 6)
TARGET = {"w": jax.ShapeDtypeStruct((500,), np.float32), "n": jax.ShapeDtypeStruct((), np.int32)}
METADATA = "_CHECKPOINT_METADATA"  # orbax writes it after the sums; it holds times and names


def state(step: int) -> dict:
    return {"w": np.random.default_rng(step).random(500, np.float32), "n": np.int32(step)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    """A workdir with two steps and a finished state; tests change only copies."""
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder, select=True, newest=2) as checkpoints:
        for step in STEPS:
            checkpoints.save(step, state(step), step / 10)
    checkpoint.write_finished(folder, state(9))
    return folder


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """What holds the state: not orbax's notes of when it was committed."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in found if path.name not in checkpoint.UNSUMMED]


def flip(path: pathlib.Path, bit: int = 5) -> None:
    """Turns one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1 << bit
    path.write_bytes(data)


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_every_step_and_the_finished_state_have_their_sums(saved):
    for step in STEPS:
        assert checksums.check(saved / "checkpoints" / str(step))
    assert checksums.check(saved / "finished")
    assert '"SHA-256"' in (saved / "finished" / checksums.FILE).read_text()
    assert {path.name for path in saved.iterdir()} == {"checkpoints", "finished"}
    for folder in ("checkpoints/6", "finished"):  # the files that are damaged below
        names = {path.name for path in files_of(saved / folder)}
        assert {checksums.FILE, "manifest.ocdbt"} < names, names


@pytest.mark.parametrize("damage", [flip, cut, pathlib.Path.unlink], ids=lambda one: one.__name__)
def test_what_is_damaged_is_never_restored(saved, tmp_path, damage, capsys):
    for number, original in enumerate(files_of(saved / "checkpoints" / "6")):
        if damage is pathlib.Path.unlink and original.name == checksums.FILE:
            continue  # as a step of an older vadjax, below
        copy = shutil.copytree(saved, tmp_path / str(number))
        damage(copy / original.relative_to(saved))
        with pytest.raises(Damaged, match=r"checkpoints/6: cannot be read \(.*\)\. Copy it again"):
            with Checkpoints(copy, select=True, read_only=True) as checkpoints:
                checkpoints.restore(TARGET)
        with Checkpoints(copy, select=True, newest=2) as checkpoints:
            said = capsys.readouterr().out
            assert "checkpoints/6: damaged (" in said and "Going on from step 3." in said, said
            found, step = checkpoints.restore(TARGET)
            assert step == 3 and np.array_equal(found["w"], state(3)["w"])
            checkpoints.save(6, state(6), 0.6)
            assert checkpoints.newest == checkpoints.best == 6
        with Checkpoints(copy, select=True, read_only=True) as checkpoints:
            assert np.array_equal(checkpoints.restore(TARGET)[0]["w"], state(6)["w"])
        assert (copy / "damaged_6").is_dir()


@pytest.mark.parametrize("damage", [flip, cut, pathlib.Path.unlink], ids=lambda one: one.__name__)
def test_a_damaged_finished_state_is_never_restored(saved, tmp_path, damage):
    for number, original in enumerate(files_of(saved / "finished")):
        if damage is pathlib.Path.unlink and original.name == checksums.FILE:
            continue
        copy = shutil.copytree(saved, tmp_path / str(number))
        damage(copy / original.relative_to(saved))
        with pytest.raises(Damaged, match=r"finished: cannot be read \(.*\)\. Copy it again"):
            checkpoint.read_finished(copy, TARGET)
        checkpoint.write_finished(copy, state(9))  # as the training command does
        assert np.array_equal(checkpoint.read_finished(copy, TARGET)["w"], state(9)["w"])


def test_a_file_of_another_step_in_its_place_is_found(saved, tmp_path):
    """Orbax's files end with their own CRC-32C, by which that of each whole file is the same."""
    copy = shutil.copytree(saved, tmp_path / "run")
    one, other = (copy / f"checkpoints/{step}/state/manifest.ocdbt" for step in STEPS)
    assert one.stat().st_size == other.stat().st_size and one.read_bytes() != other.read_bytes()
    shutil.copy(one, other)
    with pytest.raises(Damaged, match=r"manifest.ocdbt has CRC-32C"):
        with Checkpoints(copy, read_only=True) as checkpoints:
            checkpoints.restore(TARGET)


def test_where_all_steps_are_damaged_the_line_names_the_newest(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    for step in STEPS:
        flip(copy / f"checkpoints/{step}/state/manifest.ocdbt")
    with pytest.raises(Damaged, match=r"checkpoints/6: cannot be read .* Remove this folder to go"):
        Checkpoints(copy)
    assert not [*copy.glob("damaged*")]


def test_a_damaged_figure_of_an_older_step_is_not_used_to_select(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    path = copy / "checkpoints/3/metrics/metrics"
    path.write_text(path.read_text().replace("0.3", "0.9"))
    with pytest.raises(Damaged, match=r"checkpoints/3: .*\(metrics/metrics .* to train again"):
        Checkpoints(copy, select=True, newest=2)


NOTES = [
    ("[]", "a list of 0 items; expected a dict"),
    ("5", "5; expected a dict"),
    ('{"metrics": 5}', "metrics is 5; expected a dict"),
    ('{"item_handlers": []}', "item_handlers is a list of 0 items"),
    ('{"init_timestamp_nsecs": "x"}', "init_timestamp_nsecs is 'x'; expected a whole number"),
    ("[" * 100_000, "nested too deep"),
]


@pytest.mark.parametrize(("content", "message"), NOTES, ids=[one[0][:20] for one in NOTES])
def test_notes_of_orbax_of_another_kind_are_damage_and_named(
    saved, tmp_path, content, message, capsys
):
    copy = shutil.copytree(saved, tmp_path / "run")
    for place in ("checkpoints/6", "finished"):
        (copy / place / METADATA).write_text(content)
    with pytest.raises(Damaged, match=rf"checkpoints/6: .*\({METADATA}: .*{message}"):
        with Checkpoints(copy, select=True, read_only=True) as checkpoints:
            checkpoints.restore(TARGET)
    with pytest.raises(Damaged, match=rf"finished: .*\({METADATA}: .*{message}"):
        checkpoint.read_finished(copy, TARGET)
    with Checkpoints(copy, select=True, newest=2) as checkpoints:
        assert f"checkpoints/6: damaged ({METADATA}: " in capsys.readouterr().out
        assert checkpoints.restore(TARGET)[1] == 3


def test_damaged_notes_of_an_older_step_are_named(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    (copy / "checkpoints/3" / METADATA).write_text("[]")
    with pytest.raises(Damaged, match=rf"checkpoints/3: .*{METADATA}: a list"):
        Checkpoints(copy, select=True, newest=2)


@pytest.mark.parametrize("content", ["", '{"item_handlers": {', "null", "{}"])
def test_notes_that_a_kill_cut_short_do_no_harm(saved, tmp_path, content):
    copy = shutil.copytree(saved, tmp_path / "run")
    for place in ("checkpoints/6", "finished"):
        (copy / place / METADATA).write_text(content)
    with Checkpoints(copy, select=True, newest=2) as checkpoints:
        assert checkpoints.restore(TARGET)[1] == 6
    assert np.array_equal(checkpoint.read_finished(copy, TARGET)["w"], state(9)["w"])


def test_a_step_without_sums_is_restored_and_said_to_be_unchecked(saved, tmp_path, capsys):
    copy = shutil.copytree(saved, tmp_path / "run")
    (copy / "checkpoints/6" / checksums.FILE).unlink()
    (copy / "finished" / checksums.FILE).unlink()
    with Checkpoints(copy, newest=2) as checkpoints:
        assert checkpoints.restore(TARGET)[1] == 6
    checkpoint.read_finished(copy, TARGET)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("not checked, of an older vadjax" in line for line in lines)


def test_a_damaged_sum_is_told_from_a_damaged_file(saved, tmp_path):
    """The line names both files, and shows the digits that differ, at the end too."""
    copy = shutil.copytree(saved, tmp_path / "run")
    path = copy / "finished" / checksums.FILE
    found = json.loads(path.read_text())
    name, (size, whole) = next(iter(found["files"].items()))
    wrong = whole[:-1] + ("0" if whole[-1] != "0" else "1")
    for sums, message in (
        ([size, wrong], f"{name} has SHA-256 …{whole[-5:]}…, checksums.json says …{wrong[-5:]}…"),
        ([size + 1, whole], f"{name} has {size:,} bytes, checksums.json says {size + 1:,}"),
    ):
        path.write_text(json.dumps({**found, "files": {name: sums}}))
        with pytest.raises(Damaged, match=re.escape(message)):
            checkpoint.read_finished(copy, TARGET)
    path.write_text(json.dumps({**found, "files": {"x": [1, "0"]}}))
    with pytest.raises(Damaged, match="x is missing, which checksums.json has"):
        checkpoint.read_finished(copy, TARGET)


def test_sums_that_lead_out_of_the_folder_are_refused(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    for name in ("../x", "/etc/passwd", "a/../../x"):
        sums = f'{{"kind": "SHA-256", "files": {{"{name}": [1, "0"]}}}}'
        (copy / "finished" / checksums.FILE).write_text(sums)
        with pytest.raises(Damaged, match="checksums.json cannot be read"):
            checkpoint.read_finished(copy, TARGET)


@pytest.mark.parametrize("sums", [True, False])
def test_a_fifo_in_a_saved_state_is_refused_and_not_waited_for(saved, tmp_path, sums):
    copy = shutil.copytree(saved, tmp_path / "run")
    for place in ("checkpoints/6", "finished"):
        (copy / place / "_CHECKPOINT_METADATA").unlink()
        os.mkfifo(copy / place / "_CHECKPOINT_METADATA")
        if not sums:
            (copy / place / checksums.FILE).unlink()
    with pytest.raises(Damaged, match="_CHECKPOINT_METADATA is no regular file"):
        with Checkpoints(copy, select=True, read_only=True) as checkpoints:
            checkpoints.restore(TARGET)
    with pytest.raises(Damaged, match="_CHECKPOINT_METADATA is no regular file"):
        checkpoint.read_finished(copy, TARGET)


def test_what_a_killed_save_has_left_goes_at_the_next_start(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    (copy / "checkpoints" / "7.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    with Checkpoints(copy, newest=2) as checkpoints:
        assert checkpoints.newest == 6
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == ["3", "6"]


def test_too_little_room_for_the_checkpoints_is_found_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free", lambda place: 5_000)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(space.NotWritten, match="up to 4 at once.*5.0 kB are free, 6.0 kB or"):
            checkpoints.check_room(state(0), 4)
        monkeypatch.setattr(space, "free", lambda place: None)  # not known
        checkpoints.check_room(state(0), 4)


def test_what_is_done_once_is_raised_by_all(monkeypatch):
    def broken() -> None:
        raise Damaged("here")

    assert processes.once(lambda: 3) == 3 and processes.once(lambda: None) == 0
    with pytest.raises(Damaged, match="here"):
        processes.once(broken, ValueError, Damaged)
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes.multihost_utils, "broadcast_one_to_all", lambda value: value)
    with pytest.raises(Damaged, match="here"):
        processes.once(broken, space.NotWritten, Damaged)
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(processes.multihost_utils, "broadcast_one_to_all", lambda value: -2)
    with pytest.raises(Damaged, match="the first process says why"):
        processes.once(broken, space.NotWritten, Damaged)
