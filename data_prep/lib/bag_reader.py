"""Bags of listed videos from their feature files, and the checks of lists and files together."""

import dataclasses
import pathlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vadjax.data.bags import MAX_FRAMES, UNKNOWN_LENGTH, Bag
from vadjax.data.segments import CLIP_FRAMES, normalize_rows, pool_clips
from vadjax.formats import text
from vadjax.formats.annotations import read_frames
from vadjax.formats.entries import Entry, some

from .feature_files import (
    Features,
    crops_axis,
    known_axes,
    raw_shape,
    read_settings,
    read_video,
    shape_of,
)
from .feature_index import Files


class Reader:
    """Reads the bags of the entries and checks them against each other.

    Args:
      features: the feature files of a folder.
      segments: rows of a bag.
      pool: rows of the files are clips, to be pooled to segments (spec mil §3).
      normalize: divide every row of each stream by its L2 norm.
      axes: order of the axes of files of several crops, a name of `AXES`; None: by their sizes.

    Attributes:
      widths: columns of each stream; None before the first bag of a layout that does not say it.
    """

    def __init__(
        self,
        features: Features,
        segments: int,
        pool: bool,
        normalize: bool,
        axes: str | None = None,
    ):
        self.features, self.segments, self.pool = features, segments, pool
        self.normalize, self._axes = normalize, axes
        self.widths = [1024, 1024] if features.layout == "two-stream" else None
        self._widths_set_by = "the layout"  # or the file that was read first, for messages
        self._first_crops: tuple[int, pathlib.Path] | None = None  # number of crops of that file
        self._files: dict[str, list[Files]] = {}  # by the listed path
        self._axis: int | None = None  # axis of the crops; None: every file by its own sizes
        self._rows: dict[str, int] = {}  # by the listed path

    def files(self, entry: Entry) -> list[Files]:
        """The files of a video, one tuple for each stream."""
        if entry.path not in self._files:
            self._files[entry.path] = self.features.find(entry)
        return self._files[entry.path]

    def check_files(
        self, splits: dict[str, list[Entry]], skip_missing: bool, lists: object
    ) -> dict[str, list[Entry]]:
        """Drops entries without files if `skip_missing`, else refuses them; names other files.

        Args:
          splits: split → its entries.
          skip_missing: leave out entries without files.
          lists: where the entries are listed, for messages.

        Returns:
          Split → the entries that have files.

        Raises:
          FileNotFoundError: a listed file is not there.
          ValueError: two videos have the same file, or all of a kind would be left out.
        """
        missing = [
            path
            for entries in splits.values()
            for entry in entries
            for path, files in zip(self.features.paths(entry.path), self.files(entry), strict=True)
            if not files
        ]
        if missing:
            _report_missing(missing, self.features.folder, skip_missing, lists)
        # A video stays if it has the files of all streams
        kept = {
            split: [entry for entry in entries if all(self.files(entry))]
            for split, entries in splits.items()
        }
        for split in splits:
            _check_kinds(split, splits[split], kept[split], self.features.folder)
        self._check_used(kept)
        return kept

    def _check_used(self, splits: dict[str, list[Entry]]) -> None:
        """Refuses a file of two videos, and names those that no list has."""
        owners: dict[pathlib.Path, str] = {}
        for entry in (entry for entries in splits.values() for entry in entries):
            for path in (path for files in self.files(entry) for path in files):
                if owners.setdefault(path, entry.path) != entry.path:
                    raise ValueError(
                        f"{owners[path]} and {entry.path} are two videos of the lists, but the "
                        f"only features of either are {path}; add those of the other"
                    )
        if others := self.features.unlisted(owners):
            print(f"Not used: {len(others):,} feature files that no list has, {some(others)}")

    def check_shapes(self, splits: dict[str, list[Entry]]) -> None:
        """Finds the axis of the crops, and how many rows the videos have, from all headers.

        Raises:
          ValueError: as `raw_shape`, `crops_axis` and `shape_of`; or rows are to be pooled that are
            segments already.
        """
        # A video may be listed several times, and its files are looked at once
        entries = {entry.path: entry for split in splits.values() for entry in split}.values()
        streams = [files for entry in entries for files in self.files(entry)]
        shapes = {path: raw_shape(path) for files in streams for path in files}
        axes = known_axes(self.features.folder, self._axes)
        self._axis = crops_axis([*shapes.values()], axes, self.features.folder)
        for entry in entries:
            first, *_ = self.files(entry)  # the rows of other streams are checked while reading
            shape = shape_of(first, [shapes[path] for path in first], self._axis)
            self._rows[entry.path] = shape.rows
        if self.pool and len(entries) > 1 and {*self._rows.values()} == {self.segments}:
            raise ValueError(
                f"{self.features.folder}: all {len(entries):,} videos have {self.segments} rows, "
                "so they are segments already; leave out --pool"
            )

    def add_frames(self, entries: list[Entry], frames: pathlib.Path | None) -> list[Entry]:
        """Test videos with their numbers of frames: of the list, of `frames`, or of their clips.

        Args:
          entries: the test videos.
          frames: file of lines NAME FRAMES; None: there is none.

        Raises:
          FileNotFoundError, ValueError: as `read_frames`; or no number of frames is known of a
            video, or two different ones are.
        """
        counts = read_frames(frames) if frames else {}
        _check_frames(entries, counts, frames)
        lacking = [e.name for e in entries if not e.num_frames and e.name not in counts]
        # Without a number, the rows must tell it: they do if they are clips and not segments
        settings = read_settings(self.features.folder) or {}
        clips = self.pool or bool(settings and not settings.get("pooling"))
        if lacking and (frames or not clips):
            where = f"{frames} lacks" if frames else "its list and the rows of features do not say"
            raise ValueError(
                f"{some(lacking)}: a test video needs its number of frames, which {where}. Name a "
                "file with --frames, a line NAME FRAMES for every test video"
            )
        if lacking:
            text.note(
                f"{len(lacking):,} test videos have no number of frames; taken as those that their "
                "rows cover. --frames FILE, a line NAME FRAMES each, is exact"
            )
        step = settings.get("step", CLIP_FRAMES)

        def count(entry: Entry) -> int:
            covered = step * (self._rows[entry.path] - 1) + CLIP_FRAMES
            return entry.num_frames or counts.get(entry.name) or covered

        return [dataclasses.replace(entry, num_frames=count(entry)) for entry in entries]

    def bags(self, split: str, entries: list[Entry], names: Sequence[str]) -> Iterator[dict]:
        """The bags of a split as examples, in the order of the lists; intervals are checked."""
        for entry, name in zip(entries, names, strict=True):
            # Training videos keep their video-level label only
            intervals = () if split == "train" else entry.intervals
            yield Bag(
                video=name,
                label=entry.label,
                class_name=entry.class_name,
                num_frames=entry.num_frames or UNKNOWN_LENGTH,
                intervals=np.array(intervals, np.int32).reshape(-1, 2),
                features=self.read(entry),
            ).to_example()

    def read(self, entry: Entry) -> np.ndarray:
        """Features of a video, streams side by side: float32 [crops, segments, D].

        Raises:
          ValueError: as `read_video`; another number of rows than segments, or other columns or
            crops than the videos before.
        """
        streams = []
        for i, files in enumerate(self.files(entry)):
            crops = read_video(files, self._axis)
            self._check(i, crops, files)
            streams.append(np.stack([self._segments(rows, files[0]) for rows in crops]))
        return np.concatenate(streams, axis=2)

    def _check(self, stream: int, crops: np.ndarray, files: Files) -> None:
        """Refuses other columns than those of the videos before, or another number of crops."""
        (count, _, width), path = crops.shape, files[-1]
        # Columns: of the layout, or of the first file
        if self.widths is None:
            self.widths, self._widths_set_by = [width], str(path)
        if width != self.widths[stream]:
            raise ValueError(
                f"{path}: {width} columns, expected {self.widths[stream]} "
                f"(set by {self._widths_set_by}); is this another network's feature?"
            )
        # Crops: of the first file
        self._first_crops = self._first_crops or (count, path)
        if count != self._first_crops[0]:
            advice = "extract all videos with the same --crops"
            if len(files) > 1:
                advice = "add the files of the crops that one of them lacks"
            raise ValueError(
                f"{path}: {count} crops, {self._first_crops[1]} has {self._first_crops[0]}; "
                f"{advice}"
            )

    def _segments(self, rows: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """Segments of one crop, [segments, columns], from its rows [n, columns]."""
        if self.pool:
            return pool_clips(rows, self.segments, self.normalize)
        if len(rows) != self.segments:
            raise ValueError(
                f"{path}: {len(rows)} rows, expected {self.segments} segments; "
                f"{self._advice(len(rows))}"
            )
        return normalize_rows(rows) if self.normalize else rows

    def _advice(self, rows: int) -> str:
        """What to do about a video that has so many rows, by what others have."""
        counts = Counter(self._rows.values())
        settings = read_settings(self.features.folder) or {}
        if 2 * counts[self.segments] > counts.total():
            return f"{counts[self.segments]:,} other videos have as many; extract it again"
        if settings.get("pooling"):
            return f"these are segments of --segments {settings['segments']}; name that number"
        advice = "if the rows are 16-frame clips, pool them with --pool"
        if len(counts) == 1:
            advice += f"; if they are segments, say so with --segments {rows}"
        return advice

    def extraction(self) -> dict | None:
        """How rows were made of frames, for the manifest; None if the folder does not say it.

        Raises:
          ValueError: rows are to be pooled that are pooled already.
        """
        settings = read_settings(self.features.folder)
        if settings is None:
            return None
        if self.pool and settings.get("pooling"):
            raise ValueError(
                f"{self.features.folder}: its rows are {settings['segments']} segments already; "
                "leave out --pool"
            )
        if rate := settings.get("resample_fps"):
            warnings.warn(
                f"{self.features.folder}: made of video that was resampled to {rate:g} frames a "
                "second; the numbers of frames in the lists are taken to be of this rate",
                stacklevel=2,
            )
        # Later entries win: what is done here comes after what the extraction did
        pooled = {"pooling": "mean", "segments": self.segments} if self.pool else {}
        normalize = self.normalize or bool(settings.get("normalize"))
        return {"pooling": None, "segments": None, **settings, **pooled, "normalize": normalize}


def clip_intervals(entry: Entry) -> list[tuple[int, int]]:
    """The intervals of a test video, clipped to its length with a warning (spec mil §4).

    Raises:
      ValueError: the length is unknown or too large, or an interval begins past the end.
    """
    # What a test video must have
    if entry.num_frames is None:
        raise ValueError(f"{entry.name}: a test video needs its number of frames")
    if entry.num_frames > MAX_FRAMES:
        raise ValueError(
            f"{entry.name}: {entry.num_frames:,} frames; expected {MAX_FRAMES:,} at most"
        )
    if entry.label and not entry.intervals:
        raise ValueError(f"{entry.name}: an anomalous test video needs its intervals")
    # Two published intervals end one frame past their videos
    clipped = []
    for start, stop in entry.intervals:
        if not 0 <= start < min(stop, entry.num_frames):
            raise ValueError(
                f"{entry.name}: interval [{start}, {stop}) outside its {entry.num_frames} frames"
            )
        if stop > entry.num_frames:
            warnings.warn(
                f"{entry.name}: interval [{start}, {stop}) ends past its {entry.num_frames} "
                f"frames; clipped to [{start}, {entry.num_frames})",
                stacklevel=2,
            )
        clipped.append((start, min(stop, entry.num_frames)))
    return clipped


def _report_missing(
    missing: list[pathlib.Path], folder: pathlib.Path, skip: bool, lists: object
) -> None:
    """Prints which files are not there if their videos are to be left out, else refuses them."""
    if skip:
        names = some([path.name for path in missing])
        print(f"Left out: {len(missing):,} listed feature files that are not there, {names}")
        return
    names = "\n  ".join(str(path) for path in missing[:5])
    more = f"\n  and {len(missing) - 5:,} more" if len(missing) > 5 else ""
    raise FileNotFoundError(
        f"{len(missing):,} listed feature files are not there:\n  {names}{more}\nnor in other "
        f"folders of their class below {folder}. Add them, mend the lists ({lists}), or leave "
        "those videos out with --skip_missing"
    )


def _check_frames(
    entries: list[Entry], counts: Mapping[str, int], source: pathlib.Path | None
) -> None:
    """Refuses numbers of frames that differ from the list's, or may be those of two videos.

    Args:
      entries: the test videos.
      counts: name of a video → number of its frames.
      source: the file of these numbers, for messages.
    """
    names = Counter(entry.name for entry in entries)
    for entry in entries:
        count = counts.get(entry.name)
        if count and entry.num_frames not in (None, count):
            raise ValueError(
                f"{entry.path}: {entry.num_frames:,} frames in the list, {count:,} in {source}"
            )
        if count and entry.num_frames is None and names[entry.name] > 1:
            raise ValueError(
                f"{source}: {names[entry.name]} test videos are named {entry.name}, such as "
                f"{entry.path}; write their numbers of frames into their list"
            )


def _check_kinds(split: str, listed: list[Entry], kept: list[Entry], folder: pathlib.Path) -> None:
    """Refuses to leave out all anomalous or all normal videos; names classes that are left out.

    Raises:
      ValueError: a kind of videos is listed, and none of them has features.
    """
    for label, kind in ((1, "anomalous"), (0, "normal")):
        count = sum(entry.label == label for entry in listed)
        if count and kept and not any(entry.label == label for entry in kept):
            raise ValueError(
                f"split {split!r}: none of its {count:,} {kind} videos has features in {folder}, "
                "and bags of one kind teach and measure nothing. Add features of some of them"
            )
    classes = {entry.class_name for entry in listed} - {entry.class_name for entry in kept}
    if classes and kept:
        print(f"Left out of split {split!r}, all videos of: {some(sorted(classes))}")
