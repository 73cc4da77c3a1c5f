"""One run of `pestle finetune --seeds`, in a process of its own.

Its first line of standard input says what to run; the rest stays open. When it ends, the command
that started this one is gone, and the run is stopped as by SIGTERM, with a checkpoint.
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

#: Exit code of a run that was stopped and can go on.
STOPPED = 130


def main() -> int:
    """Run what standard input asks for.

    Returns:
        The exit code, as that of the command line.
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
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
