"""Runs a program that must not outlive its parent: `child_guard.py PROGRAM ARGUMENT...`.

The parent keeps a pipe open as standard input and never writes to it. When the pipe closes,
because the parent closed it or died in any way, the program is killed. This works on every system.
The script runs in a bare interpreter, so it imports little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the program, and exit with its status or signal."""
    try:
        program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")

    def kill_with_parent() -> None:
        os.read(0, 1)
        program.kill()

    threading.Thread(target=kill_with_parent, daemon=True).start()
    status = program.wait()
    if status < 0:  # Die of the same signal, so that the parent sees it.
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)  # Do not wait for the thread, which is still reading.


if __name__ == "__main__":
    main()
