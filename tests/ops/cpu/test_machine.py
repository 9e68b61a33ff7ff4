"""Machine code in XLA: memory and errors of its handler, programs of several devices, and names."""

import concurrent.futures
import ctypes
import functools
import os
import re
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.helpers.places import ROOT
from vadjax.ops.conv import conv
from vadjax.ops.cpu import machine

PADS = ((1, 1), (1, 1))


def write_sum(code, addresses, number, scratch, factor, values):
    """A row of `a + factor · b`, by way of the memory of the thread."""
    a, b, out = addresses
    start = code.mul(number, values)
    with code.loop(values, 0, machine.LANES) as i:
        at = code.add(start, i)
        code.store(code.sum((1, code.load(a, at)), (factor, code.load(b, at))), scratch, i)
    with code.loop(values, 0, machine.LANES) as i:
        code.store(code.load(scratch, i), out, code.add(start, i))


def machine_sum(a, b, factor=3.0):
    """`a + factor · b`, a row of [rows, values] in a piece."""
    rows, values = a.shape
    write = functools.partial(write_sum, factor=factor, values=values)
    out = jax.ShapeDtypeStruct(a.shape, a.dtype)
    return machine.call("test_sum", (factor, values), write, [a, b], [out], rows, values)[0]


def plain_sum(a, b):
    return a + 3.0 * b


def either_sum(a, b):
    return machine.or_plain(machine_sum, plain_sum, a, b)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def pair(rows=40, values=64):
    """Two arrays and the sum that is expected."""
    a, b = draw(rows, values), draw(rows, values, seed=1)
    return a, b, np.asarray(a) + np.float32(3) * np.asarray(b)


def check(ours, expected):
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=1e-6)


# The structures of the header


def structures() -> dict[str, dict[str, int]]:
    """Offsets of the fields of every structure of the installed c_api.h, and "size" of each."""
    path = os.path.join(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h")
    with open(path) as file:
        text = re.sub(r"//[^\n]*", "", file.read())
    text = text.replace("_XLA_FFI_API_STRUCT_FIELD(", "void* (").replace("(XLA_FFI", " XLA_FFI")
    enums = set(re.findall(r"typedef enum\s*\w*\s*\{[^}]*\}\s*(\w+);", text))
    small = {*enums, "int", "int32_t", "uint32_t", "XLA_FFI_Handler_Traits"}
    found: dict[str, dict[str, int]] = {}
    for name, body in re.findall(r"struct (XLA_FFI_\w+)\s*\{(.*?)\n\}", text, re.DOTALL):
        at, fields = 0, {}
        for line in body.replace(")", "").split(";"):
            if not line.strip():
                continue
            kind, field = re.match(r"\s*(.*?)(\w+)\s*$", line, re.DOTALL).groups()
            kind = kind.replace("const", "").replace("struct ", "").strip()
            size = found[kind]["size"] if kind in found else 4 if kind in small else 8
            step = min(size, 8)
            at = -(-at // step) * step
            fields[field] = at
            at += size
        found[name] = {**fields, "last": at, "size": -(-at // 8) * 8}
    return found


def test_offsets_are_those_of_the_header():
    s = structures()
    frame, api = s["XLA_FFI_CallFrame"], s["XLA_FFI_Api"]
    extension, metadata = s["XLA_FFI_Extension_Base"], s["XLA_FFI_Metadata"]
    version = s["XLA_FFI_Api_Version"]
    expected = {
        "_FRAME_EXTENSION": frame["extension_start"],
        "_FRAME_API": frame["api"],
        "_FRAME_CONTEXT": frame["ctx"],
        "_FRAME_INPUTS": frame["args"] + s["XLA_FFI_Args"]["args"],
        "_FRAME_OUTPUTS": frame["rets"] + s["XLA_FFI_Rets"]["rets"],
        "_BUFFER_DATA": s["XLA_FFI_Buffer"]["data"],
        "_EXTENSION_TYPE": extension["type"],
        "_EXTENSION_METADATA": s["XLA_FFI_Metadata_Extension"]["metadata"],
        "_METADATA_MAJOR": metadata["api_version"] + version["major_version"],
        "_METADATA_MINOR": metadata["api_version"] + version["minor_version"],
        "_METADATA_TRAITS": metadata["traits"],
        "_API_MAJOR": api["api_version"] + version["major_version"],
        "_API_ERROR": api["XLA_FFI_Error_Create"],
        "_API_DESTROY": api["XLA_FFI_Error_Destroy"],
        "_API_SCHEDULE": api["XLA_FFI_ThreadPool_Schedule"],
        "_API_THREADS": api["XLA_FFI_ThreadPool_NumThreads"],
        "_ERROR_SIZE": s["XLA_FFI_Error_Create_Args"]["last"],
        "_DESTROY_SIZE": s["XLA_FFI_Error_Destroy_Args"]["last"],
        "_SCHEDULE_SIZE": s["XLA_FFI_ThreadPool_Schedule_Args"]["last"],
        "_THREADS_SIZE": s["XLA_FFI_ThreadPool_NumThreads_Args"]["last"],
    }
    assert {name: getattr(machine, name) for name in expected} == expected
    path = os.path.join(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h")
    with open(path) as file:
        text = file.read()
    number = r"{}\s*=?\s*(\d+)"
    for value, name in (
        (machine._MAJOR, "XLA_FFI_API_MAJOR"),
        (machine._IS_METADATA, "XLA_FFI_Extension_Metadata"),
        (machine._EXHAUSTED, "XLA_FFI_Error_Code_RESOURCE_EXHAUSTED"),
        (machine._PRECONDITION, "XLA_FFI_Error_Code_FAILED_PRECONDITION"),
    ):
        assert re.search(number.format(name), text).group(1) == str(value)
    assert machine._MINOR <= int(re.search(number.format("XLA_FFI_API_MINOR"), text).group(1))


# The handler, called as XLA calls it, with threads and memory of the test


class Xla:
    """Stands for XLA: keeps what is scheduled, and counts memory and errors.

    Args:
      threads: what it says of its pool; None: an error.
      refused: of so many tasks to be scheduled.
      memory: how many times `malloc` gives memory.
    """

    def __init__(self, monkeypatch, threads=4, refused=0, memory=100):
        self.tasks, self.errors, self.destroyed, self.kept = [], [], 0, {}
        self.threads, self.refused, self.memory = threads, refused, memory
        self.call = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
        task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

        def words(address, number):
            return (ctypes.c_uint64 * number).from_address(address)

        def create(arguments):
            _, _, message, code = words(arguments, 4)
            self.errors.append((code & 0xFFFFFFFF, ctypes.string_at(message).decode()))
            return 8

        def destroy(arguments):
            assert words(arguments, 3)[0] == 24 and words(arguments, 3)[2] == 8
            self.destroyed += 1
            return None

        def schedule(arguments):
            size, _, context, address, data = words(arguments, 5)
            assert (size, context) == (40, 77)
            if self.refused:
                self.refused -= 1
                return 8
            self.tasks.append(functools.partial(task(address), data))
            return None

        def number(arguments):
            size, _, context, out = words(arguments, 4)
            assert (size, context) == (32, 77)
            if self.threads is None:
                return 8
            words(out, 1)[0] = self.threads
            return None

        def malloc(size):
            if self.memory == 0:
                return None
            self.memory -= 1
            block = ctypes.create_string_buffer(size)
            self.kept[ctypes.addressof(block)] = block
            return ctypes.addressof(block)

        self.free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda at: self.kept.pop(at) and None)
        self.malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(malloc)
        self.functions = [self.call(f) for f in (create, destroy, schedule, number)]
        Xla.made = getattr(Xla, "made", 0) + 1
        for name in ("malloc", "free"):
            monkeypatch.setattr(machine, f"_{name.upper()}", f"{name}_of_test_{Xla.made}")
            address = ctypes.cast(getattr(self, name), ctypes.c_void_p).value
            llvm.add_symbol(f"{name}_of_test_{Xla.made}", address)

    def run(self, rows=6, size=152, frame_size=128):
        """Calls the handler of `machine_sum`; its answer, and what it wrote and should have."""
        write = functools.partial(write_sum, factor=3.0, values=32)
        target = machine._target()
        program = machine._optimized(machine._text(write, 2, 1, rows, 32), target)
        handler = self.call(machine._address(target.emit_object(program)))
        a, b, expected = (np.array(x) for x in pair(rows, 32))
        out = np.zeros_like(expected)
        buffers = [(ctypes.c_uint64 * 6)(48, 0, 11, x.ctypes.data, 2, 0) for x in (a, b, out)]
        addresses = [ctypes.addressof(buffer) for buffer in buffers]
        ins, outs = (ctypes.c_uint64 * 2)(*addresses[:2]), (ctypes.c_uint64 * 1)(addresses[2])
        api = (ctypes.c_uint64 * 19)(size)
        named = zip((48, 64, 136, 144), self.functions, strict=True)
        for offset, function in named:
            api[offset // 8] = ctypes.cast(function, ctypes.c_void_p).value
        frame = (ctypes.c_uint64 * 16)(frame_size, 0, ctypes.addressof(api), 77)
        frame[9], frame[14] = ctypes.addressof(ins), ctypes.addressof(outs)
        return handler(ctypes.addressof(frame)), out, expected


@pytest.mark.parametrize("rows, helpers", [(6, 3), (2, 1), (1, 0)])
def test_helpers_that_come_late_find_nothing_to_do_and_free_the_rest(rows, helpers, monkeypatch):
    xla = Xla(monkeypatch)
    error, out, expected = xla.run(rows)
    assert error is None and len(xla.tasks) == helpers
    check(out, expected)
    out[:] = 0
    for task in xla.tasks:
        assert len(xla.kept) == 1  # what they share lives as long as any of them
        task()
    assert not xla.kept and not out.any()


def test_refused_helpers_leave_nothing_behind(monkeypatch):
    xla = Xla(monkeypatch, refused=2)
    error, out, expected = xla.run()
    assert error is None and len(xla.tasks) == 1 and xla.destroyed == 2
    check(out, expected)
    xla.tasks[0]()
    assert not xla.kept


def test_without_threads_the_caller_does_all(monkeypatch):
    xla = Xla(monkeypatch, threads=None)
    error, out, expected = xla.run()
    assert error is None and not xla.tasks and xla.destroyed == 1 and not xla.kept
    check(out, expected)


def test_without_memory_xla_gets_an_error(monkeypatch):
    xla = Xla(monkeypatch, memory=0)
    error, out, _ = xla.run()
    assert error == 8 and not out.any() and not xla.tasks
    assert xla.errors == [(machine._EXHAUSTED, "no memory for machine code of vadjax")]


@pytest.mark.parametrize("memory", [1, 2, 10])
def test_a_helper_without_memory_leaves_the_work_to_others(memory, monkeypatch):
    """Helpers run beside the caller: `schedule` starts them at once."""
    xla = Xla(monkeypatch, memory=memory)

    class Started(list):
        def append(self, task):
            super().append(task)
            task()

    xla.tasks = Started()
    error, out, expected = xla.run()
    assert error is None and len(xla.tasks) == 3 and not xla.kept
    check(out, expected)


@pytest.mark.parametrize("sizes", [{"size": 144}, {"frame_size": 112}])
def test_an_xla_with_shorter_structures_is_refused(sizes, monkeypatch):
    xla = Xla(monkeypatch)
    error, out, _ = xla.run(**sizes)
    assert error == 8 and not out.any() and not xla.kept
    ((code, message),) = xla.errors
    assert code == machine._PRECONDITION and "runtime.plain_ops=True" in message


def test_xla_refuses_another_version_of_its_interface(monkeypatch, capsys):
    monkeypatch.setattr(machine, "_MAJOR", 9)
    monkeypatch.setattr(machine, "_digest", lambda: "of code for that version")
    monkeypatch.setattr(machine, "_names", {})
    assert "version" in machine._obstacle()


# In programs of XLA


def test_from_several_threads_at_once():
    run = jax.jit(either_sum)
    a, b, expected = pair(rows=300)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for ours in pool.map(lambda _: run(a, b), range(300)):
            check(ours, expected)


def test_kernels_are_compiled_from_several_threads_at_once():
    a, b, _ = pair(rows=4)

    def run(factor):
        form = functools.partial(machine_sum, factor=float(factor))
        return jax.jit(lambda a, b: machine.or_plain(form, plain_sum, a, b))(a, b)

    factors = [100 + i // 3 for i in range(18)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for factor, ours in zip(factors, pool.map(run, factors), strict=True):
            np.testing.assert_allclose(ours, a + factor * b, atol=1e-4)


def test_within_loops_and_branches():
    a, b, _ = pair()

    def run(form, a, b):
        scanned, _ = lax.scan(lambda c, _: (0.5 * form(c, b), None), a, None, 3)
        looped = lax.fori_loop(0, scanned.shape[0] // 8, lambda i, c: 0.1 * form(c, b), scanned)
        return lax.cond(b[0, 0] > 9, lambda: looped, lambda: form(looped, a) + form(a, looped))

    ours, theirs = (jax.jit(functools.partial(run, form)) for form in (either_sum, plain_sum))
    check(ours(a, b), theirs(a, b))


def test_operations_of_a_program_that_run_at_once():
    arrays = [draw(50, 32, seed=seed) for seed in range(12)]
    run = jax.jit(lambda arrays: [either_sum(a, b) for a in arrays for b in arrays[:4]])
    for _ in range(20):
        ours = run(arrays)
    for one, (a, b) in zip(ours, [(a, b) for a in arrays for b in arrays[:4]], strict=True):
        check(one, plain_sum(a, b))


def test_donated_arrays():
    a, b, expected = pair()
    run = jax.jit(either_sum, donate_argnums=0)
    check(run(a + 0, b), expected)
    check(run(run(0.1 * a, b), -b), 0.1 * np.asarray(a))


def test_thousands_of_calls_keep_no_memory():
    a, b, expected = pair(rows=64, values=4096)
    run = jax.jit(either_sum)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(300):
        ours = run(a, b)
    before = resident()
    for _ in range(3000):  # 16 KB of memory for each thread: 50 MB if it were kept
        ours = run(a, b)
    check(ours, expected)
    assert resident() - before < 15e6


def test_one_core():
    code = """
    import os
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax
    from tests.ops.cpu import test_machine as t
    a, b, expected = t.pair(rows=300)
    run = jax.jit(t.either_sum)
    for _ in range(300):
        t.check(run(a, b), expected)
    """
    started(code)


def started(code: str, **environment) -> str:
    """What a program prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Transformations and other programs


def test_vmap_takes_one_after_the_other():
    a, b, expected = pair(rows=12)
    ours = jax.jit(jax.vmap(either_sum, (1, None), 1))(a.reshape(4, 3, -1), b[:4])
    check(ours, np.asarray(a.reshape(4, 3, -1) + 3 * b[:4, None]))
    check(jax.vmap(jax.vmap(either_sum))(a[:, None, None], b[:, None, None])[:, 0, 0], expected)


def test_shapes_need_no_compiler(monkeypatch):
    monkeypatch.setattr(machine, "_address", None)
    a = jnp.zeros((5, 48))
    assert jax.eval_shape(either_sum, a, a).shape == (5, 48)
    jax.make_jaxpr(either_sum)(a, a)


def test_a_derivative_is_refused_by_name():
    a, b, _ = pair()
    with pytest.raises(NotImplementedError, match="machine_code_or_plain"):
        jax.jvp(either_sum, (a, b), (a, b))


@pytest.mark.parametrize("platforms", [["cpu"], ["cuda"], ["tpu", "cpu"]])
def test_exported_programs_have_none(platforms):
    x, w = draw(2, 12, 16, 32), draw(3, 3, 32, 32)
    step = jax.jit(jax.value_and_grad(lambda w: conv(x, w, (1, 1), PADS).sum()))
    assert "vadjax_" in step.lower(w).as_text()
    assert "vadjax_" not in jax.export.export(step, platforms=platforms)(w).mlir_module()


def test_other_types_are_refused():
    a = jnp.zeros((4, 16), jnp.bfloat16)
    with pytest.raises(TypeError, match="float32, not bfloat16"):
        machine_sum(a, a)


def step_of(x, w):
    """Loss and gradients of two layers, one of them computed again for the gradient."""

    def loss(x, w):
        y = jax.checkpoint(lambda x: jnp.tanh(conv(x, w, (1, 1), PADS)))(x)
        return jnp.mean(conv(y, w, (1, 1), PADS) ** 2)

    return jax.value_and_grad(loss, (0, 1))(x, w)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_a_step_on_several_devices(devices):
    """The batch stays where it is, and the numbers are those of one device."""
    x, w = draw(8, 12, 9, 32), draw(3, 3, 32, 32) / 17
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    of_batch, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"], []))
    run = jax.jit(step_of).lower(jax.device_put(x, of_batch), jax.device_put(w, whole)).compile()
    text = run.as_text()
    assert ("vadjax_" in text) == (devices == 1)
    assert ("all-reduce" in text) == (devices > 1) and "all-gather" not in text
    ours = run(jax.device_put(x, of_batch), jax.device_put(w, whole))
    for one, other in zip(
        jax.tree.leaves(ours), jax.tree.leaves(jax.jit(step_of)(x, w)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * float(abs(other).max()))


def test_each_device_of_a_shard_map_runs_it():
    a, b, expected = pair()
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    rows = PartitionSpec("data")
    run = jax.jit(jax.shard_map(either_sum, mesh=mesh, in_specs=(rows, rows), out_specs=rows))
    assert "vadjax_test_sum" in run.lower(a, b).as_text()
    check(run(a, b), expected)


# Names, kept programs, and processors


def test_names_hold_what_the_code_does():
    text = machine._text(functools.partial(write_sum, factor=2.0, values=32), 2, 1, 5, 32)
    other = machine._text(functools.partial(write_sum, factor=4.0, values=32), 2, 1, 5, 32)
    assert text != other
    names = [
        machine._register(
            ("test_sum", f"{i}", 2, 1, 5, 32),
            functools.partial(write_sum, factor=factor, values=32),
        )
        for i, factor in enumerate((2.0, 2.0, 4.0))
    ]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("of", ["JAX_COMPILATION_CACHE_DIR", "VADJAX_CACHE"])
def test_a_kept_program_finds_its_code_in_another_process(of, tmp_path):
    code = """
    import jax
    from vadjax.runtime import compiled
    compiled.use()
    found = []
    jax.monitoring.register_event_listener(
        lambda event, **_: found.append(event) if "cache_hit" in event else None
    )
    from tests.ops.cpu import test_machine as t
    a, b, expected = t.pair()
    t.check(jax.jit(lambda a, b: t.either_sum(a, b) * 1)(a, b), expected)
    print(len(found))
    """
    environment = dict.fromkeys(("JAX_COMPILATION_CACHE_DIR", "VADJAX_CACHE"), "")
    environment |= {of: str(tmp_path)}
    assert int(started(code, **environment)) == 0
    assert int(started(code, **environment)) >= 1


@pytest.fixture
def kept(monkeypatch):
    """What is kept in place of JAX's files."""

    class Kept(dict):
        put = dict.__setitem__

    monkeypatch.setattr(machine.compilation_cache, "is_cache_used", lambda client: True)
    kept = Kept()
    monkeypatch.setattr(machine.compilation_cache, "_get_cache", lambda client: kept)
    return kept


def test_kept_code_is_not_compiled_again_unless_it_is_damaged(kept, monkeypatch):
    key = "test_sum", "", 2, 1, 5, 32
    write = functools.partial(write_sum, factor=7.0, values=32)
    made = machine._made(key, write)
    ((place, data),) = kept.items()
    text = machine._text
    monkeypatch.setattr(machine, "_text", None)
    assert machine._made(key, write) == made
    monkeypatch.setattr(machine, "_text", text)
    for damaged in (data[:-1], b"", data[:70] + bytes([data[70] ^ 1]) + data[71:]):
        kept[place] = damaged
        assert machine._made(key, write) == made
        assert kept[place] == data
    # Other options of the function, other source files, and another processor
    other = machine._made(key, functools.partial(write_sum, factor=9.0, values=32))
    assert other[0] != made[0] and len(kept) == 2
    monkeypatch.setattr(machine, "_digest", lambda: "of other files")
    assert machine._made(key, write) == made and len(kept) == 3
    monkeypatch.setattr(machine, "_host", lambda: ("x86-64-v3", "+avx2,+fma"))
    machine._made(key, write)
    assert len(kept) == 4


@pytest.fixture
def fresh(monkeypatch):
    """What is known of this processor, to be set anew; forgotten afterwards."""
    forgetful = machine.tile, machine.usable
    yield monkeypatch
    monkeypatch.undo()
    for function in forgetful:
        function.cache_clear()


def test_shorter_registers(fresh):
    """The code for processors with AVX2 alone, which this one can run too."""
    if not machine.usable() or not machine._has("avx2"):
        pytest.skip("no AVX2 here")
    fresh.setattr(machine, "_host", lambda: ("x86-64-v3", "+fma,+avx2"))
    machine.tile.cache_clear()
    assert machine.tile() == machine.Tile(6, 1)
    x, w = draw(2, 10, 13, 48), draw(3, 3, 48, 32) / 20
    ours = jax.jit(lambda x: step_of_conv(x, w))(x)
    with jax.enable_x64(True):
        theirs = step_of_conv(x.astype(jnp.float64), w.astype(jnp.float64))
    for one, other in zip(ours, map(np.asarray, theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(abs(other).max()))


def step_of_conv(x, w):
    y, back = jax.vjp(lambda x: conv(x, w, (1, 1), PADS), x)
    return y, *back(y)


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin"])
def test_code_for_arm(triple):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple).create_target_machine(opt=3)
    except RuntimeError:
        pytest.skip("this LLVM has no code for ARM")
    text = machine._text(functools.partial(write_sum, factor=3.0, values=32), 2, 1, 4, 32)
    assembly = target.emit_assembly(machine._optimized(text, target))
    assert "fmla" in assembly and "handler" in assembly


def test_where_none_can_be_made_the_plain_form_is_taken(fresh, capsys):
    fresh.setattr(machine, "_obstacle", lambda: "a reason")
    machine.usable.cache_clear()
    machine.tile.cache_clear()
    a, b, expected = pair()
    for _ in range(2):
        check(jax.jit(lambda a, b: either_sum(a, b))(a, b), expected)
    assert capsys.readouterr().err.count("no machine code of our own") == 1


def test_a_processor_of_another_kind_has_none(monkeypatch):
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv64")
    assert "riscv64" in machine._obstacle()
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(machine, "_host", lambda: ("core2", "-fma"))
    assert "FMA" in machine._obstacle()
