"""How the emulator reads the sample documents, and answers the questions about them with its embedding model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from bedrock_emulator.reading.text_extraction import extractor
from emulator_support.workbench import Workbench, make_workbench
from local import samples
from local.samples import Question

NO_ANSWER = "Sorry, I am unable to assist you with this request."
OF_NO_TENANT = "other organisations/"


@dataclass(frozen=True)
class Company:
    """A sample tenant's documents and those of other organisations in one knowledge base, and the questions to it."""

    bench: Workbench
    base: str
    questions: list[Question]
    foreign: list[Question]

    def found(self, question: Question) -> list[str]:
        """The documents that the first five passages are from."""
        results = self.bench.retrieved(self.base, question.question, numberOfResults=5)
        scores = [result["score"] for result in results]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        return [document(result) for result in results]

    def answered(self, question: Question) -> tuple[str, set[str]]:
        """The answer, and the documents it cites."""
        given = self.bench.ask(self.base, question.question)
        references = [reference for citation in given["citations"] for reference in citation["retrievedReferences"]]
        return given["output"]["text"], {document(reference) for reference in references}


def document(result: dict[str, Any]) -> str:
    """The object's key that a result or reference is from."""
    return str(result["location"]["s3Location"]["uri"]).removeprefix("s3://documents/")


def squeezed(text: str) -> str:
    """Without white space, which extraction may lose or add."""
    return "".join(text.split())


@pytest.fixture(params=sorted(samples.TENANTS))
def company(request: pytest.FixtureRequest) -> Iterator[Company]:
    objects = {path.name: path.read_bytes() for path in samples.documents(request.param)}
    objects |= {f"{OF_NO_TENANT}{path.parent.name}/{path.name}": path.read_bytes() for path in samples.distractors()}
    own = [question for question in samples.questions() if question.tenant == request.param]
    foreign = [question for question in samples.questions() if question not in own]
    with mock_aws():
        bench = make_workbench(embedder="multilingual")
        base, _ = bench.stocked(**objects)
        yield Company(bench, base, own, foreign)


@pytest.mark.timeout(400)  # the model needs 20 seconds of a core for a company, more beside other work
def test_a_company_is_answered_from_its_documents_and_another_one_is_not(company: Company) -> None:
    first = cited = reported = 0
    for question in company.questions:
        found = company.found(question)
        assert question.document in found, question.question
        first += found[0] == question.document
        text, documents = company.answered(question)
        cited += question.document in documents
        reported += squeezed(question.expected) in squeezed(text)
        assert_readable(text)
    asked = len(company.questions)
    assert first / asked >= 0.9
    assert cited / asked >= 0.9
    assert reported / asked >= 0.75
    declined = 0
    for question in company.foreign:
        text, documents = company.answered(question)
        assert squeezed(question.expected) not in squeezed(text), question.question
        assert (text == NO_ANSWER) == (not documents)
        assert_readable(text)
        declined += text == NO_ANSWER
    assert declined / len(company.foreign) >= 0.8


def assert_readable(text: str) -> None:
    """An answer is one to three sentences or rows of a table, without mark-up and doubled punctuation."""
    assert not re.search(r"\||-{3}|^#|\*\*|\n|[。．.]\s*[。．]|。\.", text), text
    assert text.endswith(("。", ".", "!", "！")), text


def test_a_printed_page_keeps_its_headings_paragraphs_and_tables() -> None:
    path = Path(samples.__file__).parent / "acme" / "ridgeway-tent-manual.pdf"
    extract = extractor(path.name)
    assert extract is not None
    text = "\n".join(page.text for page in extract(path.read_bytes()))
    parts = text.split("\n\n")
    assert parts[0] == "# Ridgeway 3 and Ridgeway 5 Owner's manual"
    assert "## 5. Wind" in text
    assert "Packed size, Ridgeway 3: 52 × 18 cm, Ridgeway 5: 64 × 26 cm" in text
    assert "Damage: Zip no longer closes, What to do: Squeeze the slider gently with pliers, a quarter of a" in text
    assert "6. Tighten the guy lines until the seams lie straight. Loosen them by a finger's width if rain is" in text
    assert "1 / 3" not in text
