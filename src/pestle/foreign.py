"""Warnings and log lines of other packages, which go to the log of a run and not to the screen.

torch, ASE, e3nn, cuequivariance and others warn about their versions, deprecated functions and
missing extras. A user of Pestle can do nothing about these. In a command such lines go to the log
file of the run, if there is one, and to the screen with `--verbose`. In Python, callers decide with
`warnings` and `logging`, as with any package.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from pestle.progress import detail

#: Whether lines of other packages are kept off the screen.
_off = False


class _Logger(logging.Logger):
    """Logger of another package. Many have their own handler for standard error, which is left out
    here. Files of theirs, like Parsl's log, are written."""

    def callHandlers(self, record: logging.LogRecord) -> None:
        if not _off:
            super().callHandlers(record)
            return
        _take(record)
        logger: logging.Logger | None = self
        while logger is not None:
            for handler in logger.handlers:
                if isinstance(handler, logging.FileHandler) and record.levelno >= handler.level:
                    handler.handle(record)
            logger = logger.parent if logger.propagate else None


class _Rest(logging.Handler):
    """Handler for loggers that were made before `_Logger` was set."""

    def emit(self, record: logging.LogRecord) -> None:
        _take(record)


def _take(record: logging.LogRecord) -> None:
    if record.levelno >= logging.INFO:
        detail(f"{record.name}: {record.getMessage()}")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning to the log; takes the place of `warnings.showwarning`."""
    text = " ".join(str(message).split())
    detail(f"{category.__name__} of {filename}, line {lineno}: {text}")


@contextmanager
def off_screen() -> Iterator[None]:
    """Keep lines of other packages off the screen until the block ends."""
    global _off
    root, rest = logging.getLogger(), _Rest()
    before: tuple[Any, Any] = logging.getLoggerClass(), warnings.showwarning
    _off = True
    logging.setLoggerClass(_Logger)
    warnings.showwarning = _show_warning
    root.addHandler(rest)
    try:
        yield
    finally:
        _off = False
        logging.setLoggerClass(before[0])
        warnings.showwarning = before[1]
        root.removeHandler(rest)
