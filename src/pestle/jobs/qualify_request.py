"""The request for a qualification.

Options of the command and parameters of `pestle.qualify` are made from it and from the inputs that
protocols declare. The command line needs this module at its start, so it imports nothing slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any

from pestle.files import each_of
from pestle.protocols import inputs


@dataclass(frozen=True)
class Request:
    """A request for a qualification.

    Attributes:
        model: the candidate: run folder, model folder, file, catalogue name, or
            `calculator:MODULE:NAME`.
        against: its foundation; by default that of the run.
        scope: narrow or broad; by default that of the run.
        also: further models to compare with.
        files: input of protocols → its files, `FILES` or `NAME=FILES`. In `pestle.qualify` and on
            the command line each input is an option of its own.
        elements: chemical symbols instead of those of the data.
        run_too, leave_out: protocols to add to those of the scope, or to leave out.
        full: use the full settings instead of those of a first look.
        head: head of the candidate; by default the only one, or Default.
        trust: allow `.model` files.
        dtype: precision of the networks: float32 or float64.
        device: device for predictions: auto, cpu, cuda or cuda:N.
        settings: dotted name → value of `ProbeSettings`.
        thresholds: file that changes thresholds.
        out: folder to write; by default the run folder, or `qualify-NAME` beside the model.
        command: command line, for the report.
    """

    model: str
    against: str | None = None
    scope: str | None = None
    also: Sequence[str] = ()
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    elements: Sequence[str] = ()
    run_too: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    full: bool = False
    head: str | None = None
    trust: bool = False
    dtype: str = "float64"
    device: str = "auto"
    settings: Mapping[str, Any] | None = None
    thresholds: str | Path | None = None
    out: str | Path | None = None
    command: str = ""

    @classmethod
    def of(cls, model: str | Path, options: Mapping[str, Any]) -> Request:
        """Make a request from options; each input of protocols is one of them.

        Args:
            model: the candidate.
            options: name → value.

        Raises:
            TypeError: there is no such option.
        """
        typed = REQUEST.bind(model, **options).arguments
        files = {taken.name: typed.pop(taken.name, ()) for taken in inputs()}
        several = {name: each_of(typed[name]) for name in SEVERAL if name in typed}
        files = {name: each_of(given) for name, given in files.items() if given}
        return cls(**{**typed, **several, "model": str(model)}, files=files)


#: Fields that are several; one may be given without a list.
SEVERAL = ("also", "elements", "run_too", "leave_out")


def _request() -> Signature:
    """Return the signature of `pestle.qualify`: the fields, with one parameter per input instead of
    `files`.
    """
    parameters: list[Parameter] = []
    for parameter in signature(Request).parameters.values():
        if parameter.name == "model":
            parameters.append(parameter)
        elif parameter.name == "files":
            one = parameter.replace(kind=Parameter.KEYWORD_ONLY, default=(), annotation="OneOrMore")
            parameters += [one.replace(name=taken.name) for taken in inputs()]
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
    return Signature(parameters, return_annotation="dict[str, Any]")


#: Signature of `pestle.qualify`.
REQUEST = _request()
