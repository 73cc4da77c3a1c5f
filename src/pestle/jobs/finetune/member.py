"""One run of `pestle finetune --seeds`, in a process of its own.

The first line of its standard input describes the run. The input then stays open; it ends when the
command that started this process has ended. The run is then stopped as by SIGTERM, with a
checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from pestle.errors import Interrupted, PestleError
from pestle.jobs.finetune.job import finetune
from pestle.jobs.finetune.resuming import resume_settings
from pestle.settings.run_file import build

#: Exit code of a run that was stopped and can be resumed.
STOPPED = 130


def main() -> int:
    """Run what standard input describes.

    Returns:
        The exit code, as on the command line.
    """
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    out = Path(asked["out"])
    try:
        settings = resume_settings(out, {}) if asked["resume"] else build(asked["settings"])
        finetune(
            settings, out, trust=asked["trust"], resume=asked["resume"], command=asked["command"]
        )
    except PestleError as error:
        print(f"error: {error.line}", file=sys.stderr)
        return error.exit_code
    except (Interrupted, KeyboardInterrupt):
        return STOPPED
    return 0


def _stop_when_alone() -> None:
    """Wait for the end of standard input, then stop the run."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
