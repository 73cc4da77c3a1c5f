"""The automatic choice of a method follows the paper's section 5 and A.2."""

from __future__ import annotations

import pytest

from pestle.adaptation.choice import Circumstances, choose
from pestle.errors import PestleError


@pytest.mark.parametrize(
    ("scope", "frames", "method"),
    [
        ("narrow", 60, "naive"),
        ("narrow", 5, "lora"),
        ("broad", 60, "pseudolabel"),
        ("broad", 5, "pseudolabel-lora"),
    ],
)
def test_method_by_scope_and_size(scope, frames, method):
    choice = choose(Circumstances(scope, frames, n_elements=4, n_groups=1))
    assert choice.method == method
    assert choice.reasons and choice.would_change


def test_reasons_name_the_replay_at_hand():
    generated = choose(Circumstances("broad", 60, 4, 1))
    given = choose(Circumstances("broad", 60, 4, 1, pool=("mine.xyz",)))
    assert any("generated" in reason for reason in generated.reasons)
    assert any("mine.xyz" in reason for reason in given.reasons)


def test_diverse_data_called_narrow_get_a_second_look():
    plain = choose(Circumstances("narrow", 500, n_elements=3, n_groups=1))
    diverse = choose(Circumstances("narrow", 500, n_elements=10, n_groups=8))
    assert len(diverse.reasons) > len(plain.reasons)
    assert "10 elements" in diverse.reasons[-1]


def test_without_scope_nothing_is_chosen():
    with pytest.raises(PestleError, match="scope"):
        choose(Circumstances(None, 60, 4, 1))
