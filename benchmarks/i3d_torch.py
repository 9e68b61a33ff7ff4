"""Inception I3D in torch, written from spec i3d §A for the benchmark; weights by torch's names."""

from torch.nn import functional as F

from benchmarks import workers
from vadjax.backbones.i3d import EPSILON, LAYERS, POOL

torch = workers.import_torch()


class Network:
    """The network as a function of its weights, by their published names."""

    def __init__(self, weights: dict):
        self.weights = weights

    def same(self, x, window, strides):
        """The input [B, C, T, H, W], padded as of §A2."""
        pads = []
        for n, k, s in zip(x.shape[2:], window, strides, strict=True):
            total = max(k - (n % s or s), 0)
            pads = [total // 2, total - total // 2, *pads]
        return F.pad(x, pads) if any(pads) else x

    def pool(self, x, window, strides):
        """Maximum of windows; zeros around do no harm behind a ReLU."""
        return F.max_pool3d(self.same(x, window, strides), window, strides)

    def unit(self, name, x, size=1, stride=1):
        """Convolution, batch norm, ReLU."""
        w = self.weights
        x = self.same(x, (size,) * 3, (stride,) * 3)
        x = F.conv3d(x, w[f"{name}.conv3d.weight"], None, stride)
        get = [w[f"{name}.bn.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *get, False, 0.01, EPSILON))

    def mixed(self, name, x):
        """Four branches side by side."""
        return torch.cat(
            [
                self.unit(f"{name}.b0", x),
                self.unit(f"{name}.b1b", self.unit(f"{name}.b1a", x), 3),
                self.unit(f"{name}.b2b", self.unit(f"{name}.b2a", x), 3),
                self.unit(f"{name}.b3b", self.pool(x, (3, 3, 3), (1, 1, 1))),
            ],
            1,
        )

    @torch.no_grad()
    def features(self, x):
        """[B, 1024, T', H', W'] of x [B, C, T, H, W]."""
        for name, sizes in LAYERS.items():
            if name.startswith("MaxPool"):
                x = self.pool(x, *sizes)
            elif name.startswith("Mixed"):
                x = self.mixed(name, x)
            else:
                x = self.unit(name, x, *sizes[1:])
        return F.avg_pool3d(x, POOL, 1)
