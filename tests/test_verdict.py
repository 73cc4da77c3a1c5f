"""The verdict's logic and its thresholds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pestle.errors import PestleError
from pestle.protocols import NAMES, protocol
from pestle.protocols.thresholds import Threshold, read_thresholds
from pestle.protocols.verdict import by_level, conclude, needed_by
from pestle.protocols.zero_step import assess_gate
from pestle.records.manifest import Gate
from pestle.records.verdict import Finding, NotTested


def finding(protocol: str, level: str) -> Finding:
    return Finding(protocol, level, "figure", 1.0, "", "", f"{protocol} says {level}.")  # type: ignore[arg-type]


def said(scope, findings, missing=(), given=()):
    absent = [NotTested(name, True, "why", "how") for name in missing]
    return conclude(scope, "mine", findings, needed_by(scope, given), absent)


def test_what_a_scope_needs() -> None:
    assert needed_by("narrow", []) == ("zero_step", "errors", "md")
    assert needed_by("narrow", ["neb"]) == ("zero_step", "errors", "neb")
    assert set(needed_by("broad", ["rdf"])) == {
        "zero_step", "errors", "md", "forgetting", "dimers", "rss", "rdf",
    }  # fmt: skip


def test_a_pass_needs_every_test_and_claims_nothing_else() -> None:
    good = [finding(name, "pass") for name in ("zero_step", "errors", "md")]
    assert said("narrow", good).verdict == "pass"
    missing = said("narrow", good[:2], missing=["md"])
    assert missing.verdict == "incomplete" and "md not tested" in missing.sentence
    # What lies outside the scope does not count, and is not hidden either.
    beyond = said("narrow", [*good, finding("rss", "fail")])
    assert beyond.verdict == "pass" and "it failed rss" in beyond.sentence
    assert beyond.counted == (True, True, True, False)
    assert said("broad", [*good, finding("rss", "fail")]).verdict == "fail"


def test_the_worst_finding_decides_and_is_named() -> None:
    found = [finding("errors", "concern"), finding("md", "fail")]
    verdict = said("narrow", found, missing=["zero_step"])
    assert verdict.verdict == "fail", "a failure is one whatever else is missing"
    assert "md says fail." in verdict.sentence
    concern = said("narrow", [finding("errors", "concern"), finding("md", "pass")])
    assert concern.verdict == "concern" and "errors says concern." in concern.sentence
    order = by_level([finding("a", "pass"), *found], {"errors": 0, "md": 1})
    assert [f.level for f in order] == ["fail", "concern", "pass"]


def test_thresholds_by_hand() -> None:
    limit = Threshold(1.0, 1.5, "", "", "")
    values = (0.99, 1.0, 1.49, 1.5, float("nan"), float("inf"), None)
    expected = ["pass", "concern", "concern", "fail", "fail", "fail", "fail"]
    assert [limit.level(v) for v in values] == expected
    assert limit.words == "concern from 1, fail from 1.5"
    assert Threshold(None, None, "", "", "").level(1e9) == "pass"


def test_every_protocol_has_thresholds_with_their_source() -> None:
    limits = read_thresholds()
    assert set(limits) == {"zero_step", *NAMES}
    for name, entries in limits.items():
        for key, limit in entries.items():
            assert limit.source and limit.meaning, (name, key)
            if limit.concern is not None and limit.fail is not None:
                assert limit.concern <= limit.fail, (name, key)


def test_a_users_thresholds_change_only_what_they_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("rss:\n  flagged_change: {fail: 0.9}\n")
    changed, shipped = read_thresholds(mine), read_thresholds()
    assert changed["rss"]["flagged_change"].fail == 0.9
    assert changed["rss"]["flagged_change"].concern == shipped["rss"]["flagged_change"].concern
    assert changed["rss"]["flagged_change"].source == str(mine)
    assert changed["neb"] == shipped["neb"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("rs: {}", "no threshold 'rs'. Did you mean 'rss'"),
        ("rss:\n  flagged: {fail: 1}", "no threshold 'rss.flagged'"),
        ("rss:\n  flagged_change: {failure: 1}", "no threshold 'rss.flagged_change.failure'"),
        ("rss:\n  flagged_change: {fail: much}", "is no finite number"),
        ("rss:\n  flagged_change: {fail: .nan}", "is no finite number"),
        ("rss:\n  flagged_change: {fail: true}", "is no finite number"),
        ("neb:\n  barrier_error_ev: {fail: 0.01}", "would come after the failure"),
        ("rss: 3", "rss is not a table"),
        ("- 3", "the file is not a table"),
        ("rss: [", "cannot be read as YAML"),
    ],
)
def test_mistakes_in_thresholds_are_one_line(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(PestleError, match=match) as error:
        read_thresholds(path)
    assert "\n" not in str(error.value)


def test_a_gate_that_moved_the_forces_fails() -> None:
    limits = read_thresholds()["zero_step"]
    gate = Gate(n_frames=60, energy=1e-9, forces=1e-8, stress=0.0)
    assert assess_gate(gate, limits).level == "pass"
    assert assess_gate(gate.model_copy(update={"forces": 0.02}), limits).level == "fail"


@pytest.mark.parametrize("name", NAMES)
def test_quick_settings_are_settings_and_smaller_ones(name: str) -> None:
    chosen = protocol(name)
    full = chosen.settings()
    quick = chosen.settings(**chosen.quick)
    assert chosen.extent(full)
    assert quick != full or not chosen.quick
