"""The same command again keeps the videos that it has scored, and only those."""

import json
import os
import threading
import time

import pytest

from tests.predict.cases import write_video
from vadjax.data.video.reader import Reading
from vadjax.predict import run as predict
from vadjax.runtime import lock

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def scored(ranker, tmp_path, capsys):
    """Two videos that were scored: `again(**options)` gives what the same command says."""
    config, folder = ranker
    for name, count in (("a", 40), ("b", 24)):
        write_video(tmp_path / f"new/{name}.avi", count)

    def again(**options):
        capsys.readouterr()
        options = {"film": False, **options}
        assert predict.run(config, folder, str(tmp_path / "new"), tmp_path / "out", **options) == {}
        return capsys.readouterr().out

    again.out, again.config, again.folder = tmp_path / "out", config, folder
    assert "kept" not in again()
    return again


def kept(count, said, out):
    line = f"kept {count} of 2 videos, scored before; another --out, or {out} removed, makes all"
    return (line in said) if count else ("kept" not in said)


def content(out):
    """Bytes of all files but the page, which has its date."""
    paths = [path for path in out.rglob("*.*") if "page" not in path.parts]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def test_finished_videos_stay_and_are_ranked_and_shown(scored):
    first = scored(fps=25.0)
    before = content(scored.out)
    said = scored(fps=25.0)
    assert kept(2, said, scored.out) and content(scored.out) == before
    ranking = [line for line in first.splitlines() if line.startswith(("  1.", "  2."))]
    assert len(ranking) == 2 and all(line in said for line in ranking)
    assert "All videos: " in said and '"name": "a"' in (scored.out / "page/data.js").read_text()


def test_one_video_alone_is_told_of_again(scored, tmp_path, capsys):
    video = str(tmp_path / "new/a.avi")
    predict.run(scored.config, scored.folder, video, scored.out, film=False)
    said = capsys.readouterr().out
    assert "kept 1 of 1 videos" in said and "a: 40 frames, median score" in said


def test_what_was_stopped_goes_on(scored, monkeypatch, capsys):
    """As a kill between the files of a video leaves it: `NAME.json` is the last of them."""
    (scored.out / "b.json").unlink()
    write = predict.writing.metric_writers.write_json

    def stopped(path, value):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict.writing.metric_writers, "write_json", stopped)
    with pytest.raises(KeyboardInterrupt):
        scored()
    said = capsys.readouterr().out
    assert "Finished: a (1 of 2). Not finished: b; give the command again for these" in said
    monkeypatch.setattr(predict.writing.metric_writers, "write_json", write)
    assert kept(1, scored(), scored.out) and kept(2, scored(), scored.out)


def change_source(scored):
    path = scored.out.parent / "new/a.avi"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))


def change_scores(scored):
    path = scored.out / "scores/a.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def remove_picture(scored):
    (scored.out / "a.png").unlink()


def add_reasons(scored):
    (scored.out / "scores/a.reasons.jsonl").write_text('{"text": "of other scores"}\n')


def forget(scored):
    """As of an older vadjax."""
    path = scored.out / "a.json"
    summary = json.loads(path.read_text())
    del summary["made_of"], summary["files"]
    path.write_text(json.dumps(summary))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_source, "its file has changed"),
        (change_scores, "its files are not as they were written"),
        (remove_picture, "its files are not as they were written"),
        (add_reasons, "its files are not as they were written"),
        (forget, "it is not known with what it was scored"),
    ],
)
def test_whatever_differs_of_one_video_makes_it_anew(scored, change, reason):
    change(scored)
    said = scored()
    assert f"a: scored anew, since {reason}\n" in said and kept(1, said, scored.out)
    assert kept(2, scored(), scored.out)


def test_other_options_make_all_anew(scored):
    said = scored(reading=Reading(strict=True))
    assert said.count("scored anew, since other options were given") == 2 and kept(0, said, "")
    assert kept(0, scored(reading=Reading(strict=True), fps=12.0), "")
    assert kept(2, scored(reading=Reading(strict=True), fps=12.0), scored.out)


@pytest.mark.parametrize("name", ["dataset.json", "alarm.json", "finished/checksums.json"])
def test_another_run_makes_all_anew(scored, name, monkeypatch):
    path = scored.folder / name
    if name.startswith("finished"):
        monkeypatch.setattr("vadjax.runtime.checksums.check", lambda *_: None)
        path.write_text(path.read_text() + "\n")
    elif path.exists():
        path.write_text(path.read_text() + "\n")
    else:
        line = {"schema": 1, "line": 0.5, "reliable": True, "hours": 1.0, "per_hour": None}
        path.write_text(json.dumps({**line, "extrapolated": False, "rates": [[0.5, 1.0]]}))
    assert scored().count("scored anew, since the run is not the same") == 2
    assert kept(2, scored(), scored.out)


def test_another_field_of_the_config_makes_all_anew(scored):
    scored.config.features.step = 8
    assert scored().count("scored anew, since the run is not the same") == 2


def test_another_vadjax_makes_all_anew(scored, monkeypatch):
    versions = predict.kept.provenance.versions()
    monkeypatch.setattr(predict.kept.provenance, "versions", lambda: {**versions, "jax": "0.0.1"})
    reason = "scored anew, since vadjax, a package or the device is not the same"
    assert scored().count(reason) == 2


def test_a_film_that_is_wanted_and_not_there_makes_it_anew(scored):
    said = scored(film=True)
    assert said.count("its files are not as they were written") == 2 and kept(0, said, "")
    # One that is there and not wanted is no reason, and goes with the scores it is of.
    assert kept(2, scored(film=False), scored.out)
    change_source(scored)
    assert kept(1, scored(film=False), scored.out) and (scored.out / "a.mp4").is_file()
    data = (scored.out / "page/data.js").read_text()
    assert '"film": "b.mp4"' in data and '"film": "a.mp4"' not in data


def test_the_folder_of_a_video_counts_frame_by_frame(ranker, frames, tmp_path, capsys):
    config, folder = ranker
    copy = tmp_path / "frames"
    copy.mkdir()
    for path in frames.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    arguments = (config, folder, str(copy), tmp_path / "out")
    predict.run(*arguments, film=False)
    predict.run(*arguments, film=False)
    assert "kept 1 of 1 videos" in capsys.readouterr().out
    sorted(copy.iterdir())[-1].unlink()
    predict.run(*arguments, film=False)
    assert "scored anew, since its file has changed" in capsys.readouterr().out


def test_events_of_a_video_that_are_gone_make_it_anew(exemplars, frames, tmp_path, capsys):
    config, folder = exemplars
    predict.run(config, folder, str(frames), tmp_path, film=False)
    predict.run(config, folder, str(frames), tmp_path, film=False)
    assert "kept 1 of 1 videos" in capsys.readouterr().out
    lines = (tmp_path / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(lines[1:]))
    assert len(lines) > 0
    predict.run(config, folder, str(frames), tmp_path, film=False)
    assert "its files are not as they were written" in capsys.readouterr().out
    assert (tmp_path / "events.jsonl").read_text() == "".join(lines)


def test_of_two_predictions_into_one_folder_one_writes_at_a_time(scored, tmp_path):
    # Another prediction is about to write its events: this one waits with its own.
    out = tmp_path / "shared"
    out.mkdir()
    video = str(tmp_path / "new/a.avi")
    options = {"out": out, "film": False}
    other = threading.Thread(
        target=predict.run, args=(scored.config, scored.folder, video), kwargs=options
    )
    with lock.held(out / ".events.jsonl.lock", "out"):
        other.start()
        deadline = time.monotonic() + 60
        while not (out / "a.png").is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        assert (out / "a.png").is_file() and not (out / "a.json").exists()
    other.join(60)
    assert (out / "a.json").is_file() and not (out / ".events.jsonl.lock").exists()
