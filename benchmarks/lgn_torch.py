"""LGN-Net and MNAD prediction in torch, written from spec lgn_net §2 to §5 for the benchmarks.

Weights are a dict of tensors by the published names (`params_*.csv` of the golden data).
"""

from torch.nn import functional as F

from benchmarks import workers

torch = workers.import_torch()


class Network:
    """The networks as functions of their weights, window after window, nothing shared.

    Args:
      weights: name → tensor; those with gradient are trained.
      items: memory items, tensor [M, 512].
      local: whether there is the local branch (LGN-Net) or skips (MNAD).
    """

    def __init__(self, weights: dict, items, local: bool):
        self.weights, self.items, self.local, self.train = weights, items, local, False

    def conv(self, name, x, stride=1):
        """Convolution padded to keep the size."""
        kernel = self.weights[f"{name}.weight"]
        pad = kernel.shape[-1] // 2
        return F.conv2d(x, kernel, self.weights.get(f"{name}.bias"), stride, pad)

    def norm(self, name, x):
        """Batch norm and ReLU."""
        get = [self.weights[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        affine = [self.weights[f"{name}.{part}"] for part in ("weight", "bias")]
        return F.relu(F.batch_norm(x, *get, *affine, self.train, 0.1, 1e-5))

    def pair(self, name, x, closed=True):
        """Two convolutions, each with norm and ReLU (the last one only if `closed`)."""
        x = self.conv(f"{name}.3", self.norm(f"{name}.1", self.conv(f"{name}.0", x)))
        return self.norm(f"{name}.4", x) if closed else x

    def up(self, name, first, second, x):
        """Transposed convolution to twice the size, norm, ReLU."""
        kernel, bias = (self.weights[f"{name}.{first}.{part}"] for part in ("weight", "bias"))
        return self.norm(f"{name}.{second}", F.conv_transpose2d(x, kernel, bias, 2, 1, 1))

    def motion(self, x):
        """The local branch [B, 64, H, W] of frames [B, 12, H, W]."""
        layers = [f"pred.convlstm_list.{layer}" for layer in range(4)]
        zeros = x.new_zeros(len(x), 128, x.shape[2] // 4, x.shape[3] // 4)
        h, c, m = [zeros] * 4, [zeros] * 4, zeros
        for frame in x.split(3, 1):
            inputs = frame
            # The encoder of the frame, to a quarter of its size
            for i, stride in enumerate((2, 1, 2, 1)):
                inputs = self.conv(f"pred.encoder.{3 * i}", inputs, stride)
                inputs = self.norm(f"pred.encoder.{3 * i + 1}", inputs)
            # Four ST-LSTM cells; m goes up through the layers and on to the next frame
            for i, name in enumerate(layers):
                gx = self.conv(f"{name}.conv_x.0", inputs).split(128, 1)
                gh = self.conv(f"{name}.conv_h.0", h[i]).split(128, 1)
                gm = self.conv(f"{name}.conv_m.0", m).split(128, 1)
                keep = torch.sigmoid(gx[1] + gh[1] + 1) * c[i]
                c[i] = keep + torch.sigmoid(gx[0] + gh[0]) * torch.tanh(gx[2] + gh[2])
                keep = torch.sigmoid(gx[4] + gm[1] + 1) * m
                m = keep + torch.sigmoid(gx[3] + gm[0]) * torch.tanh(gx[5] + gm[2])
                both = torch.cat([c[i], m], 1)
                gate = torch.sigmoid(gx[6] + gh[3] + self.conv(f"{name}.conv_o.0", both))
                inputs = gate * torch.tanh(self.conv(f"{name}.conv_last", both))
                h[i] = inputs
        x = self.up("st_decoder", 0, 1, torch.cat([h[-1], m], 1))
        return self.up("st_decoder", 3, 4, x)

    def forward(self, x):
        """Predicted frames [B, 3, H, W] and queries [N, 512] of frames [B, 12, H, W]."""
        skips, y = {}, x
        for level in (1, 2, 3):
            skips[level] = y = self.pair(f"encoder.moduleConv{level}", y)
            y = F.max_pool2d(y, 2)
        y = self.pair("encoder.moduleConv4", y, closed=False)
        grid = F.normalize(y, dim=1, eps=1e-12)
        queries = grid.permute(0, 2, 3, 1).reshape(-1, grid.shape[1])
        weights = torch.softmax(queries @ self.items.T, 1).detach()
        read = (weights @ self.items).reshape(len(x), *grid.shape[2:], -1).permute(0, 3, 1, 2)
        y = self.pair("decoder.moduleConv", read if self.local else torch.cat([grid, read], 1))
        for level in (3, 2, 1):
            y = self.up(f"decoder.moduleUpsample{level + 1}", 0, 1, y)
            y = y if self.local else torch.cat([skips[level], y], 1)
            if self.local and level == 1:
                y = torch.cat([y, self.motion(x)], 1)
            y = self.pair(f"decoder.moduleDeconv{level}", y)
        return torch.tanh(self.conv("decoder.moduleDeconv1.6", y)), queries

    def losses(self, queries):
        """Compactness and separateness."""
        _, best = torch.topk(queries @ self.items.T, 2)
        first, second = self.items[best[:, 0]], self.items[best[:, 1]]
        return F.mse_loss(queries, first), F.triplet_margin_loss(queries, first, second)

    @torch.no_grad()
    def remember(self, queries):
        """Takes the queries into the items."""
        scores = queries @ self.items.T
        nearest = F.one_hot(scores.argmax(1), len(self.items)).to(scores.dtype)
        weights = nearest * torch.exp(scores - scores.amax(0))
        moved = F.normalize(self.items + weights.T @ queries, dim=1)
        self.items = torch.where(nearest.any(0)[:, None], moved, self.items)


def to_input(windows):
    """uint8 [B, T, H, W, 3] → float32 [B, 3 T, H, W] in [-1, 1]."""
    x = torch.from_numpy(windows).movedim(-1, 2).flatten(1, 2)
    return x.float() / 127.5 - 1


def train_step(net: Network, weight: tuple[float, float]):
    """A function that does one step on uint8 windows and returns the loss (spec §2.4, §3)."""
    trained = [w for w in net.weights.values() if w.requires_grad]
    optimizer = torch.optim.Adam(trained, 2e-4)
    net.train = True

    def step(windows):
        x = to_input(windows)
        prediction, queries = net.forward(x[:, :-3])
        compactness, separateness = net.losses(queries)
        loss = F.mse_loss(prediction, x[:, -3:])
        loss = loss + weight[0] * compactness + weight[1] * separateness
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net.remember(queries.detach())
        return loss.item()

    return step


@torch.no_grad()
def psnrs(net: Network, frames, gamma: float) -> list[float]:
    """PSNR of every window of uint8 frames [T, H, W, 3], the memory learning on (spec §4)."""
    psnrs_of_windows = []
    for start in range(len(frames) - 4):
        x = to_input(frames[None, start : start + 5])
        prediction, queries = net.forward(x[:, :-3])
        error = ((prediction + 1) / 2 - (x[:, -3:] + 1) / 2) ** 2
        weights = 1 - torch.exp(-error)
        if (weights * error).sum() / weights.sum() < gamma:
            net.remember(queries)
        psnrs_of_windows.append(-10 * torch.log10(error.mean()).item())
    return psnrs_of_windows


def network(inputs, config, trained: bool) -> Network:
    """The network of the weights of `lgn_step.Inputs`, for training or scoring."""
    tensors = {
        name: torch.from_numpy(value).requires_grad_(trained and "running" not in name)
        for name, value in inputs.weights.items()
    }
    return Network(tensors, torch.from_numpy(inputs.items), config.model.variant == "lgn")


def training(inputs, config):
    """A function that does one step on the windows of `lgn_step.Inputs` and gives its loss."""
    weight = config.loss.compactness_weight, config.loss.separateness_weight
    step = train_step(network(inputs, config, True), weight)
    return lambda: step(inputs.windows)


def scoring(inputs, config):
    """A function that gives the PSNRs of the windows of the frames of `lgn_step.Inputs`."""
    net = network(inputs, config, False)
    return lambda: psnrs(net, inputs.frames, config.eval.gamma)
