"""The feature files below a folder by the names of their videos."""

import pathlib
from collections.abc import Iterable

from vadjax.formats.entries import CROP_COUNTS, Entry, some, split_name, to_posix

# The files of a video: one file of all crops, or one for each crop in order
Files = tuple[pathlib.Path, ...]


class Index:
    """Finds the files of videos in any folders below one.

    Args:
      folder: where to look.
      ending: ending of the files.
    """

    def __init__(self, folder: pathlib.Path, ending: str = ".npy"):
        self.folder = folder
        # Name of a video → folder → number of a crop (None: the name has no such number) → paths
        self._places: dict[str, dict[pathlib.Path, dict[int | None, list[pathlib.Path]]]] = {}
        self._paths = sorted(
            path for path in folder.rglob(f"*{ending}") if not path.name.startswith(".")
        )
        for path in self._paths:
            name, crop = split_name(path.name)
            crops = self._places.setdefault(name, {}).setdefault(path.parent, {})
            crops.setdefault(crop, []).append(path)

    @property
    def folders(self) -> set[str]:
        """Names of the folders below `folder` that hold files."""
        return {path.parent.name for path in self._paths if path.parent != self.folder}

    def find(self, entry: Entry, split: str | None = None, strict: bool = True) -> Files:
        """The files of a video; an empty tuple if there are none.

        Args:
          entry: the video as it is listed.
          split: folders of this name are preferred to others; None: no split is known.
          strict: the files must lie in a folder of the name that the list has, where it has one.

        Raises:
          ValueError: files in several folders, or of single crops that are not complete.
        """
        # A list may name the file itself, also by an absolute path
        listed = self.folder / to_posix(entry.path)
        if not entry.crops and listed.suffix == ".npy" and listed.is_file():
            return (listed,)
        # Else files of the video's name are looked for, in the folders that fit best
        places = self._places.get(entry.name) or self._numbered(entry.name)
        parents = self._preferred(entry, [*places], split, strict)
        candidates = [self._complete(entry, places[parent]) for parent in parents]
        if len(candidates) > 1:
            raise ValueError(
                f"{entry.path}: both {candidates[0][0]} and {candidates[1][0]}; keep one of them"
            )
        return candidates[0] if candidates else ()

    def others(self, used: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """The files that are none of `used`."""
        used = {*used}
        return [path for path in self._paths if path not in used]

    def _numbered(self, name: str) -> dict:
        """Folders with NAME_0, NAME_1, ..., if they are enough to be crops; one may be missing.

        Returns:
          Folder → number of a crop → its paths.
        """
        places = {}
        for parent in self._places.get(f"{name}_0", {}):
            crops = {}
            for k in range(max(CROP_COUNTS)):
                if paths := self._places.get(f"{name}_{k}", {}).get(parent, {}).get(None):
                    crops[k] = paths
            if len(crops) + 1 >= min(CROP_COUNTS):
                places[parent] = crops
        return places

    def _preferred(
        self, entry: Entry, parents: list[pathlib.Path], split: str | None, strict: bool
    ) -> list[pathlib.Path]:
        """Those of some folders that fit best what the list says of the video.

        Args:
          entry: the video as it is listed.
          parents: folders that have files of its name.
          split: as for `find`.
          strict: as for `find`.
        """
        # Folders of the name or class that the list has
        inside = {parent: parent.relative_to(self.folder).parts for parent in parents}
        listed_names = {entry.folder, entry.listed_class} - {""}
        of_class = [p for p in parents if listed_names.intersection(inside[p][-1:])]
        # The archives have normal videos in other folders than the lists
        normal = [p for p in parents if any("normal" in part.lower() for part in inside[p])]
        if of_class:
            parents = of_class
        elif entry.label == 0 and normal:
            parents = normal
        elif strict and entry.folder:
            return []
        # Of these, folders of the split
        of_split = [p for p in parents if split in (part.lower() for part in inside[p])]
        return of_split or parents

    def _complete(self, entry: Entry, crops: dict[int | None, list[pathlib.Path]]) -> Files:
        """The files of one folder, if they are one file or all crops."""
        for paths in crops.values():
            if len(paths) > 1:
                raise ValueError(f"{entry.name}: both {paths[0]} and {paths[1]}; keep one of them")
        files = {number: paths[0] for number, paths in crops.items()}
        if [*files] == [None]:
            return (files[None],)
        if None in files:  # PEL4VAD's UCF-Crime: NAME.npy beside NAME__1.npy is crop 0
            if 0 in files:
                raise ValueError(
                    f"{entry.name}: both {files[None]} and {files[0]}; keep one of them"
                )
            files[0] = files.pop(None)
        # The crops that are listed, or all up to the last that is there
        numbers = entry.crops or range(max(files) + 1)
        if missing := [k for k in numbers if k not in files]:
            any_file = next(iter(files.values()))
            raise ValueError(
                f"{any_file.parent}: no crop {some([*map(str, missing)])} of {entry.name} "
                f"({entry.name}__{missing[0]}.npy), but {some([p.name for p in files.values()])}"
            )
        return tuple(files[number] for number in numbers)
