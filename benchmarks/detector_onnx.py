"""NanoDet-g as a plain ONNX graph, its 34 convolutions one after the other (spec nanodet §3).

Needs the package `onnx`. Channels come first, as ONNX has them.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vadjax.backbones.nanodet import CLASSES, PLACES, SLOPE, STRIDES

OPSET = 18
OUTPUTS = ("cells", "p3")


class Graph:
    """Collects the nodes of a graph.

    Args:
      weights: "stage1/in_conv/kernel" → array of Flax, of all layers.
    """

    def __init__(self, weights: dict[str, np.ndarray]):
        self._weights, self._count = weights, 0
        self.nodes, self.constants = [], []

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        """Adds a node; the name of its output."""
        self._count += 1
        name = f"{kind}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, array: np.ndarray) -> str:
        """Adds a constant; its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def conv(self, layer: str, x: str, stride: int = 1, activate: bool = True) -> str:
        """Convolution with zeros on all sides alike, and the activation behind it."""
        kernel = self._weights.pop(f"{layer}/kernel").transpose(3, 2, 0, 1)
        weight = self.constant(f"{layer}/kernel", kernel)
        bias = self.constant(f"{layer}/bias", self._weights.pop(f"{layer}/bias"))
        pads = [kernel.shape[2] // 2] * 4
        y = self.add("Conv", x, weight, bias, pads=pads, strides=[stride] * 2)
        return self.add("LeakyRelu", y, alpha=SLOPE) if activate else y

    def stage(self, name: str, x: str, blocks: int, stride: int) -> str:
        """A CSP stage."""
        a = y = self.conv(f"{name}/in_conv", x, stride)
        for k in range(blocks):
            u = self.conv(f"{name}/block{k}/in_conv", y)
            v = self.conv(f"{name}/block{k}/mid_conv", u)
            y = self.add("Concat", v, u, axis=1)
        y = self.conv(f"{name}/out_conv", y)
        return self.add("Concat", y, a, axis=1)

    def twice(self, x: str) -> str:
        """Bilinear, twice as large."""
        return self.add("Resize", x, "", "twice", mode="linear")

    def half(self, x: str) -> str:
        """Mean of 2 × 2 cells."""
        return self.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])


def model(variables: dict, shape: tuple[int, int, int]) -> bytes:
    """The network as an ONNX file for inputs "x" [B, 3, H, W].

    Its outputs are "cells" [B, cells, 124], class logits and then the sides' as of
    `vadjax.backbones.nanodet.DetectorHead`, and "p3" [B, 128, H/8, W/8].

    Args:
      variables: of `NanoDet`.
      shape: (B, H, W).

    Raises:
      ValueError: a weight that the graph does not use.
    """
    from flax import traverse_util

    flat = traverse_util.flatten_dict(variables["params"], sep="/")
    weights = {name: np.asarray(array) for name, array in flat.items()}
    graph = Graph(weights)
    graph.constant("twice", np.float32([1, 1, 2, 2]))
    batch, height, width = shape

    # Backbone
    x = graph.conv("stem/conv", "x", 2)
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = graph.stage("stage1", x, 1, 1)
    backbone = []
    for number, blocks in ((2, 2), (3, 2), (4, 3)):
        x = graph.stage(f"stage{number}", x, blocks, 2)
        backbone.append(x)

    # Path aggregation
    p3, p4, p5 = (graph.conv(f"pan/lateral{k}", c, 1, False) for k, c in enumerate(backbone))
    p4 = graph.add("Add", p4, graph.twice(p5))
    p3 = graph.add("Add", p3, graph.twice(p4))
    p4 = graph.add("Add", p4, graph.half(p3))
    p5 = graph.add("Add", p5, graph.half(p4))

    # Heads: rows of cells with their channels last
    width_out = len(CLASSES) + 4 * PLACES
    rows = []
    graph.constant("rows", np.int64([batch, -1, width_out]))
    for k, p in enumerate((p3, p4, p5)):
        y = graph.conv(f"head{k}/out", graph.conv(f"head{k}/conv", p), 1, False)
        y = graph.add("Transpose", y, perm=[0, 2, 3, 1])
        rows.append(graph.add("Reshape", y, "rows"))
    cells = graph.add("Concat", *rows, axis=1)
    if weights:
        raise ValueError(f"the graph does not use {', '.join(weights)}")

    # Its inputs, outputs and version
    for inner, outer in zip((cells, p3), OUTPUTS, strict=True):
        graph.nodes.append(helper.make_node("Identity", [inner], [outer]))
    count = sum(height // stride * (width // stride) for stride in STRIDES)
    shapes = [batch, count, width_out], [batch, 128, height // 8, width // 8]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in zip(OUTPUTS, shapes, strict=True)
    ]
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, height, width])
    whole = helper.make_graph(graph.nodes, "nanodet", [start], ends, graph.constants)
    made = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()
