"""What the command lines of all preparing programs share."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from vadjax.data.records import FORMATS


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--out`, `--format` and `--shards`."""
    parser.add_argument("--out", required=True, help="folder to write; must not exist yet")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the shards")
    parser.add_argument("--shards", type=int, help="shards per split (default: by size)")


def report_errors(function: Callable, *args, **kwargs) -> Any:
    """Calls `function`; an error of the input ends the program with one line, not a traceback."""
    try:
        return function(*args, **kwargs)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def print_summary(out: str, manifest: Mapping) -> None:
    """Prints what was written and the command that uses it."""
    for name, split in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in split["shards"]) / 1e6
        print(
            f"{name}: {split['records']} videos ({split['anomalous']} anomalous, "
            f"{split['normal']} normal), {len(split['shards'])} shards, {size:,.1f} MB"
        )
    print(f"Wrote {manifest['name']} to {out} ({manifest['format']}).")
    print(
        "Train on it: python -m vadjax.main --config=configs/ucf_mil.py "
        f"--config.data.dir={out} --workdir=runs/NAME"
    )
