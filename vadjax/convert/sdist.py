"""Downloads a source package from PyPI without running its code.

pip alone would run the package's own setup.py, to ask it for its metadata.
"""

import os
import pathlib
import subprocess
import sys

STAND_IN = '''"""Tells pip the metadata of {package} in place of its own setup.py."""
import pathlib, sys

__legacy__ = sys.modules[__name__]

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder) / "{name}-{version}.dist-info"
    info.mkdir()
    text = "Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n"
    (info / "METADATA").write_text(text)
    return info.name
'''


def download(package: str, version: str, sha256: str, folder: pathlib.Path) -> pathlib.Path:
    """Has pip fetch an archive of exactly this SHA-256.

    pip builds a package's metadata with the `setuptools` that it finds; it finds a stand-in.

    Args:
      package: name of the package, which is built by setuptools.
      version: its version.
      sha256: SHA-256 of its archive.
      folder: where the archive is left.

    Returns:
      Path of the archive.

    Raises:
      OSError: pip cannot fetch it.
    """
    # A package `setuptools` whose build backend knows the metadata
    stand_in = folder / "stand_in" / "setuptools"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    name = package.replace("-", "_")
    text = STAND_IN.format(package=package, name=name, version=version)
    (stand_in / "build_meta.py").write_text(text, "utf-8")
    # pip takes hashes from a file of requirements only
    requirements = folder / "wanted.txt"
    requirements.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", "utf-8")
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    options += ["--use-pep517", "--require-hashes", "--dest", str(folder)]
    pip = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(requirements)]
    # Without build isolation pip imports the first setuptools on the path: the stand-in
    path = os.pathsep.join(filter(None, [str(stand_in.parent), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        pip, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    archives = list(folder.glob("*.tar.gz"))
    if result.returncode or not archives:
        reason = (result.stderr.strip().splitlines() or ["no archive"])[-1]
        raise OSError(f"pip download {package}=={version}: {reason}")
    return archives[0]
