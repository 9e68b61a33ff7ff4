"""Finished run + further normal video → another finished run, without training again."""

import itertools
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

import jax
import ml_collections
import numpy as np

from vadjax import evaluate
from vadjax.data import clips
from vadjax.data.store import frame_writer
from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.store.records import Dataset
from vadjax.data.video.ignored import Ignored
from vadjax.data.video.reader import AS_IT_IS, Picture, Reading, open_frames
from vadjax.predict.restore import Trained, restore
from vadjax.predict.run import as_trained, rate_of
from vadjax.runtime import checkpoint, provenance, replacing, workdir
from vadjax.runtime.cache import RunCache
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.scores import alarm
from vadjax.system import load_system

OF_RUN = (workdir.FILE, workdir.DESCRIPTION, provenance.FILE)  # files that the new run begins with


TRAIN = "train"
NORMAL = "normal"  # what the model calls the set of a video that is given alone


def run(
    config: ml_collections.ConfigDict,
    folder: str | pathlib.Path,
    out: str | pathlib.Path,
    video: str | None = None,
    frames: str | None = None,
    reading: Reading = AS_IT_IS,
) -> None:
    """Writes a run that also knows further normal video.

    That is the training split of the dataset `config.data.dir`, or frames of one video alone, such
    as those of an event that was normal. The run in `folder` stays as it is. The new one belongs to
    the same config and dataset, so it is evaluated and used as that one.

    Args:
      config: of the same system; `data.dir` is the further dataset.
      folder: workdir of a finished run.
      out: workdir of the new run; there must be nothing yet.
      video: a video file or folder of frames that was normal, or with `data.dir` the name of a
        video in its split `eval.split`; None for the training split of `data.dir`.
      frames: `START:STOP`, the frames of the video that were normal; None for all.
      reading: how a video file is read. Its rate and levels are replaced by those of the training.

    Raises:
      FileNotFoundError, ValueError: no such run, dataset or video, the system cannot be extended,
        the video is another camera's, or `out` is there already.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    folder, out = pathlib.Path(folder), pathlib.Path(out)
    if out.exists():
        raise ValueError(f"{out} exists; --out names the folder of a new run")
    if not config.data.dir and video is None:
        raise ValueError(
            "--mode=extend needs --config.data.dir=DATASET, whose training split is learned too, "
            "or --video=FILE"
        )
    span = parse_span(frames)
    # The run, and the further dataset.
    data = Dataset(config.data.dir, config.data.verify) if config.data.dir else None
    config = config.copy_and_resolve_references()
    config.data.dir = workdir.saved(folder)["data"]["dir"]
    trained = restore(config, folder)
    if data is not None and data.kind != trained.system.kind:
        raise ValueError(
            f"{data.folder}: holds {data.kind!r} records, system {config.system!r} reads "
            f"{trained.system.kind!r}"
        )
    if data is not None:
        _check_ignored(data, trained)
    if video is None:
        if data.digest == trained.data.digest:
            raise ValueError(f"{data.folder}: {folder} was trained on this dataset")
        _write(folder, out, trained, data, {"dataset": str(data.folder), "digest": data.digest})
        return
    if trained.system.kind != clips.KIND:
        raise ValueError(f"--video: system {config.system!r} learns from no frames")
    # The frames of the video as a dataset, which the new run does not need once it is written.
    with tempfile.TemporaryDirectory(prefix="vadjax_") as temporary:
        place = pathlib.Path(temporary) / NORMAL
        if data is not None:
            _write_part(place, trained, *_of_dataset(data, config.eval.split, video, trained), span)
        else:
            _write_part(place, trained, *_of_file(video, trained, reading), span)
        origin = {"video": video, "frames": frames} | (
            {"dataset": str(data.folder)} if data else {}
        )
        _write(folder, out, trained, Dataset(place), origin)


def parse_span(frames: str | None) -> tuple[int, int | None]:
    """First frame and the one past the last of `START:STOP`; all frames for None.

    Raises:
      ValueError: it is no such text, or no frame is in it.
    """
    if frames is None:
        return 0, None
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", frames)
    if not match or not int(match[1]) < int(match[2]):
        raise ValueError(
            f"--frames={frames}; expected START:STOP, the first frame and the one past the last, "
            "such as 69:180"
        )
    return int(match[1]), int(match[2])


def _of_dataset(
    data: Dataset, split: str, name: str, trained: Trained
) -> tuple[str, Iterator[Picture], float | None]:
    """Name, frames and rate of a video of a dataset."""
    videos = {video.name: video for video in clips.Videos(data, split)}
    if name not in videos:
        raise ValueError(
            f"{data.folder}: no video {name!r} in split {split!r}; --config.eval.split names "
            "another, and without --config.data.dir --video is a file"
        )
    pictures = (Picture(pixels, f"{data.folder}, video {name}") for pixels in videos[name])
    return name, pictures, trained.system.frame_rate(data)


def _check_ignored(data: Dataset, trained: Trained) -> None:
    """Raises ValueError if other pixels of a dataset are black than in the run's training."""
    text = data.manifest.get("ignored")
    own = Ignored.from_text(text, f"{data.folder}: ignored").mask if text else None
    before = trained.ignored.mask if trained.ignored else None
    if (own is None) != (before is None) or own is not None and not np.array_equal(own, before):
        raise ValueError(
            f"{data.folder}: ignores {'other' if own is not None else 'no'} pixels, not those of "
            "the run's training; prepare the dataset with the same --mask"
            if before is not None
            else f"{data.folder}: ignores pixels that the run's training did not; prepare the "
            "dataset without --mask"
        )


def _of_file(
    video: str, trained: Trained, reading: Reading
) -> tuple[str, Iterator[Picture], float | None]:
    """Name, frames and rate of a video file or folder of frames, read as when it is scored."""
    path = pathlib.Path(video)
    reading = as_trained(trained, path, None, reading)
    pictures: Iterator[Picture] = iter(open_frames(path, reading))
    if ignored := trained.ignored:
        black = ignored.black
        pictures = (one._replace(pixels=black(one.pixels), jpeg=None) for one in pictures)
    return path.stem, pictures, rate_of(trained, path, None, reading).fps


def _write_part(
    place: pathlib.Path,
    trained: Trained,
    name: str,
    pictures: Iterator[Picture],
    fps: float | None,
    span: tuple[int, int | None],
) -> None:
    """Writes frames of a video as the training split of a dataset at `place`."""
    # The frames of the part, counted as they are read
    start, stop = span
    read = 0

    def part() -> Iterator[Picture]:
        nonlocal read
        for picture in itertools.islice(pictures, start, stop):
            read += 1
            yield picture

    label = clips.part_name(name, start) if start or stop else name
    video = SourceVideo(label, part(), labels=0)
    frame_writer.write_frames(
        place,
        {TRAIN: [video]},
        name=NORMAL,
        size=trained.size,
        encoding="png",
        shards=1,
        fps=fps,
    )
    if stop is not None and read < stop - start:
        raise ValueError(
            f"{name}: has {start + read:,} frames, so frames {start}:{stop} are not all there; "
            "are they counted from 0?"
        )


def _write(
    folder: pathlib.Path, out: pathlib.Path, trained: Trained, data: Dataset, origin: dict
) -> None:
    """Writes the new run, whole or not at all.

    Args:
      folder: workdir of the run that is extended.
      out: workdir of the new one.
      trained: the run.
      data: the further dataset.
      origin: where it is from, for the provenance.
    """
    with replacing.folder(out) as work:
        for name in OF_RUN:
            shutil.copyfile(folder / name, work / name)
        system = load_system(trained.system.config, RunCache(work), any_module=True)
        state = system.extend(jax.device_get(trained.state), data)
        with Checkpoints(work) as checkpoints:
            checkpoints.save(0, state)
        checkpoint.write_finished(work, state)
        if (line := system.alarm_line(state, data)) is not None:
            alarm.write(work, line)
        extended = {"run": str(folder)} | origin
        entry = {"extended": extended, **evaluate.made_with(trained.system.config, trained.data)}
        workdir.add_provenance(work, entry)
    print(f"Wrote {out}. Score with it: --workdir={out} and --mode=evaluate, or --mode=predict")
