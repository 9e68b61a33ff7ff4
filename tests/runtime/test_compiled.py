import concurrent.futures
import os
import pathlib
import subprocess
import sys

import pytest

from tests.helpers import rights
from tests.helpers.places import ROOT
from vadjax.runtime import compiled, home, space
from vadjax.runtime.compiled import Files

# Trains two steps of a small system, and prints the bits of the state and what JAX noted.
STEPS = """
import collections, hashlib
import jax, numpy as np
from jax import monitoring
from configs import ped2_mnad
from vadjax.data.store.records import Description
from vadjax.runtime import compiled, mesh
from vadjax.system import load_system
from vadjax.train import Loop

compiled.use()
events = collections.Counter()
monitoring.register_event_listener(lambda event, **_: events.update([event.split("/")[-1]]))
config = ped2_mnad.get_config("smoke")
config.model.width = 8
system = load_system(config)
data = Description("", {"size": [32, 40]}, "")
grid = mesh.make(2, 1)
state = mesh.put_state(grid, system.init(jax.random.key(0), data))
frames = np.random.default_rng(0).integers(0, 256, (2, 5, 32, 40, 3), np.uint8)
batch, loop = mesh.put_batch(grid, {"frames": frames}), Loop(config, system, None, grid)
update = loop.compile(state, batch, jax.random.key(1))
for _ in range(2):
    state, scalars = update(state, batch, jax.random.key(1))
digest = hashlib.sha256()
for leaf in jax.tree.leaves((state, scalars)):
    digest.update(np.asarray(leaf).tobytes())
print(digest.hexdigest(), events["cache_hits"], events["cache_misses"])
"""
# Compiles one small program.
ONE = """
import jax, jax.numpy as jnp
from vadjax.runtime import compiled

compiled.use()
print(float(jax.jit(lambda x: jnp.sin(x) * 3)(2.0)))
"""


def run(code: str, cache: pathlib.Path, **variables: str) -> tuple[list[str], str]:
    """Words that a program prints, and its errors, with its compiled programs below `cache`."""
    ours = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "XLA_FLAGS")
    environment = {name: own for name, own in os.environ.items() if not name.startswith(ours)}
    environment |= {"VADJAX_CACHE": str(cache), "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def programs(cache: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_step_that_is_read_gives_the_bits_of_the_one_that_was_compiled(tmp_path):
    (cold, hits, misses), _ = run(STEPS, tmp_path)
    assert hits == "0" and int(misses) > 1
    (warm, *counts), _ = run(STEPS, tmp_path)
    assert warm == cold and counts == [misses, "0"]
    assert any(path.name.startswith("jit__update-") for path in programs(tmp_path))


def test_the_folder_says_version_and_processor_and_is_closed_to_others(tmp_path, monkeypatch):
    before = os.umask(0o002)
    try:
        run(ONE, tmp_path / "new")
    finally:
        os.umask(before)
    (folder,) = (tmp_path / "new" / "xla").iterdir()
    import jaxlib

    assert folder.name == f"{jaxlib.__version__}-{compiled._processor()}" and programs(folder)
    assert [place.stat().st_mode & 0o777 for place in (folder, *folder.parents[:2])] == [0o700] * 3


CPUINFO = "processor : 0\nmodel name : A\n{name} : {flags}\ncpu MHz : {clock}\n"


def test_processors_differ_by_what_they_can_do(tmp_path, monkeypatch):
    def word(name: str, flags: str, clock: int) -> str:
        (tmp_path / "cpuinfo").write_text(CPUINFO.format(name=name, flags=flags, clock=clock))
        return compiled._processor()

    monkeypatch.setattr(compiled, "PROCESSORS", tmp_path / "cpuinfo")
    wide = word("flags\t\t", "fpu sse avx2", 2000)
    assert wide == word("flags", "fpu avx2 sse", 3000) != word("flags", "fpu sse", 2000)
    assert word("Features", "fp asimd", 0) != word("Features", "fp", 0)
    # Where the system does not say, it is the machine
    monkeypatch.setattr(compiled, "PROCESSORS", tmp_path / "nothing")
    monkeypatch.setattr(compiled.platform, "node", lambda: "one")
    alone = compiled._processor()
    monkeypatch.setattr(compiled.platform, "node", lambda: "other")
    assert alone != compiled._processor()


def test_a_folder_that_the_user_names_stays(tmp_path):
    run(ONE, tmp_path / "cache", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert not (tmp_path / "cache").exists() and (tmp_path / "own").exists()
    run(ONE, tmp_path / "cache", JAX_ENABLE_COMPILATION_CACHE="false")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("place", ["", "xla"])
def test_a_folder_that_others_can_change_is_not_used(tmp_path, place):
    (tmp_path / "xla").mkdir(mode=0o700)
    (tmp_path / place).chmod(0o777)
    (printed,), errors = run(ONE, tmp_path)
    assert printed.startswith("2.7") and not programs(tmp_path)
    said = "note: compiled programs are not kept: others can write into"
    assert errors == f"{said} {tmp_path / place}; close it: chmod go-w {tmp_path / place}\n"


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    if tmp_path.stat().st_uid:
        with pytest.raises(PermissionError, match="belongs to another user"):
            compiled._check_closed(tmp_path)
    else:  # root may change everything anyway
        compiled._check_closed(tmp_path)


def test_a_place_that_cannot_be_written_or_is_full_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "xla" / "here"
    compiled._prepare(folder)
    folder.chmod(0o500)
    with rights.plain(), pytest.raises(PermissionError, match="Permission denied"):
        compiled._prepare(folder)
    folder.chmod(0o700)
    monkeypatch.setattr(space, "free", lambda place: compiled.ROOM - 1)
    with pytest.raises(space.NotWritten, match="no space left.*1 bytes are missing"):
        compiled._prepare(folder)
    (tmp_path / "file").write_text("")
    (printed,), errors = run(ONE, tmp_path / "file")
    assert printed.startswith("2.7") and errors.startswith("note: compiled programs are not kept")


def test_a_damaged_file_is_compiled_again(tmp_path):
    run(ONE, tmp_path)
    files = programs(tmp_path)
    whole = {path: path.read_bytes() for path in files}
    for number, path in enumerate(files):
        content = whole[path]
        path.write_bytes(content[: number * 20] if number % 2 else content[:-1] + b"\0\0")
    assert run(ONE, tmp_path)[1] == ""
    # The time that compiling took is in them, so that only their places are the same
    assert programs(tmp_path) == files
    assert all(Files(path.parent, 0).get(path.name) for path in files)


def test_files_are_whole_or_not_there(tmp_path):
    kept = Files(tmp_path, 10**6)
    assert kept.get("a") is None
    kept.put("a", b"program")
    assert kept.get("a") == b"program" and programs(tmp_path) == [tmp_path / "a"]
    for content in (b"", b"short", (tmp_path / "a").read_bytes()[:-1]):
        (tmp_path / "a").write_bytes(content)
        assert kept.get("a") is None
    kept.put("a", b"another")
    assert kept.get("a") == b"another"


def test_threads_that_write_the_same_program_at_once(tmp_path, capsys):
    kept = Files(tmp_path, 10**9)
    data = bytes(range(256)) * 2000

    def both(number):
        kept.put(f"program {number // 6}", data)
        return kept.get(f"program {number // 6}")

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(found == data for found in pool.map(both, range(600)))
    assert capsys.readouterr().err == "" and len(programs(tmp_path)) == 100


def test_the_least_recently_used_are_removed(tmp_path):
    here, older = tmp_path / "this", tmp_path / "older_version"
    for number, folder in enumerate((older, here)):
        folder.mkdir()
        kept = Files(folder, 3 * 1032)
        for name in "ab":
            kept.put(name, bytes(1000))
            os.utime(folder / name, (number, number))
    names = [path.relative_to(tmp_path).as_posix() for path in programs(tmp_path)]
    assert names == ["older_version/b", "this/a", "this/b"]
    assert kept.get("a") is not None  # used now
    for name in "cd":
        kept.put(name, bytes(1000))
    assert programs(tmp_path) == [here / name for name in "acd"]


def test_a_disk_that_becomes_full_is_told_once(tmp_path, monkeypatch, capsys):
    kept = Files(tmp_path, 10**6)
    kept.put("a", b"program")

    def write(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", write)
    kept.put("b", b"program")
    kept.put("c", b"program")
    said = f"note: compiled programs are not kept: {tmp_path}: No space left on device\n"
    assert capsys.readouterr().err == said
    assert programs(tmp_path) == [tmp_path / "a"] and kept.get("a") == b"program"


def test_the_place_of_the_cache(monkeypatch):
    monkeypatch.setenv("VADJAX_CACHE", "/somewhere")
    assert home.cache_folder() == pathlib.Path("/somewhere")
    monkeypatch.delenv("VADJAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert home.cache_folder() == pathlib.Path("/cache/vadjax")


class Called(Exception):
    """Ends what has called `compiled.use`."""


def test_programs_with_networks_and_load_keep_what_they_compile(monkeypatch):
    import vadjax
    from data_prep import extract_features
    from data_prep.lib import object_extractor
    from vadjax.systems.exemplar import __main__ as exemplar

    def use():
        raise Called

    monkeypatch.setattr(compiled, "use", use)
    for program in (
        lambda: vadjax.load("nowhere"),
        lambda: extract_features.load(None),
        object_extractor.open_extractor,
        lambda: exemplar.main(["", "features"]),
    ):
        with pytest.raises(Called):
            program()


def test_a_run_keeps_what_it_compiles(tmp_path):
    command = [sys.executable, "-m", "vadjax.main", "--config=configs/ucf_mil.py:smoke"]
    ours = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "XLA_FLAGS")
    environment = {name: own for name, own in os.environ.items() if not name.startswith(ours)}
    environment["VADJAX_CACHE"] = str(tmp_path / "cache")
    command += [f"--workdir={tmp_path / 'run'}", "--config.train.steps=1"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any(path.name.startswith("jit__update-") for path in programs(tmp_path / "cache"))
