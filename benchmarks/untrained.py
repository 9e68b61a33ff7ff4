"""How an untrained ranker scores: pooled AUC over many seeds, ours and the torch form.

    python -m benchmarks.untrained DATASET [--seeds 100]

Both initialise as spec mil §5 says (Xavier-normal weights, uniform biases); the seeds differ in
what they draw, so only the distributions can be compared.
"""

import argparse

import jax
import numpy as np

from vadjax.data.bags import Bags
from vadjax.data.segments import expand
from vadjax.data.store.records import Dataset
from vadjax.metrics import frame
from vadjax.systems.mil.model import WIDTHS, Ranker


def ours(features: np.ndarray):
    """Seed → scores [B, S] of a fresh ranker."""
    ranker = Ranker()
    return jax.jit(
        lambda seed: ranker.apply(ranker.init(jax.random.key(seed), features[:1]), features)
    )


def torch_form(features: np.ndarray):
    """The same in torch."""
    import torch

    def scores(seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        sizes = (features.shape[-1], *WIDTHS)
        layers = [torch.nn.Linear(i, o) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
        for layer in layers:
            torch.nn.init.xavier_normal_(layer.weight)
        with torch.no_grad():
            hidden = torch.relu(layers[0](torch.from_numpy(features)))
            return torch.sigmoid(layers[2](layers[1](hidden)))[..., 0].numpy()

    return scores


def main(argv: list[str] | None = None) -> None:
    """Prints mean and deviation, and the mean of seeds 0 to 4."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=100)
    args = parser.parse_args(argv)
    bags = list(Bags(Dataset(args.dataset), "test"))
    features = np.stack([bag.features[0] for bag in bags])
    labels = np.concatenate([bag.frame_labels for bag in bags])
    for name, make in (("ours", ours), ("torch", torch_form)):
        scores = make(features)
        aucs = []
        for seed in range(args.seeds):
            # Frame scores of all test videos in one list, as the pooled AUC takes them
            rows = np.asarray(scores(seed))
            frames = [expand(row, bag.num_frames) for row, bag in zip(rows, bags, strict=True)]
            aucs.append(frame.auc(labels, np.concatenate(frames)))
        print(
            f"{name}: {np.mean(aucs):.3f} ± {np.std(aucs):.3f} over {args.seeds} seeds; "
            f"seeds 0-4 {np.mean(aucs[:5]):.3f}"
        )


if __name__ == "__main__":
    main()
