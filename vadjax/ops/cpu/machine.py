"""Machine code of our own as operations of XLA:CPU: written as LLVM's instructions, run in pieces.

XLA offers no way to keep sums in registers over a whole product, which decides the speed of a
convolution. A `Kernel` here is a function of a piece of work, made for one shape. LLVM compiles it
in milliseconds, and XLA calls it through its foreign function interface (c_api.h of XLA, version
0) and lends its threads: each takes the next piece until none is left.
"""

import contextlib
import ctypes
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import llvmlite.binding as llvm
from llvmlite import ir

LANES = 16  # float32 in a vector; LLVM makes several instructions of it where registers are shorter
FLOAT, INT, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
VECTOR = ir.VectorType(FLOAT, LANES)
_INT32, _VOID = ir.IntType(32), ir.VoidType()
# Bytes from the start of the structures of c_api.h to their fields
_FRAME_EXTENSION, _FRAME_API, _FRAME_CONTEXT = 8, 16, 24
_FRAME_INPUTS, _FRAME_OUTPUTS, _BUFFER_DATA = 72, 112, 24
_EXTENSION_TYPE, _EXTENSION_METADATA, _METADATA_MAJOR, _METADATA_MINOR = 8, 24, 24, 28
_API_SCHEDULE, _API_THREADS = 136, 144
_MAJOR, _MINOR = 0, 3
_IS_METADATA = 1
# Of what the threads of a call share, in words: number of the next piece, pieces that are done,
# threads that may still look, then the addresses of inputs and outputs
_NEXT, _DONE, _USERS, _ADDRESSES = 0, 1, 2, 3
_SPINS = 2000  # rounds of waiting before the rest of the time slice is given away


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

    def divmod(self, a: ir.Value | int, b: int) -> tuple[ir.Value, ir.Value]:
        """Quotient and rest of an integer that is not negative."""
        return self.b.udiv(_int(a), _int(b)), self.b.urem(_int(a), _int(b))

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


def call(
    kind: str,
    parameters: Sequence,
    write: Body,
    inputs: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    pieces: int,
    scratch: int = 0,
) -> list[jax.Array]:
    """Applies machine code to arrays of float32.

    Args:
      kind: name of the kernel.
      parameters: all that `write` depends on: calls with the same share the code.
      write: writes the instructions of one piece: of a `Code`, the addresses of inputs and outputs,
        the number of the piece, and the address of memory of this thread alone.
      inputs: arrays.
      outputs: shapes of the results.
      pieces: how many there are; they run in any order, on several threads.
      scratch: float32 of memory of a thread.
    """
    key = repr((kind, *parameters, pieces, scratch))
    name = f"vadjax_{kind}_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    addresses = len(inputs) + len(outputs)
    _register(name, write, len(inputs), addresses, pieces, scratch)
    return jax.ffi.ffi_call(name, list(outputs))(*inputs)


_compiled: dict[str, "llvm.ExecutionEngine"] = {}


def _register(name, write, inputs, addresses, pieces, scratch):
    """Compiles the kernel and tells XLA its name, once in a process."""
    if name in _compiled:
        return
    module = ir.Module(name)
    piece = _piece(module, write, addresses)
    work = _work(module, piece, addresses, pieces, scratch)
    _handler(module, name, work, inputs, addresses, pieces)
    target = _target()
    compiled = llvm.parse_assembly(str(module))
    compiled.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(compiled, passes)
    engine = llvm.create_mcjit_compiler(compiled, target)
    engine.finalize_object()
    address = engine.get_function_address(name)
    handler = jax.ffi.pycapsule(ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address))
    jax.ffi.register_ffi_target(name, handler, platform="cpu", api_version=1)
    _compiled[name] = engine


@functools.cache
def _host() -> tuple[str, str]:
    """Name and features of the processor."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _target() -> "llvm.TargetMachine":
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3)


@functools.cache
def tile() -> Tile:
    """Sums that fit into the registers of this processor, with a few left for the factors."""
    return Tile(14, 2) if "+avx512f" in _host()[1].split(",") else Tile(6, 1)


def _piece(module, write, addresses):
    """`piece(addresses…, number, scratch)`."""
    kind = ir.FunctionType(_VOID, [POINTER] * addresses + [INT, POINTER])
    function = ir.Function(module, kind, "piece")
    for argument in function.args[:addresses] + function.args[-1:]:
        argument.add_attribute("noalias")
    code = Code(function)
    write(code, function.args[:addresses], function.args[-2], function.args[-1])
    code.finish()
    return function


def _library(module, name, result, *arguments):
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(result, arguments), name)


def _work(module, piece, addresses, pieces, scratch):
    """`work(shared)`: does pieces until none is left, and leaves."""
    function = ir.Function(module, ir.FunctionType(_VOID, [POINTER]), "work")
    code, (shared,) = Code(function), function.args
    b = code.b
    malloc = _library(module, "malloc", POINTER, INT)
    free = _library(module, "free", _VOID, POINTER)
    arguments = [code.word(shared, 8 * (_ADDRESSES + i), POINTER) for i in range(addresses)]
    memory = b.call(malloc, [_int(4 * scratch + 64)])
    # Vectors of the memory start where cache lines do
    first = b.and_(b.add(b.ptrtoint(memory, INT), INT(63)), INT(-64))
    own = b.inttoptr(first, POINTER)
    test, body, after = (function.append_basic_block() for _ in range(3))
    b.branch(test)
    b.position_at_end(test)
    number = b.atomic_rmw("add", code.byte(shared, 8 * _NEXT), INT(1), "seq_cst")
    b.cbranch(b.icmp_signed("<", number, INT(pieces)), body, after)
    b.position_at_end(body)
    b.call(piece, [*arguments, number, own])
    b.atomic_rmw("add", code.byte(shared, 8 * _DONE), INT(1), "seq_cst")
    b.branch(test)
    b.position_at_end(after)
    b.call(free, [memory])
    users = b.atomic_rmw("sub", code.byte(shared, 8 * _USERS), INT(1), "seq_cst")
    with code.when(b.icmp_signed("==", users, INT(1))):
        b.call(free, [shared])
    code.finish()
    return function


def _handler(module, name, work, inputs, addresses, pieces):
    """What XLA calls: shares out the pieces, and returns when all are done."""
    function = ir.Function(module, ir.FunctionType(POINTER, [POINTER]), name)
    code, (frame,) = Code(function), function.args
    b = code.b
    null = ir.Constant(POINTER, None)
    # XLA asks for the version first
    extension = code.word(frame, _FRAME_EXTENSION, POINTER)
    with code.when(b.icmp_unsigned("!=", extension, null)):
        asked = code.word(extension, _EXTENSION_TYPE, _INT32)
        ask, go = function.append_basic_block(), function.append_basic_block()
        b.cbranch(b.icmp_signed("==", asked, _INT32(_IS_METADATA)), ask, go)
        b.position_at_end(ask)
        metadata = code.word(extension, _EXTENSION_METADATA, POINTER)
        b.store(_INT32(_MAJOR), code.byte(metadata, _METADATA_MAJOR))
        b.store(_INT32(_MINOR), code.byte(metadata, _METADATA_MINOR))
        b.ret(null)
        b.position_at_end(go)
    # What the threads share
    malloc = _library(module, "malloc", POINTER, INT)
    shared = b.call(malloc, [INT(8 * (_ADDRESSES + addresses))])
    b.store(INT(0), code.byte(shared, 8 * _NEXT))
    b.store(INT(0), code.byte(shared, 8 * _DONE))
    ins, outs = code.word(frame, _FRAME_INPUTS, POINTER), code.word(frame, _FRAME_OUTPUTS, POINTER)
    for i in range(addresses):
        of = (
            code.word(ins, 8 * i, POINTER)
            if i < inputs
            else code.word(outs, 8 * (i - inputs), POINTER)
        )
        b.store(code.word(of, _BUFFER_DATA, POINTER), code.byte(shared, 8 * (_ADDRESSES + i)))
    # Other threads of XLA; `arguments` is c_api.h's structure of either call
    api, context = code.word(frame, _FRAME_API, POINTER), code.word(frame, _FRAME_CONTEXT, POINTER)
    arguments, count = code.words(5), code.words(1)
    b.store(INT(1), count)
    fields = INT(32), null, context, count
    for i, field in enumerate(fields):
        b.store(field, code.byte(arguments, 8 * i))
    of_api = ir.FunctionType(POINTER, [POINTER])
    b.call(_callee(code.word(api, _API_THREADS, POINTER), of_api), [arguments])
    threads = b.load(count, typ=INT)
    few = b.icmp_signed("<", threads, INT(pieces))
    helpers = b.sub(b.select(few, threads, INT(pieces)), INT(1))
    helpers = b.select(b.icmp_signed("<", helpers, INT(0)), INT(0), helpers)
    b.store(b.add(helpers, INT(1)), code.byte(shared, 8 * _USERS))
    fields = INT(40), null, context, work, shared
    for i, field in enumerate(fields):
        b.store(field, code.byte(arguments, 8 * i))
    # The answer has to be kept: `shared` may be gone when this thread has left
    done = code.byte(shared, 8 * _DONE)
    b.atomic_rmw("add", code.byte(shared, 8 * _USERS), INT(1), "seq_cst")
    with code.loop(helpers):
        b.call(_callee(code.word(api, _API_SCHEDULE, POINTER), of_api), [arguments])
    b.call(work, [shared])
    # Waits for the pieces of others
    wait, spin, rest, after = (function.append_basic_block() for _ in range(4))
    rounds = code.slot(INT)
    b.store(INT(0), rounds)
    b.branch(wait)
    b.position_at_end(wait)
    finished = b.load_atomic(done, "seq_cst", 8, typ=INT)
    b.cbranch(b.icmp_signed(">=", finished, INT(pieces)), after, spin)
    b.position_at_end(spin)
    tried = b.add(b.load(rounds, typ=INT), INT(1))
    b.store(tried, rounds)
    b.cbranch(b.icmp_signed(">", tried, INT(_SPINS)), rest, wait)
    b.position_at_end(rest)
    b.call(_library(module, "sched_yield", _INT32), [])
    b.branch(wait)
    b.position_at_end(after)
    users = b.atomic_rmw("sub", code.byte(shared, 8 * _USERS), INT(1), "seq_cst")
    free = _library(module, "free", _VOID, POINTER)
    with code.when(b.icmp_signed("==", users, INT(1))):
        b.call(free, [shared])
    code.finish(null)


def _callee(address: ir.Value, kind: ir.FunctionType) -> ir.Value:
    """An address that `IRBuilder.call` takes for a function; such pointers know their type."""
    address.type = kind.as_pointer()
    return address
