"""A sample of `make prove`: a few tenants are added from a file, interrupted, and gone on with."""

from __future__ import annotations

import pytest

from tests.proofs import fleet_import

pytestmark = pytest.mark.timeout(600)


def test_a_few_tenants_are_added_from_a_file_and_nobody_twice() -> None:
    assert fleet_import.prove(30).failures == []
