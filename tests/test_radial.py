"""Radial distribution functions and the earth mover's distance against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from pestle.errors import PestleError
from pestle.protocols.rdf.radial import (
    Histogram,
    Pair,
    distance,
    emd,
    first_peak,
    half_height,
    histogram,
    joined,
    pair_name,
    pair_of,
    pairs_in,
)
from pestle.structures.frame import Frame

AL, NA, CL, AR = 13, 11, 17, 18


def counted(structures, pair: Pair, r_max: float, bins: int, blocks: int = 1) -> Histogram:
    frames = [Frame(a, source="crystal", index=k) for k, a in enumerate(structures)]
    return histogram(frames, [pair], np.linspace(0.0, r_max, bins + 1), blocks)


def gas(rng: np.random.Generator, n: int = 60, side: float = 10.0) -> Atoms:
    return Atoms("Ar" * n, rng.uniform(0, side, (n, 3)), cell=[side] * 3, pbc=True)


def test_an_ideal_gas_has_none_within_its_poisson_error() -> None:
    """Unordered pairs in a bin are Poisson of the known mean, which gives the error too."""
    rng = np.random.default_rng(1)
    found = counted([gas(rng) for _ in range(400)], (AR, AR), 5.0, 20, blocks=80)
    volumes = 4 / 3 * np.pi * np.diff(found.edges**3)
    expected = 400 * 60 * 59 / 2 * volumes / 1000.0
    pull = (found.g()[0] - 1) * np.sqrt(expected)
    assert np.abs(pull).max() < 3.5 and pull.std() == pytest.approx(1.0, abs=0.5)
    boot = found.resampled(400, rng)
    assert boot is not None
    error = boot[:, 0].std(axis=0)
    assert np.median(error * np.sqrt(expected)) == pytest.approx(1.0, abs=0.15)
    # A quarter of the frames: twice the error.
    few = counted([gas(rng) for _ in range(100)], (AR, AR), 5.0, 20, blocks=20)
    shrunk = few.resampled(400, rng)[:, 0].std(axis=0) / error
    assert np.median(shrunk) == pytest.approx(2.0, abs=0.4)
    assert emd(found.r, found.g()[0], few.g()[0]) < 0.1


def test_mixed_pairs_are_those_of_a_plain_double_loop() -> None:
    rng = np.random.default_rng(2)
    numbers = [NA] * 7 + [CL] * 12 + [AR] * 5
    cell = [[9.0, 0.0, 0.0], [2.5, 8.0, 0.0], [-1.5, 2.0, 8.5]]
    atoms = Atoms(numbers, cell=cell, pbc=True)
    atoms.set_scaled_positions(rng.uniform(0, 1, (24, 3)))
    r_max = half_height(Frame(atoms))
    # Planes of a family are one over the length of their reciprocal vector apart.
    reciprocal = np.linalg.inv(atoms.cell.array).T
    assert r_max == pytest.approx(0.5 / np.linalg.norm(reciprocal, axis=1).max())
    distances = [[], []]
    images = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T @ atoms.cell.array
    for i in range(24):
        for j in range(24):
            d = np.linalg.norm(atoms.positions[j] - atoms.positions[i] + images, axis=1)
            if (numbers[i], numbers[j]) == (NA, CL):
                distances[0] += list(d)
            if numbers[i] == numbers[j] == CL:
                distances[1] += [x for x in d if x > 1e-9]
    edges = np.linspace(0, r_max, 31)
    found = histogram([Frame(atoms)], [(NA, CL), (CL, CL)], edges, 1)
    volumes = 4 / 3 * np.pi * np.diff(edges**3)
    for k, pairs in enumerate((7 * 12, 12 * 11)):
        counts = np.histogram(distances[k], edges)[0]
        assert counts.sum() > 20
        np.testing.assert_array_equal(found.found[0, k], counts)
        np.testing.assert_allclose(found.g()[k], counts / (pairs * volumes / 612.0), rtol=1e-12)
    assert found.coordination()[0, -1] == pytest.approx(found.found[0, 0].sum() / 7)
    # Trajectories are not wrapped: atoms may lie many cells away.
    atoms.positions += rng.integers(-3, 4, (24, 3)) @ atoms.cell.array
    far = histogram([Frame(atoms)], [(NA, CL), (CL, CL)], edges, 1)
    np.testing.assert_array_equal(far.found, found.found)


@pytest.mark.parametrize("conventional", [True, False])
def test_shells_of_a_perfect_crystal(conventional: bool) -> None:
    """fcc: 12 at a/√2, 6 at a, 24 at a·√(3/2); cubic or rhombohedral cells alike."""
    a = 4.05
    crystal = bulk("Al", "fcc", a=a, cubic=conventional).repeat(4 if conventional else 7)
    found = counted([crystal], (AL, AL), 5.503, 550)
    g, n = found.g()[0], found.coordination()[0]
    shells = found.r[g > 0]
    np.testing.assert_allclose(shells, [a / 2**0.5, a, a * 1.5**0.5], atol=0.006)
    np.testing.assert_allclose(n[g > 0], [12, 18, 42], atol=1e-12)
    assert first_peak(found.r, g)[0] == pytest.approx(a / 2**0.5, abs=0.006)


def test_counts_of_a_mixture() -> None:
    """Rock salt: 6 Cl around Na at a/2, then 8; 12 Na around Na at a/√2; from both sides alike."""
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    for pair, shells in (((NA, CL), [6, 14]), ((CL, NA), [6, 14]), ((NA, NA), [12])):
        found = counted([salt], pair, 5.303, 530)
        np.testing.assert_allclose(
            found.coordination()[0][found.g()[0] > 0], shells, atol=1e-12, err_msg=str(pair)
        )
    # 2 H around O is not 2 O around H.
    water = Atoms("OHH", [[0, 0, 0], [0.97, 0, 0], [0, 0.97, 0]], cell=[9] * 3, pbc=True)
    assert counted([water], (8, 1), 2.0, 40).coordination()[0, -1] == 2
    assert counted([water], (1, 8), 2.0, 40).coordination()[0, -1] == 1


def test_distance_of_two_crystals_by_hand() -> None:
    """Crystals of lattice constants a and a·(1 + ε) have the same weights, n_s/r_s² of each shell
    over the sum, at distances that differ by ε·r_s."""
    a, strain = 4.05, 0.02
    pair = [
        counted([bulk("Al", "fcc", a=x, cubic=True).repeat(4)], (AL, AL), 6.8003, 6800)
        for x in (a, a * (1 + strain))
    ]
    shells = a * np.sqrt(np.array([1, 2, 3, 4, 5]) / 2)
    weights = np.array([12, 6, 24, 12, 24]) / shells**2
    by_hand = strain * (weights * shells).sum() / weights.sum()
    r = pair[0].r
    found = emd(r, pair[0].g()[0], pair[1].g()[0])
    assert found == pytest.approx(by_hand, abs=0.002)
    assert emd(r, pair[0].g()[0], pair[0].g()[0]) == 0.0


def test_distance_by_hand() -> None:
    r = (np.arange(120) + 0.5) * 0.05
    one, other = np.zeros(120), np.zeros(120)
    one[40], other[52] = 3.0, 7.0
    assert emd(r, one, other) == pytest.approx(12 * 0.05)
    # A uniform g against one peak at r0: (1/R)∫|r − r0|dr = (r0² + (R − r0)²)/2R.
    by_hand = (r[40] ** 2 + (6.0 - r[40]) ** 2) / 12.0
    assert emd(r, np.ones(120), one) == pytest.approx(by_hand, rel=1e-3)
    assert emd(r, 5.0 * np.ones(120), np.ones(120)) == 0.0
    assert np.isnan(emd(r, np.zeros(120), one)) and np.isnan(emd(r, np.full(120, np.nan), one))


def test_cells_and_compositions_may_change() -> None:
    """Found and ideal pairs are added up before they are divided."""
    two = [bulk("Al", "fcc", a=a, cubic=True).repeat(4) for a in (4.0, 4.2)]
    hole = two[1].copy()
    del hole[0]
    frames = [two[0], hole]
    both = counted(frames, (AL, AL), 3.5, 35)
    parts = [counted([f], (AL, AL), 3.5, 35) for f in frames]
    volumes = 4 / 3 * np.pi * np.diff(both.edges**3)
    ideal = (256 * 255 / 16.0**3 + 255 * 254 / 16.8**3) * volumes
    np.testing.assert_allclose(both.g()[0], (parts[0].found + parts[1].found)[0, 0] / ideal)
    # 12 neighbours each, and 12 that have lost one, from both sides.
    assert both.coordination()[0, -1] == pytest.approx((256 * 12 + 255 * 12 - 12) / 511)
    same = joined(parts)
    np.testing.assert_array_equal(same.g(), both.g())
    assert (same.n_blocks, same.n_frames) == (2, 2)


def _liquid(r: np.ndarray, shift: float) -> np.ndarray:
    return (r > 1.5) * (1 + 1.5 * np.exp(-(((r - 3.0 - shift) / 0.3) ** 2)))


def test_the_interval_covers_and_noise_is_told_from_difference() -> None:
    """Runs drawn from known functions: the true distance lies in the interval, and two runs of one
    function are apart by less than the noise, as often as said."""
    rng = np.random.default_rng(3)
    edges = np.linspace(0, 6, 61)
    r = (edges[1:] + edges[:-1]) / 2
    ideal = np.broadcast_to(2.0 * np.diff(edges**3), (10, 1, 60))

    def run(truth: np.ndarray) -> Histogram:
        drawn = rng.poisson(ideal * truth).astype(float)
        return Histogram([(AR, AR)], edges, drawn, np.array(ideal), np.ones((10, 1)), 10)

    for shift, covers in ((0.0, 0.9), (0.6, 0.85)):
        truth = emd(r, _liquid(r, shift), _liquid(r, 0.0))
        inside = below = 0
        errors, values = [], []
        for _ in range(100):
            one, other = run(_liquid(r, shift)), run(_liquid(r, 0.0))
            samples = [h.resampled(100, rng)[:, 0] for h in (one, other)]
            found = distance(r, one.g()[0], other.g()[0], *samples)
            inside += found.interval[0] <= truth <= found.interval[1]
            below += found.value <= found.noise
            errors.append(found.error)
            values.append(found.value)
        assert inside >= 100 * covers, shift
        assert below >= 88 if shift == 0 else below <= 10, shift
        if shift:  # at zero, where values cannot fall below, no standard deviation means much
            assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)
    alone = distance(r, one.g()[0], _liquid(r, 0.0), None, None)
    assert alone.error is alone.interval is alone.noise is None and alone.value > 0


def test_one_block_has_no_error_and_few_frames_fewer_blocks() -> None:
    rng = np.random.default_rng(4)
    assert counted([gas(rng)], (AR, AR), 4.0, 10, blocks=5).resampled(10, rng) is None
    assert counted([gas(rng) for _ in range(3)], (AR, AR), 4.0, 10, blocks=5).n_blocks == 3


def test_pairs_by_name() -> None:
    assert [pair_name(p) for p in pairs_in((1, 8, 17))] == [
        "Cl-Cl",
        "Cl-O",
        "Cl-H",
        "O-O",
        "O-H",
        "H-H",
    ]
    assert pair_of("Cl-O", "x") == pair_of(" Cl – O", "x") == (17, 8)
    for text in ("ClO", "Cl-", "Cl-O-H", "Cl-Xx", "X-O", "cl-o"):
        with pytest.raises(PestleError, match=f"rdf.pairs: '{text}'"):
            pair_of(text, "rdf.pairs")


def test_frames_without_a_density_are_named() -> None:
    rng = np.random.default_rng(5)
    slab, lost = gas(rng), gas(rng)
    slab.pbc = [True, True, False]
    lost.positions[3] = np.nan
    for bad, match in (
        (Atoms("Ar2", [[0, 0, 0], [0, 0, 3]]), "frame 1: it is not periodic in three"),
        (slab, "frame 1: it is not periodic in three"),
        (lost, "frame 1: its positions or its cell are not finite"),
    ):
        with pytest.raises(PestleError, match=match):
            counted([gas(rng), bad], (AR, AR), 4.0, 10)
