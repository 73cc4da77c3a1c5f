"""Settings of the data of a run, its own and those of a run that it continues."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pestle.settings.base import Group, Paths, setting


class DataSettings(Group):
    """Where the labelled structures are and how their labels are called."""

    train: Paths = setting(
        list, "Training files: paths or globs; extended XYZ, ASE databases, anything ASE reads."
    )
    valid: Paths = setting(
        list, "Validation files. Empty: a seeded fraction of the training frames."
    )
    test: Paths = setting(list, "Test files: never seen by training, reported by config_type.")
    valid_fraction: float = setting(
        0.1,
        "Fraction of the training frames held out where no validation file is given; isolated "
        "atoms always stay in training. 0: none; the last model is kept, and nothing ends the run early.",
        ge=0,
        lt=1,
    )
    split_seed: int = setting(
        0,
        "Seed of that fraction, apart from train.seed, so that runs of several seeds are judged on the same "
        "frames.",
        ge=0,
    )
    train_fraction: float | None = setting(
        None,
        "Fraction of the training frames that is used, drawn at random after the validation frames were held out; "
        "isolated atoms always stay. Smaller fractions lie in larger ones. None: all.",
        gt=0,
        le=1,
    )
    train_count: int | None = setting(
        None,
        "The same as a number of frames. Not with data.train_fraction. None: all.",
        ge=1,
    )
    subset_seed: int = setting(
        0,
        "Seed of that draw, apart from train.seed and data.split_seed.",
        ge=0,
    )
    select: Annotated[list[str], Field()] = setting(
        list,
        "Frames to use, KEY=VALUE or KEY=VALUE,VALUE each, where the files hold several levels of theory, charges or "
        "spins: head=pbe. Keys are head, config_type, charge, spin and the entries of the comment lines. all: every "
        "frame is of one surface, whatever the files say. Empty: every frame; frames of several surfaces stop the run.",
    )
    energy_key: str | None = setting(
        None,
        "Key of the total energy. None: REF_energy, else free_energy or energy of ASE's calculator.",
        unit="eV",
    )
    forces_key: str | None = setting(
        None,
        "Key of the forces. None: the column REF_forces, else ASE's calculator.",
        unit="eV/Å",
    )
    stress_key: str | None = setting(
        None,
        "Key of the stress (3×3, 9 or 6 numbers, ASE's sign). None: REF_stress, else ASE's calculator.",
        unit="eV/Å³",
    )
    virials_key: str | None = setting(
        None,
        "Key of the virials, turned into a stress by −virials/volume. None: REF_virials.",
        unit="eV",
    )
    dispersion: Literal["included", "none", "unknown"] = setting(
        "unknown",
        "Whether the energies of the files hold dispersion (D3, D4, VV10, a van der Waals functional). Kept in the model "
        "card, so that nobody adds a D3 correction twice or forgets it.",
    )
    subtract_dispersion: str | None = setting(
        None,
        "Functional whose two-body D3 correction is taken from energies, forces and stress of all files before training: "
        "pbe (damping bj), pbe-d3(zero). Needs the extra 'dispersion'. None: labels stay as they are.",
        source="doi:10.1063/1.3382344, doi:10.1002/jcc.21759",
    )
    isolated_atom_repeats: int | None = setting(
        None,
        "How many times each IsolatedAtom frame enters an epoch as a training point. None: 10 where the model's "
        "weights move its single-atom energies, else 0.",
        source="paper 3.2.2, Table 3",
        ge=0,
    )
    isolated_atom_weight: float = setting(
        1.0,
        "Weight of those training points in the loss.",
        source="paper, appendix B (1000 with mse)",
        gt=0,
    )

    @property
    def dispersion_left(self) -> str:
        """Whether the energies of the training contain dispersion."""
        return "none" if self.subtract_dispersion is not None else self.dispersion

    @property
    def takes_subset(self) -> bool:
        """Whether the run trains on a part of the training frames."""
        return self.train_fraction is not None or self.train_count is not None

    @property
    def no_validation(self) -> bool:
        """Whether the user asked for a run without validation frames."""
        return not self.valid and self.valid_fraction == 0


class ParentSettings(Group):
    """A run that is continued: its training frames are trained on again, its other sets judged again."""

    run: str | None = setting(
        None,
        "Run folder to continue (--continue RUN): training starts from its model, on its training frames and those of "
        "data.train; what it was asked for is the default of this run. None: only data.train.",
    )
    weight: float | None = setting(
        None,
        "Weight of each of its frames in the loss, where a new one has 1 (its own config_weight comes on top). None: "
        "new frames over old ones, from 0.1 to 1, so that many old frames, which the model knows already, do not drown "
        "few new ones.",
        gt=0,
    )
