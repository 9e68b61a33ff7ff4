"""Extraction of features from a video file, against the network alone on the same clips.

    python -m benchmarks.extract [--threads 2] [--minutes 0.5] [--runs 5] [--crops centre]

Inception I3D with random weights on a video of moving texture, 320 × 240 at 25 frames a second.
Three programs run in turns in one process, which is bound to as many cores as it has threads: the
whole extraction from file to file; the network on clips that lie in memory; and decoding and
cutting alone, which the extraction does in a thread ahead of the network. Then the peak of the
memory is measured for videos of 1 and of 10 minutes, each in a process of its own.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import cv2
import numpy as np

from benchmarks import memory, table

SIZE, RATE = (240, 320), 25  # height, width; frames a second
BATCH, FRAMES = 4, 16


def write_video(path: pathlib.Path, minutes: float) -> None:
    """A picture that slides over itself under changing noise, as MPEG-4."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (*SIZE, 3), np.uint8), (0, 0), 3)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    noise = rng.integers(0, 9, (7, *SIZE, 3), np.uint8)
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, RATE, SIZE[::-1])
    for i in range(round(minutes * 60 * RATE)):
        frame = np.roll(picture, (i % 240, 2 * i % 320), (0, 1))
        writer.write(cv2.add(frame, noise[i % len(noise)]))
    writer.release()


def network(crops: str = "centre", step: int = 16, toy: bool = False):
    """Features by Inception I3D with random weights, or (toy) the mean of the pixels."""
    from benchmarks.i3d import weights
    from vadjax.backbones import i3d, i3d_weights
    from vadjax.data.video.snippets import Snippets
    from vadjax.extractors.clips import ClipFeatures, SnippetFeatures

    net, variables = i3d.InceptionI3D(), {}
    if not toy:
        variables = i3d_weights.to_variables(weights(), "rgb", "here")

    def apply(variables, clips):
        if toy:
            return clips.mean((1, 2, 3))[:, None, None, None]
        return net.apply(variables, clips)["features"].reshape(len(clips), 1, 1, 1, -1)

    batch, width = BATCH if crops == "centre" else 10, 3 if toy else i3d.WIDTH
    clip_features = ClipFeatures(apply, variables, width, "rgb", "pm1", batch, {})
    return SnippetFeatures(clip_features, Snippets(crops, step), batch)


def compare(crops: str, minutes: float, runs: int) -> None:
    """Prints the table of the three programs, and the compilations after the first run."""
    import jax

    from data_prep.extract_features import extract
    from data_prep.lib.extractor import Extractor
    from vadjax.data.video.reader import frames_of

    net, compiled = network(crops), []
    with tempfile.TemporaryDirectory() as folder:
        # One video; the network alone gets its clips from memory
        path = pathlib.Path(folder) / "a.mp4"
        write_video(path, minutes)
        parts = list(net.clips(frames_of(path)))

        def whole_extraction():
            with tempfile.TemporaryDirectory(dir=folder) as out:
                failed = extract(Extractor(net, out), {"a/a": path})
            assert not failed, failed

        programs = {
            "network": lambda: [net.features(part) for part in parts],
            "extraction": whole_extraction,
            "decode and cut": lambda: [None for _ in net.clips(frames_of(path))],
        }
        # Nothing may be compiled any more once a batch was seen
        net.features(parts[0])
        jax.monitoring.register_event_duration_secs_listener(
            lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
        )
        turns = table.in_turns(programs, runs, warm=1)
    snippets = sum(len(part) for part in parts)
    title = f"{crops}, {snippets} snippets, {len(os.sched_getaffinity(0))} thread(s): wall clock"
    table.show(title, turns, "network", snippets * FRAMES, "frames")
    network_alone = table.median(turns["network"], "cpu")
    for name, of_program in turns.items():
        cpu = table.median(of_program, "cpu")
        print(f"{name}: CPU {1e3 * cpu / snippets:.1f} ms a snippet, ", end="")
        print(f"{network_alone / cpu:.3f} times network")
    print(f"compilations after the first batch: {len(compiled)}\n")


def peak(minutes: float, toy: bool) -> None:
    """Extracts from a video of that length; prints the peak of the memory in MB."""
    from data_prep.extract_features import extract
    from data_prep.lib.extractor import Extractor

    net = network(step=64 if toy else 25 * RATE, toy=toy)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.mp4"
        write_video(path, minutes)
        failed = extract(Extractor(net, folder), {"a/a": path})
    assert not failed, failed
    print("peak", 1e3 * memory.peak())


def peak_of(minutes: float, toy: bool = False) -> float:
    """Peak of the memory of an extraction in a process of its own, MB."""
    command = [sys.executable, "-m", "benchmarks.extract", "--peak", str(minutes)]
    done = subprocess.run(
        command + ["--toy"] * toy, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return float(done.split("peak ")[1])


def main(argv: list[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="cores (2)")
    parser.add_argument("--minutes", type=float, default=0.5, help="length of the video (0.5)")
    parser.add_argument("--runs", type=int, default=5, help="timed turns of each program (5)")
    parser.add_argument("--crops", choices=("centre", "ten"), default="centre")
    parser.add_argument("--peak", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--toy", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    if args.peak:
        return peak(args.peak, args.toy)
    compare(args.crops, args.minutes, args.runs)
    for minutes in (1, 10):
        print(f"{minutes} minutes, a snippet of 25 s: peak {peak_of(minutes):,.0f} MB")
    return None


if __name__ == "__main__":
    main()
