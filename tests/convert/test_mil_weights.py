"""Import of the originals' ranker. Needs torch, as the import itself does."""

import numpy as np
import pytest

from vadjax.systems.mil.convert import read_ranker
from vadjax.systems.mil.model import Ranker

torch = pytest.importorskip("torch", reason="torch is not installed")

WIDTH = 24


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = torch.nn
    return layers.Sequential(
        layers.Linear(WIDTH, 512),
        layers.ReLU(),
        layers.Dropout(0.6),
        layers.Linear(512, 32),
        layers.ReLU(),
        layers.Dropout(0.6),
        layers.Linear(32, 1),
    )


def both_names(net, classifier: bool, aliases: bool) -> dict:
    state = {f"classifier.{name}": tensor for name, tensor in net.state_dict().items()}
    numbered = {f"vars.{i}": tensor for i, tensor in enumerate(state.values())}
    return (state if classifier else {}) | (numbered if aliases else {})


@pytest.mark.parametrize(("classifier", "aliases"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("wrapped", [True, False])
def test_scores_equal_those_of_torch(net, tmp_path, classifier, aliases, wrapped):
    state = both_names(net, classifier, aliases)
    torch.save({"net": state} if wrapped else state, tmp_path / "head.pth")
    params = read_ranker(tmp_path / "head.pth", WIDTH)
    x = np.random.default_rng(0).standard_normal((5, WIDTH)).astype(np.float32)
    with torch.no_grad():
        hidden = torch.relu(net[0](torch.from_numpy(x)))
        expected = torch.sigmoid(net[6](net[3](hidden)))[:, 0].numpy()  # no ReLU after net[3]
    np.testing.assert_allclose(Ranker().apply(params, x), expected, atol=1e-6)


def test_a_pickle_with_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"net": Bomb()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="refused, not a file of plain tensors"):
        read_ranker(tmp_path / "bad.pth", WIDTH)
    assert not (tmp_path / "ran").exists()


def test_another_width_or_another_network_is_refused(net, tmp_path):
    state = both_names(net, True, False)
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"classifier.0.weight is \(512, 24\).*\(512, 99\)"):
        read_ranker(tmp_path / "head.pth", 99)
    torch.save(state | {"extra.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"of no use here: \['extra.weight'\]"):
        read_ranker(tmp_path / "more.pth", WIDTH)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no weight 'classifier.0.weight'; it has fc.weight"):
        read_ranker(tmp_path / "other.pth", WIDTH)


def test_aliases_that_disagree_are_refused(net, tmp_path):
    state = both_names(net, True, True)
    state["vars.3"] = state["vars.3"] + 1
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(ValueError, match="classifier.3.bias and its alias vars.3 differ"):
        read_ranker(tmp_path / "head.pth", WIDTH)


def test_absent_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of weights"):
        read_ranker(tmp_path / "none.pth", WIDTH)
    (tmp_path / "broken.pth").write_bytes(b"not a torch file")
    with pytest.raises(ValueError, match="refused"):
        read_ranker(tmp_path / "broken.pth", WIDTH)
