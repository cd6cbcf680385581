"""The state kept from one run to the next."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from bedrock_emulator.state import StateError

LEAVE = "Paid leave is twenty days a year."


def test_documents_and_sessions_survive_a_restart(workbench_of: Any, tmp_path: Path) -> None:
    before = workbench_of(state=tmp_path)
    base, source = before.stocked(**{"leave.txt": LEAVE})
    session = before.ask(base, "paid leave")["sessionId"]
    before.emulator.close()
    after = workbench_of(state=tmp_path)
    assert after.retrieved(base, "paid leave")[0]["content"]["text"] == LEAVE
    assert after.ask(base, "paid leave", sessionId=session)
    assert after.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 0


def test_what_was_under_way_is_carried_on(workbench_of: Any, tmp_path: Path) -> None:
    before = workbench_of(state=tmp_path)
    base = before.knowledge_base("tenant")
    source = before.data_source(base)
    before.put("documents", **{"leave.txt": LEAVE})
    job = before.start(base, source)
    creating = before.create("creating")["knowledgeBaseId"]
    before.agent.delete_knowledge_base(knowledgeBaseId=before.knowledge_base("deleted"))
    before.emulator.close()
    after = workbench_of(state=tmp_path)
    for _ in range(3):
        after.clock.advance(200)
        after.agent.list_knowledge_bases()
    assert after.job(base, source, job)["statistics"]["numberOfNewDocumentsIndexed"] == 1
    summaries = after.agent.list_knowledge_bases()["knowledgeBaseSummaries"]
    assert {summary["knowledgeBaseId"]: summary["status"] for summary in summaries} == {
        base: "ACTIVE",
        creating: "ACTIVE",
    }


def test_a_state_that_can_not_be_read_is_refused(workbench_of: Any, tmp_path: Path) -> None:
    (tmp_path / "bedrock.pickle").write_bytes(b"damaged")
    with pytest.raises(StateError, match="can't be read"):
        workbench_of(state=tmp_path)


def test_a_served_emulator_starts_fast_and_keeps_its_state_when_it_is_ended(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    imports = "from pathlib import Path; from bedrock_emulator.server import command"
    program = f"{imports}; command({port}, state=Path({str(tmp_path)!r}))"
    served = subprocess.Popen([sys.executable, "-c", program])  # noqa: S603 - this interpreter, our own program
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{port}/_emulator/faults") as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert time.monotonic() < deadline
                assert served.poll() is None
                time.sleep(0.05)
        served.send_signal(signal.SIGTERM)
        served.wait(20)
    finally:
        if served.poll() is None:
            served.kill()
            served.wait()
    assert (tmp_path / "bedrock.pickle").exists()
