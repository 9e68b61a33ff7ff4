"""What the exemplar system refuses: configs, files of other stages, videos (eval §4, §6, §11)."""

import json
import shutil

import numpy as np
import pytest

from tests.systems.exemplar.cases import (
    Appearance,
    Networks,
    arrays,
    config,
    test_video,
    two_and_two,
    video,
    write,
)
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.report import page
from vadjax.runtime.cache import RunCache
from vadjax.system import load_system
from vadjax.systems.exemplar import features
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.stages import Stages


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A dataset, and the workdir of a finished run on it."""
    root = tmp_path_factory.mktemp("refusals")
    data = two_and_two(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        train.run(config(data), root / "run")
    return data, root / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the workdir; the dataset."""
    return shutil.copytree(finished[1], tmp_path / "run"), Dataset(finished[0])


CONFIGS = [
    ({"train__steps": 5}, "train.steps is 5; .* leave it 0"),
    ({"model__version": "sound"}, "model.version is 'sound'; expected one of appearance, motion"),
    ({"model__motion_feature": "x"}, "model.motion_feature is 'x'; expected one of outputs, rob"),
    ({"model__speeds": ("all", "slow")}, "model.speeds is 'slow'; expected one of moving, fast"),
    ({"model__speeds": ()}, r"model.speeds is \(\); expected some of moving"),
    ({"eval__map_rule": "sum"}, "eval.map_rule is 'sum'; expected one of max, mean"),
    (
        {"model__motion_feature": "robust", "motion__source": "networks"},
        "'robust', which needs motion.source = 'flow'; it is 'networks'",
    ),
    (
        {"model__motion_feature": "penultimate"},
        "'penultimate', which needs motion.source = 'networks'; it is 'flow'",
    ),
    (
        {
            "model__motion_feature": "robust",
            "motion__source": "networks",
            "model__version": "appearance",
            "appearance__source": "small",
        },
        "needs motion.source = 'fl",
    ),
    ({"model__version": "appearance"}, "'appearance', but appearance.source is 'none'; name a"),
    ({"model__version": "appearance_motion"}, "or take the version 'motion'"),
    ({"motion__source": "radar"}, "motion.source is 'radar'; expected one of flow, networks"),
    ({"appearance__source": "vgg"}, "appearance.source is .vgg.; expected one of none, nanodet"),
    ({"volume__window": (1, 16, 16)}, r"volume.window is \(1, 16, 16\); expected .* 2 frames or"),
    ({"volume__step": (2, 0, 16)}, r"volume.step is \(2, 0, 16\); expected"),
    ({"volume__window": (4, 16)}, r"volume.window is \(4, 16\); expected"),
    ({"model__threshold": -0.1}, "model.threshold is -0.1; expected at least 0"),
    ({"model__threshold": float("nan")}, "model.threshold is nan; expected at least 0"),
    ({"model__neighbours": -1}, "model.neighbours is -1; expected at least 0"),
    ({"model__z_volumes": 1}, "model.z_volumes is 1; expected at least 2"),
    ({"eval__sigma": -1.0}, "eval.sigma is -1.0; expected at least 0"),
    ({"eval__examples": -1}, "eval.examples is -1; expected at least 0"),
    ({"motion__tau": -0.3}, "motion.tau is -0.3; expected at least 0"),
    ({"motion__still_threshold": 98.0}, "motion.still_threshold is 98.0; expected a share"),
    ({"motion__still_threshold": 0.0}, "motion.still_threshold is 0.0; expected a share"),
]


@pytest.mark.parametrize(("fields", "message"), CONFIGS, ids=[str(number) for number in range(25)])
def test_configs_that_cannot_be_used(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_system(config(**fields))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data__cameras": "two"}, "data.cameras is 'two'; expected one of one, prefix"),
        (
            {"motion__flow": "magic"},
            "motion.flow is 'magic'; expected one of dis, dis_light, dis_half, tvl1",
        ),
        (
            {"volume__window": (4, 33, 16)},
            r"is 33 × 16 pixels, the frames have 32 × 48; take small",
        ),
        ({"volume__window": (4, 16, 49)}, r"is 16 × 49 pixels, the frames have 32 × 48"),
        ({"eval__split": "val"}, "no split 'val'; this dataset has train, test"),
    ],
)
def test_configs_that_do_not_fit_the_data_leave_the_folder_free(
    finished, tmp_path, fields, message
):
    with pytest.raises(ValueError, match=message):
        train.run(config(finished[0], **fields), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.json"))


def of_features(stages, data):
    stages.features(Videos(data, "train")[1], data)  # video a


def of_clusters(stages, data):
    stages.clusters(Videos(data, "train")[1], data)


def of_scores(stages, data):
    stages.scores(Videos(data, "test")[1], data, stages.read_model(data))  # video x


CHANGES = [
    ("volume__window", (4, 16, 8), "window [4, 16, 16] there, [4, 16, 8] here"),
    ("volume__step", (2, 8, 8), "step [2, 8, 16] there, [2, 8, 8] here"),
    ("motion__tau", 0.5, '"tau": 0.3'),
    ("motion__still_threshold", None, '"still_threshold": null'),
    ("motion__flow", "tvl1", '"flow": "tvl1"'),
]
OF_MODEL = [
    ("model__threshold", 0.7, "threshold 0.8 there, 0.7 here"),
    ("model__z_volumes", 50, "z_volumes 20000 there, 50 here"),
    ("model__motion_feature", "robust", 'motion_feature "outputs" there, "robust" here'),
]


@pytest.mark.parametrize(("field", "value", "message"), CHANGES, ids=[one[0] for one in CHANGES])
@pytest.mark.parametrize("stage", ["features", "scales", "model"])
def test_files_made_with_other_settings_are_refused_with_both(run, field, value, message, stage):
    folder, data = run
    stages = Stages(config(**{field: value}), RunCache(folder))
    with pytest.raises(ValueError) as caught:
        if stage == "features":
            of_features(stages, data)
        elif stage == "scales":
            stages.scales(data)
        else:
            stages.read_model(data)
    text = str(caught.value)
    assert message in text and "there" in text and "here" in text and ".npz: made with" in text
    assert "Remove" in text and "same settings" in text and "\n" not in text


@pytest.mark.parametrize(("field", "value", "message"), OF_MODEL, ids=[one[0] for one in OF_MODEL])
@pytest.mark.parametrize("read", [of_clusters, Stages.read_model], ids=["clusters", "merged"])
def test_exemplars_of_another_model_section_are_refused(run, field, value, message, read):
    folder, data = run
    if read is of_clusters:
        (folder / "scales_motion.npz").unlink()  # made anew; else it is the first to refuse
    with pytest.raises(ValueError) as caught:
        read(Stages(config(**{field: value}), RunCache(folder)), data)
    assert message in str(caught.value) and "Remove these files" in str(caught.value)


def rewrite(path, **changes) -> None:
    """Writes a file of a stage anew with other arrays or, by names that end in `_`, meta."""
    own = arrays(path)
    meta = json.loads(str(own["meta"]))
    for name, value in changes.items():
        if name.endswith("_"):
            meta[name[:-1]] = value
        else:
            own[name] = value
    np.savez(path, **own | {"meta": np.array(json.dumps(meta))})


def test_exemplars_of_other_scales_are_refused_with_both(run):
    folder, data = run
    rewrite(folder / "scales_motion.npz", Z=np.float32([1, 2, 3, 4]))
    with pytest.raises(
        ValueError,
        match=r"clusters_motion/a.npz: made with Z \[1.0, .* there, "
        r"\[1.0, 2.0, 3.0, 4.0\] here",
    ):
        of_clusters(Stages(config(), RunCache(folder)), data)


def test_scales_of_another_seed_are_refused(run):
    folder, data = run
    made = config()
    made.seed = 7
    with pytest.raises(ValueError, match="scales_motion.npz: made with seed 0 there, 7 here"):
        Stages(made, RunCache(folder)).scales(data)


def test_files_of_another_version_camera_or_format_are_refused(run, monkeypatch):
    folder, data = run
    monkeypatch.setattr(features, "load_appearance", lambda *_: Appearance())
    made = config(model__version="appearance_motion", appearance__source="small")
    for kind in ("scales_{}.npz", "exemplars_{}_merged.npz"):
        shutil.copy(folder / kind.format("motion"), folder / kind.format("appearance_motion"))
    for read in (Stages.scales, Stages.read_model):
        with pytest.raises(ValueError) as caught:
            read(Stages(made, RunCache(folder)), data)
        assert 'version "motion" there, "appearance_motion" here' in str(caught.value)
        assert 'appearance "none" there, "fake appearance" here' in str(caught.value)
    shutil.copy(folder / "scales_motion.npz", folder / "scales_motion_01.npz")
    with pytest.raises(ValueError, match='camera "scene" there, "01" here'):
        Stages(config(data__cameras="prefix"), RunCache(folder), "01").scales(data)
    rewrite(folder / "scales_motion.npz", format_=0)
    with pytest.raises(ValueError, match="format 0 there, 1 here"):
        Stages(config(), RunCache(folder)).scales(data)


def test_features_of_another_video_or_dataset_are_refused(run, tmp_path):
    folder, data = run
    shutil.copy(folder / "features/train/b.npz", folder / "features/train/a.npz")
    with pytest.raises(ValueError, match='video "b" there, "a" here; n_frames 8 there, 11 here'):
        of_features(Stages(config(), RunCache(folder)), data)
    other = Dataset(two_and_two(tmp_path / "other", 5))
    with pytest.raises(ValueError, match=f'data "{data.digest}" there, "{other.digest}" here'):
        Stages(config(), RunCache(folder)).features(Videos(other, "train")[0], other)


def test_scores_of_another_model_or_reach_are_refused(run):
    folder, data = run
    with pytest.raises(ValueError, match="x_detail.npz: made with neighbours 0 there, 1 here"):
        of_scores(Stages(config(model__neighbours=1), RunCache(folder)), data)
    merged = folder / "exemplars_motion_merged.npz"
    rewrite(merged, count=arrays(merged)["count"] + 1)
    with pytest.raises(
        ValueError, match='x_detail.npz: made with model "[0-9a-f]+" there, "[0-9a-f]'
    ):
        of_scores(Stages(config(), RunCache(folder)), data)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("features/train/a.npz", of_features),
        ("scales_motion.npz", lambda stages, data: stages.scales(data)),
        ("clusters_motion/a.npz", of_clusters),
        ("clusters_motion/a_counts.npz", of_clusters),
        ("exemplars_motion_merged.npz", lambda stages, data: stages.read_model(data)),
        ("anomaly_scores_motion/x_detail.npz", of_scores),
    ],
)
def test_damaged_files_are_named(run, name, read):
    folder, data = run
    whole = (folder / name).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 255  # somewhere inside an array: found by its check sum
    for content in (b"", b"nothing", whole[: len(whole) // 2], whole[:-30], bytes(flipped)):
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: not a readable .npz .* Remove it") as caught:
            read(Stages(config(), RunCache(folder)), data)
        assert str(caught.value).count("\n") == 0
    own = dict(np.load(finished_file(whole, folder)))
    del own["meta"]
    np.savez(folder / name, **own)
    with pytest.raises(ValueError, match=f"{name}: not a file of a stage"):
        read(Stages(config(), RunCache(folder)), data)


@pytest.mark.parametrize(
    ("name", "read", "array", "value", "message"),
    [
        ("features/train/a.npz", of_features, "ang", np.nan, "values are NaN or infinite"),
        ("features/train/a.npz", of_features, "mag", np.inf, "values are NaN or infinite"),
        ("scales_motion.npz", Stages.scales, "Z", np.nan, "Z: 4 of 4 values are NaN"),
        ("clusters_motion/a.npz", of_clusters, "bkg", np.nan, "values are NaN or infinite"),
        ("exemplars_motion_merged.npz", Stages.read_model, "Z", np.nan, "Z: 4 of 4 values"),
        ("anomaly_scores_motion/x_detail.npz", of_scores, "score", np.nan, "values are NaN"),
        ("anomaly_scores_motion/x_detail.npz", of_scores, "nearest", -1, "not of the .* exemplars"),
        ("exemplars_motion_merged.npz", Stages.read_model, "offsets", 0, "that rise from 0 to"),
        ("clusters_motion/a.npz", of_clusters, "offsets", 7, "that rise from 0 to"),
    ],
)
def test_numbers_that_cannot_be_are_named(run, name, read, array, value, message):
    folder, data = run
    own = arrays(folder / name)[array]
    rewrite(folder / name, **{array: np.full_like(own, value)})
    with pytest.raises(ValueError, match=f"{name}: .*{message}.*Remove it to make it anew"):
        read(Stages(config(), RunCache(folder)), data)


@pytest.mark.parametrize(
    ("name", "read", "array"),
    [
        ("features/train/a.npz", of_features, "t_start"),
        ("scales_motion.npz", Stages.scales, "Z"),
        ("clusters_motion/a.npz", of_clusters, "index"),
        ("clusters_motion/a_counts.npz", of_clusters, "count"),
        ("exemplars_motion_merged.npz", Stages.read_model, "count"),
        ("anomaly_scores_motion/x_detail.npz", of_scores, "terms"),
    ],
)
def test_arrays_of_another_shape_or_none_are_named(run, name, read, array):
    folder, data = run
    own = arrays(folder / name)[array]
    rewrite(folder / name, **{array: own[:1]})
    with pytest.raises(ValueError, match=f"{name}: .*expected .*Remove it to make it anew"):
        read(Stages(config(), RunCache(folder)), data)
    rewrite(folder / name, **{array: np.array(["text"])})
    with pytest.raises(ValueError, match=f"{name}: {array} is <U4, expected numbers"):
        read(Stages(config(), RunCache(folder)), data)
    left = dict(np.load(folder / name))
    del left[array]
    np.savez(folder / name, **left)
    with pytest.raises(ValueError, match=f"{name}: no array '{array}'"):
        read(Stages(config(), RunCache(folder)), data)


def finished_file(content: bytes, folder):
    path = folder / "whole.npz"
    path.write_bytes(content)
    return path


def test_a_test_video_of_another_size_is_refused(run, tmp_path):
    folder, data = run
    size = (48, 48)
    write(tmp_path / "large", [video("a", 8, 1, size=size)], [test_video("x", 8, 2, size=size)])
    large = Dataset(tmp_path / "large")
    with pytest.raises(ValueError, match=r"frame_size \[32, 48\] there, \[48, 48\] here"):
        Stages(config(), RunCache(folder)).read_model(large)
    system = load_system(config())
    state = system.init(None, data)
    with pytest.raises(ValueError, match="x: its frames of 48 × 48 have 15 regions, .* are of 9"):
        list(system.score(state, system.videos(large, "test")))


def test_a_missing_merged_file_names_the_command(run):
    folder, data = run
    (folder / "exemplars_motion_merged.npz").unlink()
    with pytest.raises(FileNotFoundError, match="_merged.npz: no merged .*python -m vadjax.main"):
        of_scores(Stages(config(), RunCache(folder)), data)


def test_features_that_are_not_finite_name_video_and_volume(finished, tmp_path, monkeypatch):
    class Broken(Networks):
        def __call__(self, volumes):
            motion, hidden = super().__call__(volumes)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 3:  # volumes that begin at frame 4
                motion.mag[7, 3] = np.nan
            return motion, hidden

    monkeypatch.setattr(features, "load_motion", lambda *_: Broken())
    with pytest.raises(ValueError, match="a: mag of the volume at frame 4, region 7 is NaN"):
        train.run(config(finished[0], motion__source="networks", data__threads=1), tmp_path)
    assert not list(tmp_path.rglob("*a.npz")) and not list(tmp_path.glob("*.npz"))


def test_flow_that_is_not_finite_is_found_too(finished, tmp_path, monkeypatch):
    def broken(one, two):
        found = np.zeros((*one.shape, 2), np.float32)
        found[20, 20] = np.nan
        return found

    monkeypatch.setattr("vadjax.ops.flow.make_flow", lambda method: broken)
    with pytest.raises(ValueError, match="a: speeds of the volume at frame 0, region 4 is NaN"):
        train.run(config(finished[0]), tmp_path)


def test_a_volume_that_the_distance_cannot_take_names_its_video(finished, tmp_path):
    data = Dataset(finished[0])
    stages = Stages(config(), RunCache(tmp_path))
    stages.all_clusters(data)
    path = tmp_path / "features/train/a.npz"
    mag = arrays(path)["mag"]
    mag[1, 2, 3] = 1e20
    rewrite(path, mag=mag)
    (tmp_path / "clusters_motion/a.npz").unlink()
    with pytest.raises(ValueError, match="a: region 2, volume 1: a feature is NaN, infinite or la"):
        of_clusters(stages, data)


def test_motion_networks_of_another_window_are_refused(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "load_motion", lambda *_: Networks())
    made = config(finished[0], motion__source="networks", volume__window=(4, 16, 8))
    with pytest.raises(ValueError, match=r"of \(4, 16, 16\) .*, volume.window is \(4, 16, 8\)"):
        train.run(made, tmp_path)


def test_the_state_holds_nothing_that_a_checkpoint_would_not_take(finished):
    data, run = finished
    model = Stages(config(), RunCache(run)).read_model(Dataset(data))
    state = model.state()
    assert state.app is None and state.classes is None
    for name, one, other in zip(Model._fields, model, Model.of(state), strict=True):
        np.testing.assert_array_equal(one, other, name)
        assert one.dtype == other.dtype and one.shape == other.shape, name
