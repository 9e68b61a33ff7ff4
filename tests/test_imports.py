"""The arrows of the design: who may import whom."""

import ast
import subprocess
import sys

import pytest

from tests.helpers.places import ROOT

MODULES = sorted(path for path in (ROOT / "vadjax").rglob("*.py"))
JAX = ("jax", "flax", "optax", "orbax", "grain")
# How files are put into their place, and what is said where they cannot be; no NumPy in them.
PLACES = tuple(f"runtime.{one}" for one in ("lock", "replacing", "space"))
# How programs end, and the lines that they print; no JAX in them.
PROGRAMS = tuple(
    f"runtime.{one}"
    for one in (
        "command",
        "policy",
        "progress",
        "provenance",
        "terminal",
    )
)
# Videos and pictures, boxes and masks; no JAX in them. Datasets bring JAX, so `report` imports
# those two late.
VIDEO = tuple(
    f"data.video.{one}"
    for one in (
        "boxes",
        "camera",
        "decode",
        "deinterlace",
        "frame_stream",
        "frame_times",
        "ignored",
        "mask_pictures",
        "masks",
        "object_masks",
        "pictures",
        "reader",
        "reconnecting",
    )
)
DATASETS = ("data.clips", "data.store.records")
# What each folder, or single module, may import of `vadjax` beside itself.
ALLOWED = {
    "formats": (),
    "ops": (),
    "ops.cpu": ("ops.plain",),
    "convert": ("formats",),
    "convert.published": (
        *("convert", "formats", "runtime.checkpoint", "runtime.home", "runtime.metric_writers"),
        *("runtime.progress", *PLACES),
    ),
    "backbones": ("ops", "convert", "formats"),
    "runtime.lock": (),
    "runtime.layout": (),
    "runtime.space": (),
    "runtime.replacing": PLACES,
    "runtime.home": (),
    "runtime.compiled": ("runtime.home", "runtime.space"),
    "runtime.terminal": (),
    "runtime.progress": ("runtime.terminal",),
    "runtime.provenance": ("formats",),
    "runtime.policy": (),
    "runtime.command": ("runtime.progress", "runtime.space", "runtime.terminal"),
    "runtime.arguments": ("config", "runtime.provenance"),
    "runtime.mesh": (),
    "runtime.heap": (),
    "runtime.checksums": ("formats",),
    "runtime.metric_writers": ("formats", *PLACES),
    "runtime.processes": ("runtime.command", "runtime.terminal"),
    "runtime.checkpoint": (
        "formats",
        "runtime.checksums",
        "runtime.command",
        "runtime.layout",
        "runtime.processes",
        *PLACES,
    ),
    "runtime.workdir": ("config", "runtime", "data", "formats"),
    "runtime.cache": ("runtime", "data", "formats"),
    "data": ("config", "ops", "formats", "backbones", *PLACES),
    "scores": ("data.segments", "data.video.frame_stream", "formats", *PLACES),
    "metrics": ("scores", "data.segments", "formats", *VIDEO, *PLACES, *PROGRAMS),
    "report": ("scores", "metrics", "formats", *VIDEO, *DATASETS, *PLACES, *PROGRAMS),
    "extractors": (
        *("backbones", "convert", "data", "formats", "ops", "runtime.checkpoint", "runtime.mesh"),
        *PLACES,
    ),
    "system": ("config", "data", "ops", "scores"),
    "systems": (
        *("system", "data", "formats", "ops", "backbones", "extractors", "convert", "scores"),
        *("config", "runtime.layout", "runtime.mesh", "runtime.progress"),
    ),
    "runs": (
        *("formats", "report.comparison", "report.table", "runtime.checksums", "runtime.layout"),
        *(*PLACES, *PROGRAMS),
    ),
    "live": ("scores", "report.intervals", "formats", *VIDEO, *PLACES, *PROGRAMS),
    "predict": ("system", "data", "formats", "ops", "scores", "report", "live", "runtime"),
    "evaluate": ("config", "system", "data", "ops", "scores", "metrics", "report", "runtime"),
    "train": ("system", "evaluate", "data", "ops", "scores", "runtime"),
    "stages": ("runtime.command",),  # says what it is called now
    "extend": ("predict", "evaluate", "system", "data", "scores", "runtime"),
    "main": ("train", "evaluate", "extend", "predict", "live", "data", "runtime"),
    "config": (),  # finds the presets of a system by its name
    "": ("predict.api",),  # late: `vadjax.load`
}
WITHOUT_JAX = (
    *("config", "formats", "scores", "metrics", "report", "live", "runs", "runtime.arguments"),
    *("runtime.checksums", "runtime.layout"),
    *(*PLACES, *PROGRAMS, *VIDEO),
)
# Empty packages.
FOLDERS = ("", "ops", "runtime", "data", "data.store", "data.video", "scores", "systems")
DOORS = {"ops.cpu": "ops"}  # folders that only the one around them may import
# What the `__main__` of a system may import beside.
PROGRAM_OF_A_SYSTEM = ("main", "evaluate", "metrics", "report", "runtime")


def name_of(path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def within(name: str, *places: str) -> bool:
    """Whether the module is one of the places or lies in one."""
    return any(f"{name}.".startswith(f"{place}.") for place in places)


def rule_of(module: str) -> str:
    """The key of `ALLOWED` that speaks for a module, the longest one."""
    return max((key for key in ALLOWED if within(module, key) or not key), key=len)


def allowed(module: str, target: str) -> bool:
    """Whether the arrow from `module` to `target` points down the road."""
    own, top = module.removeprefix("vadjax").removeprefix("."), target.split(".")[0]
    if top in ("configs", "data_prep", "tests", "benchmarks"):
        return False
    if top in JAX and (within(own, *WITHOUT_JAX) or own.endswith(".presets")):
        return False
    if top == "numpy" and within(own, *PLACES):
        return False
    if top == "orbax":
        return own == "runtime.checkpoint"
    if top == "tensorboard":
        return own == "runtime.metric_writers"
    to = target.removeprefix("vadjax").removeprefix(".")
    if top != "vadjax" or to in FOLDERS:
        return True
    if any(within(to, room) and not within(own, door) for room, door in DOORS.items()):
        return False
    rule = rule_of(own)
    places = (rule, *ALLOWED[rule])
    if rule == "systems" and own.endswith(".presets"):  # configs import it: no JAX
        return to == "config" or to.startswith("config.")
    if rule == "systems" and own.count(".") >= 2:  # not another system
        places = (".".join(own.split(".")[:2]), *ALLOWED[rule])
        places += PROGRAM_OF_A_SYSTEM if own.endswith(".__main__") else ()
    return within(to, *places)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_arrow_points_back(path):
    wrong = [target for target in imports(path) if not allowed(name_of(path), target)]
    assert not wrong, f"{name_of(path)} imports {wrong}"


@pytest.mark.parametrize(
    "module, target",
    [
        ("vadjax", "vadjax.predict.restore"),
        ("vadjax.predict.api", "vadjax.train"),
        ("vadjax.metrics.frame", "jax"),
        ("vadjax.metrics.region", "vadjax.data.clips"),
        ("vadjax.systems.mil.model", "vadjax.systems.s3r.model"),
        ("vadjax.systems.mil.system", "vadjax.evaluate"),
        ("vadjax.systems.ssmtl.system", "vadjax.runtime.workdir"),
        ("vadjax.systems.exemplar.files", "vadjax.runtime.replacing"),
        ("vadjax.systems.s3r.dictionary", "vadjax.runtime.command"),
        ("vadjax.systems.exemplar.system", "vadjax.report.page"),
        ("vadjax.systems.exemplar_networks.motion", "vadjax.metrics.frame"),
        ("vadjax.predict.restore", "vadjax.evaluate"),
        ("vadjax.runtime.policy", "jax"),
        ("vadjax.live.observer", "vadjax.predict.live"),
        ("vadjax.live.rules", "jax"),
        ("vadjax.runs.folders", "jax"),
        ("vadjax.runs.cleaning", "vadjax.runtime.checkpoint"),
        ("vadjax.data.bags", "vadjax.train"),
        ("vadjax.data.video.boxes", "jax.numpy"),
        ("vadjax.data.store.source", "data_prep.toy"),
        ("vadjax.ops.conv", "vadjax.data.bags"),
        ("vadjax.systems.s3r.layers", "vadjax.ops.cpu.temporal"),
        ("vadjax.backbones.layers", "vadjax.ops.cpu"),
        ("vadjax.train", "vadjax.ops.cpu.compiler"),
        ("vadjax.ops.cpu.patches", "vadjax.ops.conv"),
        ("vadjax.train", "orbax.checkpoint"),
        ("vadjax.report.page", "vadjax.data.volumes"),
        ("vadjax.report.page", "vadjax.runtime.checkpoint"),
        ("vadjax.report.overlay", "vadjax.data.store.loader"),
        ("vadjax.formats.text", "jax"),
        ("vadjax.formats.npy", "vadjax.data.store.records"),
        ("vadjax.formats.names", "vadjax.scores.files"),
        ("vadjax.formats.labels", "vadjax.runtime.replacing"),
        ("vadjax.formats.coco", "vadjax.metrics.region"),
        ("vadjax.convert.published", "vadjax.data.store.records"),
        ("vadjax.convert.arrays", "vadjax.data.store.records"),
        ("vadjax.runtime.command", "jax"),
        ("vadjax.runtime.arguments", "vadjax.system"),
        ("vadjax.stages", "vadjax.systems.exemplar.stages"),
        ("vadjax.runtime.command", "vadjax.train"),
        ("vadjax.runtime.replacing", "numpy"),
        ("vadjax.runtime.replacing", "vadjax.runtime.metric_writers"),
        ("vadjax.runtime.space", "vadjax.runtime.command"),
        ("vadjax.runtime.checksums", "vadjax.runtime.checkpoint"),
        ("vadjax.scores.files", "vadjax.data.bags"),
        ("vadjax.scores.streaming", "vadjax.data.store.loader"),
        ("vadjax.scores.files", "benchmarks.table"),
        ("vadjax.config", "vadjax.system"),
        ("vadjax.system", "vadjax.runtime.cache"),
        ("vadjax.data.store.cache", "vadjax.runtime.workdir"),
        ("vadjax.runtime.cache", "vadjax.system"),
        ("vadjax.config", "jax"),
        ("vadjax.systems.mil.presets", "vadjax.systems.mil.model"),
        ("vadjax.systems.mil.presets", "vadjax.data.bags"),
        ("vadjax.systems.mil.presets", "jax.numpy"),
        ("vadjax.systems.mil.presets", "vadjax.systems.s3r.presets"),
    ],
)
def test_the_walk_would_find_a_wrong_arrow(module, target):
    assert not allowed(module, target)


@pytest.mark.parametrize(
    "module, left_out",
    [
        ("vadjax", ("jax", "numpy", "vadjax.predict")),
        (
            "vadjax.systems.mil.system",
            ("vadjax.runtime.checkpoint", "vadjax.backbones.efficientnet"),
        ),
        ("vadjax.train, vadjax.systems.lgn.system", ("matplotlib", "sklearn")),
        ("vadjax.train, vadjax.systems.mil.system", ("matplotlib", "sklearn")),
        ("vadjax.scores.streaming", ("jax", "vadjax.system")),
        ("vadjax.metrics.region", ("jax",)),
        ("vadjax.report.page", ("jax",)),
        ("vadjax.runs.__main__", ("jax",)),
        ("vadjax.report.compare", ("jax",)),
    ],
)
def test_importing_a_module_does_not_load_others(module, left_out):
    code = f"import sys, {module}; print(*[one for one in {left_out!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
