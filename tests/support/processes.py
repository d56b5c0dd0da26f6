"""Processes that tests start: none goes on for ever or outlives its test, and one that hangs shows what it printed."""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import warnings

import patience

_running: dict[subprocess.Popen, threading.Timer] = {}  # each with what kills it where nobody waits for it


def start(command, **options) -> subprocess.Popen:
    """Start a process whose output is text for `finish`."""
    usual = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(list(map(str, command)), **(usual | options))
    _running[process] = timer = threading.Timer(patience.left(0.95), process.kill)
    timer.daemon = True
    timer.start()
    return process


def finish(process, check=False) -> subprocess.CompletedProcess:
    """Wait for a process that was started, and give what it printed and returned.

    Raises
    ------
    AssertionError
        If it takes so long that it must be hanging: it is killed. With `check`, also if it returns another number
        than 0.
    """
    limit = patience.left()
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"hung for {limit:.0f} s: {_told(process, *_printed(process))}") from None
    finally:
        end(process)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    assert not check or done.returncode == 0, f"returned {done.returncode}: {_told(process, output, errors)}"
    return done


def run(command, check=False, **options) -> subprocess.CompletedProcess:
    """Start a process and wait for it, as `subprocess.run` does with its output captured."""
    return finish(start(command, **options), check)


def with_vectors(text, features) -> tuple[list[str], str]:
    """Run a program with vectors of another width: the words that it printed, and its errors."""
    environment = {**os.environ, "RNNKIT_VECTOR": features, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = run([sys.executable, "-c", text], env=environment)
    return done.stdout.split(), done.stderr


def end(*processes) -> None:
    """Kill what still runs of these, or of all that were started."""
    for process in processes or tuple(_running):
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        if process in _running:
            _running.pop(process).cancel()


def _printed(process):
    with contextlib.suppress(subprocess.TimeoutExpired):  # where a process of its own still holds what it prints to
        return process.communicate(timeout=patience.seconds(20))
    return None, None


def _told(process, output, errors) -> str:
    command = textwrap.shorten(shlex.join(process.args), 300)
    return f"{command}\n--- output ---\n{output or ''}\n--- errors ---\n{errors or ''}"


def fork(work) -> bool:
    """Run ``work`` in a forked child; whether it returned without an error.

    Raises
    ------
    AssertionError
        If it hangs: it is killed.
    """
    ended, held = os.pipe()  # closed with the child
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    os.close(held)
    limit = patience.left()
    try:
        hung = not select.select([ended], [], [], limit)[0]
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(ended)
    if hung:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert not hung, f"a child of a fork hung for {limit:.0f} s"
    return status == 0
