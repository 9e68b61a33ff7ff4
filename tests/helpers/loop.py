"""A run that is stopped on the way and goes on, which every trained system is tested with."""

import os
import pathlib
import signal

import pytest

from tests.helpers.run_files import assert_same_figures as same_figures  # noqa: F401
from vadjax import train
from vadjax.report import page


def run_in_two(config, folder: pathlib.Path, step: int, monkeypatch) -> None:
    """Runs the config, is stopped by SIGTERM when `step` is saved, and goes on."""
    save = train.Checkpoints.save

    def stopping(self, now, *rest):
        save(self, now, *rest)
        if now == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)  # drawing takes longest
        with monkeypatch.context() as once:
            once.setattr(train.Checkpoints, "save", stopping)
            with pytest.raises(SystemExit):
                train.run(config, folder)
        train.run(config, folder)
