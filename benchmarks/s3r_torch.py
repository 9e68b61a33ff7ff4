"""S3R in torch as its spec describes it (spec s3r §4-6): the baseline of `s3r_step`."""

import numpy as np
from torch import nn

from benchmarks import workers

torch = workers.import_torch()
DILATIONS = 1, 2, 4  # of the three temporal convolutions


class NonLocal(nn.Module):
    """Attention over time without softmax."""

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Conv1d(width, width // 2, 1) for _ in range(3))
        self.out = nn.Sequential(nn.Conv1d(width // 2, width, 1), nn.BatchNorm1d(width))

    def forward(self, x):
        """[R, C, T] of x [R, C, T]."""
        attention = self.query(x).transpose(1, 2) @ self.key(x) / x.shape[-1]
        read = attention @ self.value(x).transpose(1, 2)
        return self.out(read.transpose(1, 2)) + x


class Aggregation(nn.Module):
    """Dilated convolutions and the non-local layer."""

    def __init__(self, width: int):
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width // 4, 3, padding=d, dilation=d),
                nn.GroupNorm(8, width // 4),
                nn.ReLU(),
            )
            for d in DILATIONS
        )
        squeeze = nn.Conv1d(width, width // 4, 1, bias=False)
        self.related = nn.Sequential(squeeze, nn.ReLU(), NonLocal(width // 4))
        self.fuse = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU()
        )

    def forward(self, x):
        """[R, T, C] of x [R, T, C]."""
        y = x.transpose(1, 2)
        parts = [scale(y) for scale in self.scales] + [self.related(y)]
        return self.fuse(torch.cat(parts, 1)).transpose(1, 2) + x


def head(width: int, rate: float) -> nn.Module:
    """Score of every row."""
    return nn.Sequential(
        nn.Linear(width, width // 4),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(width // 4, width // 16),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(width // 16, 1),
        nn.Sigmoid(),
    )


class S3R(nn.Module):
    """The network, without the parts that it never uses."""

    def __init__(self, width: int, rate: float = 0.7):
        super().__init__()
        self.video, self.macro = Aggregation(width), Aggregation(width)
        self.dropout = nn.Dropout(rate)
        self.query, self.key = nn.Linear(width, width // 4), nn.Linear(width, width // 4)
        self.value = nn.Linear(width, width)
        self.gate = nn.Sequential(
            nn.Linear(width, width // 16), nn.ReLU(), nn.Linear(width // 16, width), nn.Sigmoid()
        )
        self.video_head, self.macro_head = head(width, rate), head(width, rate)

    def forward(self, bags, dictionary):
        """Scores [B, T], magnitudes [B, T], features [B, N, T, C], macro scores [B]."""
        count, crops, length, width = bags.shape
        # en-Normal: what the dictionary reconstructs; de-Normal: channels weighted by the rest
        x = bags.reshape(-1, length, width)
        attention = (self.query(x) @ self.key(dictionary).T).softmax(-1)
        macro = self.dropout(self.macro(attention @ self.value(dictionary)))
        video = self.dropout(self.video(x))
        gate = self.gate(video.mean(1) - macro.mean(1))[:, None]
        video, macro = video * gate, macro * (1 - gate)
        scores = self.video_head(video).reshape(count, crops, length).mean(1)
        magnitudes = video.norm(dim=-1).reshape(count, crops, length).mean(1)
        macro = self.macro_head(macro.mean(1)).reshape(count, crops).mean(1)
        return scores, magnitudes, video.reshape(bags.shape), macro


def training_step(net: S3R, optimizer, normal, anomalous, dictionary) -> float:
    """One update on bags [B, N, T, C] of each label; returns the loss."""
    count = len(normal)
    scores, magnitudes, features, macro = net(torch.cat([normal, anomalous]), dictionary)
    # The three segments of the largest magnitudes that the dropout leaves (spec s3r §4.6)
    kept = nn.functional.dropout(magnitudes, 0.7)
    chosen = kept.topk(3, 1).indices
    bag = scores.gather(1, chosen).mean(1)
    index = chosen[:, None, :, None].expand(-1, features.shape[1], -1, features.shape[-1])
    norms = features.gather(2, index).mean(2).norm(dim=-1)
    # Scores of bags, magnitudes, sparsity and smoothness of all anomalous scores, macro branch
    labels = torch.cat([torch.zeros(count), torch.ones(count)])
    row = scores[count:].reshape(-1)
    loss = nn.functional.binary_cross_entropy(bag, labels)
    loss = loss + 1e-4 * (((100 - norms[count:]).abs() + norms[:count]) ** 2).mean()
    loss = loss + 8e-3 * row.norm() + 8e-4 * ((row[1:] - row[:-1]) ** 2).sum()
    loss = loss + nn.functional.binary_cross_entropy(macro, torch.zeros(2 * count))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def training(batch: dict[str, np.ndarray], dictionary: np.ndarray):
    """A function that does one step on `normal` and `anomalous` bags [B, N, T, C]."""
    net, atoms = S3R(dictionary.shape[-1]), torch.from_numpy(dictionary)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=0.005)
    bags = [torch.from_numpy(batch[label]) for label in ("normal", "anomalous")]
    return lambda: training_step(net, optimizer, *bags, atoms)


def scoring(video: np.ndarray, dictionary: np.ndarray):
    """A function that scores a video [N, T, C]."""
    net, atoms = S3R(dictionary.shape[-1]).eval(), torch.from_numpy(dictionary)

    def score():
        with torch.no_grad():
            return net(torch.from_numpy(video[None]), atoms)[0].numpy()

    return score
