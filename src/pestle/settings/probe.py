"""Settings of the physical tests (`pestle probe`, `pestle qualify`).

The defaults are those of full tests, with the paper's numbers if it gives any. Each protocol has
smaller ones for a first look.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal, TypeVar

from pydantic import Field, create_model

from pestle.settings.base import Group, Paths, setting
from pestle.settings.run import walk

Settings = TypeVar("Settings", bound=Group)
#: Marks settings that name files.
_FILES = "files"
#: Files: paths or globs.
Files = Annotated[list[str], _FILES]
#: Protocol → its settings, in the order of this file.
_GROUPS: dict[str, type[Group]] = {}


def of_protocol(name: str) -> Callable[[type[Settings]], type[Settings]]:
    """Return a decorator: it makes a class the settings of a protocol (`--set NAME.FIELD=…`)."""

    def add(group: type[Settings]) -> type[Settings]:
        _GROUPS[name] = group
        return group

    return add


@of_protocol("errors")
class ErrorSettings(Group):
    """Errors on held-out sets."""


@of_protocol("forgetting")
class ForgettingSettings(Group):
    """Errors on the pretraining distribution."""

    count: int = setting(
        300,
        "Structures that are generated where no labelled ones are given: half of the data's "
        "elements, half of all that the models know.",
        ge=10,
    )
    max_force: float = setting(
        50.0,
        "Generated structures on which the foundation has a larger force on an atom are left out: "
        "it extrapolates there itself.",
        unit="eV/Å",
        source="as replay.max_force",
        gt=0,
    )


@of_protocol("atoms")
class AtomSettings(Group):
    """Energies of single atoms."""


@of_protocol("dimers")
class DimerSettings(Group):
    """Energy curves of two atoms, for every pair of elements."""

    shortest: float = setting(
        0.3, "Shortest distance, in sums of the covalent radii.", unit="r_cov", gt=0, lt=1
    )
    longest: float = setting(
        3.0, "Longest distance, in sums of the covalent radii.", unit="r_cov", gt=1
    )
    points: int = setting(
        100, "Distances of a curve: about 0.04 Å apart for two first-row atoms.", ge=20
    )


@of_protocol("rss")
class RssSettings(Group):
    """Random structure search: random crystals, relaxed and rattled in turn."""

    compositions: Paths = setting(
        list, "Formulas, NaCl or Na2ClO. Empty: drawn from the elements of the data."
    )
    n_compositions: int = setting(
        10, "Compositions of two or three species that are drawn.", source="A.5", ge=1
    )
    structures: int = setting(50, "Random crystals of each composition.", source="A.5", ge=1)
    max_atoms: int = setting(16, "Atoms in a cell at most (A.5 leaves it open).", ge=2)
    shortest: float = setting(
        0.5,
        "Shortest contact of a random crystal, as a share of an unstrained one.",
        source="PyXtal's own tolerance",
        gt=0,
        le=1,
    )
    pressures: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = setting(
        lambda: [0.1, 50.0],
        "Pressures at which the cells are relaxed.",
        unit="GPa",
        source="E.1, Fig. 16",
        min_length=1,
    )
    cycles: int = setting(
        3, "Times that a crystal is relaxed, rattled in between.", source="A.5", ge=1
    )
    rattle: float = setting(
        0.1, "Standard deviation of a rattled coordinate (A.5 leaves it open).", unit="Å", ge=0
    )
    fmax: float = setting(
        0.05,
        "Largest force, on an atom or the cell, at which a relaxation ends (A.5 leaves it open).",
        unit="eV/Å",
        gt=0,
    )
    max_steps: int = setting(300, "Steps of a relaxation at most (A.5 leaves it open).", ge=1)
    batch: int = setting(
        20_000,
        "Neighbours within 6 Å, expected at the start, of the crystals that are relaxed together: "
        "more are faster on a GPU and need more memory; a run that is stopped loses one batch.",
        ge=1,
    )
    overlap: float = setting(
        0.5,
        "Atoms nearer than this share of the sum of their covalent radii overlap.",
        source="A.5",
        gt=0,
    )
    volume: float = setting(
        0.3,
        "A volume per atom below this share of the median of its composition is anomalous.",
        source="A.5",
        gt=0,
    )
    energy_mads: float = setting(
        10.0,
        "An energy per atom this many median absolute deviations below the median is anomalous …",
        source="A.5",
        gt=0,
    )
    energy: float = setting(
        5.0, "… if it is this far below, too.", unit="eV/atom", source="A.5", gt=0
    )
    low_energy_volume: float = setting(
        0.5,
        "With an energy below the median a volume below this share of the median is anomalous.",
        source="A.5",
        gt=0,
    )
    loosest: float | None = setting(
        0.8,
        "A median volume counts as this many times that of a solid, guessed from radii, at most: "
        "at low pressure weakly bound crystals evaporate, and a dense one would look imploded. "
        "None: no limit, as in A.5.",
        source="diamond, boron and alkali oxides take 0.42 to 0.51 of the guess",
        gt=0,
    )


class DynamicsSettings(Group):
    """What every molecular dynamics run needs."""

    timestep: float | None = setting(
        None, "Time step. None: 0.5 fs with hydrogen, 1 fs without.", unit="fs", gt=0
    )
    friction: float = setting(
        0.01, "Friction of the Langevin thermostat: 100 fs of memory.", unit="1/fs", gt=0
    )
    every: float = setting(0.05, "Time between two frames that are kept.", unit="ps", gt=0)
    segment: float = setting(
        0.5,
        "Time after which the state is written; a run that is stopped loses no more.",
        unit="ps",
        gt=0,
    )


@of_protocol("md")
class MdSettings(DynamicsSettings):
    """Stability of molecular dynamics."""

    structures: int = setting(8, "Starting structures, evenly taken from the given ones.", ge=1)
    engine: Literal["auto", "ase", "torch-sim"] = setting(
        "auto", "auto: torch-sim for several structures on a network, else ASE."
    )
    ensemble: Literal["npt", "nvt"] = setting(
        "npt",
        "npt for periodic structures, whose cell keeps its shape; others run at constant volume.",
    )
    temperature: float = setting(300.0, "Temperature of the steady part.", unit="K", gt=0)
    pressure: float = setting(0.0, "Pressure of npt.", unit="GPa")
    time: float = setting(250.0, "Length of the steady part.", unit="ps", source="Table 1", ge=0)
    ramp_from: float = setting(
        50.0, "Temperature where the ramp begins.", unit="K", source="Table 1", gt=0
    )
    ramp_to: float = setting(800.0, "Temperature where it ends.", unit="K", source="Table 1", gt=0)
    ramp_time: float = setting(
        50.0, "Length of the ramp; 0: none.", unit="ps", source="Table 1", ge=0
    )
    ramp_ensemble: Literal["npt", "nvt"] = setting(
        "nvt", "Of the ramp. At constant pressure a sound model of ice boils before 800 K."
    )
    nve_time: float = setting(
        5.0,
        "Length of the tail at constant energy after the steady part; 0: none.",
        unit="ps",
        ge=0,
    )
    barostat: float = setting(
        1.0, "Time constant of the piston that sets the volume in npt.", unit="ps", gt=0
    )
    bond_stretch: float = setting(
        1.5,
        "A bond within a molecule is broken once it is longer than this times its first length in "
        "two frames one after the other.",
        gt=1,
    )
    overlap: float = setting(
        0.5,
        "Atoms nearer than this times the sum of their covalent radii overlap.",
        source="A.5",
        gt=0,
    )
    hot: float = setting(
        3.0,
        "Temperature of the atoms over that of the thermostat (or 300 K), averaged over the "
        "thermostat's memory, at which a run is lost.",
        gt=1,
    )
    volume_change: float = setting(
        0.5, "Relative change of the volume at which a run is lost.", gt=0
    )


@of_protocol("rdf")
class RdfSettings(DynamicsSettings):
    """Partial radial distribution functions."""

    trajectory: Files = setting(
        list,
        "Trajectory of the model, taken whole, instead of a run made here: files or globs, each a "
        "run. Other models are then left out.",
    )
    reference: Files = setting(
        list,
        "Reference: a trajectory, structures, or a table (.csv: r in Å and one column a pair, "
        "r,Cl-O,Na-O). Empty: the given structures stand in.",
    )
    pairs: Paths = setting(
        list,
        "Pairs, Cl-O. Empty: all pairs of the elements; pairs of rare atoms are then not judged.",
    )
    r_max: float = setting(6.0, "Largest distance; half the cell at most.", unit="Å", gt=0)
    bins: int = setting(120, "Bins up to r_max.", ge=10)
    structures: int = setting(1, "Starting structures, evenly taken from the given ones.", ge=1)
    seeds: int = setting(
        3,
        "Runs from each of them with noise of their own.",
        source="ours; Fig. 6 averages over three",
        ge=1,
    )
    temperature: float = setting(300.0, "Temperature.", unit="K", gt=0)
    time: float = setting(50.0, "Length of a run, after equilibration.", unit="ps", gt=0)
    equilibration: float = setting(5.0, "Time left out at the beginning.", unit="ps", ge=0)
    blocks: int = setting(
        5, "Blocks of a run, or of the frames of a reference, that the bootstrap draws.", ge=2
    )
    samples: int = setting(200, "Samples of the bootstrap.", ge=10)


@of_protocol("neb")
class NebSettings(Group):
    """Reaction paths."""

    images: int = setting(9, "Images of the band, both ends included.", ge=3)
    method: Literal["neb", "autoneb", "path"] = setting(
        "neb",
        "neb: climbing-image NEB, improved tangents. autoneb: ASE's AutoNEB, which adds images "
        "where they are needed. path: only the energies along the given images.",
        source="autoneb: paper 1, ref. 26",
    )
    fmax: float = setting(
        0.05,
        "Largest force at which relaxations of the ends and of the band end (the paper leaves it "
        "open).",
        unit="eV/Å",
        gt=0,
    )
    max_steps: int = setting(
        500,
        "Steps at most: of each end, and of the band, which may take half of them before its top "
        "climbs.",
        ge=1,
    )
    spring: float = setting(0.1, "Spring constant of the band.", unit="eV/Å²", gt=0)


@of_protocol("torsion")
class TorsionSettings(Group):
    """Relative energies along scans."""

    group: str | None = setting(
        None, "Key in atoms.info that tells scans apart. None: config_type."
    )
    angle: str | None = setting(
        None,
        "Key in atoms.info of the scanned coordinate. None: dihedral_angle if there, else the "
        "order.",
    )


class OfAll(Group):
    """What every protocol is given."""

    seed: int = setting(0, "Seed of whatever is random.", ge=0)


class ProbeSettings(
    create_model(  # type: ignore[misc]  # mypy cannot know the classes above as its fields
        "ProbeSettings",
        __base__=OfAll,
        **{name: (kind, setting(kind, kind.__doc__ or "")) for name, kind in _GROUPS.items()},
    )
):
    """Physical tests of a model (`pestle probe`): `seed`, and a group for each protocol."""

    def of(self, protocol: str) -> Group:
        """Return the settings of one protocol."""
        found: Group = getattr(self, protocol)
        return found


@cache
def names_of_files() -> frozenset[str]:
    """Return the dotted names of the settings that name files."""
    return frozenset(name for name, info in walk(ProbeSettings) if _FILES in info.metadata)
