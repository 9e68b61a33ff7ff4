"""Seeded toy sets: small enough to build on the fly, hard enough that an untrained net fails."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import numpy as np

from vadjax.data import bags, clips, images, tracks
from vadjax.data.bags import UNKNOWN_LENGTH, Bag, tfds_features
from vadjax.data.segments import CLIP_FRAMES, pool_clips
from vadjax.data.store import builder
from vadjax.data.store.frame_writer import write_frames
from vadjax.data.store.records import MANIFEST
from vadjax.data.store.track_writer import write_tracks
from vadjax.data.toy.images import DRAWN, ToyImages
from vadjax.data.toy.scenes import FPS, ToyScenes
from vadjax.data.toy.tracks import ToyTracks
from vadjax.runtime import replacing

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class ToyBags:
    """Recipe of a toy set of two-stream segment features.

    A video is a slowly drifting mixture of scene prototypes plus noise. Inside its anomalous
    intervals the direction of its anomaly class is added. Every video, including normal ones, also
    has harmless bursts in other directions of the same strength, so that an anomaly cannot be told
    by its novelty alone.

    Attributes:
      train: (normal, anomalous) videos to train on.
      test: (normal, anomalous) videos to test on.
      width: columns of each of the two streams.
      segments: rows of a bag.
      classes: number of anomaly classes, and also of harmless burst directions.
      strength: length of an anomaly's direction, in units of the noise of one column.
      seed: seed of all random numbers.
    """

    train: tuple[int, int] = (80, 80)
    test: tuple[int, int] = (40, 40)
    width: int = 64
    segments: int = 32
    classes: int = 8
    strength: float = 6.0
    seed: int = 0

    def bags(self, split: str) -> Iterator[Bag]:
        """The bags of `"train"` (video-level labels only) or `"test"`, normal ones first."""
        # The scenes and directions are the same in both splits; every video has its own generator.
        rng = np.random.default_rng([self.seed, 0])
        scenes = rng.standard_normal((6, 2 * self.width))
        directions = _unit(rng.standard_normal((2 * self.classes, 2 * self.width)))
        for label, count in enumerate(getattr(self, split)):
            for i in range(count):
                key = [self.seed, 1 + (split == "test"), label, i]
                yield self._bag(split, label, i, np.random.default_rng(key), scenes, directions)

    def _bag(self, split, label, i, rng, scenes, directions) -> Bag:
        """One video: its clips are drawn, then pooled to segments (spec mil §3)."""
        num_frames = int(rng.integers(40, 240)) * CLIP_FRAMES + int(rng.integers(CLIP_FRAMES))
        num_clips = num_frames // CLIP_FRAMES
        # A mixture of scenes that drifts from one to another, plus noise of unit variance.
        mixtures = rng.dirichlet(np.ones(len(scenes)), 2)
        progress = np.linspace(0, 1, num_clips)[:, None]
        clips = ((1 - progress) * mixtures[0] + progress * mixtures[1]) @ scenes
        clips = clips + rng.standard_normal(clips.shape)
        # The anomalies, in the direction of the video's class, in all clips that they touch.
        kind = i % self.classes
        intervals = _intervals(rng, num_frames, int(rng.integers(1, 3))) if label else []
        for start, stop in intervals:
            clips[start // CLIP_FRAMES : -(-stop // CLIP_FRAMES)] += (
                self.strength * directions[kind]
            )
        # Harmless bursts, in directions of their own.
        for start, stop in _intervals(rng, num_frames, int(rng.integers(1, 4))):
            harmless = directions[self.classes + int(rng.integers(self.classes))]
            clips[start // CLIP_FRAMES : -(-stop // CLIP_FRAMES)] += self.strength * harmless
        # A training bag does not say where its anomalies are, nor how long it is.
        train = split == "train"
        return Bag(
            video=f"{split}_{f'anomaly{kind}' if label else 'normal'}_{i:04d}",
            label=label,
            class_name=f"anomaly{kind}" if label else "normal",
            num_frames=UNKNOWN_LENGTH if train else num_frames,
            intervals=np.array([] if train else intervals, np.int32).reshape(-1, 2),
            features=pool_clips(clips, self.segments)[None],
        )


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows [n, D] divided by their L2 norms."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _intervals(rng: np.random.Generator, frames: int, count: int) -> list[tuple[int, int]]:
    """Draws `count` intervals, one in each equal part of the video, of 4 to 12 % of its length."""
    intervals, part = [], frames // count
    for k in range(count):
        length = int(frames * rng.uniform(0.04, 0.12))
        start = k * part + int(rng.integers(0, part - length))
        intervals.append((start, start + length))
    return intervals


def write_bags(
    out: str | pathlib.Path,
    recipe: ToyBags | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict:
    """Writes a toy set of bags to the folder `out` and returns its manifest.

    Raises:
      ValueError: a recipe without columns, or with a negative number of videos.
      FileExistsError: `out` exists.
    """
    # Two streams stand side by side; the manifest keeps the recipe that they are made by.
    recipe = recipe or ToyBags()
    if recipe.width < 1 or min(*recipe.train, *recipe.test) < 0:
        raise ValueError("a toy set needs a width of at least 1, and no negative number of videos")
    return builder.write_dataset(
        out,
        name="toy bags",
        kind=bags.KIND,
        features=tfds_features(2 * recipe.width),
        splits={split: (bag.to_example() for bag in recipe.bags(split)) for split in SPLITS},
        file_format=file_format,
        shards=shards,
        extra={
            "streams": {"rgb": recipe.width, "flow": recipe.width},
            "recipe": dataclasses.asdict(recipe),
        },
        size=8 * recipe.segments * recipe.width * sum((*recipe.train, *recipe.test)),
    )


def write_scenes(
    out: str | pathlib.Path,
    recipe: ToyScenes | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
    encoding: str = "raw",
) -> dict:
    """Writes a toy set of street scenes to the folder `out` and returns its manifest.

    Raises:
      FileExistsError: `out` exists.
    """
    recipe = recipe or ToyScenes()
    return write_frames(
        out,
        {split: recipe.videos(split) for split in SPLITS},
        name="toy scenes",
        encoding=encoding,
        file_format=file_format,
        shards=shards,
        fps=FPS,
        extra={"recipe": dataclasses.asdict(recipe)},
    )


def write_toy_tracks(
    out: str | pathlib.Path,
    recipe: ToyTracks | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict:
    """Writes a toy set of tracks to the folder `out` and returns its manifest.

    Raises:
      FileExistsError: `out` exists.
    """
    recipe = recipe or ToyTracks()
    return write_tracks(
        out,
        {split: list(recipe.videos(split)) for split in SPLITS},
        name="toy tracks",
        size=recipe.size,
        fps=recipe.fps,
        file_format=file_format,
        shards=shards,
        extra={"recipe": dataclasses.asdict(recipe)},
    )


def write_images(out: str | pathlib.Path, recipe: ToyImages | None = None) -> dict:
    """Writes the recipe of toy images to the folder `out`; they are drawn when they are read.

    Returns:
      The manifest.

    Raises:
      FileExistsError: `out` exists.
    """
    recipe, out = recipe or ToyImages(), pathlib.Path(out)
    # A dataset without records: the recipe in the manifest is all that `images.open_split` needs.
    manifest = {
        "name": "toy images",
        "kind": images.KIND,
        "format": DRAWN,
        "classes": list(recipe.classes),
        "size": [recipe.size] * 2,
        "recipe": dataclasses.asdict(recipe),
        "splits": {split: {"records": getattr(recipe, split), "shards": []} for split in SPLITS},
    }
    builder.check_new(out)
    with replacing.folder(out) as work:
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return manifest


WRITERS = {
    bags.KIND: write_bags,
    clips.KIND: write_scenes,
    images.KIND: write_images,
    tracks.KIND: write_toy_tracks,
}
