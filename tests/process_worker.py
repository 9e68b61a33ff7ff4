"""One of several processes that train: python tests/process_worker.py SPEC RUNS.json.

RUNS.json: `[[module of configs/, variant, {field: value}, workdir], …]`; without SPEC ("") alone.
"""

import importlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from vadjax import processes, train


def main(spec: str, runs: str) -> None:
    """Trains and measures every run, one after the other."""
    if spec:
        processes.start(spec)
    for module, variant, fields, folder in json.loads(pathlib.Path(runs).read_text()):
        config = importlib.import_module(f"configs.{module}").get_config(variant)
        config.update_from_flattened_dict(fields)
        train.run(config, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
