"""The network and the losses of SSMTL in torch, from spec ssmtl §4 and §5, channels first.

Weights are tensors by the paths of `vadjax.systems.ssmtl.model`: "shared/block0_conv0/conv/kernel".
"""

import functools

import numpy as np
from torch.nn import functional as F

from benchmarks import workers

torch = workers.import_torch()


def to_torch(variables: dict) -> dict:
    """Float64 tensors of the variables of `MultiTaskNet`, kernels in the order of torch.

    Float64 for comparisons: in float32 a ReLU at 0 now and then falls to the other side.
    """
    tensors = {}

    def walk(tree, path):
        for name, value in tree.items():
            if hasattr(value, "items"):
                walk(value, [*path, name])
                continue
            value = np.array(value, np.float64)
            if name == "kernel":  # [*size, C, F] → [F, C, *size]
                value = np.moveaxis(value, (-1, -2), (0, 1)).copy()
            tensors["/".join([*path, name])] = torch.from_numpy(value)

    walk(variables["params"], [])
    walk(variables["batch_stats"], [])
    return tensors


def to_tensors(arrays: dict) -> dict:
    """Crops and pictures [B, …, 3] as float64 tensors [B, 3, …]; [B] and [B, K] as they are."""
    tensors = {}
    for task, values in arrays.items():
        values = np.moveaxis(np.array(values), -1, 1) if values.ndim > 2 else np.array(values)
        values = values.astype(np.float64) if values.dtype.kind == "f" else values
        tensors[task] = torch.from_numpy(np.ascontiguousarray(values))
    return tensors


class Network:
    """The network as a function of its weights.

    Args:
      weights: as of `to_torch`; those with gradient are trained.
      train: whether batch statistics are taken; the running ones are then followed in place, as
        torch does it, with the variance of the sample.
      joint: whether the trunk's are those of all passes together.
    """

    def __init__(self, weights: dict, train: bool = False, joint: bool = True):
        self.weights, self.train, self.joint = weights, train, joint

    def block(self, name, x, lengths=None):
        """3×3 (×3) convolution of each pass, batch norm of all, ReLU."""
        get = lambda part: self.weights[f"{name}/{part}"]  # noqa: E731
        conv = F.conv3d if x.ndim == 5 else F.conv2d
        passes = x.split(lengths, 2) if lengths else (x,)
        outputs = [conv(x_of_pass, get("conv/kernel"), padding=1) for x_of_pass in passes]
        x = torch.cat(outputs, 2) if lengths else outputs[0]
        running = get("norm/mean"), get("norm/var")
        x = F.batch_norm(x, *running, get("norm/scale"), get("norm/bias"), self.train, 0.01, 1e-5)
        return F.relu(x)

    def trunk(self, passes):
        """Maps [B, C, H/8, W/8] of passes [B, 3, T, H, W]."""
        lengths, x = [x_of_pass.shape[2] for x_of_pass in passes], torch.cat(passes, 2)
        for i in range(3):
            for j in range(2):
                if f"shared/block{i}_conv{j}/conv/kernel" in self.weights:
                    x = self.block(f"shared/block{i}_conv{j}", x, lengths)
            x = F.max_pool3d(x, (1, 2, 2))
        return [x_of_pass.amax(2) for x_of_pass in x.split(lengths, 2)]

    def outputs(self, task, x):
        """Raw outputs of a head [B, outputs]."""
        get = lambda part: self.weights[f"{task}/{part}"]  # noqa: E731
        x = F.max_pool2d(F.relu(F.conv2d(x, get("conv/kernel"), get("conv/bias"), padding=1)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # flattened with the channels last, as the kernel is
        return F.linear(x, get("out/kernel"), get("out/bias"))

    def picture(self, x):
        """The middle crop [B, 3, H, W]."""
        for i in range(3):
            x = self.block(f"middle/up{i}", F.interpolate(x, scale_factor=2, mode="nearest"))
        get = self.weights
        return F.conv2d(x, get["middle/out/kernel"], get["middle/out/bias"], padding=1)

    def __call__(self, inputs: dict) -> dict:
        """Outputs of every task for its own crops [B, 3, T, H, W], in the order of `inputs`."""
        crops = list(inputs.values())
        maps = (
            self.trunk(crops)
            if self.joint
            else [self.trunk([crops_of_task])[0] for crops_of_task in crops]
        )
        return self.heads(dict(zip(inputs, maps, strict=True)))

    def score(self, inputs: dict) -> dict:
        """As a call, but irregularity sees what arrow sees, and they share a pass."""
        passes = {task: crops for task, crops in inputs.items() if task != "irregularity"}
        maps = {task: self.trunk([crops])[0] for task, crops in passes.items()}
        return self.heads(maps | {"irregularity": maps["arrow"]})

    def heads(self, maps: dict) -> dict:
        """Outputs of every task for its map."""
        return {
            task: self.picture(maps_of_task)
            if task == "middle"
            else self.outputs(task, maps_of_task)
            for task, maps_of_task in maps.items()
        }


def training_loss(outputs, targets, distillation_weight=0.2):
    """Sum of the four losses."""
    total = 0
    for task, output in outputs.items():
        if task in ("arrow", "irregularity"):
            total += F.cross_entropy(output, targets[task])
        else:
            weight = distillation_weight if task == "distillation" else 1
            total += weight * F.l1_loss(output, targets[task])
    return total


def programs(variables: dict, inputs: dict, targets: dict):
    """The step, the step with statistics of each pass, and scoring, as functions.

    Args:
      variables: arrays of `MultiTaskNet`.
      inputs: arrays, as of `tasks.training_inputs`.
      targets: the same.
    """
    weights = {k: v.float() for k, v in to_torch(variables).items()}
    trained = list(to_torch({"params": variables["params"], "batch_stats": {}}))
    # Scoring has weights of its own: the steps change theirs
    scored = {name: value.clone() for name, value in weights.items()}
    for name in trained:
        weights[name].requires_grad_()
    optimizer = torch.optim.Adam([weights[name] for name in trained])
    inputs, targets = (
        {k: v.float() if v.is_floating_point() else v.long() for k, v in to_tensors(each).items()}
        for each in (inputs, targets)
    )

    # joint: the batch norms have the statistics of all passes together
    def step(joint):
        optimizer.zero_grad()
        outputs = Network(weights, True, joint)(inputs)
        training_loss(outputs, targets).backward()
        optimizer.step()

    def score():
        with torch.no_grad():
            Network(scored).score(inputs)

    return functools.partial(step, True), functools.partial(step, False), score
