"""Runs a program that must not outlive whoever started it: `guard.py PROGRAM ARGUMENT...`.

The standard input is a pipe that nothing is written to. It ends when the starter closes it or
dies, however that happens, on every system; then the program is killed. This file is run by itself
in a bare interpreter, so it imports little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the program, and end as it did."""
    try:
        program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")

    def kill_when_alone() -> None:
        os.read(0, 1)
        program.kill()

    threading.Thread(target=kill_when_alone, daemon=True).start()
    status = program.wait()
    if status < 0:  # it was killed, and so is this one: the starter sees by what
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)  # the thread still reads


if __name__ == "__main__":
    main()
