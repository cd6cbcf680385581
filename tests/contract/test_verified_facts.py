"""What `kbfleet verify` observes, and the list of what is known of AWS, are of one mind."""

from __future__ import annotations

from cli.verify.facts import FACTS, NOT_PROBED
from cli.verify.probes import PROBES
from local.facts import FACTS as LISTED


def test_a_fact_is_either_probed_or_left_out() -> None:
    assert not FACTS.keys() & NOT_PROBED.keys()
    assert {fact for probe in PROBES for fact in probe.facts} <= FACTS.keys()


def test_a_probe_of_the_limits_observes_facts_of_the_limits_only() -> None:
    for probe in PROBES:
        assert {FACTS[fact].limits for fact in probe.facts} == {probe.limits}, probe.facts


def test_what_nobody_has_documented_is_probed_or_left_out_with_a_reason() -> None:
    for fact in LISTED:
        if fact.mark.value in {"R", "I", "U"}:
            assert fact.name in FACTS.keys() | NOT_PROBED.keys(), fact.name
        if fact.name in FACTS:
            assert FACTS[fact.name].mark.name[0] == fact.mark.value, fact.name
