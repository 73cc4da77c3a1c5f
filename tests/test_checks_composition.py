"""The null space of compositions: exact, sparse, and said in words."""

import numpy as np
import pytest

from pestle.structures.composition import null_space_of


def _matrix(null) -> np.ndarray:
    return np.array([[v.get(s, 0) for s in null.elements] for v in null.vectors]).reshape(
        -1, len(null.elements)
    )


def test_one_formula_leaves_one_sum():
    counts = np.array([[2, 1, 1, 5], [4, 2, 2, 10]])
    null = null_space_of(counts, [6, 17, 9, 1])
    assert (null.rank, null.dimension) == (1, 3)
    assert not (counts @ _matrix(null).T).any()
    assert all(isinstance(n, int) for v in null.vectors for n in v.values())
    assert all(np.gcd.reduce(list(v.values())) == 1 for v in null.vectors)
    assert "C:Cl:F:H = 2:1:1:5" in null.sentence()
    assert "2·E0(C) + E0(Cl) + E0(F) + 5·E0(H)" in null.sentence()


def test_two_formulas_of_salt_water():
    counts = np.array([[64, 128, 3, 3], [63, 126, 2, 2]])
    null = null_space_of(counts, [8, 1, 11, 17])
    assert null.rank == 2
    assert sorted(len(v) for v in null.vectors) == [2, 2]  # sparse: two elements each
    assert "Na:Cl = 1:1" in null.sentence() and "O:H = 1:2" in null.sentence()


def test_a_relation_that_is_not_a_ratio():
    counts = np.array([[1, 4, 0], [1, 2, 1], [2, 6, 1]])  # methane, formaldehyde, their sum
    null = null_space_of(counts, ["C", "H", "O"])
    assert null.vectors == [{"C": 4, "H": -1, "O": -2}]
    assert "4 n(C) = n(H) + 2 n(O)" in null.sentence()


def test_full_rank_and_absent_elements():
    assert null_space_of(np.array([[1, 4], [2, 4]]), [6, 1]).is_full_rank
    null = null_space_of(np.array([[1, 4, 0], [2, 4, 0]]), [6, 1, 8])
    assert null.vectors == [{"O": 1}]
    assert null.undetermined == ("O",)
    assert "no frame holds O" in null.sentence()
    assert null_space_of(np.zeros((0, 2)), [6, 1]).dimension == 2


@pytest.mark.parametrize("seed", range(5))
def test_rank_agrees_with_linear_algebra(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, (12, 4)) @ rng.integers(0, 4, (4, 9))
    null = null_space_of(counts, list(range(1, 10)))
    assert null.rank == np.linalg.matrix_rank(counts)
    assert np.linalg.matrix_rank(_matrix(null)) == null.dimension == 9 - null.rank
    assert np.abs(counts @ _matrix(null).T).max() < 1e-9


def test_counts_that_are_not_whole():
    counts = np.array([[1.5, 2.0], [3.0, 4.0]])
    null = null_space_of(counts, [6, 1])
    assert null.rank == 1
    assert np.abs(counts @ _matrix(null).T).max() < 1e-12


def test_columns_must_match():
    with pytest.raises(ValueError, match="3 columns for 2 elements"):
        null_space_of(np.ones((2, 3)), [1, 6])
