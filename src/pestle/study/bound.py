"""A command that stops when whoever started it dies: `python bound.py PARENT ARGUMENTS`.

A study that is killed must not leave commands behind that go on without it. On Linux the system
sends SIGTERM to them, on which they write a checkpoint and end; elsewhere they go on to their end,
and the next `pestle study` waits for that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

#: Of prctl(2): which signal a process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become `pestle ARGUMENTS`, tied to the parent process."""
    parent, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it died before this line
            sys.exit(128 + signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", "pestle", *arguments])


if __name__ == "__main__":
    main()
