import numpy as np
import pytest

from vadjax.metrics import compute_auc


def test_the_area_of_two_files_and_rates_that_do_not_belong_together(tmp_path, capsys):
    fpr, tpr, short = (str(tmp_path / f"{name}.npy") for name in ("fpr", "tpr", "short"))
    np.save(fpr, [0.0, 0.5, 1.0])
    np.save(tpr, [1.0, 1.0, 1.0])
    np.save(short, [0.0, 1.0])
    compute_auc.main([fpr, tpr])
    assert capsys.readouterr().out == "1\n"
    np.save(tmp_path / "negative.npy", [-1.0, 0.5, 1.0])
    for wrong in (short, str(tmp_path / "negative.npy")):
        with pytest.raises(SystemExit, match="^error: .*npy and .*tpr.npy: "):
            compute_auc.main([wrong, tpr])
    np.save(tpr, [0.5, 1.0, -3.8e115])
    with pytest.raises(SystemExit, match="^error: .*tpr.npy: rates of -3.8e.115 to 1; expected"):
        compute_auc.main([fpr, tpr])
