"""Work on many files as an Apache Beam pipeline: on one machine, or on many that share a disk.

    failed = each(videos, functools.partial(make_worker, settings), ["--runner=FlinkRunner", …])

Needs the extra `beam`.
"""

import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

Worker = Callable[[str, pathlib.Path], None]


def each(
    files: Mapping[str, pathlib.Path],
    make: Callable[[], Worker],
    shared: str | pathlib.Path,
    options: Sequence[str] = (),
) -> dict[str, str]:
    """Does the same work for every file, in the order that Beam chooses.

    Args:
      files: name and path of each; the path must mean the same on every machine.
      make: called once in a process, returns the function of name and path that does the work.
        It is sent to the machines, so it may be a function of a module with plain arguments.
      shared: folder that all machines see; notes of failures pass through it.
      options: of Beam, as on a command line; none: this machine, one process.

    Returns:
      Name and reason of every file for which the work raised ValueError or OSError. Any other
      error ends the pipeline.

    Raises:
      ImportError: Beam is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise ImportError("this needs Apache Beam: pip install 'vadjax[beam]'") from error

    pathlib.Path(shared).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=shared, prefix=".failed.") as notes:
        with beam.Pipeline(argv=[*(options or ["--runner=FnApiRunner"])]) as pipeline:
            _ = (
                pipeline
                | beam.Create([(name, str(path)) for name, path in files.items()])
                | beam.Reshuffle()  # else one machine may get them all
                | beam.ParDo(_do_fn(beam, make))
                | beam.io.WriteToText(f"{notes}/part", file_name_suffix=".jsonl")
            )
        parts = sorted(pathlib.Path(notes).glob("*.jsonl"))
        lines = [line for part in parts for line in part.read_text().splitlines()]
        return dict(sorted(map(json.loads, lines)))


def _do_fn(beam, make: Callable[[], Worker]):
    """A DoFn that works on (name, path) and gives [name, reason] as JSON where this fails."""

    class Work(beam.DoFn):
        def setup(self):
            self._worker = make()

        def process(self, element):
            name, path = element
            try:
                self._worker(name, pathlib.Path(path))
            except (ValueError, OSError) as error:
                yield json.dumps([name, str(error)])

    return Work()
