"""The arrows of the design: who may import whom."""

import ast

import pytest

from tests.helpers.places import ROOT

MODULES = sorted(path for path in (ROOT / "vadjax").rglob("*.py"))
LEAVES = ("ops", "backbones")
JAX = ("jax", "flax", "optax", "orbax", "grain")
NO_MODELS = ("metrics", "report", "scores", "score_checks", "command", "provenance", "terminal")
# What draws over frames must read them; datasets bring JAX, so it imports those two late.
FRAMES = (
    "vadjax.data.video.decode",
    "vadjax.data.video.reader",
    "vadjax.data.clips",
    "vadjax.data.store.records",
)
OVERLAY = ("vadjax.runtime.progress", "vadjax.data.video.pictures", *FRAMES)
MARKED = (
    "vadjax.runtime.progress",
    "vadjax.data.video.boxes",
    "vadjax.data.video.pictures",
)  # its boxes are those that the metrics count
EXPANSION = "vadjax.data.segments"
# How programs end, shared by all of them, and the lines that they print.
COMMAND = ("vadjax.runtime.command", "vadjax.runtime.progress")
# How files are put into their place, and what is said where they cannot be; no NumPy in them.
FILES = ("vadjax.runtime.replacing", "vadjax.runtime.lock", "vadjax.runtime.space")
# Files of boxes, tracks and masks, which the region-level metrics read; no JAX in them.
DECODING = tuple(f"vadjax.data.{one}" for one in ("decode", "deinterlace", "frame_times", "video"))
TRUTH = (
    *("vadjax.data.video.boxes", "vadjax.data.video.masks", "vadjax.data.video.mask_pictures"),
    *("vadjax.data.video.object_masks", "vadjax.data.video.pictures", *DECODING),
)


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


def allowed(module: str, target: str) -> bool:
    """Whether the arrow from `module` to `target` points down the road."""
    top = target.split(".")[0]
    if top in ("configs", "data_prep", "tests"):
        return False
    if top == "orbax":
        return module == "vadjax.runtime.checkpoint"
    if top == "tensorboard":
        return module == "vadjax.runtime.metric_writers"
    part = module.split(".")[1] if "." in module else ""
    if target.startswith("vadjax.formats") and "." in module:  # what is read, checked: for all
        return True
    if part in NO_MODELS and top in JAX:
        return False
    if (module in TRUTH or part == "formats") and top in JAX:
        return False
    if module in FILES and top in (*JAX, "numpy"):
        return False
    if top != "vadjax" or "." not in target or target in FILES:
        return part not in ("formats", *LEAVES) or target not in FILES
    if module in FILES or module == "vadjax.runtime.checksums":
        return False
    to = target.split(".")[1]
    if part == "formats":
        return to == "formats"
    if part in LEAVES:
        return to in LEAVES or (part, to) == ("backbones", "convert")
    if part in ("data", "metrics") and to == "formats":
        return True
    if part == "data":
        return to in ("data", "formats", *LEAVES)
    if part == "convert":
        return to == "convert"
    if module == "vadjax.report.overlay" and target.startswith(OVERLAY):
        return True
    if module == "vadjax.report.marked" and target.startswith(MARKED):
        return True
    if to == "formats" and part in NO_MODELS:
        return True
    if part == "metrics" and target.startswith(TRUTH):
        return True
    if part in NO_MODELS:
        return (
            to in NO_MODELS or target in ("vadjax.data", *COMMAND) or target.startswith(EXPANSION)
        )
    if part == "systems" and module.count(".") >= 2:
        own = ".".join(module.split(".")[:3])
        others = to == "systems" and not target.startswith(own) and target != "vadjax.systems"
        return not others and to not in ("train", "evaluate", "main", "checkpoint", "report")
    return True


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_arrow_points_back(path):
    wrong = [target for target in imports(path) if not allowed(name_of(path), target)]
    assert not wrong, f"{name_of(path)} imports {wrong}"


def test_the_walk_would_find_a_wrong_arrow():
    for module, target in (
        ("vadjax.metrics.frame", "jax"),
        ("vadjax.systems.mil.model", "vadjax.systems.s3r.model"),
        ("vadjax.data.bags", "vadjax.train"),
        ("vadjax.ops.conv", "vadjax.data.bags"),
        ("vadjax.train", "orbax.checkpoint"),
        ("vadjax.data.store.source", "data_prep.toy"),
        ("vadjax.report.page", "vadjax.data.clips"),
        ("vadjax.metrics.region", "vadjax.data.clips"),
        ("vadjax.data.video.boxes", "jax.numpy"),
        ("vadjax.formats.text", "jax"),
        ("vadjax.formats.npy", "vadjax.data.store.records"),
        ("vadjax.formats.names", "vadjax.scores.files"),
        ("vadjax.backbones.provenance", "vadjax.data.store.records"),
        ("vadjax.convert.arrays", "vadjax.data.store.records"),
        ("vadjax.formats.table", "vadjax.data.video.boxes"),
        ("vadjax.formats.coco", "vadjax.metrics.region"),
        ("vadjax.report.overlay", "vadjax.data.store.loader"),
        ("vadjax.report.marked", "vadjax.data.clips"),
        ("vadjax.report.explain", "vadjax.data.video.boxes"),
        ("vadjax.runtime.command", "jax"),
        ("vadjax.runtime.command", "vadjax.train"),
        ("vadjax.scores.files", "vadjax.data.bags"),
        ("vadjax.formats.labels", "jax"),
        ("vadjax.formats.labels", "vadjax.metrics.frame"),
        ("vadjax.formats.labels", "vadjax.data.bags"),
        ("vadjax.formats.labels", "vadjax.runtime.replacing"),
        ("vadjax.runtime.replacing", "numpy"),
        ("vadjax.runtime.replacing", "vadjax.runtime.metric_writers"),
        ("vadjax.runtime.space", "vadjax.runtime.command"),
        ("vadjax.runtime.checksums", "vadjax.runtime.checkpoint"),
    ):
        assert not allowed(module, target), (module, target)
