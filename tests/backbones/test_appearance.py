"""Networks for images. The import of ResNeXt-50 needs torch, as the import itself does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.backbones import appearance
from vadjax.backbones.appearance import ResNeXtTrunk, SmallAppearance, build, read_resnext50


def count(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def shapes(net) -> dict:
    return jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))


def small_parameters(widths, classes, blocks) -> int:
    """By hand: convolutions without bias, two numbers a channel of each norm, two dense layers."""
    total, before = 9 * 3 * widths[0] + 2 * widths[0], widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            total += 9 * before * width + 9 * width * width + 4 * width
            if block == 0 and (before != width or stage == 0):
                total += before * width + 2 * width
            before = width
    return total + widths[-1] * 128 + 128 + 128 * classes + classes


@pytest.mark.parametrize("blocks", [1, 2])
def test_parameters_of_the_small_network(blocks):
    net = build("small", 8, blocks)
    assert count(shapes(net)["params"]) == small_parameters((32, 64, 128, 256), 8, blocks)


def test_parameters_of_resnext():
    assert count(shapes(build("resnext50", 8))["params"]["trunk"]) == 22_979_904  # as published
    head = shapes(build("resnext50", 8))["params"]["head"]
    assert count(head) == 2048 * 128 + 128 + 128 * 8 + 8


def test_feature_and_logits():
    net = SmallAppearance(classes=3, widths=(4, 4, 8, 8))
    x = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    variables = jax.jit(net.init)(jax.random.key(1), x)
    feature, logits = jax.jit(net.apply)(variables, x)
    assert feature.shape == (2, 128) and logits.shape == (2, 3)
    assert (feature >= 0).all() and (feature > 0).any()  # behind a ReLU
    new = jax.eval_shape(lambda: net.apply(variables, x, True, mutable=["batch_stats"])[1])
    assert jax.tree.structure(new["batch_stats"]) == jax.tree.structure(variables["batch_stats"])


def test_normalise():
    x = np.full((1, 2, 2, 3), 255, np.uint8)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(appearance.normalise(jnp.array(x))[0, 0, 0], expected, rtol=1e-5)
    assert appearance.resize(jnp.array(x), 5).shape == (1, 5, 5, 3)
    np.testing.assert_allclose(appearance.resize(jnp.array(x), 5), 255, rtol=1e-6)


def test_no_such_network():
    with pytest.raises(ValueError, match="'vgg'; expected one of small, resnext50"):
        build("vgg", 8)


@pytest.fixture(scope="module")
def reference():
    """ResNeXt-50 (32x4d) in torch from its description, under torchvision's names."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            inner = outputs // 2
            self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=32, bias=False)
            self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(inner), nn.BatchNorm2d(inner)
            self.bn3 = nn.BatchNorm2d(outputs)
            if inputs != outputs:
                conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
            return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
            inputs = 64
            for stage, blocks in enumerate((3, 4, 6, 3), 1):
                outputs, layer = 128 * 2**stage, []
                for block in range(blocks):
                    layer.append(Block(inputs, outputs, 2 if stage > 1 and not block else 1))
                    inputs = outputs
                setattr(self, f"layer{stage}", nn.Sequential(*layer))
            self.fc = nn.Linear(2048, 1000)

        def forward(self, x):
            x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))

    torch.manual_seed(0)
    net = Net().eval()
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return torch, net


@pytest.mark.slow
def test_resnext_equals_torch(reference, tmp_path):
    torch, net = reference
    torch.save(net.state_dict(), tmp_path / "net.pth")
    variables, unused = read_resnext50(tmp_path / "net.pth")
    assert unused == ["fc.bias", "fc.weight"]
    x = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    found = jax.jit(ResNeXtTrunk().apply)(variables, x)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer3.2.conv2.weight"), "no weight 'layer3.2.conv2.weight'"),
        (lambda s: s.update(extra=s["fc.bias"]), r"weights of no use here: \['extra'\]"),
        (lambda s: s.update({"conv1.weight": s["fc.bias"]}), "conv1.weight is .* needs"),
    ],
)
def test_resnext_weights_are_used_exactly_once(reference, tmp_path, change, message):
    torch, net = reference
    state = dict(net.state_dict())
    change(state)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=message):
        read_resnext50(tmp_path / "net.pth")


def test_something_else_than_a_state_dict_is_refused(reference, tmp_path):
    torch, net = reference
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="not a state dict"):
        read_resnext50(tmp_path / "list.pth")
    torch.save(net.fc, tmp_path / "module.pth")  # a pickled module would run code
    with pytest.raises(ValueError, match="refused"):
        read_resnext50(tmp_path / "module.pth")
