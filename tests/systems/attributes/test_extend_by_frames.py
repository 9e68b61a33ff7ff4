"""What was flagged was normal: its frames, of a dataset's video or of a file, join the model."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from configs import ped2_attributes, ped2_exemplar
from tests.helpers.pictures import write_pictures
from vadjax import extend, train
from vadjax.data import clips
from vadjax.data.clips import Videos
from vadjax.data.store.records import MANIFEST, Dataset
from vadjax.data.video.ignored import Ignored
from vadjax.data.video.reader import AS_IT_IS
from vadjax.predict.restore import restore
from vadjax.runtime import provenance
from vadjax.systems.attributes import alarm
from vadjax.systems.attributes.model import CameraModel

pytestmark = pytest.mark.slow


def config_of(folder):
    config = ped2_attributes.get_config("smoke")
    config.data.dir, config.train.devices = str(folder), 1
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_scenes):
    folder = tmp_path_factory.mktemp("runs") / "first"
    train.run(config_of(toy_scenes), folder)
    return folder


def model_of(toy_scenes, folder):
    return CameraModel.of(restore(config_of(toy_scenes), folder).state["scene"])


def test_frames_of_an_event_of_a_report_join_the_model(run, toy_scenes, tmp_path):
    video = Videos(Dataset(toy_scenes), "test")[0].name
    extend.run(config_of(toy_scenes), run, tmp_path / "new", video, "5:17")
    before, after = model_of(toy_scenes, run), model_of(toy_scenes, tmp_path / "new")
    assert after.videos == (*before.videos, f"normal/{video} from frame 5")
    assert after.seconds == pytest.approx(before.seconds + 1.2)
    assert after.objects > before.objects
    entry = json.loads((tmp_path / "new" / provenance.FILE).read_text("utf-8"))[-1]
    assert entry["extended"]["video"] == video and entry["extended"]["frames"] == "5:17"


def test_frames_of_events_make_no_line_reliable(run, toy_scenes, tmp_path):
    """They count by their seconds, and not as videos of other times, however many there are."""
    model = model_of(toy_scenes, run)
    parts = tuple(f"normal/{clips.part_name(f'v{n}', 5)}" for n in range(5))
    few = dataclasses.replace(model, seconds=600.0, videos=("a", "b", "c", *parts))
    assert not few.reliable and not alarm.alarm_line([few], 0).reliable
    again = f"{parts[0]} (2)"
    assert not dataclasses.replace(few, videos=(*few.videos, again)).reliable
    assert dataclasses.replace(few, videos=(*few.videos, "later/d")).reliable
    long = dataclasses.replace(few, seconds=59.0, videos=("a", "b", "c", "d"))
    assert not long.reliable and dataclasses.replace(long, seconds=60.0).reliable


def test_a_file_of_a_prediction_gives_the_same_model(run, toy_scenes, tmp_path):
    video = Videos(Dataset(toy_scenes), "test")[0]
    frames = write_pictures(video, tmp_path / video.name)
    extend.run(config_of(toy_scenes), run, tmp_path / "new", video.name, "5:17")
    extend.run(config_of(""), run, tmp_path / "file", str(frames), "5:17")
    one, other = (model_of(toy_scenes, tmp_path / name) for name in ("new", "file"))
    np.testing.assert_array_equal(one.sample, other.sample)
    assert one.lines == other.lines


def test_ignored_pixels_stay_black(toy_scenes, tmp_path):
    """A run whose training ignores pixels: a file that is added is blackened, others refused."""
    data, mask = tmp_path / "data", np.zeros(Dataset(toy_scenes).manifest["size"], bool)
    mask[:, : mask.shape[1] // 2] = True
    shutil.copytree(toy_scenes, data)
    manifest = json.loads((data / MANIFEST).read_text("utf-8"))
    ignored = {"ignored": Ignored(mask).to_text()}
    (data / MANIFEST).write_text(json.dumps(manifest | ignored), "utf-8")
    train.run(config_of(data), tmp_path / "run")
    frames = write_pictures(Videos(Dataset(toy_scenes), "test")[0], tmp_path / "pictures")
    trained = restore(config_of(data), tmp_path / "run")
    _, pictures, _ = extend._of_file(str(frames), trained, AS_IT_IS)
    for picture in pictures:
        assert not picture.pixels[mask].any() and picture.pixels[~mask].any()
        assert picture.jpeg is None
    with pytest.raises(ValueError, match="ignores no pixels, not those of the run"):
        extend.run(config_of(toy_scenes), tmp_path / "run", tmp_path / "new")
    train.run(config_of(toy_scenes), tmp_path / "plain")
    with pytest.raises(ValueError, match="ignores pixels that the run's training did not"):
        extend.run(config_of(data), tmp_path / "plain", tmp_path / "new")


def test_the_button_of_a_report_copies_that_command(toy_scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.orig_argv", ["python", "-m", "vadjax.main", "--config=configs/my cam.py:smoke"]
    )
    config = config_of(toy_scenes)
    train.run(config, tmp_path / "run")
    text = (tmp_path / "run/report/page/data.js").read_text("utf-8")
    report = json.loads(text.removeprefix("vadjax.start(").removesuffix(");\n"))
    event = report["events"][0]
    video = report["videos"][event["video"]]["name"]
    assert event["normal_command"] == (
        f"python -m vadjax.main '--config=configs/my cam.py:smoke' --workdir={tmp_path / 'run'} "
        f"--mode=extend --config.data.dir={toy_scenes} --config.eval.split=test --video={video} "
        f"--frames={event['start']}:{event['stop']} --out={tmp_path / 'run'}_extended"
    )


@pytest.mark.parametrize(
    ("video", "frames", "message"),
    [
        ("nobody", "0:5", "no video 'nobody' in split 'test'"),
        (None, "5-9", "--frames=5-9; expected START:STOP"),
        (None, "9:9", "--frames=9:9; expected START:STOP"),
        (None, "5:99", "has 20 frames, so frames 5:99 are not all there"),
        (None, "50:99", "has 20 frames|has 50 frames|no frames|holds no"),
    ],
)
def test_what_is_no_part_of_a_video_is_said(run, toy_scenes, tmp_path, video, frames, message):
    video = video or Videos(Dataset(toy_scenes), "test")[0].name
    with pytest.raises(ValueError, match=message):
        extend.run(config_of(toy_scenes), run, tmp_path / "new", video, frames)
    assert not (tmp_path / "new").exists()


def test_only_systems_that_can_be_extended_have_the_button():
    from vadjax.system import load_system

    assert load_system(config_of("")).extends
    assert not load_system(ped2_exemplar.get_config("smoke")).extends
