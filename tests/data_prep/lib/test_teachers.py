"""The classifier that teaches: the published weights, on crops of its own size."""

import numpy as np
import pytest

from data_prep import weights
from data_prep.lib import teachers
from tests.helpers.places import published


@pytest.mark.golden
@pytest.mark.slow
def test_efficientnet_as_a_teacher_gives_the_published_logits(golden, tmp_path):
    path = published("efficientnet_lite0")
    pytest.importorskip("torch")
    weights.prepare("efficientnet_lite0", tmp_path / "w", str(path))
    case = np.load(golden / "ssmtl" / "pretrained" / "efficientnet_lite0_imagenet.npz")
    for name in sorted(case.files):
        if name.startswith("image"):
            image, logits = case[name], case[name.replace("image", "logits")].reshape(-1)
            classify = teachers.Lite0(tmp_path / "w", len(image))
            whole = classify.crops(image, np.array([[0, 0, len(image), len(image)]]))
            np.testing.assert_allclose(classify(whole)[0], logits, atol=1e-3, rtol=0)
