"""What protocols measured, asked for by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pestle.reports.gathering.facts import facts_of
from pestle.reports.gathering.measured import measured
from pestle.reports.gathering.places import heading_of
from pestle.reports.reading import read_results

ABOUT = {
    "question": "?",
    "settings": {},
    "models": ["pestle-seed1", "mine"],
    "candidate": "mine",
    "baseline": "pestle-seed1",
    "labels": {},
    "elements": ["H"],
    "format": 1,
}
POTENTIALS = {
    "neb": {
        "mine": {"reactions": {"a.b": {"barrier_error": -0.2, "saddle": True, "band": None}}},
        "pestle-seed1": {"reactions": {"a.b": {"barrier_error": 0.7}}},
    },
    "rss": {
        "mine": {"pressures": [{"pressure": 0.1, "imploded": 3}, {"pressure": 50.0, "imploded": 7}]}
    },
    "torsion": {"mine": {"rmse": 1.5, "worst": "x"}},
    "atoms": {"mine": {"rmse": 2.0, "errors": {"Cl": -0.5}}},
}


@pytest.mark.parametrize(
    ("name", "value", "before", "unit"),
    [
        ("neb.reactions.a.b.barrier_error", -0.2, 0.7, "eV"),
        ("neb.reactions.a.b.saddle", 1.0, None, ""),
        ("rss.pressures.0.1.imploded", 3.0, None, ""),
        ("rss.pressures.50.imploded", 7.0, None, ""),
        ("torsion.rmse", 1.5, None, "kcal/mol"),
        ("atoms.rmse", 2.0, None, "meV"),
        ("atoms.errors.Cl", -0.5, None, "eV"),
    ],
)
def test_a_number_is_found_by_where_it_lies(
    tmp_path: Path, name: str, value: float, before: float | None, unit: str
) -> None:
    protocol = name.partition(".")[0]
    folder = tmp_path / "protocols" / protocol
    folder.mkdir(parents=True)
    content = {"protocol": protocol, **ABOUT, "potentials": POTENTIALS[protocol]}
    (folder / "metrics.json").write_text(json.dumps(content))
    facts = facts_of(read_results(tmp_path), "mine")
    found = measured(name, [facts])
    assert found is not None
    assert found.find(facts) == value
    assert found.of_foundation is not None
    assert found.of_foundation(facts) == before
    assert found.column.unit == unit


@pytest.mark.parametrize(
    ("place", "heading"),
    [
        ("reactions.neb_mp2.path.rmse_mev", "RMSE along the given path (neb_mp2)"),
        ("reactions.a.b.barrier_error", "error of the barrier (a.b)"),
        ("pressures.0.1.imploded", "imploded crystals at 0.1 GPa"),
        ("pressures.50.by_criterion.small_volume", "small volume by the model's medians at 50 GPa"),
        ("errors.Cl", "error (Cl)"),
        ("pairs.Cl-O.emd", "earth mover's distance (Cl-O)"),
        ("against_foundation.all.forces_rmse", "force RMSE against the foundation"),
        ("n_unstable", "unstable runs"),
        ("some_new_number", "some new number"),
    ],
)
def test_a_heading_is_words_and_keeps_names(place: str, heading: str) -> None:
    assert heading_of(place) == heading


@pytest.mark.parametrize(
    "name", ["torsion", "torsion.worst", "torsion.rmse.x", "torsion.barrier", "neb.x", "gibberish"]
)
def test_what_no_run_has_is_not_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "protocols" / "torsion"
    folder.mkdir(parents=True)
    content = {"protocol": "torsion", **ABOUT, "potentials": POTENTIALS["torsion"]}
    (folder / "metrics.json").write_text(json.dumps(content))
    assert measured(name, [facts_of(read_results(tmp_path), "mine")]) is None
