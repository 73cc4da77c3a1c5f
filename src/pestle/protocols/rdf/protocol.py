"""Protocol `rdf`: partial radial distribution functions against a reference (paper 3.4, Fig. 6).

The functions of the candidate come from runs at constant volume that are made here, or from a given
trajectory. Those of the reference come from a trajectory, structures or a table. Without a
reference, the given structures are used instead, and every sentence and plot says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.runs import run_dynamics
from pestle.protocols.dynamics.starts import default_timestep, starting_structures
from pestle.protocols.dynamics.trajectory import Trajectory
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.rdf import DECLARATION
from pestle.protocols.rdf.numbers import (
    ComparedFunction,
    Function,
    PotentialNumbers,
    RdfNumbers,
    ReferenceNumbers,
)
from pestle.protocols.rdf.radial import (
    Distance,
    Histogram,
    Pair,
    distance,
    first_peak,
    half_height,
    histogram,
    joined,
    pair_name,
)
from pestle.protocols.rdf.reference import (
    largest_distance,
    most_pairs,
    of_compositions,
    pairs_compared,
    read_reference,
    read_runs,
)
from pestle.protocols.rdf.shown import assess, charts, tables
from pestle.settings.probe import RdfSettings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.wording import counted, figure, listed

#: A pair of elements with fewer pairs of atoms in a cell is judged only if `rdf.pairs` names it.
#: Two ions in a box of water keep their distance for longer than most runs last, and the blocks of
#: a run do not show this.
RARE = 50
#: Name of the runs in the raw folder.
NAME = "nvt"


@dataclass(frozen=True)
class Source:
    """The frames from which the functions of a potential are calculated.

    Attributes:
        runs: frames of each run before it became unstable; a run may have none.
        text: description of the frames.
        unstable: a sentence for each run that became unstable.
    """

    runs: list[list[Frame]]
    text: str
    unstable: list[str]

    @property
    def frames(self) -> list[Frame]:
        """The frames of all runs."""
        return [frame for run in self.runs for frame in run]


def calculate(potential: Potential, inputs: Inputs, settings: RdfSettings, raw: RawFolder) -> None:
    """Run dynamics with this potential, unless a trajectory of the candidate is given.

    Args:
        potential: the potential.
        inputs: give structures and seed.
        settings: settings of the protocol.
        raw: folder for the trajectories.

    Raises:
        PestleError: there is no periodic structure, or settings and reference do not fit.
    """
    if settings.trajectory:
        frames = [f for run in read_runs(settings.trajectory, "rdf.trajectory") for f in run]
        _check(inputs, settings, frames)
        raw.finish()
        return
    starts = _starts(inputs, settings)
    _check(inputs, settings, starts)
    kelvin = settings.temperature
    legs = [
        Leg("equilibration", settings.equilibration, "nvt", kelvin),
        Leg("run", settings.time, "nvt", kelvin),
    ]
    clock = Clockwork(
        timestep=settings.timestep or default_timestep(starts),
        friction=settings.friction,
        every=settings.every,
        segment=settings.segment,
    )
    run_dynamics(
        potential,
        [frame for frame in starts for _ in range(settings.seeds)],
        legs,
        clock,
        raw,
        name=NAME,
        seed=inputs.seed,
        title=f"molecular dynamics of {potential.name}",
    )
    raw.finish()


def _starts(inputs: Inputs, settings: RdfSettings) -> list[Frame]:
    """Return the periodic structures that the runs start from.

    Raises:
        PestleError: there is none.
    """
    frames, _ = split_isolated_atoms(inputs.frames)
    periodic = [frame for frame in frames if frame.is_periodic]
    if not periodic:
        for frame in frames:
            half_height(frame)  # its error says why the structure cannot be used
    fix = "Give one with --data FILES, or a trajectory with --set rdf.trajectory=FILES."
    return starting_structures(periodic, settings.structures, "rdf", fix)


def _check(inputs: Inputs, settings: RdfSettings, frames: Sequence[Frame]) -> None:
    """Raise the errors of settings and reference that `analyse` would raise, before any run."""
    reference = of_compositions(read_reference(settings.reference, inputs), frames)
    pairs_compared(settings.pairs, {"the run": frames}, reference)
    largest_distance(settings.r_max, frames, reference)


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: RdfSettings) -> RdfNumbers:
    """Calculate functions, their errors and their distances to the reference.

    Args:
        raws: name of the potential → its trajectories.
        inputs: give structures, candidate and seed.
        settings: settings of the protocol.
    """
    sources, notices = _sources(raws, inputs, settings)
    there = {name: source.frames for name, source in sources.items() if source.frames}
    every_frame = [frame for frames in there.values() for frame in frames]
    started = every_frame or _starts(inputs, settings)
    reference = of_compositions(read_reference(settings.reference, inputs), started)
    pairs = pairs_compared(settings.pairs, there or {"the run": started}, reference)
    r_max, cut = largest_distance(settings.r_max, started, reference)
    edges = np.linspace(0.0, r_max, settings.bins + 1)

    def functions(runs: Sequence[Sequence[Frame]], stream: int) -> Functions:
        counts = joined([histogram(run, pairs, edges, settings.blocks) for run in runs if run])
        rng = np.random.default_rng([inputs.seed, stream])
        return Functions.of(counts, counts.resampled(settings.samples, rng))

    theirs = (
        Functions.of_table(reference.table, pairs, edges)
        if reference.table
        else functions(reference.runs, 0)
    )
    potentials = {}
    for name, source in sources.items():
        found = {}
        if source.frames:
            mine = functions(source.runs, 1)
            for k, pair in enumerate(pairs):
                judged = bool(settings.pairs) or most_pairs(source.frames, pair) >= RARE
                apart = mine.distance(theirs, k)
                found[pair_name(pair)] = ComparedFunction(
                    **mine.shown(k).model_dump(),
                    emd=apart.value,
                    emd_error=apart.error,
                    emd_interval=apart.interval,
                    emd_noise=apart.noise,
                    judged=judged,
                )
        potentials[name] = PotentialNumbers(
            source=source.text,
            n_frames=len(source.frames),
            n_runs=len(source.runs),
            unstable=source.unstable,
            pairs=found,
        )
        if source.unstable:
            lost = f"{len(source.unstable)} of {counted(len(source.runs), 'run')} of {name}"
            notices.append(f"{lost} became unstable: {'; '.join(source.unstable)}")
    return RdfNumbers(
        pairs=[pair_name(pair) for pair in pairs],
        r_max=r_max,
        notices=[*notices, *([cut] if cut else [])],
        reference=ReferenceNumbers(
            text=reference.text,
            stands_in=reference.stands_in,
            pairs={pair_name(pair): theirs.shown(k) for k, pair in enumerate(pairs)},
        ),
        potentials=potentials,
    )


@dataclass(frozen=True)
class Functions:
    """g(r) of all pairs, with bootstrap samples.

    Attributes:
        r: [n] Å.
        g: [n_pairs, n], no unit.
        samples: [samples, n_pairs, n] bootstrap samples of `g`; `None` if there are none.
        coordination: [n_pairs, n] number of neighbours; `None` for a table.
    """

    r: np.ndarray
    g: np.ndarray
    samples: np.ndarray | None
    coordination: np.ndarray | None

    @classmethod
    def of(cls, counts: Histogram, samples: np.ndarray | None) -> Functions:
        """Make functions from counts.

        Args:
            counts: numbers of pairs.
            samples: [samples, n_pairs, n] bootstrap samples of g; `None` if there are none.
        """
        return cls(counts.r, counts.g(), samples, counts.coordination())

    @classmethod
    def of_table(
        cls,
        table: Mapping[Pair, tuple[np.ndarray, np.ndarray]],
        pairs: Sequence[Pair],
        edges: np.ndarray,
    ) -> Functions:
        """Interpolate a table at the centres of the bins.

        Args:
            table: pair → (r [n_rows] in Å, g [n_rows]).
            pairs: the pairs of elements.
            edges: [n + 1] edges of the bins, Å.
        """
        r = (edges[1:] + edges[:-1]) / 2
        named = [table[pair] if pair in table else table[pair[::-1]] for pair in pairs]
        return cls(r, np.array([np.interp(r, *columns) for columns in named]), None, None)

    def drawn(self, k: int) -> np.ndarray | None:
        """Return the samples of pair k, [samples, n]; `None` if there are none."""
        return None if self.samples is None else self.samples[:, k]

    def shown(self, k: int) -> Function:
        """Return the function of pair k, as stored in metrics.json."""
        drawn = self.drawn(k)
        return Function(
            r=self.r.tolist(),
            g=self.g[k].tolist(),
            error=None if drawn is None else np.nanstd(drawn, axis=0, ddof=1).tolist(),
            coordination=None if self.coordination is None else self.coordination[k].tolist(),
            first_peak=first_peak(self.r, self.g[k]),
        )

    def distance(self, other: Functions, k: int) -> Distance:
        """Return the distance of pair k to the same pair of another source."""
        return distance(self.r, self.g[k], other.g[k], self.drawn(k), other.drawn(k))


def _sources(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: RdfSettings
) -> tuple[dict[str, Source], list[str]]:
    """Return name of the potential → its frames, and sentences that readers must know."""
    if not settings.trajectory:
        return {name: _made_here(raw, settings) for name, raw in raws.items()}, []
    runs = read_runs(settings.trajectory, "rdf.trajectory")
    named = listed(list(dict.fromkeys(Path(run[0].source).name for run in runs)))
    text = f"{counted(sum(map(len, runs)), 'frame')} of {named}"
    candidate = inputs.candidate or next(iter(raws))
    others = [name for name in raws if name != candidate]
    notices = [f"The trajectory is that of {candidate}"] if others else []
    if others:
        notices[0] += f"; {listed(others)} made no run and {'is' if len(others) == 1 else 'are'} "
        notices[0] += "left out"
    return {candidate: Source(runs, text, [])}, notices


def _made_here(raw: RawFolder, settings: RdfSettings) -> Source:
    """Return the frames after equilibration, without the last frame of an unstable run."""
    runs, unstable = [], []
    for number, run in enumerate(Trajectory(raw, NAME).runs()):
        kept = np.flatnonzero(run.within("run"))
        if run.stopped is not None:
            kept = kept[kept < len(run) - 1]
            at = f"run {number + 1} at {figure(run.stopped.time)} ps"
            unstable.append(f"{at}, {run.stopped.reason}")
        label = f"run {number + 1}"
        runs.append([Frame(run.atoms(int(k)), source=label, index=int(k)) for k in kept])
    length = f"{settings.time:g} ps at constant volume and {settings.temperature:g} K"
    return Source(runs, f"{counted(len(runs), 'run')} of {length}", unstable)


def _extent(_inputs: Inputs, settings: RdfSettings) -> str:
    if settings.trajectory:
        return "the given trajectory"
    runs = f"{counted(settings.structures, 'structure')} × {counted(settings.seeds, 'seed')}"
    return f"{runs} × {settings.time:g} ps at {settings.temperature:g} K"


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=RdfSettings,
    numbers=RdfNumbers,
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=_extent,
    # The raw results depend on no structures if a trajectory is given.
    structures=lambda inputs, settings: [] if settings.trajectory else _starts(inputs, settings),
    quick={"seeds": 1, "time": 0.5, "equilibration": 0.1, "every": 0.01, "segment": 0.1},
    version=2,  # as md
    analysis_settings=("reference", "pairs", "r_max", "bins", "blocks", "samples"),
    has_reference=lambda _sets, settings: bool(settings.reference),
    asked_by=lambda settings: bool(settings.reference or settings.trajectory),
    given_by=lambda settings: bool(settings.trajectory),
)
