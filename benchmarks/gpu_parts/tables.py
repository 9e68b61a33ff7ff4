"""What `benchmarks.gpu` prints: a line for every part as it begins, and the tables at the end."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

NONE = "–"


def begin(part: dict) -> None:
    """Says which part works now."""
    print(f"… {part['part']} (at most {part['seconds']:.0f} s)", flush=True)


def show(found: dict, console: Console) -> None:
    """Prints the tables of the JSON file's content."""
    for part in found["parts"]:
        for row in part["rows"] if part["part"] == "device" else ():
            console.print(machine(row), highlight=False)
    tables = [parts(found["parts"]), steps(found["parts"]), kernels(found["parts"])]
    for table in [*tables, inputs(found["parts"]), forms(found["parts"])]:
        if table.row_count:
            console.print(table)
    console.print(f"{found['seconds']:.0f} s of {60 * found['minutes']:.0f} s")


def machine(row: dict) -> str:
    """The device in a few lines."""
    sheet, errors = row["data_sheet"], row["error_of_products"]
    peaks = (
        ", ".join(f"{mode} {peak / 1e12:g} TFLOP/s" for mode, peak in sheet["peak"].items())
        if sheet
        else "peak unknown: no predictions"
    )
    room = f", {row['memory_gb']:.0f} GB" if row["memory_gb"] else ""
    return (
        f"{row['kind']}{room}; {peaks}; JAX {row['jax']}, Python {row['python']}, "
        f"{row['cores']} cores; {row['driver']}\n"
        f"largest error of a product of float32: {errors['default']:.0e} by default, "
        f"{errors['highest']:.0e} with the highest precision"
    )


def _table(title: str, texts: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for head in texts:
        table.add_column(head, overflow="fold")
    for head in numbers:
        table.add_column(head, justify="right")
    return table


def _number(value: float | None, form: str = ",.3g") -> str:
    return NONE if value is None else format(value, form)


def rows_of(results: list[dict], *kinds: str) -> list[dict]:
    """The rows of all parts whose first word is one of these."""
    return [row for part in results if part["part"].split()[0] in kinds for row in part["rows"]]


def parts(results: list[dict]) -> Table:
    """How every part ended."""
    table = _table("parts", ("part", "", "what was said"), ("s",))
    for part in results:
        said = part["reason"]
        if part["part"].startswith("golden"):
            outcomes = [row["outcome"] for row in part["rows"]]
            passed = f"{outcomes.count('passed')} of {len(outcomes)} tests passed"
            said = ": ".join(filter(None, [passed if outcomes else "", said]))
        table.add_row(part["part"], part["status"], said, f"{part['seconds']:.1f}")
    return table


def steps(results: list[dict]) -> Table:
    """Steps of all systems, each mode beside the roofline, float32 and torch."""
    heads = ["ms", "a second", "predicted ms", "of peak", "× float32", "loss differs", "× torch"]
    heads += ["compile s", "program GB", "peak GB"]
    table = _table("steps", ("system", "what", "products"), heads)
    torch = {row["system"]: row["ms"] for row in rows_of(results, "torch")}
    for row in rows_of(results, "steps", "exact"):
        # Torch computes in float32, with TF32 products
        beside = torch.get(row["system"]) if row["mode"] == "float32" else None
        differences = [row.get(f"difference_loss_{which}") for which in ("first", "last")]
        bounds = row["predicted_ms"]
        table.add_row(
            row["system"],
            row["what"],
            row["mode"],
            _number(row["ms"]),
            _number(row["per_s"]),
            " … ".join(map(_number, bounds)) if bounds else NONE,
            _number(row["of_peak"], ".1%"),
            _number(row.get("speedup"), ".2f"),
            " … ".join(_number(one, ".0e") for one in differences if one is not None) or NONE,
            _number(beside and beside / row["ms"], ".2f"),
            f"{row['compile_s']:.1f}" + " (disk)" * row["from_disk"],
            _number(row["program_gb"]),
            _number(row["device_peak_gb"]),
        )
    return table


def kernels(results: list[dict]) -> Table:
    """The exemplar kernels."""
    heads = ("volumes", "exemplars", "block", "tile", "s", "first s", "TFLOP/s")
    table = _table("exemplar kernels", ("kernel",), heads)
    for row in rows_of(results, "nearest", "select"):
        counts = [_number(row.get(key), ",") for key in ("volumes", "exemplars", "block", "tile")]
        times = [_number(row.get(key)) for key in ("s", "first_s", "tflops")]
        table.add_row(row["kernel"], *counts, *times)
    return table


def inputs(results: list[dict]) -> Table:
    """The input beside the fastest steps that it feeds."""
    heads = ("threads", "batch", "batches/s", "on the device, /s", "fastest step, /s", "ahead")
    table = _table("input", ("system",), heads)
    for row in rows_of(results, "input"):
        same = [s["per_s"] for s in rows_of(results, "steps") if s["system"] == row["system"]]
        fastest = max(same, default=None)
        table.add_row(
            row["system"],
            str(row["threads"]),
            str(row["batch"]),
            _number(row["batches_per_s"]),
            _number(row["on_device_per_s"]),
            _number(fastest),
            _number(fastest and row["on_device_per_s"] / fastest, ".2f"),
        )
    return table


def forms(results: list[dict]) -> Table:
    """The forms of the operations, and what the table of choices should say."""
    table = _table(
        "forms of operations", ("operation", "form", ""), ("ms", "error", "temporary MB")
    )
    for row in rows_of(results, "forms"):
        said = row["wrong"] or " ".join(
            ["in use"] * row["now"] + ["should be in use"] * (row["better"] and not row["now"])
        )
        numbers = [_number(row["ms"]), _number(row["error"], ".0e"), _number(row["temporary_mb"])]
        table.add_row(row["operation"], row["form"], said, *numbers)
    return table
