"""Several processes that run one program together (`--distributed`), through `jax.distributed`.

All run the same command; each reads its rows of every batch and scores its share of the videos.
What a person reads is written by the first, into a workdir that all of them see. With one process,
which is the rule, nothing here does anything.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from vadjax.runtime import command, terminal

AUTO = "auto"
HEARTBEAT = 30  # seconds without a sign of a process after which the others end
SHUTDOWN = 60  # seconds to wait for the others at the end
FORM = "expected 'auto' or HOST:PORT,COUNT,ID, for example 10.0.0.1:8476,2,0"


def start(spec: str) -> None:
    """Joins the other processes. Call it before anything else asks JAX for devices.

    From here on all but the first process print nothing but errors.

    Args:
      spec: `"auto"` where JAX finds out by itself (TPU pods, Slurm, Open MPI, Kubernetes), or
        `"HOST:PORT,COUNT,ID"`: an address of the first process that all can reach, their number,
        and which this one is, from 0.

    Raises:
      ValueError: another form, or `"auto"` where JAX finds nothing.
    """
    settings = {} if spec == AUTO else _parse(spec)
    limits = {"heartbeat_timeout_seconds": HEARTBEAT, "shutdown_timeout_seconds": SHUTDOWN}
    try:
        jax.distributed.initialize(**settings, **limits)
    except ValueError as error:
        raise ValueError(f"--distributed={spec}: {str(error).splitlines()[0]} ({FORM})") from error
    if not is_first():
        sys.stdout = terminal.nowhere()  # for the rest of the process


def _parse(spec: str) -> dict[str, Any]:
    """Arguments of `jax.distributed.initialize` from `"HOST:PORT,COUNT,ID"`.

    Raises:
      ValueError: another form.
    """
    try:
        address, count, number = spec.split(",")
        host, port = address.rsplit(":", 1)
        count, number, port = int(count), int(number), int(port)
    except ValueError:
        raise ValueError(f"--distributed={spec}: {FORM}") from None
    if not host or not 0 <= number < count or not 0 < port < 65536:
        raise ValueError(f"--distributed={spec}: {FORM}; ID is from 0 to COUNT - 1")
    return {"coordinator_address": address, "num_processes": count, "process_id": number}


def count() -> int:
    """How many processes there are."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this process writes what a person reads."""
    return jax.process_index() == 0


def own(items: Sequence) -> list:
    """This process's share of the items: every `count()`-th."""
    return [items[i] for i in range(jax.process_index(), len(items), count())]


def wait(name: str) -> None:
    """Returns when every process has come here; `name` tells the places apart."""
    if count() > 1:
        multihost_utils.sync_global_devices(name)


def once(work: Callable[[], int | None], *kinds: type[Exception]) -> int:
    """Does some work in the first process alone, and gives its result to all.

    Args:
      work: what is done once, such as reading a large file; returns a number from 0, or None for 0.
      *kinds: of errors of `work` that are raised in all processes. The first process has the whole
        message, the others a short one.

    Raises:
      kinds[i]: `work` raised it.
    """
    if count() == 1:
        return int(work() or 0)
    # One number tells the others everything: the result from 0 on, or -1 - i for kinds[i].
    number, error = 0, None
    if is_first():
        try:
            number = int(work() or 0)
        except kinds as raised:
            number, error = -1 - [isinstance(raised, kind) for kind in kinds].index(True), raised
    number = int(multihost_utils.broadcast_one_to_all(np.int32(number)))
    if error is not None:
        raise error
    if number < 0:
        raise kinds[-1 - number]("the first process says why")
    return number


@contextlib.contextmanager
def first_then_others(name: str) -> Iterator[None]:
    """The block runs in the first process, then in the others, which find the files it made."""
    if not is_first():
        wait(name)
    yield
    if is_first():
        wait(name)


def asked_to_stop(step: int) -> bool:
    """Whether a process got SIGTERM: True in all processes after the same step.

    All must call it after every step. With one process it is always False.
    """
    return count() > 1 and multihost_utils.reached_preemption_sync_point(step)


@contextlib.contextmanager
def interrupt_as_termination() -> Iterator[None]:
    """Turns SIGINT into SIGTERM, of which JAX informs all processes."""

    def pass_on(number, frame):
        del number, frame
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end(message: str) -> NoReturn:
    """Ends the program with a line on the standard error.

    One of several processes ends at once, without the usual wait for the others, which would wait
    for it in turn. They notice at their next common step, or by the missing heartbeat.
    """
    if count() == 1:
        sys.exit(message)
    print(message, file=sys.stderr, flush=True)
    time.sleep(1)  # the others may be about to say the same
    os._exit(1)


def told(error: Exception) -> str:
    """The line for an error of the input.

    With several processes it may also be a broken connection, which the collectives of CPUs (Gloo)
    raise as a ValueError.
    """
    return lost(error) if count() > 1 and "Gloo" in str(error) else command.line(error)


def lost(error: Exception) -> str:
    """The line for a step that several processes take together and that failed."""
    reason = str(error).strip().splitlines()[0][:200]
    return (
        f"error: a step that {count()} processes take together failed, most likely because one of "
        f"them has ended: see its output ({reason}). Start all of them again with the same "
        "command: they go on from the last checkpoint"
    )
