"""What holds for every test of the emulator: AWS beside it is played by moto."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import botocore.session
import pytest
from hypothesis import settings
from moto import mock_aws

from emulator_support.workbench import REGION, Workbench, make_workbench

# A busy machine takes its time, and that says nothing about the code.
settings.register_profile("bedrock-emulator", deadline=None)
settings.load_profile("bedrock-emulator")

# moto forgets boto3's session between tests; a new one would read the models of its services again, half of their time.
botocore.session.create_loader = cache(botocore.session.create_loader)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The AWS services that are not emulated here, from moto."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def workbench_of(aws: None) -> Callable[..., Workbench]:
    """Makes a workbench; takes the emulator's own arguments."""

    return make_workbench


@pytest.fixture
def bench(workbench_of: Callable[..., Workbench]) -> Workbench:
    """A workbench without request rates and without an embedding model."""
    return workbench_of()


@pytest.fixture
def two_page_pdf() -> bytes:
    """A PDF of two pages with a sentence each."""
    return _pdf("Paid leave is twenty days.", "Travel is reimbursed in May.")


def _pdf(*pages: str) -> bytes:
    # Written out, because no library for writing text into PDF is among the dependencies.
    font = 3 + 2 * len(pages)
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    for number, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 {font} 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    body, offsets = "%PDF-1.4\n", []
    for number, written in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{written}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()
