import ctypes

import jax
import jax.numpy as jnp
import pytest

from vadjax.ops.cpu import compiler


@pytest.mark.parametrize("options", [compiler.STEP, compiler.ONCE])
def test_the_compiler_knows_the_options(options):
    lowered = jax.jit(lambda x: 2 * x).lower(jnp.ones(3))
    assert lowered.compile(options)(jnp.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(Exception, match="No such compile option"):
        lowered.compile({f"{next(iter(options))}_of_nobody": 1})


def test_the_heap_is_trimmed_where_the_c_library_can(monkeypatch):
    asked = []

    class Library:
        malloc_trim = staticmethod(asked.append)

    for library in (Library, object):
        monkeypatch.setattr(ctypes, "CDLL", lambda name, library=library: library)
        compiler.trim_heap()
    assert asked == [0]
