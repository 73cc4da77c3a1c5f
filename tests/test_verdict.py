"""The verdict's logic and its thresholds."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
from ase import Atoms

from pestle.errors import PestleError
from pestle.jobs.qualify import qualify
from pestle.jobs.qualify_inputs import Given
from pestle.jobs.qualify_plan import extents, observables_of, protocols_to_run, settings_for
from pestle.protocols import declarations, inputs, names, protocol
from pestle.protocols.base import Inputs
from pestle.protocols.thresholds import Threshold, read_thresholds
from pestle.protocols.verdict import conclude, in_order, needed_by, use_of
from pestle.protocols.zero_step.gate import assess_gate
from pestle.records.training import Gate
from pestle.records.verdict import Finding, NotTested
from pestle.settings.probe import ProbeSettings
from pestle.structures.frame import Frame


def finding(protocol: str, level: str) -> Finding:
    return Finding(protocol, level, "figure", 1.0, "", "", f"{protocol} says {level}.")  # type: ignore[arg-type]


def said(scope, findings, missing=(), given=()):
    absent = [NotTested(name, True, "why", "how") for name in missing]
    return conclude(scope, "mine", findings, needed_by(scope, given), absent)


def test_what_a_scope_needs() -> None:
    assert needed_by("narrow", []) == ("zero_step", "errors", "md")
    assert needed_by("narrow", ["neb"]) == ("zero_step", "errors", "md", "neb")
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
    # Others of this level are named: they are not like the first.
    barrier = replace(finding("md", "concern"), quantity="energy drift")
    two = said("narrow", [finding("errors", "concern"), barrier, finding("zero_step", "pass")])
    assert two.sentence.endswith("errors says concern. And one more concern: energy drift (md).")


def test_what_counts_stands_before_a_worse_finding_that_does_not() -> None:
    found = [
        finding("rss", "fail"),
        finding("md", "pass"),
        finding("errors", "concern"),
        finding("dimers", "concern"),
    ]
    order = in_order(found, needed_by("narrow", []))
    assert [f.protocol for f in order] == ["errors", "md", "rss", "dimers"]


def use(findings, missing=(), looks=()):
    absent = [NotTested(name, needed, "why", "how") for name, needed in missing]
    return use_of(findings, absent, looks)


def uses_of(name: str) -> tuple[str, ...]:
    (found,) = [declared.uses for declared in declarations() if declared.name == name]
    return found


def test_what_a_model_may_be_used_for_follows_from_what_it_passed() -> None:
    found = [finding("errors", "pass"), finding("md", "concern"), finding("rss", "fail")]
    lines = use(found, [("torsion", False)]).lines
    (like_data,), (dynamics,), (search,) = uses_of("errors"), uses_of("md"), uses_of("rss")
    assert lines["Use it for"] == f"{like_data}; with care: {dynamics}"
    assert lines["Not for"].startswith(f"{search} (failed)")
    assert uses_of("torsion")[0] in lines["Not for"].partition("not tested")[2]
    # One bad finding of a protocol is enough, whatever else it found.
    again = use([*found, finding("errors", "concern")])
    assert like_data in again.with_care and like_data not in again.fit


def test_no_use_is_better_than_what_it_rests_on() -> None:
    """Dynamics needs forces, dissociation needs single atoms and curves of two atoms."""
    (dynamics,) = uses_of("md")
    assert use([finding("errors", "pass"), finding("md", "pass")]).fit[-1] == dynamics
    assert dynamics in use([finding("errors", "concern"), finding("md", "pass")]).with_care
    good = [finding(name, "pass") for name in ("errors", "atoms", "rss", "forgetting")]
    atomisation, dissociation = uses_of("atoms")
    (search,) = uses_of("rss")
    part = use(good)
    assert atomisation in part.fit and not {dissociation, search} & {*part.fit, *part.with_care}
    assert {f"{dissociation} (dimers missing)", f"{search} (dimers missing)"} <= {*part.untested}
    holes = use([*good, finding("dimers", "concern")])
    assert {dissociation, search} <= {*holes.with_care} and atomisation in holes.fit
    # A model that has forgotten what its foundation knew is not for a search beyond its data.
    lost = use([*good, finding("dimers", "pass"), finding("forgetting", "fail")])
    assert search in lost.unfit and dissociation in lost.fit


def test_a_first_look_is_called_one() -> None:
    found = [finding("errors", "pass"), finding("md", "pass"), finding("atoms", "pass")]
    looked = use([*found, finding("dimers", "concern")], looks=["md", "dimers"])
    plain, rest = looked.use_for.split("; after a first look only: ")
    assert uses_of("md")[0] not in plain and uses_of("errors")[0] in plain
    first, care = rest.split("; with care, after a first look only: ")
    assert first == uses_of("md")[0] and uses_of("dimers")[0] in care
    assert "first look" not in use(found).use_for


def test_a_test_cut_short_is_a_first_look_whoever_chose_that() -> None:
    frame = Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8]]))

    def is_look(name: str, settings: dict[str, object], *, full: bool = True) -> object:
        chosen = settings_for(settings, full=full)
        of_it = Inputs((1,), {"data": [frame]})
        return extents(protocol(name), of_it, chosen.of(name), settings, full=full)["first_look"]

    assert not is_look("md", {}) and is_look("md", {}, full=False)
    assert is_look("rss", {"rss.structures": 10}) and is_look("md", {"md.time": 0.1})
    assert not is_look("rss", {"rss.structures": 500}) and not is_look("md", {"md.time": 500.0})
    assert not is_look("md", {"md.every": 0.02}), "frames kept more often are no shorter test"
    assert not is_look("errors", {}, full=False), "every frame"


@pytest.mark.parametrize(
    ("findings", "missing", "why"),
    [
        ([("errors", "fail"), ("md", "pass")], [], "errors failed"),
        ([("md", "pass")], [("errors", True)], "errors not tested"),
        ([("zero_step", "fail"), ("errors", "pass")], [], "zero-step failed"),
    ],
)
def test_without_its_basis_a_model_is_fit_for_nothing(findings, missing, why: str) -> None:
    found = use([finding(*one) for one in findings], missing)
    assert found.use_for == f"nothing yet: {why}" and not found.fit
    assert uses_of("md")[0] not in found.unfit


def test_a_model_without_a_gate_may_still_be_used() -> None:
    """A foundation or a calculator was made by no run, and its scope does not need one."""
    assert use([finding("errors", "pass")], [("zero_step", False)]).fit


def test_thresholds_by_hand() -> None:
    limit = Threshold(1.0, 1.5, "", "", "")
    values = (0.99, 1.0, 1.49, 1.5, float("nan"), float("inf"), None)
    expected = ["pass", "concern", "concern", "fail", "fail", "fail", "fail"]
    assert [limit.level(v) for v in values] == expected
    assert limit.words == "concern from 1, fail from 1.5"
    assert Threshold(None, None, "", "", "").level(1e9) == "pass"


def test_a_quoted_limit_agrees_with_the_level() -> None:
    """A figure beyond `fail` that is only a concern says what would make it fail."""
    limit = Threshold(0.001, 0.02, "", "", "")
    assert limit.words_for("concern", 0.01, "it is no chance") == limit.words
    assert limit.words_for("fail", 0.1, "it is no chance") == limit.words
    words = limit.words_for("concern", 0.1, "it is no chance")
    assert words == "concern from 0.001, fail from 0.02 only where it is no chance"


def test_every_protocol_declares_itself_and_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text()
    places = [declared.place for declared in declarations()]
    assert len(set(places)) == len(places), "the order of two protocols is left to chance"
    for declared in declarations():
        assert declared.title and declared.question.endswith("?")
        if declared.of_run:
            continue
        found = protocol(declared.name)
        assert found.declaration is declared
        assert found.settings is type(ProbeSettings().of(declared.name))
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{declared.name}` ")]
        for scope in declared.scopes:
            assert scope in row.rpartition("|")[0].rpartition("|")[2]
        if declared.takes and declared.takes.options and not declared.reference:
            assert declared.takes.options[0] in row
    assert {taken.name for taken in inputs()} <= set(inspect.signature(qualify).parameters)


def test_what_asks_for_a_protocol() -> None:
    """Beyond those of the scope: files of its own, settings, single atoms in the data."""
    labelled = Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8]]), energy=-1.0)
    plain, sets = settings_for({}, full=False), {"scan": [labelled]}
    held_out = Given({"data": sets}, frozenset({"data"}))

    def asked(given, settings=plain, needed=("errors",), **names) -> set[str]:
        chosen = {"run_too": (), "leave_out": ()} | names
        return protocols_to_run(needed, given, settings, **chosen) - {"atoms"}

    assert asked(held_out) == {"errors"}
    scans = Given({"torsions": sets}, frozenset({"torsions"}))
    assert asked(scans) == {"errors", "torsion"} and observables_of(scans, plain) == ["torsion"]
    assert asked(scans, leave_out=["torsion"]) == {"errors"}
    pretraining = Given({"broad": sets}, frozenset({"broad"}))
    assert asked(pretraining) == {"errors", "forgetting"} and not observables_of(pretraining, plain)
    reference = settings_for({"rdf.reference": ["liquid.xyz"]}, full=False)
    assert asked(held_out, reference) == {"errors", "rdf"}
    assert observables_of(held_out, reference) == ["rdf"]
    trajectory = settings_for({"rdf.trajectory": ["run.xyz"]}, full=False)
    assert asked(held_out, trajectory) == {"errors", "rdf"} and not observables_of(
        held_out, trajectory
    )


def test_dynamics_starts_from_held_out_frames_where_nothing_else_is_given() -> None:
    md, errors, neb = (protocol(name).declaration for name in ("md", "errors", "neb"))
    data, starts = {"test": [Frame(Atoms("H"))]}, {"starts": [Frame(Atoms("He"))]}
    given = Given({"data": data}, frozenset({"data"}))
    assert given.of(md) is data and given.of(errors) is data
    both = Given({"data": data, "structures": starts}, frozenset({"data", "structures"}))
    assert both.of(md) is starts and both.of(errors) is data
    assert given.lacking(md) is None
    assert given.lacking(neb) == ("no reaction path was given", "--path FILE")
    assert Given({}, frozenset()).lacking(md)[1] == "--structures FILES"
    assert Given({}, frozenset()).lacking(protocol("rss").declaration) is None
    assert Given({}, frozenset()).lacking(protocol("forgetting").declaration) is None


def test_every_protocol_has_thresholds_with_their_source() -> None:
    limits = read_thresholds()
    assert set(limits) == {declared.name for declared in declarations()}
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
        ("neb:\n  barrier_error_ev: {fail: 0.01}", r"barrier_error_ev: .* failure at 0\.01"),
        ("rss: 3", r"mine\.yaml: rss .*table"),
        ("- 3", r"mine\.yaml: the file .*table"),
        ("rss: [", r"mine\.yaml: .*YAML"),
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


@pytest.mark.parametrize("name", names())
def test_quick_settings_are_settings_and_smaller_ones(name: str) -> None:
    chosen = protocol(name)
    full = chosen.settings()
    quick = chosen.settings(**chosen.quick)
    frame = Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8]]))
    assert chosen.extent(Inputs((1,), {"data": [frame]}), full)
    assert quick != full or not chosen.quick
