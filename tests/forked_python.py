"""An interpreter that has imported everything already: a server forks it, seconds sooner than one starts.

`python -IS forked_python.py SOCKET -m module …` (or `-c code …`) runs a module or code as `python` does,
with the streams, folder and environment of this process. It passes signals on, ends as the fork ends, and
takes the fork along when it is killed. What only a starting interpreter reads has no effect
(`OMP_NUM_THREADS`, `-W`), except the encoding of the streams.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def main() -> None:
    path, *arguments = sys.argv[1:]
    if arguments:
        _ask(path, arguments)
    else:
        _serve(path)


def _ask(path: str, arguments: list[str]) -> NoReturn:
    """The side of the caller."""
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    request = {
        "arguments": arguments,
        "cwd": os.getcwd(),  # noqa: PTH109 (pathlib takes longer than all else)
        "environment": dict(os.environ),
        "heeded": heeded,
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b"!"], range(3))
        server.sendall(json.dumps(request).encode() + b"\n")
        answers = server.makefile("rb")
        child = int(answers.readline())
        for number in heeded:
            signal.signal(number, lambda number, _: os.kill(child, number))
        code = int(answers.readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _serve(path: str) -> None:
    """Answers until standard input ends; each caller has a process that waits for its fork."""
    import functools
    import select

    import typer.main

    # What commands import, some of it late.
    import escsr.batch.pipes
    import escsr.cli.commands
    import escsr.evaluation
    import escsr.video.jobs  # noqa: F401
    from escsr.cli import app

    # Forks have the parser of all options too, which takes long to be made of the functions.
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(app)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin.fileno() not in select.select([listener.fileno(), sys.stdin.fileno()], [], [])[0]:
            caller, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(caller)
            caller.close()


def _answer(caller: socket.socket) -> NoReturn:
    import select

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(caller, 1, 3)
    request = json.loads(caller.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        caller.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _run(request)
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    caller.sendall(b"%d\n" % child)
    ended = os.pidfd_open(child)
    if ended not in select.select([caller.fileno(), ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):  # the caller may be gone
        caller.sendall(b"%d\n" % code)
    os._exit(0)


def _run(request: dict[str, Any]) -> NoReturn:
    import atexit
    import runpy
    import threading
    import traceback

    for number in _SIGNALS:
        handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, handler if number in request["heeded"] else signal.SIG_IGN)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
    sys.stdin = os.fdopen(0, encoding=encoding, errors=errors or None, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors=errors or None, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding=encoding, errors="backslashreplace", closefd=False, buffering=1)
    sys.path[:0] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    code = 0
    try:
        kind, what, *sys.argv[1:] = request["arguments"]
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = kind
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        traceback.print_exc()
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
