"""What a protocol says of itself before anything of it is loaded: its words, what it is given, and
what needs it.

Every protocol's folder holds one in its `__init__.py`. Options and help texts of commands, the
verdict and the pages ask it; `pestle --help` waits for it, so that nothing here imports torch,
pydantic or ASE. What a protocol does is in its `protocol.py`, by base.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What a model is meant for: configurations like those of its data, or also others.
Scope = Literal["narrow", "broad"]


@dataclass(frozen=True)
class Input:
    """Structures that protocols are given.

    Attributes:
        name: parameter of `pestle.qualify` that takes the files.
        options: as typed, `--data` and `-d`; none where the structures are part of other files.
        help: of the option.
        lacking: what is missing without them; empty where a protocol can do without.
        how: what to type then.
        otherwise: input that is taken where this one is not given.
        asks: whether giving files asks for the protocols that take them, also where no scope needs
            them.
    """

    name: str
    options: tuple[str, ...] = ()
    help: str = ""
    lacking: str = ""
    how: str = ""
    otherwise: Input | None = None
    asks: bool = False


@dataclass(frozen=True)
class Remedy:
    """What helps a model that has failed a protocol.

    Attributes:
        words: what to do, as an imperative clause.
        settings: NAME=VALUE of a run that would do it; none where no setting is enough.
        with_replay: what to do instead where the run replays the foundation's data already.
    """

    words: str
    settings: tuple[str, ...] = ()
    with_replay: str = ""


#: What keeps a model where its data do not reach.
REPLAY = Remedy(
    "replay keeps what the foundation knew",
    settings=("method=pseudolabel",),
    with_replay="train again with more replay (replay.count, replay.ratio) or a lower train.lr",
)


@dataclass(frozen=True)
class Declaration:
    """What a protocol is.

    Attributes:
        name: as typed; that of its folder.
        title: as a heading.
        question: that it answers.
        place: among the others, in the order in which they are run and shown: low for what is
            quick and finds mistakes in data.
        takes: structures that it is given; `None` where the elements are enough.
        scopes: that need it.
        reference: what to type to give the reference of an observable, which counts in every scope
            where the user gives one; empty for a protocol that is no observable.
        replaced_in: scopes in which observables with a reference stand in for it.
        where_possible: whether it is run wherever its structures are there, because it costs next
            to nothing.
        headline: whether its worst finding has a column where several runs are compared.
        of_run: whether the run itself measured it, so that nothing is calculated afterwards.
        use: what a model that passes may be used for, and one that fails may not, as a noun phrase;
            empty where the protocol is about no use of its own.
        basis: whether a model that fails, or was not tested, may be used for nothing.
        remedy: what helps a model that has failed; `None` where nothing is known to.
    """

    name: str
    title: str
    question: str
    place: int
    takes: Input | None = None
    scopes: tuple[Scope, ...] = ()
    reference: str = ""
    replaced_in: tuple[Scope, ...] = ()
    where_possible: bool = False
    headline: bool = False
    of_run: bool = False
    use: str = ""
    basis: bool = False
    remedy: Remedy | None = None


#: Inputs that several protocols take.
HELD_OUT = Input(
    name="data",
    options=("--data", "-d"),
    help="Held-out labelled frames; by default those of the run.",
    lacking="no held-out frames were given",
    how="--data FILES",
)
STRUCTURES = Input(
    name="structures",
    options=("--structures",),
    help="What dynamics starts from; by default the held-out frames.",
    lacking="there is no structure to start from",
    how="--structures FILES",
    otherwise=HELD_OUT,
)
ISOLATED_ATOMS = Input(
    name="isolated atoms",
    lacking="the data hold no labelled isolated atoms",
    how="--data with IsolatedAtom frames",
)
