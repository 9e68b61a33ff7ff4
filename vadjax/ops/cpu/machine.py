"""Machine code of our own as operations of XLA:CPU: written as LLVM's instructions, run in pieces.

XLA offers no way to keep sums in registers over a whole product, which decides the speed of a
convolution. A kernel here is a function of a piece of work, made for one shape. LLVM compiles it
in milliseconds, and XLA calls it through its foreign function interface (c_api.h of XLA, version
0.3) and lends its threads: each takes the next piece until none is left.

A function that uses `call` is applied by `or_plain`, which knows where machine code cannot be.
"""

import contextlib
import ctypes
import functools
import hashlib
import marshal
import pathlib
import platform
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import llvmlite
import llvmlite.binding as llvm
from jax import lax
from jax._src import compilation_cache, dispatch, sharding_impls
from jax.extend import backend, core
from jax.interpreters import batching, mlir
from llvmlite import ir

LANES = 16  # float32 in a vector; LLVM makes several instructions of it where registers are shorter
FLOAT, INT, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
VECTOR = ir.VectorType(FLOAT, LANES)
_INT8, _INT32, _VOID = ir.IntType(8), ir.IntType(32), ir.VoidType()
# c_api.h: version, bytes from the start of structures to their fields, sizes, and values.
# tests/ops/cpu/test_machine.py compares them with the header of the installed jaxlib.
_MAJOR, _MINOR = 0, 3
_FRAME_EXTENSION, _FRAME_API, _FRAME_CONTEXT = 8, 16, 24
_FRAME_INPUTS, _FRAME_OUTPUTS, _BUFFER_DATA = 72, 112, 24
_EXTENSION_TYPE, _EXTENSION_METADATA = 8, 24
_METADATA_MAJOR, _METADATA_MINOR, _METADATA_TRAITS = 24, 28, 32
_API_MAJOR, _API_ERROR, _API_DESTROY, _API_SCHEDULE, _API_THREADS = 32, 48, 64, 136, 144
_ERROR_SIZE, _DESTROY_SIZE, _SCHEDULE_SIZE, _THREADS_SIZE = 28, 24, 40, 32
_IS_METADATA, _EXHAUSTED, _PRECONDITION = 1, 8, 9
# Of what the threads of a call share, in words: number of the next piece, pieces that are done,
# threads that may still look, then the addresses of inputs and outputs
_NEXT, _DONE, _USERS, _ADDRESSES = 0, 1, 2, 3
_LINE = 64  # bytes of a cache line
_DIGEST = 32  # bytes of a checksum before kept code
_SPINS = 2000  # rounds of waiting before the rest of the time slice is given away
_MALLOC, _FREE = "malloc", "free"
_YIELDS = "sched_yield", "SwitchToThread"  # POSIX, Windows


class Tile(NamedTuple):
    """How many vectors of sums stay in registers: rows of one scalar each, times vectors."""

    rows: int
    vectors: int


class Code:
    """Instructions of one function, with loops; integers may be those of Python."""

    def __init__(self, function: ir.Function):
        self.function = function
        entry = function.append_basic_block("entry")
        self._slots = ir.IRBuilder(entry)
        body = function.append_basic_block("body")
        self.b = ir.IRBuilder(body)
        self._entry, self._body = entry, body

    def finish(self, value: ir.Value | None = None) -> None:
        """Ends the function."""
        self.b.ret(value) if value is not None else self.b.ret_void()
        self._slots.branch(self._body)

    def slot(self, kind: ir.Type = VECTOR) -> ir.Value:
        """A variable, which becomes a register."""
        return self._slots.alloca(kind)

    def array(self, values: int) -> ir.Value:
        """So many float32 on the stack."""
        memory = self._slots.alloca(FLOAT, values)
        memory.align, memory.type = 64, POINTER
        return memory

    def words(self, number: int) -> ir.Value:
        """So many integers on the stack."""
        memory = self._slots.alloca(INT, number)
        memory.type = POINTER
        return memory

    def add(self, *values: ir.Value | int) -> ir.Value | int:
        """Sum of integers."""
        known = sum(value for value in values if isinstance(value, int))
        total = known
        for value in values:
            if not isinstance(value, int):
                first = isinstance(total, int) and total == 0
                total = value if first else self.b.add(_int(total), value)
        return total

    def mul(self, a: ir.Value | int, b: ir.Value | int) -> ir.Value | int:
        """Product of integers."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if 0 in (value for value in (a, b) if isinstance(value, int)):
            return 0
        return self.b.mul(_int(a), _int(b))

    def divmod(self, a: ir.Value | int, b: int) -> tuple[ir.Value | int, ir.Value | int]:
        """Quotient and rest of an integer that is not negative."""
        if isinstance(a, int):
            return divmod(a, b)
        return self.b.udiv(a, _int(b)), self.b.urem(a, _int(b))

    def below(self, a: ir.Value | int, limit: ir.Value | int) -> ir.Value:
        """Whether an integer is 0 or more and below a limit."""
        return self.b.icmp_unsigned("<", _int(a), _int(limit))

    def choose(self, condition: ir.Value, a: ir.Value | int, b: ir.Value | int) -> ir.Value:
        """One of two integers or vectors."""
        return self.b.select(condition, _int(a), _int(b))

    def at(self, memory: ir.Value, place: ir.Value | int) -> ir.Value:
        """Address of a float32."""
        return self.b.gep(memory, [_int(place)], source_etype=FLOAT)

    def load(self, memory: ir.Value, place: ir.Value | int = 0) -> ir.Value:
        """The vector from a place on."""
        return self.b.load(self.at(memory, place), typ=VECTOR, align=4)

    def store(self, value: ir.Value, memory: ir.Value, place: ir.Value | int = 0) -> None:
        """Writes a vector from a place on."""
        self.b.store(value, self.at(memory, place), align=4)

    def spread(self, memory: ir.Value, place: ir.Value | int) -> ir.Value:
        """One float32 in all lanes."""
        return self.splat(self.b.load(self.at(memory, place), typ=FLOAT, align=4))

    def gather(self, memory: ir.Value, place: ir.Value | int, stride: int) -> ir.Value:
        """A vector of values that lie so many float32 apart."""
        vector = ir.Constant(VECTOR, ir.Undefined)
        for lane in range(LANES):
            value = self.b.load(self.at(memory, self.add(place, lane * stride)), typ=FLOAT, align=4)
            vector = self.b.insert_element(vector, value, _INT32(lane))
        return vector

    def splat(self, value: ir.Value) -> ir.Value:
        """A scalar in all lanes."""
        nothing = ir.Constant(VECTOR, ir.Undefined)
        first = self.b.insert_element(nothing, value, _INT32(0))
        zeros = ir.Constant(ir.VectorType(_INT32, LANES), [_INT32(0)] * LANES)
        return self.b.shuffle_vector(first, nothing, zeros)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """`a · b + c`, rounded once."""
        name = f"llvm.fma.v{LANES}f32"
        known = self.function.module.globals.get(name)
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        return self.b.call(known or ir.Function(self.function.module, kind, name), [a, b, c])

    def sum(self, *terms: tuple[float, ir.Value]) -> ir.Value:
        """Sum of factors times vectors; leading factors of 1 or -1 cost one operation."""
        (factor, total), *rest = sorted(terms, key=lambda term: term[0] != 1)
        if factor != 1:
            total = self.b.fmul(constant(factor), total)
        for factor, value in rest:
            if factor in (1, -1):
                total = (self.b.fadd if factor == 1 else self.b.fsub)(total, value)
            else:
                total = self.fma(constant(factor), value, total)
        return total

    @contextlib.contextmanager
    def loop(self, stop: ir.Value | int, start: ir.Value | int = 0, step: int = 1) -> Iterator:
        """Runs what is written within for `range(start, stop, step)`."""
        if isinstance(stop, int) and isinstance(start, int) and stop - start <= step:
            if stop > start:
                yield start
            else:
                raise ValueError(f"an empty loop: {start} to {stop}")
            return
        number = self.slot(INT)
        self.b.store(_int(start), number)
        test, body, after = (self.function.append_basic_block() for _ in range(3))
        self.b.branch(test)
        self.b.position_at_end(test)
        value = self.b.load(number, typ=INT)
        self.b.cbranch(self.b.icmp_signed("<", value, _int(stop)), body, after)
        self.b.position_at_end(body)
        yield value
        self.b.store(self.b.add(value, _int(step)), number)
        self.b.branch(test)
        self.b.position_at_end(after)

    @contextlib.contextmanager
    def when(self, condition: ir.Value) -> Iterator[None]:
        """Runs what is written within where the condition holds."""
        with self.b.if_then(condition):
            yield

    def word(self, memory: ir.Value, offset: int, kind: ir.Type = INT) -> ir.Value:
        """What stands so many bytes after an address."""
        return self.b.load(self.byte(memory, offset), typ=kind)

    def byte(self, memory: ir.Value, offset: int) -> ir.Value:
        """The address so many bytes after another."""
        return self.b.gep(memory, [_int(offset)], source_etype=ir.IntType(8))


def constant(value: float) -> ir.Constant:
    """A number in all lanes."""
    return ir.Constant(VECTOR, [ir.Constant(FLOAT, value)] * LANES)


def _int(value):
    return INT(value) if isinstance(value, int) else value


Body = Callable[[Code, Sequence[ir.Value], ir.Value, ir.Value], None]


def or_plain(function: Callable, plain: Callable, *arguments: jax.Array) -> Any:
    """Applies a function that uses `call`, or where that cannot be the plain form of the same.

    It cannot be where no machine code can be made (`usable`), in a program that is exported, and in
    one for several devices, which XLA's partitioner has to share out: it knows XLA's own operations
    only. Within `jax.shard_map` over all axes each device runs the function for itself.

    Args:
      function: of the arguments. It is traced when the program is lowered.
      plain: the same, of XLA's operations.
      *arguments: arrays, or trees of them.
    """
    if not usable():
        return plain(*arguments)
    shapes, tree = jax.tree.flatten(jax.eval_shape(plain, *arguments))
    outs = tuple((leaf.shape, leaf.dtype) for leaf in shapes)
    leaves, structure = jax.tree.flatten(arguments)

    def of_leaves(form):
        return lambda *leaves: form(*jax.tree.unflatten(structure, leaves))

    found = _or_plain.bind(*leaves, function=of_leaves(function), plain=of_leaves(plain), outs=outs)
    return jax.tree.unflatten(tree, found)


_or_plain = core.Primitive("machine_code_or_plain")
_or_plain.multiple_results = True
_or_plain.def_impl(functools.partial(dispatch.apply_primitive, _or_plain))


@_or_plain.def_abstract_eval
def _shapes(*arguments, function, plain, outs):
    del arguments, function, plain
    return [jax.core.ShapedArray(shape, dtype) for shape, dtype in outs]


def _lower(context, *values, function, plain, outs):
    del outs
    chosen = function if _is_alone(context.module_context) else plain
    flat = mlir.lower_fun(lambda *a: jax.tree.leaves(chosen(*a)), multiple_results=True)
    return flat(context, *values)


mlir.register_lowering(_or_plain, _lower)


def _is_alone(context) -> bool:
    """Whether a program that is being lowered is run by one CPU, or by each for itself."""
    if context.lowering_parameters.for_export or tuple(context.platforms) != ("cpu",):
        return False
    of = context.axis_context
    if isinstance(of, sharding_impls.SPMDAxisContext):
        return of.mesh.size == 1 or set(of.manual_axes) == set(of.mesh.axis_names)
    return isinstance(of, sharding_impls.ShardingContext) and of.num_devices == 1


def _one_by_one(arguments, axes, **parameters):
    """`jax.vmap`: one element of the batch after the other."""
    mapped = [axis is not None for axis in axes]
    stacked = [
        jnp.moveaxis(argument, axis, 0)
        for argument, axis, is_mapped in zip(arguments, axes, mapped, strict=True)
        if is_mapped
    ]

    def one(elements):
        elements = iter(elements)
        chosen = [
            next(elements) if is_mapped else argument
            for argument, is_mapped in zip(arguments, mapped, strict=True)
        ]
        return _or_plain.bind(*chosen, **parameters)

    outputs = lax.map(one, stacked)
    return outputs, [0] * len(outputs)


batching.primitive_batchers[_or_plain] = _one_by_one


def call(
    kind: str,
    parameters: Sequence,
    write: Body,
    inputs: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    pieces: int,
    scratch: int = 0,
    after: Sequence[jax.Array] = (),
) -> list[jax.Array]:
    """Applies machine code to arrays of float32, in a function that `or_plain` applies.

    Args:
      kind: name of the kernel.
      parameters: all that `write` depends on: calls with the same share the code.
      write: writes the instructions of one piece: of a `Code`, the addresses of inputs and outputs,
        the number of the piece, and the address of memory of this thread alone.
      inputs: arrays.
      outputs: shapes of the results.
      pieces: how many there are; they run in any order, on several threads.
      scratch: float32 of memory of a thread.
      after: arrays that are made before; the code does not see them.

    Raises:
      TypeError: an array is not of float32.
    """
    wrong = {str(array.dtype) for array in (*inputs, *outputs)} - {"float32"}
    if wrong:
        raise TypeError(f"machine code {kind!r} takes and gives float32, not {', '.join(wrong)}")
    key = kind, repr(tuple(parameters)), len(inputs), len(outputs), pieces, scratch
    name = _register(key, write)
    return jax.ffi.ffi_call(name, list(outputs), vmap_method="sequential")(*inputs, *after)


_names: dict[tuple, str] = {}  # of kernels that XLA knows
_lock = threading.Lock()


def _register(key: tuple, write: Body) -> str:
    """Compiles a kernel and tells XLA its name, once in a process.

    The name holds a digest of the instructions. So a compiled program that was kept on the disk
    finds the code that it was made with, or is not found itself.
    """
    with _lock:
        if key not in _names:
            digest, code = _made(key, write)
            name = f"vadjax_{key[0]}_{digest[:24]}"
            if name not in _names.values():
                handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(_address(code))
                jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")
            _names[key] = name
        return _names[key]


def _made(key: tuple, write: Body) -> tuple[str, bytes]:
    """Digest of a kernel's instructions, and its compiled code.

    Both are kept where JAX keeps its own (`vadjax.runtime.compiled`), for the same source files.
    """
    client = backend.get_backend("cpu")
    kept = compilation_cache._get_cache(client) if compilation_cache.is_cache_used(client) else None
    target = _target()
    known = key, _source(write), llvm.llvm_version_info, llvmlite.__version__, *_host()
    place = hashlib.sha256(repr((*known, target.triple)).encode()).hexdigest()
    found = kept.get(f"vadjax-machine-{place}") if kept is not None else None
    if found and hashlib.sha256(found[_DIGEST:]).digest() == found[:_DIGEST]:
        return found[_DIGEST : 2 * _DIGEST].hex(), found[2 * _DIGEST :]
    text = _text(write, *key[2:])
    digest = hashlib.sha256(text.encode())
    code = target.emit_object(_optimized(text, target))
    if kept is not None:
        data = digest.digest() + code
        kept.put(f"vadjax-machine-{place}", hashlib.sha256(data).digest() + data)
    return digest.hexdigest(), code


def _source(write: Body) -> tuple:
    """What says which instructions a function writes, besides the key of the kernel."""
    function, options = write, {}
    while isinstance(function, functools.partial):
        function, options = function.func, {**function.keywords, **options}
    return marshal.dumps(function.__code__), repr(options), _digest()


@functools.cache
def _digest() -> str:
    """Of the source files of all kernels."""
    files = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _text(write: Body, inputs: int, outputs: int, pieces: int, scratch: int) -> str:
    """LLVM's instructions of a kernel."""
    module = ir.Module()
    addresses = inputs + outputs
    piece = _piece(module, write, addresses)
    run = _run(module, piece, addresses, pieces)
    leave = _leave(module)
    helper = _helper(module, run, leave, pieces, scratch)
    _handler(module, run, leave, helper, inputs, addresses, pieces, scratch)
    return str(module)


def _address(code: bytes) -> int:
    """Where compiled code lies; it stays for the life of the process."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address("handler")
    engine.detach()  # never freed: threads of XLA may run it until the very end
    return address


def _optimized(text: str, target: "llvm.TargetMachine") -> "llvm.ModuleRef":
    """Variables become registers. LLVM's further passes save no time in such code, but take it."""
    module = llvm.parse_assembly(text)
    module.verify()
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    options = llvm.create_pipeline_tuning_options()
    passes.run(module, llvm.create_pass_builder(target, options))
    return module


@functools.cache
def _host() -> tuple[str, str]:
    """Name and features of the processor."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _has(feature: str) -> bool:
    return f"+{feature}" in _host()[1].split(",")


def _target() -> "llvm.TargetMachine":
    """The processor; each engine owns one."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3)


@functools.cache
def tile() -> Tile:
    """Sums that fit into the registers of this processor, with a few left for the factors."""
    return Tile(14, 2) if usable() and _has("avx512f") else Tile(6, 1)


@functools.cache
def usable() -> bool:
    """Whether machine code can be made for this computer; if not, a line says why, once."""
    reason = _obstacle()
    if reason:
        line = f"note: no machine code of our own; convolutions are XLA's, and slower: {reason}"
        print(line, file=sys.stderr)
    return not reason


def _obstacle() -> str | None:
    """What keeps this computer from running machine code, if anything."""
    machine = platform.machine().lower()
    if struct.calcsize("P") != 8 or machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return f"the processor is {machine}, not x86-64 or ARM of 64 bits"
    try:
        if machine in ("x86_64", "amd64") and not _has("fma"):
            return "the processor has no FMA"
        if not _yield_name():
            return f"the C library has no {_YIELDS[0]}"
        missing = [name for name in (_MALLOC, _FREE) if not llvm.address_of_symbol(name)]
        if missing:
            return f"the C library has no {missing[0]}"
        _register(("trial", "", 0, 0, 1, 0), lambda *of_piece: None)
    except Exception as error:  # of LLVM, or of an XLA that refuses our version of its interface
        return str(error).partition("\n")[0]
    return None


@functools.cache
def _yield_name() -> str | None:
    """The function that gives the rest of a thread's time slice away."""
    # An engine makes the symbols of the process known
    llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    return next((name for name in _YIELDS if llvm.address_of_symbol(name)), None)


def _piece(module, write, addresses):
    """`piece(addresses…, number, scratch)`."""
    kind = ir.FunctionType(_VOID, [POINTER] * addresses + [INT, POINTER])
    function = _function(module, "piece", kind)
    for argument in function.args[:addresses] + function.args[-1:]:
        argument.add_attribute("noalias")
    code = Code(function)
    write(code, function.args[:addresses], function.args[-2], function.args[-1])
    code.finish()
    return function


def _function(module, name, kind):
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    return function


def _library(module, name, result, *arguments):
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(result, arguments), name)


def _malloc(code, size):
    malloc = _library(code.function.module, _MALLOC, POINTER, INT)
    return code.b.call(malloc, [INT(size)])


def _free(code, memory):
    code.b.call(_library(code.function.module, _FREE, _VOID, POINTER), [memory])


def _is_null(code, address):
    return code.b.icmp_unsigned("==", address, ir.Constant(POINTER, None))


def _at_line(code, memory):
    """The first start of a cache line at or after an address."""
    number = code.b.add(code.b.ptrtoint(memory, INT), INT(_LINE - 1))
    return code.b.inttoptr(code.b.and_(number, INT(-_LINE)), POINTER)


def _count(code, shared, word, by):
    """Adds to a word that threads share; what it was before."""
    return code.b.atomic_rmw("add", code.byte(shared, 8 * word), INT(by), "seq_cst")


def _run(module, piece, addresses, pieces):
    """`run(shared, scratch)`: does pieces until none is left."""
    function = _function(module, "run", ir.FunctionType(_VOID, [POINTER, POINTER]))
    code, (shared, scratch) = Code(function), function.args
    b = code.b
    arguments = [code.word(shared, 8 * (_ADDRESSES + i), POINTER) for i in range(addresses)]
    test, body, after = (function.append_basic_block() for _ in range(3))
    b.branch(test)
    b.position_at_end(test)
    number = _count(code, shared, _NEXT, 1)
    b.cbranch(b.icmp_signed("<", number, INT(pieces)), body, after)
    b.position_at_end(body)
    b.call(piece, [*arguments, number, scratch])
    _count(code, shared, _DONE, 1)
    b.branch(test)
    b.position_at_end(after)
    code.finish()
    return function


def _leave(module):
    """`leave(shared)`: the last thread that leaves frees what they shared."""
    function = _function(module, "leave", ir.FunctionType(_VOID, [POINTER]))
    code, (shared,) = Code(function), function.args
    users = _count(code, shared, _USERS, -1)
    with code.when(code.b.icmp_signed("==", users, INT(1))):
        _free(code, shared)
    code.finish()
    return function


def _helper(module, run, leave, pieces, scratch):
    """`helper(shared)`: what another thread does, also one that comes when all is done.

    Then the arrays may be gone, but `shared` is not. Without memory it leaves the work to others.
    """
    function = _function(module, "helper", ir.FunctionType(_VOID, [POINTER]))
    code, (shared,) = Code(function), function.args
    b = code.b
    number = b.load_atomic(code.byte(shared, 8 * _NEXT), "seq_cst", 8, typ=INT)
    with code.when(b.icmp_signed("<", number, INT(pieces))):
        memory = _malloc(code, 4 * scratch + _LINE)
        with code.when(b.not_(_is_null(code, memory))):
            b.call(run, [shared, _at_line(code, memory)])
            _free(code, memory)
    b.call(leave, [shared])
    code.finish()
    return function


def _handler(module, run, leave, helper, inputs, addresses, pieces, scratch):
    """What XLA calls: shares out the pieces, and returns null when all are done, or an error."""
    function = ir.Function(module, ir.FunctionType(POINTER, [POINTER]), "handler")
    code, (frame,) = Code(function), function.args
    b = code.b
    _answer_version(code, frame)
    api, context = code.word(frame, _FRAME_API, POINTER), code.word(frame, _FRAME_CONTEXT, POINTER)
    _check_version(code, frame, api)
    # What the threads share, and the scratch memory of this one
    words = 8 * (_ADDRESSES + addresses)
    shared = _malloc(code, words + 4 * scratch + _LINE)
    with code.when(_is_null(code, shared)):
        _return_error(code, api, _EXHAUSTED, "no memory for machine code of vadjax")
    b.store(INT(0), code.byte(shared, 8 * _NEXT))
    b.store(INT(0), code.byte(shared, 8 * _DONE))
    ins, outs = code.word(frame, _FRAME_INPUTS, POINTER), code.word(frame, _FRAME_OUTPUTS, POINTER)
    for i in range(addresses):
        of, number = (ins, i) if i < inputs else (outs, i - inputs)
        data = code.word(code.word(of, 8 * number, POINTER), _BUFFER_DATA, POINTER)
        b.store(data, code.byte(shared, 8 * (_ADDRESSES + i)))
    # Helpers: other threads, no more than there are other pieces; all, and this one, use `shared`
    arguments, count = code.words(5), code.words(1)
    b.store(INT(1), count)
    _call_api(code, api, _API_THREADS, arguments, _THREADS_SIZE, context, count)
    threads = b.load(count, typ=INT)
    few = b.icmp_signed("<", threads, INT(pieces))
    helpers = b.sub(b.select(few, threads, INT(pieces)), INT(1))
    helpers = b.select(b.icmp_signed("<", helpers, INT(0)), INT(0), helpers)
    b.store(b.add(helpers, INT(1)), code.byte(shared, 8 * _USERS))
    with code.loop(helpers):
        fields = _SCHEDULE_SIZE, context, helper, shared
        refused = _call_api(code, api, _API_SCHEDULE, arguments, *fields)
        with code.when(refused):
            _count(code, shared, _USERS, -1)
    b.call(run, [shared, _at_line(code, code.byte(shared, words))])
    _wait(code, shared, pieces)
    b.call(leave, [shared])
    code.finish(ir.Constant(POINTER, None))


def _answer_version(code, frame):
    """XLA asks for the version of its interface that the handler was written for."""
    b = code.b
    extension = code.word(frame, _FRAME_EXTENSION, POINTER)
    with code.when(b.not_(_is_null(code, extension))):
        asked = code.word(extension, _EXTENSION_TYPE, _INT32)
        with code.when(b.icmp_signed("==", asked, _INT32(_IS_METADATA))):
            metadata = code.word(extension, _EXTENSION_METADATA, POINTER)
            b.store(_INT32(_MAJOR), code.byte(metadata, _METADATA_MAJOR))
            b.store(_INT32(_MINOR), code.byte(metadata, _METADATA_MINOR))
            b.store(_INT32(0), code.byte(metadata, _METADATA_TRAITS))
            _return(code, ir.Constant(POINTER, None))


def _check_version(code, frame, api):
    """Returns an error where XLA's structures are shorter than those of c_api.h."""
    b = code.b
    short = b.icmp_unsigned("<", code.word(frame, 0), INT(_FRAME_OUTPUTS + 8))
    missing = b.icmp_unsigned("<", code.word(api, 0), INT(_API_THREADS + 8))
    other = b.icmp_signed("!=", code.word(api, _API_MAJOR, _INT32), _INT32(_MAJOR))
    with code.when(b.or_(b.or_(short, missing), other)):
        message = "machine code of vadjax does not fit this XLA: set runtime.plain_ops=True"
        _return_error(code, api, _PRECONDITION, message)


def _call_api(code, api, function, arguments, size, *fields):
    """Calls a function of c_api.h; whether it gave an error, which is destroyed."""
    b = code.b
    failed = code.slot(ir.IntType(1))
    error = b.call(
        _callee(code.word(api, function, POINTER)),
        [_structure(code, arguments, size, *fields)],
    )
    is_error = b.not_(_is_null(code, error))
    b.store(is_error, failed)
    with code.when(is_error):
        destroy = _callee(code.word(api, _API_DESTROY, POINTER))
        b.call(destroy, [_structure(code, code.words(3), _DESTROY_SIZE, error)])
    return b.load(failed, typ=ir.IntType(1))


def _structure(code, memory, size, *fields):
    """Arguments as c_api.h has them: size, no extension, fields."""
    for i, field in enumerate((INT(size), ir.Constant(POINTER, None), *fields)):
        code.b.store(field, code.byte(memory, 8 * i))
    return memory


def _return(code, value):
    """Ends the function within `Code.when`."""
    code.b.ret(value)


def _return_error(code, api, number, message):
    text = bytearray(message.encode() + b"\0")
    kind = ir.ArrayType(_INT8, len(text))
    constant = ir.GlobalVariable(code.function.module, kind, f"message{number}")
    constant.initializer, constant.global_constant = ir.Constant(kind, text), True
    constant.linkage, constant.type = "private", POINTER
    arguments = _structure(code, code.words(4), _ERROR_SIZE, constant, INT(number))
    _return(code, code.b.call(_callee(code.word(api, _API_ERROR, POINTER)), [arguments]))


def _wait(code, shared, pieces):
    """Returns when all pieces are done: each that is not is being done by a running thread."""
    b, function = code.b, code.function
    wait, spin, rest, after = (function.append_basic_block() for _ in range(4))
    rounds = code.slot(INT)
    b.store(INT(0), rounds)
    b.branch(wait)
    b.position_at_end(wait)
    done = b.load_atomic(code.byte(shared, 8 * _DONE), "seq_cst", 8, typ=INT)
    b.cbranch(b.icmp_signed(">=", done, INT(pieces)), after, spin)
    b.position_at_end(spin)
    tried = b.add(b.load(rounds, typ=INT), INT(1))
    b.store(tried, rounds)
    b.cbranch(b.icmp_signed(">", tried, INT(_SPINS)), rest, wait)
    b.position_at_end(rest)
    b.call(_library(function.module, _yield_name(), _INT32), [])
    b.branch(wait)
    b.position_at_end(after)


def _callee(address: ir.Value) -> ir.Value:
    """An address of c_api.h's `f(arguments*)`, as `IRBuilder.call` takes functions."""
    address.type = ir.FunctionType(POINTER, [POINTER]).as_pointer()
    return address
