"""Jobs of a queue that end without having done anything, so that they are not submitted for ever.

Where the environment on a node is wrong a job may end well (exit code 0) although its workers never
began. Parsl submits another one as long as there are tasks, unless every job since the beginning
has failed.
"""

from __future__ import annotations

from collections.abc import Mapping

from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import JobState, JobStatus

from pestle.progress import warn

#: How many jobs in a row may end so: the first one and one more.
ATTEMPTS = 2
#: Lines of the output of a job that are shown.
LAST_LINES = 5
#: What a job ended with whose workers never began; it was not cancelled by Parsl.
_IDLE = (JobState.FAILED, JobState.MISSING)


class JobsWithoutWork(Exception):
    """Jobs ended before their workers began; the text says what they said and what to do."""


class IdleJobs:
    """What an executor of Parsl does about its jobs that failed (`block_error_handler`).

    While no job works, it ends after two idle ones, and all tasks are lost with the reason. While
    another job works, as on the good nodes of a cluster with a bad one, no more are submitted.

    Args:
        most: jobs at a time, as the engine says.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, executor: BlockProviderExecutor, status: Mapping[str, JobStatus]) -> None:
        """Look at all jobs of an executor.

        Args:
            executor: whose jobs they are.
            status: number of a job → how it is.
        """
        began = _began(executor, status)
        idle: list[JobStatus] = []
        for number in sorted(status, key=int):
            if number in began:
                idle.clear()
            elif status[number].state in _IDLE:
                idle.append(status[number])
        provider = executor.provider
        active = [number for number, job in status.items() if not job.terminal]
        if len(idle) < ATTEMPTS:
            provider.max_blocks = self.most
        elif began.intersection(active):
            if provider.max_blocks == self.most:
                warn(f"{_seen(idle)}; no more are submitted while other jobs work")
            provider.max_blocks = len(active)
        else:
            provider.cancel([executor.blocks_to_job_id[number] for number in active])
            executor.set_bad_state_and_fail_all(_reason(executor, idle))


def _began(executor: BlockProviderExecutor, status: Mapping[str, JobStatus]) -> set[str]:
    """Return the jobs whose workers have begun."""
    if hasattr(executor, "connected_blocks"):  # of workers that speak to Parsl: all there ever were
        return set(executor.connected_blocks())
    return {number for number, job in status.items() if job.state == JobState.RUNNING}


def _reason(executor: BlockProviderExecutor, idle: list[JobStatus]) -> Exception:
    """Return why all is lost: what the queue said, or what the jobs did."""
    if idle[-1].stdout_path is None and idle[-1].stderr_path is None and idle[-1].message:
        return TooManyJobFailuresError(idle[-1].message)
    return JobsWithoutWork(
        f"{_seen(idle)}. See that worker_init in the engine file makes Pestle's environment, where "
        "`process_worker_pool.py` is a command. Scripts and output of the jobs: "
        f"{getattr(executor.provider, 'script_dir', None) or 'see the queue'}"
    )


def _seen(idle: list[JobStatus]) -> str:
    """Return what was seen, with the end of what the last job said."""
    last = idle[-1]
    said = [
        line.strip()
        for text in (last.stdout_summary, last.stderr_summary)
        for line in (text or "").splitlines()
        if line.strip()
    ]
    code = "" if last.exit_code is None else f" (exit code {last.exit_code})"
    ended = f"{len(idle)} jobs in a row ended before any worker began{code}"
    return f"{ended}: {'; '.join(said[-LAST_LINES:]) or 'without a word'}"
