"""Figures: numbers with a label, so that tables and pages need no list of what there is."""

from collections.abc import Mapping


class Figure(float):
    """A number with its label.

    Attributes:
      label: what the number is, in a few words; empty where its name says it.
    """

    label: str

    def __new__(cls, value: float, label: str = "") -> "Figure":
        """A figure of this value."""
        figure = super().__new__(cls, value)
        figure.label = label
        return figure


def labels(figures: Mapping[str, object]) -> dict[str, str]:
    """The labels of the figures by name, in their order; counts and settings carry none."""
    return {name: value.label for name, value in figures.items() if isinstance(value, Figure)}
