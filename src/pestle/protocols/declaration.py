"""The declaration of a protocol: its texts, its inputs, and the scopes that need it.

Each protocol's folder contains one in its `__init__.py`. Options and help texts of commands, the
verdict and the pages read it. `pestle --help` needs it, so that this file does not import torch,
pydantic or ASE. The calculation is in `protocol.py` (base.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pestle.settings.scope import Scope

if TYPE_CHECKING:
    from pestle.records.results import Making


@dataclass(frozen=True)
class Input:
    """A kind of structures that protocols receive.

    Attributes:
        name: parameter of `pestle.qualify` for the files.
        options: options of the command, such as `--data` and `-d`; none if the structures are part
            of other files.
        help: help text of the option.
        lacking: what is missing without these structures; empty if protocols can do without them.
        how: what to type to give them.
        otherwise: input that is used if this one is not given.
        asks: whether giving files requests the protocols that use them, even if no scope needs
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
        fitting: what to do instead, from how the run made the model; `None` if it is always the
            same.
    """

    words: str
    settings: tuple[str, ...] = ()
    with_replay: str = ""
    fitting: Callable[[Making], str] | None = None


#: What keeps a model where its data do not reach.
REPLAY = Remedy(
    "replay keeps what the foundation knew",
    settings=("method=pseudolabel",),
    with_replay="train again with more replay (replay.count, replay.ratio) or a lower train.lr",
)

#: Uses that rest on several protocols.
DISSOCIATION = "energies of dissociation"
SEARCH = "structure search"


@dataclass(frozen=True)
class Declaration:
    """The declaration of a protocol.

    Attributes:
        name: name of the protocol and of its folder.
        title: heading.
        question: question that the protocol answers.
        place: number that determines the order in which protocols are run and shown. It is low for
            protocols that are fast and find mistakes in the data.
        takes: structures that the protocol receives; `None` if it needs only the elements.
        scopes: scopes that need the protocol.
        reference: what to type to give the reference of an observable. With a reference, the
            observable counts in every scope. Empty for a protocol that is not an observable.
        where_possible: whether the protocol is run whenever its structures are given, because it
            costs almost nothing.
        headline: whether its worst finding has a column in comparisons of several runs.
        of_run: whether the run itself measured it, so that nothing is calculated later.
        uses: what a model may be used for, as noun phrases, as far as the findings of this protocol
            go. Several protocols may name the same use; `use_of` in verdict.py has the rule.
        basis: whether every use rests on this protocol, too. A model that fails it, or was not
            tested, may be used for nothing.
        remedy: what helps a model that has failed; `None` if nothing is known to help.
    """

    name: str
    title: str
    question: str
    place: int
    takes: Input | None = None
    scopes: tuple[Scope, ...] = ()
    reference: str = ""
    where_possible: bool = False
    headline: bool = False
    of_run: bool = False
    uses: tuple[str, ...] = ()
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
