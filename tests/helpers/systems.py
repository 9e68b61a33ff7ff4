"""The systems of `vadjax/systems`, and a config of `configs/` for every method that they offer.

A method is named by the last word of its configs: `ped2_mnad` is a config of MNAD,
`exemplar_motion_network` one of the motion networks. `config.system` names its system, which may
have several methods. Nothing is listed by hand: tests of all systems take `SYSTEMS` or `METHODS`,
and find a new folder or config by themselves.
"""

import importlib
import pathlib

import jax
import ml_collections

from vadjax import system

ROOT = pathlib.Path(__file__).parents[2]
SYSTEMS = sorted(path.parent.name for path in (ROOT / "vadjax" / "systems").glob("*/system.py"))
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py"))
DATASETS = ("ped2", "shanghaitech", "ucf")  # a method's config for the first of them is taken
PREFERRED = {"mil": "ucf_mil"}  # instead of that: ped2_mil is no published run


def method_of(config: str) -> str:
    """The method of a module of `configs/`."""
    return config.removesuffix("_network").rsplit("_", 1)[-1]


def _methods() -> dict[str, str]:
    """Method → the module of `configs/` that tests take for it."""
    names: dict[str, list[str]] = {}
    for name in CONFIGS:
        names.setdefault(method_of(name), []).append(name)

    def rank(name: str) -> int:
        dataset = name.split("_")[0]
        return DATASETS.index(dataset) if dataset in DATASETS else len(DATASETS)

    return {
        method: PREFERRED.get(method) or min(of_method, key=rank)
        for method, of_method in names.items()
    }


METHODS = _methods()


def config_of(method: str, variant: str = "smoke") -> ml_collections.ConfigDict:
    """The config that tests take for a method."""
    return importlib.import_module(f"configs.{METHODS[method]}").get_config(variant)


def kind_of(method: str) -> str:
    """Kind of dataset that the method reads: `"features"`, `"frames"` or `"images"`."""
    return system.load_system(config_of(method)).kind


def trains_by_steps(method: str) -> bool:
    """Whether the method has training batches; the exemplars learn all they do in `init`."""
    made = system.load_system(config_of(method))
    return type(made).batches is not system.System.batches


def scores_videos(method: str) -> bool:
    """Whether the method scores videos, or trains a part of another one."""
    return system.load_system(config_of(method)).scores_videos


def check_shapes(shapes, state) -> None:
    """Compares the shapes of a state, as `abstract_state` has them, with a state."""
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    for shape, array in zip(jax.tree.leaves(shapes), jax.tree.leaves(state), strict=True):
        assert isinstance(shape, jax.ShapeDtypeStruct)
        assert (shape.shape, shape.dtype) == (array.shape, array.dtype)
