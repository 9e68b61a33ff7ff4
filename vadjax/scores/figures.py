"""Figures: numbers that say what they are, so that tables and pages show what they are given."""

from collections.abc import Mapping


class Figure(float):
    """A number with its label.

    Attributes:
      label: what it is, in a few words; empty where its name says so.
    """

    label: str

    def __new__(cls, value: float, label: str = "") -> "Figure":
        """A figure of this value."""
        figure = super().__new__(cls, value)
        figure.label = label
        return figure


def labels(figures: Mapping[str, object]) -> dict[str, str]:
    """Name → label of those that carry one, in their order; counts and settings do not."""
    return {name: value.label for name, value in figures.items() if isinstance(value, Figure)}
