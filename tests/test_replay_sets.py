"""Replay sets: the same frames as mace-torch, every structure accounted for, no label invented."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read

import pestle
from pestle.adaptation.replay import data_elements, make_replay_set, pools
from pestle.adaptation.replay.composition import element_set, structures_by_element
from pestle.adaptation.replay.descriptors import ElementAverages, element_averages
from pestle.adaptation.replay.filters import FILTERS, count_matching, matching
from pestle.adaptation.replay.selection import (
    SELECTIONS,
    Selector,
    at_random,
    element_balanced,
    farthest_points,
)
from pestle.cli import main
from pestle.errors import PestleError
from pestle.foundations import replay_catalogue
from pestle.foundations.mace import replay_sets
from pestle.foundations.prediction import predict_frames
from pestle.settings.adaptation import ReplaySettings
from pestle.structures import generation
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames
from web import Page, serve

H, C, F, NA, CL, FE, U = 1, 6, 9, 11, 17, 26, 92


def random_frames(count: int, seed: int, elements=(H, C, F, NA, CL, FE)) -> list[Frame]:
    """Loose clusters of random composition, unlabelled."""
    generator = np.random.default_rng(seed)
    found = []
    for k in range(count):
        kinds = generator.choice(
            elements, generator.integers(1, min(5, len(elements) + 1)), replace=False
        )
        numbers = generator.choice(kinds, 6)
        grid = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(-1, 3)[:6]
        positions = 2.2 * grid + generator.normal(scale=0.15, size=(6, 3))
        found.append(Frame(Atoms(numbers, positions), index=k))
    return found


def crystals() -> list[Frame]:
    """Unlabelled crystals and molecules of a few elements."""
    made = [bulk(s, cubic=False) for s in ("Fe", "Na", "C", "Cu", "Al")]
    made += [bulk("NaCl", "rocksalt", a=5.6), bulk("LiF", "rocksalt", a=4.0)]
    made += [molecule(name) for name in ("CH4", "CH3Cl", "C2H6", "HCl", "CF4", "F2", "H2O")]
    return [Frame(atoms, index=k) for k, atoms in enumerate(made)]


def labelled(frames: list[Frame], foundation) -> list[Frame]:
    """The frames with the foundation's own labels."""
    said = predict_frames(foundation, frames)
    return [
        replace(f, energy=p.energy, forces=p.forces, stress=p.stress)
        for f, p in zip(frames, said, strict=True)
    ]


@pytest.fixture
def pool_file(tmp_path):
    """Writes frames to a file and gives its name."""

    def write(frames: list[Frame], name: str = "pool.xyz") -> str:
        write_frames(tmp_path / name, frames)
        return str(tmp_path / name)

    return write


@pytest.fixture
def generator_calls(monkeypatch):
    """Replaces the generator by one that makes pairs of its first element; records the calls."""
    calls: list[tuple[tuple[int, ...], int, int]] = []

    def generate(elements, count, seed, *, on_progress=None):
        calls.append((tuple(elements), count, seed))
        distances = np.random.default_rng(seed).uniform(1.5, 3.0, count)
        pairs = [Atoms([elements[0]] * 2, [[0, 0, 0], [0, 0, d]]) for d in distances]
        return [Frame(atoms, source="generated", index=k) for k, atoms in enumerate(pairs)]

    monkeypatch.setattr(generation, "generate", generate)
    return calls


def test_names_are_those_of_the_settings():
    fields = ReplaySettings.model_fields
    assert set(get_args(fields["select"].annotation)) == set(SELECTIONS)
    named = [a for a in get_args(fields["filter"].annotation) if get_args(a)]
    assert set(get_args(named[0])) == set(FILTERS)


# -- filters --------------------------------------------------------------------------------------
@pytest.mark.parametrize("wanted", [(H, C, F, CL), (NA, CL), (FE,), (H, C, F, NA, CL, FE)])
def test_filters_select_the_frames_that_mace_selects(wanted):
    from mace.cli.fine_tuning_select import FilteringType, _filter_pretraining_data

    frames = [*random_frames(300, seed=4), *crystals()]
    symbols = [str(Atoms([z]).symbols) for z in wanted]
    counts = count_matching(frames, wanted)
    for name in FILTERS:
        official = FilteringType("combinations" if name == "element" else name)
        _, _, passes = _filter_pretraining_data([f.atoms for f in frames], official, symbols)
        expected = [f for f, kept in zip(frames, passes, strict=True) if kept]
        assert [id(f) for f in matching(frames, wanted, name)] == [id(f) for f in expected]
        if name != "combinations":
            assert counts[name] == len(expected)
    assert counts["element"] > 0 and counts["exclusive"] <= counts["inclusive"]


@pytest.mark.parametrize(
    ("asked", "scope", "kept", "used"),
    [
        (None, "broad", "all", "none"),
        (None, "broad", "data", "element"),
        (None, "narrow", "all", "element"),
        (None, None, "all", "element"),
        ("none", "narrow", "all", "none"),
        ("inclusive", "broad", "all", "inclusive"),
    ],
)
def test_the_filter_follows_what_the_model_is_for(asked, scope, kept, used, pool_file):
    file = pool_file(crystals())
    made = make_replay_set(
        ReplaySettings(pool=[file], filter=asked),
        data_elements=[H, C],
        foundation=None,
        scope=scope,
        elements_kept=kept,
    )
    assert made.matching.filter == used
    names = {f.atoms.get_chemical_formula() for f in made.frames}
    everything = {f.atoms.get_chemical_formula() for f in crystals()}
    within = {"CH4", "C2H6", "C2"}
    with_both = {"CH4", "C2H6", "CH3Cl"}
    assert names == {"none": everything, "element": within, "inclusive": with_both}[used]


def test_an_isolated_atom_does_not_add_its_element(demo_train):
    oxygen = Frame(Atoms("O"), config_type="IsolatedAtom")
    assert data_elements([*demo_train, oxygen]) == data_elements(demo_train)
    assert 8 not in data_elements([*demo_train, oxygen])
    assert data_elements([oxygen]) == (8,)


# -- what is left out, and counted ----------------------------------------------------------------
def test_every_structure_is_accounted_for(seed0, pool_file):
    broken = Frame(Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]))
    alien = [
        Frame(bulk("U", "bcc", a=3.5)),
        Frame(bulk("W")),
        Frame(bulk("WU", "cesiumchloride", a=3.3)),
    ]
    atom = Frame(Atoms("H"), energy=-1.0, config_type="IsolatedAtom")
    file = pool_file([*crystals(), broken, *alien, atom])
    made = make_replay_set(
        ReplaySettings(pool=[file], filter="none"), data_elements=[H, C], foundation=seed0
    )
    (pool,) = made.pools
    assert (pool.read, pool.isolated, pool.broken, pool.unknown) == (len(crystals()) + 5, 1, 1, 3)
    assert pool.unknown_by_element == {"W": 2, "U": 2}
    assert len(pool.matched) == len(pool.selected) == len(made.frames) == len(crystals())
    note = made.notes[0]
    assert "W 2, U 2" in note and "1 isolated" in note and f"{len(crystals())} match" in note
    assert set(elements_of_all(made.frames)) <= set(seed0.elements)


def elements_of_all(frames):
    return frozenset().union(*(element_set(f) for f in frames))


def test_a_model_cut_to_the_data_replays_nothing_else(seed0, pool_file):
    made = make_replay_set(
        ReplaySettings(pool=[pool_file(crystals())], filter="none"),
        data_elements=[H, C],
        foundation=seed0,
        elements_kept="data",
    )
    assert elements_of_all(made.frames) == {H, C}
    assert made.pools[0].unknown == len(crystals()) - 3


def test_a_missing_label_stays_missing(pool_file):
    frames = crystals()
    frames[0] = replace(frames[0], energy=-8.0)
    frames[1] = replace(frames[1], forces=np.zeros((len(frames[1]), 3)))
    frames[2] = replace(frames[2], stress=np.eye(3) * 0.01)
    file = pool_file(frames)
    settings = ReplaySettings(pool=[file], filter="none")
    made = make_replay_set(settings, data_elements=[], foundation=None)
    assert [f.energy is not None for f in made.frames[:4]] == [True, False, False, False]
    assert [f.forces is not None for f in made.frames[:4]] == [False, True, False, False]
    assert [f.stress is not None for f in made.frames[:4]] == [False, False, True, False]
    graph = make_graph(made.frames[3], 4.0)
    weights = graph.energy_weight, graph.forces_weight, graph.stress_weight
    assert [float(w.sum()) for w in weights] == [0.0, 0.0, 0.0]

    needed = make_replay_set(settings, data_elements=[], foundation=None, need_labels=True)
    assert len(needed.frames) == 3
    assert needed.pools[0].unlabelled == len(frames) - 3
    assert f"{len(frames) - 3} without any label dropped" in needed.notes[0]


def test_labels_that_are_needed_and_missing_point_to_pseudolabels(pool_file):
    cases = {
        "none of its": [pool_file(crystals())],
        "generated structures have no labels": ["generated"],
        "no replay pool": [],
    }
    for what, pool in cases.items():
        with pytest.raises(PestleError, match=f"{what}.*pseudolabel"):
            make_replay_set(
                ReplaySettings(pool=pool, filter="none"),
                data_elements=[H],
                foundation=None,
                need_labels=True,
            )


def test_a_pool_that_matches_nothing_says_what_other_filters_leave(pool_file):
    file, other = pool_file(crystals()), pool_file([Frame(bulk("Si"))], "silicon.xyz")
    settings = ReplaySettings(pool=[file], filter="exclusive")
    with pytest.raises(PestleError) as caught:
        make_replay_set(settings, data_elements=[H, C, CL, F], foundation=None)
    assert "element 7, exclusive 0, inclusive 0, none 14" in str(caught.value)
    assert "generated" in str(caught.value)
    # One empty pool of two is a warning.
    both = ReplaySettings(pool=[file, other])
    made = make_replay_set(both, data_elements=[H, C], foundation=None)
    assert len(made.warnings) == 1 and "silicon.xyz" in made.warnings[0]


def test_more_than_there_are_takes_all_and_says_so(pool_file):
    settings = ReplaySettings(pool=[pool_file(crystals())], count=500, filter="none")
    made = make_replay_set(settings, data_elements=[H], foundation=None)
    assert len(made.frames) == len(crystals())
    assert any("500 was asked for" in note and "all 14" in note for note in made.notes)


# -- selection ------------------------------------------------------------------------------------
def test_random_selection_repeats_and_nests():
    assert at_random(1000, 50, seed=3) == at_random(1000, 50, seed=3)
    assert at_random(1000, 50, seed=3) != at_random(1000, 50, seed=4)
    assert set(at_random(1000, 50, seed=3)) < set(at_random(1000, 200, seed=3))
    assert len(set(at_random(1000, 200, seed=3))) == 200


def test_element_balanced_selection_levels_the_elements():
    # 200 methanes, 20 salts, 10 irons, 3 carbons with iron.
    pool = [frozenset({H, C})] * 200 + [frozenset({NA, CL})] * 20
    pool += [frozenset({FE})] * 10 + [frozenset({C, FE})] * 3
    chosen = element_balanced(pool, 24, seed=0)
    counts = {z: sum(z in pool[k] for k in chosen) for z in (H, C, NA, CL, FE)}
    assert max(counts.values()) - min(counts.values()) <= 3 and sum(counts.values()) >= 40
    at_hazard = at_random(len(pool), 24, seed=0)
    assert sum(FE in pool[k] for k in at_hazard) < counts[FE]
    # Rare elements are used up, then the others fill the count; each structure once.
    many = element_balanced(pool, 100, seed=0)
    assert sum(FE in pool[k] for k in many) == 13 and sum(NA in pool[k] for k in many) == 20
    assert len(set(many)) == 100
    assert many[:24] == chosen
    assert element_balanced(pool, 24, seed=1) != chosen
    assert sorted(element_balanced(pool, len(pool), seed=1)) == list(range(len(pool)))


def test_element_balanced_selection_prefers_rare_company():
    pool = [frozenset({z, C}) for z in (NA, CL, FE) for _ in range(20)]
    pool += [frozenset({H, C})] * 95 + [frozenset({H})] * 5
    chosen = [pool[k] for k in element_balanced(pool, 16, seed=0)]
    assert [sum(z in e for e in chosen) for z in (H, NA, CL, FE)] == [4, 4, 4, 4]
    # Carbon comes with all others: where hydrogen is chosen, mostly that without carbon.
    assert sum(C in e for e in chosen) <= 13


def averages_by_hand(foundation, frames) -> np.ndarray:
    """[n, n_elements · d]: mean descriptor of each element, zeros where there is none."""
    kinds = sorted(elements_of_all(frames))
    rows = []
    for frame in frames:
        graph = make_graph(frame, foundation.cutoff, dtype=foundation.dtype)
        atoms = foundation.descriptors(graph).numpy()
        means = [
            atoms[frame.numbers == z].mean(axis=0) if z in frame.numbers else None for z in kinds
        ]
        rows.append([np.zeros(atoms.shape[1]) if m is None else m for m in means])
    return np.array(rows).reshape(len(frames), -1)


def farthest_by_hand(points: np.ndarray, count: int) -> list[int]:
    """Greedy farthest points from the full table of distances, from the one nearest the mean."""
    table = np.linalg.norm(points[:, None] - points[None], axis=-1)
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    while len(chosen) < count:
        nearest = table[chosen].min(axis=0)
        nearest[chosen] = -1
        chosen.append(int(np.argmax(nearest)))
    return chosen


def test_farthest_points_equal_the_full_table_of_distances(seed0):
    frames = [*random_frames(25, seed=9), *crystals()]
    points = averages_by_hand(seed0, frames)
    for max_edges in (100_000, 300):  # whatever the batches
        averages = element_averages(seed0, frames, max_edges=max_edges)
        assert farthest_points(averages, 20) == farthest_by_hand(points, 20)


def test_farthest_points_take_the_odd_one_early_and_copies_last(seed0):
    water = [Frame(molecule("H2O")) for _ in range(8)]
    for k, frame in enumerate(water[:4]):
        frame.atoms.positions += np.random.default_rng(k).normal(scale=0.05, size=(3, 3))
    frames = [*water, Frame(molecule("CF4"))]
    averages = element_averages(seed0, frames)
    chosen = farthest_points(averages, 9)
    assert chosen[1] == 8
    assert sorted(chosen) == list(range(9))
    copies = [chosen.index(k) for k in range(4, 8)]
    assert sorted(copies)[1:] == [6, 7, 8]  # one of the four equal ones, the rest at the end


def test_farthest_points_per_cost_by_hand():
    """Points 0, 5, 11 on a line: 5 is nearest to the mean; 11 is farther from it than 0, but 6/3
    is less than 5/1."""
    line = ElementAverages(
        3, np.arange(3), np.full(3, H), np.array([[0.0], [5.0], [11.0]])
    )  # fmt: skip
    assert farthest_points(line, 3) == [1, 2, 0]
    assert farthest_points(line, 3, np.array([1.0, 1.0, 3.0])) == [1, 0, 2]


def test_farthest_points_per_edge_prefer_small_cells(seed0):
    """A crystal and its supercell show the same environments: the small one is taken."""
    cells = [Frame(bulk(symbol, cubic=True)) for symbol in ("Cu", "Al", "Si")]
    frames = [Frame(f.atoms.repeat((2, 2, 1))) for f in cells] + cells
    selector = Selector("fps-per-edge", seed0, None, 0, None)
    assert {id(f) for f in selector.choose(frames, 3)} == {id(f) for f in cells}


def test_selection_through_the_settings(seed0, pool_file):
    frames = [*random_frames(40, seed=1), *crystals()]
    file = pool_file(frames)

    def chosen(select: str, count: int | None = 12, seed: int = 0) -> list[int]:
        settings = ReplaySettings(pool=[file], count=count, filter="none", select=select)
        made = make_replay_set(settings, data_elements=[H], foundation=seed0, seed=seed)
        assert all(f.source == file for f in made.frames)
        return [f.index for f in made.frames]

    for select in ("random", "fps", "element-balanced"):
        assert len(set(chosen(select))) == 12
        assert chosen(select) == chosen(select)
    assert chosen("random") == sorted(chosen("random")) != chosen("random", seed=1)
    assert chosen("fps") == chosen("fps", seed=1)  # nothing random in it
    assert chosen("fps") == farthest_points(element_averages(seed0, frames), 12)
    assert chosen("all", count=None) == list(range(len(frames)))
    with pytest.raises(PestleError, match="fps needs a foundation"):
        make_replay_set(
            ReplaySettings(pool=[file], select="fps"), data_elements=[H], foundation=None
        )


# -- pools ----------------------------------------------------------------------------------------
def test_published_sets_have_maces_addresses_and_cache(monkeypatch, tmp_path):
    from mace.tools import multihead_tools as official

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[tuple[str, str]] = []

    def remember(url, path):
        asked.append((url, str(path)))
        raise OSError

    monkeypatch.setattr(official.urllib.request, "urlretrieve", remember)
    for entry in replay_catalogue.published_sets():
        with pytest.raises(RuntimeError):
            official.assemble_replay_data(entry.name, None, None, "tag")
        assert asked[-1] == (entry.url, str(entry.cache_file))
    assert len(asked) == 4
    with pytest.raises(RuntimeError):
        official.assemble_replay_data("nonsense", None, None, "tag")
    assert len(asked) == 4  # a name that mace does not know is not asked for


def test_a_published_set_is_fetched_once_and_read_by_name(monkeypatch, tmp_path):
    write_frames(tmp_path / "mp_set.xyz", crystals())
    entry, web = replay_sets.ENTRIES[0], serve(monkeypatch)
    web.pages[entry.url] = Page((tmp_path / "mp_set.xyz").read_bytes())
    settings = ReplaySettings(pool=["mp"], filter="none")
    made = make_replay_set(settings, data_elements=[], foundation=None)
    assert len(made.frames) == len(crystals()) and made.pools[0].name == "mp"
    assert "PBE+U (MPtrj)" in made.notes[0] and "licence" in made.notes[0]
    assert entry.cached and entry.cache_file.name == "mp_traj_combinedxyz"
    web.pages.clear()
    assert len(make_replay_set(settings, data_elements=[], foundation=None).frames) == 14


def test_a_set_that_cannot_be_fetched_says_what_to_put_where(monkeypatch):
    entry, web = replay_sets.ENTRIES[0], serve(monkeypatch)
    with pytest.raises(PestleError, match="no network") as caught:
        replay_catalogue.fetch_published(entry)
    assert entry.url in str(caught.value) and str(entry.cache_file) in str(caught.value)

    web.pages[entry.url] = Page(b"<html>log in</html>")
    with pytest.raises(PestleError, match="not an extended XYZ"):
        replay_catalogue.fetch_published(entry)
    assert not entry.cached and not list(entry.cache_file.parent.glob("*"))


def test_an_unknown_pool_is_named_with_those_there_are():
    with pytest.raises(PestleError, match=r"Did you mean 'matpes_pbe'\?.*generated, mp, omat"):
        pools.read_pools(["matpes_pb"])


def test_a_file_named_twice_counts_once(pool_file, tmp_path):
    file = pool_file(crystals())
    settings = ReplaySettings(pool=[file, str(tmp_path / "p*.xyz")], filter="none")
    made = make_replay_set(settings, data_elements=[], foundation=None)
    assert len(made.frames) == len(crystals()) and len(made.pools) == 1


def test_generated_structures_get_their_share(seed0, pool_file, generator_calls):
    file = pool_file(random_frames(60, seed=2, elements=(H, C, FE)))

    def made(count, scope=None, **settings):
        values = {"pool": ["generated", file], "count": count} | settings
        return make_replay_set(
            ReplaySettings(**values),
            data_elements=[FE, H, C],
            foundation=seed0,
            seed=5,
            scope=scope,
        )

    half = made(40)
    assert generator_calls == [((H, C, FE), 20, 5)]
    assert [(p.name, len(p.selected)) for p in half.pools] == [(file, 20), ("generated", 20)]
    assert [f.source for f in half.frames[20:]] == ["generated"] * 20
    # What the other pool lacks is made up for.
    assert [len(p.selected) for p in made(200).pools] == [60, 140]
    # By default few for each element; all the foundation's elements where breadth is the point.
    assert [len(p.selected) for p in made(None).pools] == [60, 300]
    made(None, scope="broad", pool=["generated"])
    assert generator_calls[-1] == (tuple(sorted(seed0.elements)), 10 * len(seed0.elements), 5)
    # Selections that prefer some structures get more to choose from.
    balanced = made(10, pool=["generated"], select="element-balanced")
    assert generator_calls[-1][1] == 30 and len(balanced.frames) == 10
    # The generator is what an empty pool means.
    assert made(7, pool=[]).pools[0].name == "generated"


def test_generated_structures_need_no_data_file(seed0):
    settings = ReplaySettings(count=12)
    made, again = (
        make_replay_set(settings, data_elements=[C, H, U], foundation=seed0, seed=2)
        for _ in range(2)
    )
    assert len(made.frames) == 12 and made.pools[0].read == 12
    assert elements_of_all(made.frames) == {H, C}  # the foundation does not know uranium
    assert all(f.energy is None and f.forces is None for f in made.frames)
    for one, other in zip(made.frames, again.frames, strict=True):
        assert np.array_equal(one.atoms.positions, other.atoms.positions)


# -- labels against the foundation ----------------------------------------------------------------
def shifted(frames: list[Frame], per_atom: float) -> list[Frame]:
    return [replace(f, energy=f.energy + per_atom * len(f)) for f in frames]


@pytest.fixture(scope="module")
def own_labels(seed0) -> list[Frame]:
    return labelled(random_frames(40, seed=6), seed0)


def warnings_of(seed0, files: list[str]) -> list[str]:
    settings = ReplaySettings(pool=files, filter="none")
    return make_replay_set(settings, data_elements=[H], foundation=seed0, need_labels=True).warnings


def test_labels_of_the_foundations_own_level_pass(seed0, pool_file, own_labels):
    noise = np.random.default_rng(0).normal(scale=0.08, size=40)
    frames = [
        replace(f, energy=f.energy + e * len(f)) for f, e in zip(own_labels, noise, strict=True)
    ]
    assert warnings_of(seed0, [pool_file(frames)]) == []


def test_another_level_of_theory_is_measured(seed0, pool_file, own_labels):
    (text,) = warnings_of(seed0, [pool_file(shifted(own_labels, 0.5))])
    assert "+0.50 eV/atom" in text and "pseudolabel" in text

    good, bad = (
        pool_file(own_labels[:20], "good.xyz"),
        pool_file(shifted(own_labels[20:], -2), "bad.xyz"),
    )
    alone, mixed = warnings_of(seed0, [good, bad])
    assert "bad.xyz lie −2.00" in alone
    assert "mix levels" in mixed and "good.xyz +0.00" in mixed and "bad.xyz −2.00" in mixed

    (groups,) = warnings_of(seed0, [pool_file(own_labels[:20] + shifted(own_labels[20:], 1.5))])
    assert "+0.00, +1.50" in groups and "levels of theory" in groups


def test_all_electron_totals_are_measured_although_they_scatter(seed0, pool_file, own_labels):
    frames = [
        replace(f, energy=f.energy - 13.6 * float((f.numbers**2.3).sum())) for f in own_labels
    ]
    (text,) = warnings_of(seed0, [pool_file(frames)])
    assert "another level of theory" in text


def test_forces_in_other_units_are_measured(seed0, pool_file, own_labels):
    frames = [replace(f, forces=f.forces / 51.4) for f in own_labels]
    (text,) = warnings_of(seed0, [pool_file(frames)])
    assert "0.0195 times" in text


# -- the file -------------------------------------------------------------------------------------
def test_frames_survive_writing_and_reading_exactly(tmp_path, demo_train):
    generator = np.random.default_rng(8)
    crystal = bulk("NaCl", "rocksalt", a=5.64 + 1 / 3)
    crystal.positions += generator.normal(size=(2, 3))
    crystal.info |= {"comment": 'a "quoted" text [with] = signs\\', "vector": np.arange(3) / 7}
    crystal.info |= {"REF_energy": 99.0, "energy": 98.0, "nothing": "", "lines": "one\ntwo"}
    crystal.arrays["REF_forces"] = np.ones((2, 3))
    crystal.arrays["forces"] = np.ones((2, 3))
    crystal.arrays["site"] = np.array([4, 5])
    crystal.arrays["spin vector"[:4]] = generator.normal(size=(2, 3))
    skew = generator.normal(size=(3, 3))
    slab = Frame(bulk("Cu"), stress=None, energy=1e5 / 3, charge=-1.0, spin=2.0)
    slab.atoms.pbc = (True, True, False)
    frames = [
        Frame(crystal, config_type="two words", stress=skew, weight=0.1, forces_weight=1 / 3),
        replace(Frame(crystal.copy()), energy=-1 / 3, stress=skew + skew.T, head="pbe"),
        slab,
        replace(slab, labelled_by="model/structure/labels"),
        *demo_train,
    ]
    path = tmp_path / "deep" / "frames.xyz"
    assert write_frames(path, frames) == len(frames)
    back = read_frames([str(path)]).frames
    for old, new in zip(frames, back, strict=True):
        for name in (
            "energy", "config_type", "weight", "energy_weight", "forces_weight", "stress_weight",
            "head", "charge", "spin", "labelled_by",
        ):  # fmt: skip
            assert getattr(new, name) == getattr(old, name), name
        for name in ("forces", "stress"):
            label, again = getattr(old, name), getattr(new, name)
            assert (again is None) == (label is None), name
            assert label is None or np.array_equal(again, label), name
        assert np.array_equal(new.numbers, old.numbers)
        assert np.array_equal(new.atoms.positions, old.atoms.positions)
        assert np.array_equal(new.atoms.cell.array, old.atoms.cell.array)
        assert np.array_equal(new.atoms.pbc, old.atoms.pbc)
    assert back[0].atoms.info["comment"] == crystal.info["comment"]
    assert np.array_equal(back[0].atoms.info["vector"], crystal.info["vector"])
    assert back[0].atoms.info["lines"] == "one two" and "nothing" not in back[0].atoms.info
    assert np.array_equal(back[0].atoms.arrays["site"], [4, 5])
    assert np.array_equal(back[0].atoms.arrays["spin"], crystal.arrays["spin"])


def test_ase_and_mace_read_what_is_written(tmp_path, own_labels):
    from mace.data import KeySpecification, load_from_xyz

    frames = labelled_crystal(own_labels)
    write_frames(tmp_path / "frames.xyz", frames)
    plain = read(tmp_path / "frames.xyz", index=":")
    assert plain[0].info["REF_energy"] == frames[0].energy
    assert np.array_equal(plain[0].arrays["REF_forces"], frames[0].forces)
    keys = KeySpecification.from_defaults()
    _, configs = load_from_xyz(str(tmp_path / "frames.xyz"), key_specification=keys)
    for config, frame in zip(configs, frames, strict=True):
        assert config.properties["energy"] == frame.energy
        assert np.array_equal(config.properties["forces"], frame.forces)
    voigt = configs[-1].properties["stress"]
    expected = frames[-1].stress
    assert np.array_equal(voigt[[0, 1, 2]], np.diag(expected))
    assert np.array_equal(voigt[[3, 4, 5]], expected[[1, 0, 0], [2, 2, 1]])


def labelled_crystal(frames: list[Frame]) -> list[Frame]:
    stress = np.array([[1.0, 0.1, 0.2], [0.1, 2.0, 0.3], [0.2, 0.3, 3.0]]) / 7
    crystal = Frame(bulk("NaCl", "rocksalt", a=5.6), energy=-7.1, forces=np.ones((2, 3)) / 3)
    return [frames[0], frames[1], replace(crystal, stress=stress)]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "frames.xyz"
    write_frames(path, crystals())
    before = path.read_bytes()

    def failing():
        yield crystals()[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_frames(path, failing())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# -- the command ----------------------------------------------------------------------------------
def command(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pestle", "replay", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_command_writes_labels_groups_and_pools(
    monkeypatch, capsys, tmp_path, pool_file, demo_files, own_labels
):
    salt = Frame(bulk("NaCl", "rocksalt", a=5.6), energy=-7.0)
    methane = Frame(molecule("CH4"), energy=-24.0, config_type="molecule")
    file = pool_file([salt, methane, Frame(molecule("CF4"))])
    out = tmp_path / "set.xyz"
    arguments = ["--pool", file, "--data", demo_files["train"], "-o", str(out)]
    assert command(monkeypatch, *arguments, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["pools"][0]["read"] == 3 and said["pools"][0]["selected"] == 2
    assert said["structures_by_element"] == {"H": 1, "C": 2, "F": 1}
    assert said["labelled"] == 1 and said["filter"] == "element"
    frames = read_frames([str(out)]).frames
    assert [(f.energy, f.config_type) for f in frames] == [(-24.0, "molecule"), (None, "Default")]
    assert frames[1].atoms.info["replay_pool"] == file
    assert [f.atoms.info["replay_frame"] for f in frames] == [1, 2]

    assert command(monkeypatch, *arguments, "--filter", "none") == 0
    text = capsys.readouterr().out
    assert "H 1, C 2, F 1, Na 1, Cl 1" in text and "not compared with any foundation" in text
    made = pestle.replay([file], out=out, filter="none", foundation="pestle-seed0")
    assert structures_by_element(made.frames) == {"H": 1, "C": 2, "F": 1, "Na": 1, "Cl": 1}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--select", "element"], "--filter element"),
        (["--filter", "fps"], "--select fps"),
        (["--filter", "elements"], "Did you mean 'element'?"),
        (["--count", "0"], "equal to 1, got 0"),
        (["--scope", "wide"], "narrow or broad"),
        (["--select", "fps"], "--foundation"),
        (["-o", "set.json"], ".extxyz"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(
    monkeypatch, capsys, tmp_path, pool_file, demo_files, arguments, hint
):
    file, out = pool_file(crystals()), tmp_path / "set.xyz"
    base = ["--pool", file, "--data", demo_files["train"], "-o", str(out)]
    assert command(monkeypatch, *base, *arguments) == 2
    error = capsys.readouterr().err
    assert hint in error and error.count("\n") == 1
    assert not out.exists()


def test_the_pool_is_not_overwritten(monkeypatch, capsys, pool_file, demo_files):
    file = pool_file(crystals())
    before = Path(file).read_bytes()
    arguments = ["--pool", file, "--data", demo_files["train"], "-o", file]
    assert command(monkeypatch, *arguments) == 2
    assert Path(file).read_bytes() == before and "also read from" in capsys.readouterr().err


def test_the_command_line_stays_light():
    code = (
        "import sys, pestle.cli, pestle.foundations.replay_catalogue; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_float32_foundations_select_too(seed0):
    frames = random_frames(10, seed=3)
    single = element_averages(seed0.with_dtype(torch.float32), frames)
    assert np.allclose(single.vectors, element_averages(seed0, frames).vectors, atol=1e-3)
