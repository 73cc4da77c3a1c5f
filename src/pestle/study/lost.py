"""Why a task of a study was lost: what Parsl and the queue behind it say, in one line."""

from __future__ import annotations

import re

#: What a command of the queue (sbatch, qsub) or a job of it wrote to standard error: at the end of
#: Parsl's SubmitException, or in its summary of a job that failed.
_SAID = re.compile(r"(?:stderr=|STDERR: )(.*?)(?=\nError \d+:|\n\t|\Z)", re.DOTALL)
#: Letters that are shown of anything else.
_LENGTH = 300


def cause_of(error: BaseException) -> str:
    """Why a task was lost: the error of the task at the root, of a queue that took no job what it
    said.

    Args:
        error: as Parsl gives it.
    """
    from parsl.dataflow.errors import PropagatedException
    from parsl.executors.errors import BadStateException
    from parsl.jobs.errors import TooManyJobFailuresError

    from pestle.study.idle_jobs import JobsWithoutWork

    while isinstance(error, PropagatedException) and error.__cause__ is not None:
        error = error.__cause__
    why = error.executor.executor_exception if isinstance(error, BadStateException) else error
    if isinstance(why, JobsWithoutWork):
        return str(why)
    text = str(error)
    if isinstance(error, BadStateException | TooManyJobFailuresError):
        lines = [line.strip() for said in _SAID.findall(text) for line in said.splitlines()]
        said = "; ".join(dict.fromkeys(line for line in lines if line))
        return f"no job could be started: {said or _short(text)}"
    return f"{type(error).__name__}: {_short(text)}"


def _short(text: str) -> str:
    """A text as one line, not too long."""
    return " ".join(text.split())[:_LENGTH]
