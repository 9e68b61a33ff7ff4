"""The golden tests that `benchmarks.gpu` runs on the GPU: of every system forward and a step.

Systems without a golden training step have instead the gradient of their compiled step beside plain
reference forms in float64 (`tests/gradients`).
"""

from benchmarks.gpu_parts.settings import ROOT, LeftOut

GRADIENTS = "tests/test_gradients.py::test_the_compiled_step_has_the_gradient_of_the_plain_form"
TIMES = r"\xd7"  # as pytest writes × in the name of a test
MIL, S3R = "tests/systems/mil/test_system.py", "tests/systems/s3r/test_model.py"
LGN, I3D = "tests/systems/lgn/test_model.py", "tests/backbones/test_i3d.py"

# Method → tests; those behind the first ones, of the published width, are left out in small runs
NODES = {
    "mil": (
        [f"{MIL}::test_forward_loss_and_gradients[float32]", f"{MIL}::test_training_steps"],
        [],
    ),
    "s3r": (
        [f"{S3R}::test_small_evaluation", f"{S3R}::test_small_training"],
        [f"{S3R}::test_full_evaluation", f"{S3R}::test_full_training[s3r_full]"],
    ),
    "lgn": (
        [
            f"{LGN}::test_evaluation[lgn]",
            f"{LGN}::test_losses_and_memory_of_training_steps[lgn]",
            f"{LGN}::test_gradients[lgn]",
            f"{LGN}::test_parameters_after_steps_of_adam[lgn]",
        ],
        [f"{LGN}::test_full_size[eval]"],
    ),
    "exemplar": (
        [
            f"tests/ops/test_distance.py::test_golden_{what}"
            for what in ("scales", "exemplars_and_scores")
        ],
        [],
    ),
    "ssmtl": (
        [
            "tests/systems/ssmtl/test_model.py::test_losses",
            f"{GRADIENTS}[small-ssmtl-32 {TIMES} 32]",
        ],
        [],
    ),
    "mnad": (
        [
            f"{LGN}::test_evaluation[mnad_prediction]",
            f"{LGN}::test_losses_and_memory_of_training_steps[mnad_prediction]",
            f"{LGN}::test_gradients[mnad_prediction]",
        ],
        [],
    ),
    "i3d": ([f"{I3D}::test_random_weights[odd]"], [f"{I3D}::test_random_weights[rgb16]"]),
    "rtfm": ([f"{S3R}::test_rtfm_evaluation"], [f"{S3R}::test_full_training[rtfm_full]"]),
    "attributes": (
        ["tests/backbones/test_nanodet.py::test_outputs_boxes_and_features"],
        [],
    ),
    "motion": ([f"{GRADIENTS}[small-motion-32 {TIMES} 32]"], []),
    "appearance": ([f"{GRADIENTS}[small-appearance small-32 {TIMES} 32]"], []),
}
OPTIONS = ["--whole", "-o", "addopts=", "-p", "no:cacheprovider", "-W", "default", "-q"]


class Outcomes:
    """Plugin of pytest that keeps how every test ended.

    Attributes:
      rows: test, outcome, seconds and what was said of a failure or a skip.
    """

    def __init__(self):
        self.rows: list[dict] = []

    def pytest_runtest_logreport(self, report) -> None:
        """Of the test itself, or of what failed or skipped it before or afterwards."""
        if report.when == "call" or not report.passed:
            self.rows.append(
                {
                    "test": report.nodeid,
                    "outcome": report.outcome,
                    "seconds": report.duration,
                    "said": _said(report),
                }
            )


def _said(report) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return report.longrepr[-1]
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else str(report.longrepr)


def run(name: str, small: bool) -> list[dict]:
    """Rows of the golden tests of a method.

    Raises:
      LeftOut: pytest is not installed.
      RuntimeError: pytest ran none of them.
    """
    try:
        import pytest
    except ModuleNotFoundError as error:
        raise LeftOut("pytest is not installed") from error
    first, more = NODES[name]
    nodes = [str(ROOT / node) for node in (first if small else first + more)]
    outcomes = Outcomes()
    code = pytest.main([*OPTIONS, f"--rootdir={ROOT}", *nodes], [outcomes])
    if not outcomes.rows:
        raise RuntimeError(f"pytest ended with {code!r} and ran none of: {', '.join(nodes)}")
    return outcomes.rows
