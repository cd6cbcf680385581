"""How Bedrock says why documents were left out of an ingestion job, and how many."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.adapters.bedrock import failure_reasons, job_statistics
from kbfleet.domain.ingestion_job import FailureReason, Statistics

UNSUPPORTED = "Encountered error: Ignored 2 files as their file format was not supported"


class TestFailureReasons:
    """The forms are those that users of Bedrock report."""

    def test_a_json_array_inside_a_string_is_unwrapped(self) -> None:
        raw = json.dumps(
            [f"{UNSUPPORTED} [Files: s3://b/k1.exe, s3://b/k2.iso]. Call to Customer Source did not succeed."]
        )
        (reason,) = failure_reasons([raw])
        assert reason.text == UNSUPPORTED
        assert reason.names == "[Files: s3://b/k1.exe, s3://b/k2.iso]. Call to Customer Source did not succeed."

    def test_every_text_of_the_array_becomes_a_reason_of_its_own_in_order(self) -> None:
        raw = json.dumps(["first [Files: s3://b/1]", "second", "third [Files: s3://b/3]"])
        reasons = failure_reasons([raw, "fourth"])
        assert [reason.text for reason in reasons] == ["first", "second", "third", "fourth"]
        assert [reason.names for reason in reasons] == ["[Files: s3://b/1]", "", "[Files: s3://b/3]", ""]

    @pytest.mark.parametrize(
        "raw",
        [
            "Filterable metadata must have at most 2048 bytes (Service: S3Vectors, Status Code: 400)",
            "File body text exceeds size limit of 1000000 for semantic chunking.",
            "[not json",
            '{"message": "an object is kept as it came"}',
            "12",
        ],
    )
    def test_text_in_any_other_form_is_kept_as_it_came(self, raw: str) -> None:
        assert failure_reasons([raw]) == (FailureReason(raw),)

    def test_text_in_json_quotes_loses_them(self) -> None:
        assert failure_reasons(['"plain text"']) == (FailureReason("plain text"),)

    @pytest.mark.parametrize("raw", [[], [""], ["   "], ["[]"], ['[""]'], ['["", "  "]']])
    def test_empty_texts_are_no_reasons(self, raw: list[str]) -> None:
        assert failure_reasons(raw) == ()

    def test_what_is_not_text_within_the_array_is_shown_as_json(self) -> None:
        assert failure_reasons(['[{"理由": 1}]']) == (FailureReason('{"理由": 1}'),)

    @given(st.lists(st.text()))
    def test_no_text_whatever_makes_parsing_fail(self, raw: list[str]) -> None:
        for reason in failure_reasons(raw):
            assert isinstance(reason.text, str)

    @given(
        st.lists(
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            ),
            max_size=3,
        )
    )
    def test_no_json_whatever_makes_parsing_fail(self, raw: list[object]) -> None:
        failure_reasons([json.dumps(value) for value in raw])

    def test_half_a_pair_of_utf_16_can_be_stored_and_sent_on(self) -> None:
        (reason,) = failure_reasons(['["Ignored 1 file [Files: s3://b/x\\ud83d]"]'])
        assert reason.whole.encode()

    def test_json_nested_too_deep_to_read_is_kept_as_it_came(self) -> None:
        deep = "[" * 100_000 + "]" * 100_000
        assert failure_reasons([deep]) == (FailureReason(deep),)

    def test_statistics_are_read_by_bedrocks_names_and_missing_counts_are_zero(self) -> None:
        counts = {
            "numberOfDocumentsScanned": 1,
            "numberOfMetadataDocumentsScanned": 2,
            "numberOfNewDocumentsIndexed": 3,
            "numberOfModifiedDocumentsIndexed": 4,
            "numberOfMetadataDocumentsModified": 5,
            "numberOfDocumentsDeleted": 6,
            "numberOfDocumentsFailed": 7,
            "numberOfDocumentsSkipped": 8,
        }
        assert job_statistics(counts) == Statistics(1, 2, 3, 4, 5, 6, 7, 8)
        assert job_statistics({}) == Statistics()
