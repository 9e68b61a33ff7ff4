"""What all command-line programs share: how they end, and errors and warnings in one line each."""

import contextlib
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from vadjax.runtime import progress, space, terminal

NO_MEMORY = {"JaxRuntimeError": "RESOURCE_EXHAUSTED", "error": "(-4:Insufficient memory)"}
ASKED = re.compile(r"allocat(?:e|ing) (?:(\d+) bytes|([\d.]+ [A-Za-z]+) for an array)")
READER_GONE = 141  # exit code: 128 + SIGPIPE, what a shell reports of `yes | head -1`


def run(main: Callable[[], Any]) -> None:
    """Runs the main function of a program: the last line of every `__main__`.

    Control characters in what it prints are shown, not obeyed, and letters that the terminal lacks
    are replaced (`vadjax.runtime.terminal`).

    If the reader of its output has gone (`… | head -1`), the program ends at once and silently with
    exit code 141, as programs do that do not handle SIGPIPE. Ctrl-C ends it with 130 and one line.
    A thread whose `abandoned` is true hangs in a call that nothing can interrupt. Then the program
    is left at once (`os._exit`), because winding up the interpreter would abort it.

    Args:
      main: reads `sys.argv`, and raises SystemExit where something is wrong.
    """
    sys.stdout, sys.stderr = _ending(sys.stdout), _ending(sys.stderr)
    threading.excepthook, sys.unraisablehook = _thread_failed, _given_up
    try:
        _run(main)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    if any(getattr(thread, "abandoned", False) for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)


def _run(main: Callable[[], Any]) -> None:
    """Runs the function and writes out all that it printed.

    Raises:
      SystemExit: always with a number, where the function does not return.
    """
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):  # an error's line, which the interpreter would print later
            raise SystemExit(_told(end.code)) from None
        raise
    except Exception as error:  # a full disk or memory ends every program in one line
        if (message := space.told(error) or memory_told(error)) is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again, it changes nothing
        if _Output.lost is not None:  # another thread could not print, and has stopped this one
            raise SystemExit(_told(_Output.lost)) from None
        terminated = isinstance(stop, Terminated)
        print("Stopped by SIGTERM." if terminated else "Stopped.", file=sys.stderr)
        number = signal.SIGTERM if terminated else signal.SIGINT
        raise SystemExit(128 + number) from None
    finally:  # not at the interpreter's end, where a closed pipe ends in a message
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()


def _told(code: int | str) -> int:
    """The exit code; of an error's line, which is printed, 1."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        return 1
    return code


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Prints why a thread ended, except for a full disk: the program's last line says that."""
    if space.told(failed.exc_value) is None:
        threading.__excepthook__(failed)


def _given_up(failed: Any) -> None:
    """Prints an error that no code can catch, except those of a save that was given up.

    Orbax gives up a save at the first write that fails (a full disk), which the program's last line
    says. The other writes end later, and for each a thread of TensorStore would print a traceback.
    """
    error = failed.exc_value
    if not isinstance(error, RuntimeError) or str(error) != "Event loop is closed":
        sys.__unraisablehook__(failed)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is handled as Ctrl-C is."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that files and cameras are closed; exit code 143.

    Only for the main thread.
    """

    def stop(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Output(io.FileIO):
    """A stream that ends the program when its reader has gone.

    It raises SystemExit and not BrokenPipeError, which is an OSError: programs take those for
    errors of their input, or note them and go on with the next video. In a thread that would end
    nothing but the thread, without a word: there the write seems to succeed, and the main thread
    is stopped as by Ctrl-C, so that what it does at its end is done.

    Attributes:
      lost: the exit code or line of an output that was lost in a thread; None without one.
    """

    lost: int | str | None = None

    def write(self, data) -> int:
        """As `FileIO.write`."""
        try:
            return super().write(data)
        except BrokenPipeError:
            end = READER_GONE
        except OSError as error:
            if error.errno not in space.REASONS:
                raise
            end = f"error: what the program prints could not be written: {error.strerror}"
        self._give_up()
        if threading.current_thread() is threading.main_thread():
            raise SystemExit(end)
        if _Output.lost is None:
            _Output.lost = end
            _stop_main_thread()
        return len(data)

    def _give_up(self) -> None:
        """Sends what is still in the buffer nowhere, so that flushing it cannot fail again."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def _stop_main_thread() -> None:
    """Raises KeyboardInterrupt in the main thread, by a signal that it listens to."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have Ctrl-C ignored
        if callable(signal.getsignal(number)):
            signal.pthread_kill(threading.main_thread().ident, number)
            return


def _ending(stream: TextIO | None) -> TextIO | None:
    """The stream, with `_Output` below it if it is a file, a pipe or a terminal."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return terminal.stream(_Output(stream.fileno(), "w", closefd=False), stream)


def report_errors(function: Callable, *args, **kwargs) -> Any:
    """Calls `function`; an error of the input ends the program with one line, not a traceback.

    Warnings become lines too.
    """
    try:
        with progress.warnings_as_lines():
            return function(*args, **kwargs)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(line(error))


def memory_told(error: BaseException) -> str | None:
    """The line for memory that is used up, of Python, NumPy, OpenCV or XLA; None for other errors.

    It says how much was asked for and what part of the program did, where either is known.
    """
    # The error of the memory may have been wrapped.
    cause: BaseException | None = error
    while cause is not None and not _is_of_memory(cause):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    asked = ASKED.search(str(cause))
    amount = f": {space.size(int(asked[1])) if asked[1] else asked[2]} more" if asked else ""
    # The innermost function of vadjax or data_prep that the error came through.
    ours = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").startswith(("vadjax.", "data_prep."))
        and frame.f_globals["__name__"] != __name__
    ]
    place = f", in {ours[-1].f_globals['__name__']}" if ours else ""
    return (
        f"there is not enough memory{amount}{place}. Are the sizes in the config or in the input "
        "as they should be? If they are, take smaller batches, or a machine with more memory"
    )


def _is_of_memory(error: BaseException) -> bool:
    """Whether an error says itself that there is no memory left."""
    return isinstance(error, MemoryError) or (
        type(error).__name__ in NO_MEMORY and NO_MEMORY[type(error).__name__] in str(error)
    )


def line(error: Exception) -> str:
    """The line that an error ends a program with."""
    return f"error: {space.told(error) or error}"
