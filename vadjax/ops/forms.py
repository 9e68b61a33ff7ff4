"""Which form of an operation each kind of device gets: the one door to the forms for CPU.

Many operations of `vadjax.ops` have two forms with the same result: `plain`, as XLA has it, and
`special`, which makes up for what XLA does slowly on a CPU (`vadjax.ops.cpu`). The table in
`forms.json` says which of them each platform gets; a platform that it does not list gets the plain
one. `config.runtime.plain_ops` turns all special forms off.
"""

import functools
import importlib.resources
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
from jax import lax

TABLE = "forms.json"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # names of JAX
NAMES = ("plain", "special")

_plain_only = False


def by_device(
    operation: str,
    *arguments: Any,
    special: Callable,
    plain: Callable,
    options: Mapping[str, Hashable] | None = None,
) -> Any:
    """Applies the form of the operation that the device gets.

    Args:
      operation: its name in the table.
      *arguments: arrays for either form.
      special: the form for CPU.
      plain: XLA's own.
      options: keyword arguments of both. Where they are given, calls with arrays of equal shapes
        share one trace; so neither form may be a function made for the call.
    """
    chosen = () if _plain_only else tuple(platforms(operation))
    if options is None:
        return _choose(*arguments, chosen=chosen, special=special, plain=plain)
    named = tuple(options.items())
    return _traced_once(*arguments, chosen=chosen, special=special, plain=plain, named=named)


@functools.partial(jax.jit, static_argnames=("chosen", "special", "plain", "named"))
def _traced_once(*arguments, chosen, special, plain, named):
    """As `_choose`, with keyword arguments of both forms; what was traced is found by `jax.jit`."""
    special, plain = (functools.partial(form, **dict(named)) for form in (special, plain))
    return _choose(*arguments, chosen=chosen, special=special, plain=plain)


def _choose(*arguments, chosen: Sequence[str], special: Callable, plain: Callable):
    """The special form on the chosen platforms, the plain one on all others."""
    forms = dict.fromkeys(chosen, special)
    return lax.platform_dependent(*arguments, **forms, default=plain)


def platforms(operation: str) -> list[str]:
    """Platforms that get the special form of an operation, in the order of `PLATFORMS`."""
    row = table()[operation]
    return [platform for platform in PLATFORMS if row.get(platform) == "special"]


@functools.cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Operation → platform → name of its form (`NAMES`).

    Raises:
      ValueError: the file of the table names an unknown platform or form.
    """
    rows = json.loads(importlib.resources.files(__package__).joinpath(TABLE).read_text("utf-8"))
    check(rows)
    return rows


def check(rows: Mapping[str, Mapping[str, str]]) -> None:
    """Refuses a table with an unknown platform or form.

    Raises:
      ValueError: it has one; the message names the operation.
    """
    for operation, row in rows.items():
        unknown = [*set(row) - set(PLATFORMS), *set(row.values()) - set(NAMES)]
        if unknown:
            raise ValueError(f"{TABLE}: {operation}: {unknown[0]!r}; expected {PLATFORMS}, {NAMES}")


def use_plain() -> None:
    """From now on all that this process traces has plain forms, and no options of the compiler."""
    global _plain_only
    if not _plain_only:
        _plain_only = True
        jax.clear_caches()  # what was traced before is not taken


def plain_only() -> bool:
    """Whether `use_plain` was called."""
    return _plain_only
