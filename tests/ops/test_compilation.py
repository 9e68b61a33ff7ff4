import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import compilation
from vadjax.ops.cpu import compiler


def first(key):
    return {"w": jax.random.normal(key, (3, 4)), "b": jnp.zeros(4)}


def test_run_once_gives_the_same_bits():
    found, expected = (
        compilation.run_once(first, jax.random.key(0)),
        jax.jit(first)(jax.random.key(0)),
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_what_runs_once_has_options_of_its_own_and_is_not_traced(monkeypatch):
    with pytest.raises(Exception, match="compiler_options"):
        jax.eval_shape(lambda: compilation.run_once(first, jax.random.key(0)))
    monkeypatch.setattr(compiler, "ONCE", {"xla_of_nobody": 1})
    with pytest.raises(Exception, match="xla_of_nobody"):
        compilation.run_once(first, jax.random.key(1))


def test_only_cpu_has_options(monkeypatch):
    assert compilation.step_options() == compiler.STEP
    assert compilation.step_options(saves_memory=False) == {}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compilation.step_options() == {}


def test_a_step_is_compiled_with_its_options_and_the_heap_is_trimmed(monkeypatch):
    calls = []
    monkeypatch.setattr(compiler, "trim_heap", lambda: calls.append("trimmed"))
    step = compilation.compile_step(jax.jit(lambda state, x: state + x), jnp.ones(2), jnp.ones(2))
    assert step(jnp.ones(2), jnp.ones(2)).tolist() == [2, 2] and calls == ["trimmed"]
    monkeypatch.setattr(compiler, "STEP", {"xla_of_nobody": 1})
    with pytest.raises(Exception, match="xla_of_nobody"):
        compilation.compile_step(jax.jit(lambda x: x), jnp.ones(2))
    compilation.compile_step(jax.jit(lambda x: x), jnp.ones(2), saves_memory=False)


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_not_collected_while_a_step_is_traced(monkeypatch, enabled):
    seen = []

    def step(x):
        seen.append(gc.isenabled())
        if len(seen) > 1:
            raise ValueError("wrong step")
        return x

    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        compilation.compile_step(jax.jit(step), jnp.ones(2))
        with pytest.raises(ValueError, match="wrong step"):
            compilation.compile_step(jax.jit(lambda x: step(x)), jnp.ones(2))
        assert seen == [False, False] and gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
