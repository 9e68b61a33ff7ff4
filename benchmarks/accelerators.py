"""What every step costs by the compiler's analysis, and what a roofline makes of it.

    python -m benchmarks.accelerators [--systems mil s3r …] [--memory] [--json FILE]

Nothing runs: the steps of the published sizes are lowered for TPU (plain convolutions), and their
operations are counted, those of a loop for each round (once where the data decide how many there
are). FLOP are of all operations. Bytes are at least those of arguments and results, and at most
those that all operations move if nothing is fused. With --memory each step is also compiled for the
CPU, which takes minutes; the temporary memory is what that compiler says.

The roofline is max(FLOP / peak, bytes / bandwidth) of one chip for the least and the most bytes,
with the vendors' dense peaks. So it is a PREDICTION of the shortest possible times, not a
measurement.
"""

import argparse
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.extend.core
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.helpers.accelerator_cases import NAMES, PRECISIONS, PUBLISHED, bytes_of, cases


class Chip(NamedTuple):
    """Data sheet of a chip: FLOP/s by precision, without sparsity, and bytes/s.

    Products of float32 are as JAX does them by default: TF32 on the GPU where it has that, one pass
    of bfloat16 on the TPU. "highest" are products of float32 with `highest` precision. A precision
    that the data sheet does not tell is not in `peak`.
    """

    name: str
    peak: dict[str, float]
    bandwidth: float


HOPPER = {"float32": 494e12, "highest": 67e12, "bfloat16": 989e12}
AMPERE = {"float32": 156e12, "highest": 19.5e12, "bfloat16": 312e12}
DATA_SHEETS = {  # by `device_kind` of JAX
    "NVIDIA H100 80GB HBM3": Chip("H100", HOPPER, 3.35e12),
    "NVIDIA H200": Chip("H200", HOPPER, 4.8e12),
    "NVIDIA A100-SXM4-40GB": Chip("A100 40 GB", AMPERE, 1.555e12),
    "NVIDIA A100-SXM4-80GB": Chip("A100 80 GB", AMPERE, 2.039e12),
    "NVIDIA L4": Chip("L4", {"float32": 60e12, "highest": 30.3e12, "bfloat16": 121e12}, 300e9),
    "Tesla T4": Chip("T4", {"float32": 8.1e12, "highest": 8.1e12}, 320e9),
    "TPU v5 lite": Chip("TPU v5e", {"float32": 197e12, "bfloat16": 197e12}, 819e9),
}
PLATFORM = "tpu"  # for which the operations are counted
CHIPS = tuple(DATA_SHEETS[kind] for kind in ("NVIDIA H100 80GB HBM3", "TPU v5 lite"))


class Work(NamedTuple):
    """What a case does, as the compiler counts it.

    Attributes:
      flop: of all operations.
      least: bytes of arguments and results.
      most: bytes that all operations move if nothing is fused.
    """

    flop: float
    least: float
    most: float


def work(case) -> Work:
    """Counts without compiling: for TPU, where convolutions are XLA's own."""
    flop, moved = _counts(case.function, case.arguments)[1]
    results = bytes_of(jax.eval_shape(case.function, *case.arguments))
    return Work(float(flop), bytes_of(case.arguments) + results, float(moved))


def _counts(function: Callable, arguments: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """FLOP and bytes with one round of every loop, as XLA counts them, and with all rounds."""
    traced = jax.jit(function).trace(*arguments)
    counted = traced.lower(lowering_platforms=(PLATFORM,)).cost_analysis()
    once = np.array([counted["flops"], counted["bytes accessed"]])
    total = once.copy()
    for rounds, body in _loops(traced.jaxpr.jaxpr):
        inputs = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in body.in_avals]
        body_once, body_total = _counts(jax.extend.core.jaxpr_as_fun(body), inputs)
        total += rounds * body_total - body_once
    return once, total


def _loops(jaxpr) -> Iterator[tuple[int, jax.extend.core.ClosedJaxpr]]:
    """Rounds and body of every loop of known length that is in no other one."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"], equation.params["jaxpr"]
            continue
        inner = list(equation.params.values())
        if platforms := equation.params.get("branches_platforms"):
            ours = next(i for i, of in enumerate(platforms) if of is None or PLATFORM in of)
            inner = [equation.params["branches"][ours]]
        for value in jax.tree.leaves(inner, is_leaf=_is_program):
            if _is_program(value):
                yield from _loops(getattr(value, "jaxpr", value))


def _is_program(value) -> bool:
    return isinstance(value, jax.extend.core.Jaxpr | jax.extend.core.ClosedJaxpr)


def roofline(chip: Chip, precision: str, flop: float, moved: float) -> float:
    """Shortest time in seconds: either the arithmetic or the memory is the bottleneck."""
    return max(flop / chip.peak[precision], moved / chip.bandwidth)


def cost(case, precision: str, memory: bool) -> dict:
    """The figures of a case."""
    flop, least, most = work(case)
    row = {
        "system": case.name,
        "what": case.what,
        "precision": precision,
        "flop": flop,
        "bytes_least": least,
        "bytes_most": most,
    }
    for chip in CHIPS:
        for bound, moved in (("least", least), ("most", most)):
            row[f"{chip.name} {bound}"] = roofline(chip, precision, flop, moved)
    if memory:
        compiled = jax.jit(case.function).lower(*case.arguments).compile()
        row["temporary"] = compiled.memory_analysis().temp_size_in_bytes
    return row


def show(rows: list[dict]) -> None:
    """Prints the table."""
    table = Table(title="per step, by analysis; times are predictions", title_justify="left")
    table.add_column("system")
    table.add_column("what")
    heads = ["precision", "GFLOP", "GB, least … most", "FLOP a byte"]
    heads += [f"{chip.name}, ms" for chip in CHIPS]
    if "temporary" in rows[0]:
        heads.append("temporary GB (CPU)")
    for head in heads:
        table.add_column(head, justify="right")
    # From the least to the most, with and without everything fused
    for row in rows:
        least, most = row["bytes_least"], row["bytes_most"]
        cells = [
            row["system"],
            row["what"],
            row["precision"],
            f"{row['flop'] / 1e9:,.1f}",
            f"{least / 1e9:.3f} … {most / 1e9:.2f}",
            f"{row['flop'] / most:.1f} … {row['flop'] / least:,.0f}",
        ]
        cells += [
            f"{1e3 * row[f'{chip.name} least']:.3f} … {1e3 * row[f'{chip.name} most']:.2f}"
            for chip in CHIPS
        ]
        if "temporary" in row:
            cells.append(f"{row['temporary'] / 1e9:.2f}")
        table.add_row(*cells)
    Console(width=170).print(table)


def main() -> None:
    """Parses the command line, counts, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--memory", action="store_true", help="compile too, for the memory")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file")
    args = parser.parse_args()
    steps = [
        (case, precision)
        for name in args.systems
        for precision in PRECISIONS
        for case in cases(name, PUBLISHED, precision)
    ]
    rows = [cost(case, precision, args.memory) for case, precision in track(steps, "steps")]
    show(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
