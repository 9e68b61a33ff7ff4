"""The ranker, its training step and its scoring in torch (spec mil §5 and §6)."""

import numpy as np
from torch import nn

from benchmarks import workers

torch = workers.import_torch()


def network(width: int) -> nn.Module:
    """The ranker of spec mil §5."""
    return nn.Sequential(
        nn.Linear(width, 512),
        nn.ReLU(),
        nn.Dropout(0.6),
        nn.Linear(512, 32),
        nn.Dropout(0.6),
        nn.Linear(32, 1),
        nn.Sigmoid(),
    )


def looped(anomalous, normal):
    """The loss as the original programs write it, pair by pair (spec mil §6).

    Hinge and sparsity see the first 30 of the 32 segments.
    """
    total = 0.0
    for a, n in zip(anomalous, normal, strict=True):
        order = torch.randperm(30)
        total = total + torch.relu(1 - a[order].max() + n[order].max())
        total = total + 8e-5 * a[order].sum() + 8e-5 * ((a[:-1] - a[1:]) ** 2).sum()
    return total / len(anomalous)


def together(anomalous, normal):
    """The same loss of all pairs at once."""
    hinge = torch.relu(1 - anomalous[:, :30].amax(1) + normal[:, :30].amax(1))
    smooth = ((anomalous[:, :-1] - anomalous[:, 1:]) ** 2).sum(1)
    return (hinge + 8e-5 * anomalous[:, :30].sum(1) + 8e-5 * smooth).mean()


def training(batch: dict[str, np.ndarray], loss=together):
    """A function that does one step on `anomalous` and `normal` bags [B, S, D]."""
    pairs, segments, width = batch["anomalous"].shape
    net = network(width)
    optimizer = torch.optim.Adagrad(net.parameters(), lr=1e-3, weight_decay=0.001)

    def step():
        x = torch.cat([torch.from_numpy(batch["anomalous"]), torch.from_numpy(batch["normal"])], 1)
        scores = net(x.reshape(-1, width)).reshape(pairs, 2 * segments)
        total = loss(scores[:, :segments], scores[:, segments:])
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return step


def scoring(features: np.ndarray):
    """A function that scores bags [B, S, D] one by one."""
    net = network(features.shape[-1]).eval()

    def score():
        with torch.no_grad():
            return [net(torch.from_numpy(bag)).numpy() for bag in features]

    return score
