"""The attributes system's detector, nearest neighbours and stream, against their baselines on CPU.

    python -m benchmarks.detector [--weights FOLDER] [--data data/ped2] [--runs 9]

NanoDet-g on inputs of 352 × 512 beside onnxruntime on the same convolutions as an ONNX graph (both
packages are of the extra `onnx`), the nearest of 50,000 × 128 exemplars of 100 objects beside
scikit-learn's brute force, and, with `--data`, each part of a stream of Ped2's frames. Each pair of
programs takes turns in one process of two threads.
"""

import argparse
import pathlib
from collections.abc import Callable

import numpy as np

from benchmarks import table, workers

SIZE, THREADS = (352, 512), 2
OBJECTS, EXEMPLARS, WIDTH = 100, 50_000, 128
FRAMES = 32


def detector(variables: dict, batch: int, runs: int) -> None:
    """Prints the table of the network and how far the outputs of both lie apart."""
    import onnxruntime

    from benchmarks.detector_onnx import model
    from vadjax.backbones.nanodet import CLASSES, NanoDet, prepare
    from vadjax.extractors import nanodet

    # Both get the same inputs, each in its own layout
    x = np.random.default_rng(0).standard_normal((batch, *SIZE, 3), np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(
        model(variables, (batch, *SIZE)), options, providers=["CPUExecutionProvider"]
    )
    channels_first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def apply(variables, x):
        outputs = NanoDet().apply(variables, x)
        return outputs.logits, outputs.sides, outputs.maps["p3"]

    network = nanodet.FrameBatches(apply, prepare(variables, SIZE))

    # The same numbers, then the time
    cells, p3 = session.run(None, {"x": channels_first})
    logits, _, our_p3 = network(x)
    apart = (
        abs(cells[..., : len(CLASSES)] - logits).max(),
        abs(p3.transpose(0, 2, 3, 1) - our_p3).max(),
    )
    programs = {
        "onnxruntime": lambda: session.run(None, {"x": channels_first}),
        "ours": lambda: network(x),
    }
    title = f"NanoDet-g, {batch} × {SIZE[0]} × {SIZE[1]}, {THREADS} threads"
    table.show(title, table.in_turns(programs, runs), "onnxruntime", batch, "frames")
    print(f"largest difference: logits {apart[0]:.1e}, p3 {apart[1]:.1e}\n")
    if max(apart) > 1e-3:
        raise ValueError("the outputs of the two networks differ: their times say nothing")


def neighbours(runs: int) -> None:
    """Prints the table of nearest neighbours."""
    from sklearn.neighbors import NearestNeighbors

    from vadjax.systems.attributes import bank

    rng = np.random.default_rng(0)
    exemplars, rows = (rng.standard_normal((n, WIDTH)) for n in (EXEMPLARS, OBJECTS))
    # Both are given the bank once, and then asked for every frame.
    brute = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(exemplars)
    nearest = bank.NearestInBank(exemplars)
    np.testing.assert_array_equal(brute.kneighbors(rows)[1][:, 0], nearest(rows)[1])
    programs = {
        "scikit-learn": lambda: brute.kneighbors(rows),
        "ours": lambda: nearest(rows),
    }
    title = f"nearest of {EXEMPLARS:,} × {WIDTH}, {OBJECTS} objects"
    table.show(title, table.in_turns(programs, runs), "scikit-learn", OBJECTS, "objects")


def stream(weights: str, data: pathlib.Path, runs: int) -> None:
    """Prints milliseconds a frame of every part of a stream of frames, and of all together."""
    from vadjax.backbones.detection import Filter
    from vadjax.data.clips import Videos
    from vadjax.data.store.records import Dataset
    from vadjax.extractors import nanodet
    from vadjax.ops.flow import make_flow
    from vadjax.systems.attributes import bank, mixture, motion, values
    from vadjax.systems.attributes.objects import Detected, ObjectFinder, join

    video = Videos(Dataset(data), "train")[0]
    network = nanodet.NanoDetNetwork(nanodet.read_variables(weights))
    keep, flow = Filter(0.25, 0.5, nanodet.LEAST_SIDE, nanodet.MOST), make_flow("dis")
    count = min(FRAMES, video.num_frames)
    frames = [video[k] for k in range(count)]
    greys = [motion.Small.of(frame.shape[:2]).grey(frame) for frame in frames]
    size = frames[0].shape[:2]

    def detect(_, frames):
        seen = network(frames)
        return [Detected(keep(one.candidates, size), one.features) for one in seen]

    finder = ObjectFinder(detect, flow)
    found = list(finder(enumerate(frames)))
    table_of = join(found)
    # Densities of as many rows as a model holds at most, of the objects seen
    look, speeds = values.look(table_of.look), table_of.motions.speed[:, None]
    exemplars = np.resize(look, (bank.MOST, look.shape[1]))
    nearest = bank.NearestInBank(exemplars)
    speed_density = mixture.fit(speeds).mixture
    seen, pairs = network(frames), list(zip(greys, greys[1:], strict=False))
    flows = [flow(*pair) for pair in pairs]

    def judge(objects):
        nearest(values.look(objects.look))
        speed_density.novelty(objects.motions.speed[:, None])

    boxes = [one.boxes for one in found]
    parts: dict[str, Callable] = {
        "reading": lambda: [video[k] for k in range(count)],
        "detector": lambda: network(frames),
        "suppression": lambda: [keep(one.candidates, size) for one in seen],
        "flow": lambda: [flow(*pair) for pair in pairs],
        "motion boxes": lambda: [
            motion.moving_boxes(motion.changed(*pair), own)
            for pair, own in zip(pairs, boxes, strict=False)
        ],
        "speeds": lambda: [motion.motions(*pair) for pair in zip(flows, boxes, strict=False)],
        "pooling": lambda: [a.features(own) for a, own in zip(seen, boxes, strict=True)],
        "densities": lambda: [judge(one) for one in found],
        "all": lambda: [judge(one) for one in finder((k, video[k]) for k in range(count))],
    }
    print(f"stream of {count} frames {size[0]} × {size[1]}, {len(look) / count:.1f} objects each")
    turns = table.in_turns(parts, runs)
    table.show("parts of a stream", turns, "all", count, "frames")
    for name, of_part in turns.items():
        print(f"{name}: CPU {1e3 * table.median(of_part, 'cpu') / count:.1f} ms a frame")


def main(argv: list[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="", help="folder of the weights (that of the cache)")
    parser.add_argument("--data", type=pathlib.Path, help="prepared Ped2, for the stream")
    parser.add_argument("--runs", type=int, default=9, help="timed turns of each program (9)")
    parser.add_argument("--parts", nargs="+", default=["detector", "neighbours", "stream"])
    args = parser.parse_args(argv)
    workers.use_cores(THREADS)
    if "detector" in args.parts:
        from vadjax.extractors import nanodet

        for batch in (1, 8):
            detector(nanodet.read_variables(args.weights), batch, args.runs)
    if "neighbours" in args.parts:
        neighbours(args.runs)
    if "stream" in args.parts and args.data:
        stream(args.weights, args.data, args.runs)


if __name__ == "__main__":
    main()
