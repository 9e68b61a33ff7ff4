"""S3R's task-aware dictionary: ours and scikit-learn's fit, from the same means of videos.

    python -m benchmarks.dictionary [--runs 7] [--videos 175] [--atoms 158] [--width 2048]

Both begin with a randomised singular value decomposition and do 100 mini-batches of 32 channels,
with an exact lasso path in each. Then they compute the codes of all channels by orthogonal matching
pursuit with 2 atoms. Today's releases of scikit-learn have changed parts of the update: they find
other atoms, but do the same work. Ours keeps BLAS to one thread, so scikit-learn is run that way as
well. The means are drawn: a level for each channel, kinds of scenes, and noise.
"""

import argparse

import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning
from threadpoolctl import threadpool_limits

from benchmarks import table
from vadjax.systems.s3r import dictionary
from vadjax.systems.s3r.fit import batches, start


def draw_means(videos: int, width: int) -> np.ndarray:
    """Means of non-negative features, float32 [V, D]."""
    rng = np.random.default_rng(0)
    level = rng.gamma(0.7, 0.5, width)
    scenes = rng.dirichlet(np.full(13, 0.3), videos) @ rng.gamma(1, 1, (13, width))
    noise = rng.gamma(20, 1 / 20, (videos, width))
    return (level * (0.5 + 0.5 * scenes) * noise).astype(np.float32)


def reference(means: np.ndarray, atoms: int) -> np.ndarray:
    """The same by scikit-learn, float64 [K, D]."""
    rng = np.random.RandomState(dictionary.SEED)
    learner = MiniBatchDictionaryLearning(
        atoms,
        alpha=dictionary.ALPHA,
        batch_size=dictionary.BATCH,
        dict_init=start(means.T, atoms, rng),
        fit_algorithm="lars",
        random_state=rng,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=dictionary.NONZEROS,
    )
    samples = means.T.astype(np.float64)
    order = batches(len(samples), dictionary.BATCH, rng)
    for _ in range(dictionary.ITERATIONS):
        learner.partial_fit(samples[next(order)])
    return learner.transform(samples).T


def main(argv: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--videos", type=int, default=175)
    parser.add_argument("--atoms", type=int, default=158)
    parser.add_argument("--width", type=int, default=2048)
    args = parser.parse_args(argv)
    means = draw_means(args.videos, args.width)

    def on_one_thread():
        with threadpool_limits(1):
            reference(means, args.atoms)

    programs = {
        "scikit-learn": lambda: reference(means, args.atoms),
        "scikit-learn, one BLAS thread": on_one_thread,
        "ours": lambda: dictionary.learn(means, args.atoms),
    }
    title = f"dictionary of {args.videos} videos × {args.width} channels, {args.atoms} atoms"
    turns = table.in_turns(programs, args.runs, warm=1)
    table.show(title, turns, "scikit-learn, one BLAS thread", dictionary.ITERATIONS, "mini-batches")


if __name__ == "__main__":
    main()
