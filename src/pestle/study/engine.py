"""The engine that works through a study: Parsl, on this machine or as the user's file says."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pestle.errors import PestleError
from pestle.progress import say
from pestle.settings.run_file import dump
from pestle.study import worker
from pestle.study.lost import cause_of
from pestle.study.plan import Cell
from pestle.study.study_file import LOCAL

if TYPE_CHECKING:
    from parsl.config import Config

#: How Parsl is installed.
INSTALL = "pip install 'pestle[study]', from a checkout: pip install '.[study]'"
#: A function that Parsl runs somewhere.
App = Callable[..., "Future[str]"]
#: Variables that say how many threads a command has, beside which others run.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def work_through(
    cells: Sequence[Cell],
    folder: Path,
    *,
    engine: str = LOCAL,
    workers: int | None = None,
    retry: bool = False,
    trust: bool = False,
) -> dict[str, str]:
    """Do what is left of some cells; one that fails stops no other, and leaves a record.

    Args:
        cells: with what is left to do.
        folder: of the study.
        engine: local, or a Python file that defines `config`, a `parsl.config.Config`.
        workers: commands at a time on this machine; by default as many as it has cores.
        retry: also do cells that failed before.
        trust: allow `.model` files.

    Returns:
        Name of each cell whose worker was lost → why.

    Raises:
        PestleError: Parsl is not installed, or the file of the engine is no such file, or Parsl
            cannot begin with it.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; the commands have ended.
    """
    local = engine == LOCAL
    config = _local(folder, workers or cores()) if local else config_of(Path(engine), folder)
    options = {"retry": retry, "trust": trust, "environment": ONE_THREAD if local else {}}
    from parsl.dataflow.dflow import DataFlowKernel

    worker.begin_anew()
    with _sigterm_interrupts():
        try:
            kernel = DataFlowKernel(config)
        except Exception as error:
            raise PestleError(
                f"Parsl cannot begin with it: {cause_of(error)}", where=engine
            ) from error
        try:
            return _lost(_submitted(cells, folder, options, kernel))
        except KeyboardInterrupt:
            say("stopping: the commands write their checkpoints")
            raise
        finally:
            worker.stop()
            kernel.cleanup()


def _submitted(
    cells: Sequence[Cell], folder: Path, options: dict[str, Any], kernel: Any
) -> dict[Future[str], Cell]:
    """All tasks, with what each has to wait for."""
    from parsl.app.app import python_app

    make_labels: Callable[..., Future[str]] = python_app(
        worker.make_labels, data_flow_kernel=kernel
    )
    do_steps: Callable[..., Future[str]] = python_app(worker.do_steps, data_flow_kernel=kernel)
    groups = Counter(cell.labels for cell in cells if cell.labels)
    labels: dict[str, Future[str]] = {}
    baselines: dict[str, Future[str]] = {}
    found: dict[Future[str], Cell] = {}
    for cell in cells:
        content = handed(cell)
        if groups[cell.labels] > 1 and cell.labels not in labels:
            labels[cell.labels] = _ended(make_labels(str(folder), content, options))
        begun = do_steps(str(folder), content, options, "", labels.get(cell.labels))
        # Tests that had to be left because another cell was testing the foundation. Tasks are begun
        # in the order in which they can be, so that this one comes after all first ones: those
        # do what they can at once, and a study that is stopped half-way has tested what it trained.
        first = baselines.get(cell.baseline)
        done = do_steps(str(folder), content, options, begun, first, patient=True)
        if cell.baseline and first is None:
            baselines[cell.baseline] = _ended(done)
        found[done] = cell
    return found


def _ended(task: Future[str]) -> Future[str]:
    """A future that is done once another one is, whatever came of it: a worker that is lost must
    not keep others from what they can do without it."""
    end: Future[str] = Future()
    task.add_done_callback(lambda _: end.set_result(""))
    return end


def handed(cell: Cell) -> dict[str, Any]:
    """What a worker is told of a cell: plain data."""
    return {
        "name": cell.name,
        "axes": cell.axes,
        "run_file": dump(cell.settings),
        "labels": cell.labels,
        "baseline": cell.baseline,
        "steps": [
            {"name": step.name, "key": step.key, "arguments": list(step.arguments)}
            for step in cell.steps
        ],
    }


def _lost(tasks: dict[Future[str], Cell]) -> dict[str, str]:
    """Wait for all cells, with a line for each; returns why which of them were lost."""
    lost: dict[str, str] = {}
    said: set[str] = set()
    for count, future in enumerate(as_completed(tasks), 1):
        cell = tasks[future]
        try:
            outcome = future.result()
        except Exception as error:  # a node that died, a queue that killed it: the cell can go on
            why = lost[cell.name] = cause_of(error)
            # A queue that takes no job says so for every cell.
            outcome = "lost" if why in said else f"lost ({why})"
            said.add(why)
        say(f"[{count}/{len(tasks)}] {cell.name}: {outcome}")
    return lost


def _local(folder: Path, workers: int) -> Config:
    """Threads of this process, each of which waits for one command at a time."""
    _require_parsl()
    from parsl.config import Config
    from parsl.executors import ThreadPoolExecutor

    return Config(
        executors=[ThreadPoolExecutor(label="pestle", max_threads=workers)],
        run_dir=str(folder / "parsl"),
        initialize_logging=False,
        strategy="none",
    )


def config_of(path: Path, folder: Path) -> Config:
    """The configuration that a Python file defines. The file is run: it is one that the user named
    on the command line, never one that another file names.

    Args:
        path: the file.
        folder: of the study, where Parsl's own files go unless the file says otherwise.

    Raises:
        PestleError: Parsl is not installed, or the file cannot be run or defines no `config`.
    """
    _require_parsl()
    from parsl.config import Config

    if not path.is_file():
        raise PestleError(
            "no such engine: neither `local` nor a file",
            where=str(path),
            fix="See examples/engines.",
        )
    spec = importlib.util.spec_from_file_location("pestle_engine", path)
    if spec is None or spec.loader is None:
        raise PestleError("is no Python file", where=str(path), fix="Name it with .py.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PestleError(
            f"cannot be run ({type(error).__name__}: {error})", where=str(path)
        ) from error
    config = getattr(module, "config", None)
    if not isinstance(config, Config):
        raise PestleError(
            "defines no `config` that is a parsl.config.Config",
            where=str(path),
            fix="See examples/engines.",
        )
    if config.run_dir == "runinfo":  # Parsl's default, below the current folder
        config.run_dir = str(folder / "parsl")
    _bound_idle_jobs(config)
    return config


def _bound_idle_jobs(config: Config) -> None:
    """Let jobs that end without having done anything be submitted again only once, unless the file
    says what to do about them, or each job is submitted once anyway."""
    from parsl.executors.status_handling import BlockProviderExecutor
    from parsl.jobs.error_handlers import simple_error_handler

    from pestle.study.idle_jobs import IdleJobs

    for executor in config.executors if config.strategy != "none" else ():
        if (
            isinstance(executor, BlockProviderExecutor)
            and executor.provider is not None
            and executor.block_error_handler is simple_error_handler
        ):
            executor.block_error_handler = IdleJobs(executor.provider.max_blocks)


def has_parsl() -> bool:
    """Whether Parsl is installed."""
    return importlib.util.find_spec("parsl") is not None


def _require_parsl() -> None:
    if not has_parsl():
        raise PestleError("studies need Parsl", where="pestle study", fix=INSTALL)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM, which queues send before they kill, stops like Ctrl-C."""

    def stop(number: int, _frame: Any) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
