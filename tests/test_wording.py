"""One rule for numbers and nouns in sentences."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from pestle.checks import check_frames
from pestle.jobs.finetune.data_lines import read_lines
from pestle.structures.frame import Frame
from pestle.wording import counted, figure, with_unit


def test_figures_have_no_exponents_of_programs_and_a_true_minus() -> None:
    assert figure(3310.0) == "3,310" and figure(1234.5, 4) == "1,234"
    assert figure(-0.25, 2) == "−0.25" and figure(2.0, 2) == "2"
    assert "10⁷" in figure(2.5e7) and "e+" not in figure(2.5e7)
    assert figure(None) == figure(float("nan")) == "—"


def test_one_is_singular() -> None:
    assert counted(1, "epoch") == "1 epoch" and counted(1.5, "epoch") == "1.5 epochs"
    assert counted(12000, "update") == "12,000 updates"


def test_one_frame_of_one_atom_is_no_plural() -> None:
    alone = Frame(Atoms("H"), energy=-13.6, forces=np.zeros((1, 3)), config_type="x")
    (line,) = read_lines({"train": [alone]})
    assert "1 frame of 1 atom;" in line
    (counts,) = check_frames({"train": [alone]}).lines()
    assert counts.startswith("1 train frame; ")


def test_a_share_is_told_in_per_cent_and_a_ratio_is_not() -> None:
    assert with_unit(0.028, "of the structures", "0.0280") == "2.8 % of the structures"
    assert with_unit(1.5, "of the foundation's", "1.5") == "1.5 of the foundation's"
    assert with_unit(0.05, "eV", "0.05") == "0.05 eV"
