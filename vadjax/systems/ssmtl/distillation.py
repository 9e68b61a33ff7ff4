"""Whether distillation is trained and scored, which depends on the teachers (spec ssmtl §5, §6).

Distillation is trained if any teacher's outputs are known. It is scored by the outputs of the
detector alone, so a dataset with a classifier and no detector trains it without scoring it.
"""

from collections.abc import Mapping, Sequence


def trained_tasks(asked: Sequence[str], outputs: Mapping[str, int]) -> tuple[str, ...]:
    """The tasks in use: distillation only if there are teachers.

    Args:
      asked: the tasks that the config names.
      outputs: teacher → number of its outputs for an object; 0 if there is no such teacher.

    Raises:
      ValueError: no task is left.
    """
    tasks = tuple(task for task in asked if task != "distillation" or sum(outputs.values()))
    if not tasks:
        raise ValueError(
            f"model.tasks is {tuple(asked)}: nothing to learn without teachers "
            "(python -m data_prep.extract_objects --teachers …)"
        )
    return tasks


def scored_tasks(trained: Sequence[str], outputs: Mapping[str, int]) -> tuple[str, ...]:
    """Those of the trained tasks that have a score: distillation only with a detector's outputs."""
    return tuple(task for task in trained if task != "distillation" or outputs["detector"] > 0)


def notice(asked: Sequence[str], trained: Sequence[str], scored: Sequence[str]) -> str:
    """Why distillation, which the config asks for, is not trained or not scored; else empty."""
    if "distillation" in asked and "distillation" not in trained:
        return (
            "Distillation is off: no outputs of teachers (python -m data_prep.extract_objects "
            "--teachers …, --config.data.objects)."
        )
    if "distillation" in asked and "distillation" not in scored:
        return "Distillation is trained, not scored: the detector has no class outputs."
    return ""
