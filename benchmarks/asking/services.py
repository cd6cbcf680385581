"""The AWS that the measured functions call: a process of its own that answers at once, but for Bedrock: a search takes
10 ms there, and a model's answer 50.

DynamoDB is played, too, because a real one that runs here takes milliseconds for a GetItem, and the plain handler would
pay for them with every question. Items are what kbfleet's own registry writes; writes are accepted and forgotten.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.asking.loopback_server import Request, Response, serving

SEARCH_SECONDS = 0.01
MODEL_SECONDS = 0.05
_TOOK = "/took"
_ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><AssumedRoleId>AROA:ask</AssumedRoleId><Arn>arn:aws:sts::000000000000:assumed-role/ask/ask</Arn></AssumedRoleUser>
<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>benchmark</SecretAccessKey><SessionToken>benchmark</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


class Services:
    """Of a running process: its address, and how long its answers took."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def last_answer_seconds(self) -> float:
        """What Bedrock took for the last answer: its search and its model, from the last byte of each request on."""
        with urlopen(f"{self.url}{_TOOK}", timeout=10) as response:  # noqa: S310 - our own address
            return float(response.read())


@contextmanager
def services(items: list[Mapping[str, Any]], folder: Path) -> Iterator[Services]:
    """Starts the process; it is gone when the block is left.

    items: what is in its table, in DynamoDB's JSON. One of them is a tenant's record, whose bucket answers cite.
    """
    stored = folder / "items.json"
    stored.write_text(json.dumps(items), "utf-8")
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "benchmarks.asking.services", str(stored)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if process.stdout is None or not (port := process.stdout.readline()):
                raise RuntimeError("the services did not start")
            yield Services(int(port))
        finally:
            process.kill()


class _Account:
    def __init__(self, items: list[Mapping[str, Any]]) -> None:
        (bucket,) = {item["bucket_name"]["S"] for item in items if "bucket_name" in item}
        self._found = _found_in(bucket)
        self._items = {(item["PK"]["S"], item["SK"]["S"]): item for item in items}
        self._took = 0.0
        self._operations: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "GetItem": self._get_item,
            "PutItem": lambda _: {},
            "UpdateItem": lambda _: {},
            "DeleteItem": lambda _: {},
        }

    def answer(self, request: Request) -> Response:
        received = time.perf_counter()
        if re.fullmatch("/knowledgebases/[^/]+/retrieve", request.path):
            self._took = 0.0
            return self._late(self._found, received, SEARCH_SECONDS)
        if re.fullmatch("/model/[^/]+/converse", request.path):
            return self._late(_SAID, received, MODEL_SECONDS)
        if request.path == _TOOK:
            return Response(200, repr(self._took).encode())
        target = request.headers.get("x-amz-target", "")
        if target.startswith("DynamoDB_"):
            operation = self._operations.get(target.partition(".")[2])
            if operation:
                return _json(operation(json.loads(request.body)))
        if target == "secretsmanager.GetSecretValue":
            return _json({"ARN": "arn", "Name": "secret", "SecretString": "0123456789abcdef" * 4})
        if b"Action=AssumeRole&" in request.body:
            return Response(200, _ASSUMED.encode(), (("Content-Type", "text/xml"),))
        return Response(501, f"{request.method} {request.path} {target} is not played here".encode())

    def _late(self, answer: Mapping[str, Any], received: float, seconds: float) -> Response:
        response = _json(answer)
        time.sleep(max(0.0, received + seconds - time.perf_counter()))
        self._took += time.perf_counter() - received
        return response

    def _get_item(self, request: dict[str, Any]) -> dict[str, Any]:
        key = request["Key"]
        item = self._items.get((key["PK"]["S"], key["SK"]["S"]))
        return {"Item": item} if item else {}


_STATEMENTS = ("The warranty of the tent is two years.", "It covers the poles.")
_SAID: Mapping[str, Any] = {
    "output": {
        "message": {"role": "assistant", "content": [{"text": " ".join(f"{each} [1][2]" for each in _STATEMENTS)}]}
    },
    "stopReason": "end_turn",
    "usage": {"inputTokens": 812, "outputTokens": 24, "totalTokens": 836},
    "metrics": {"latencyMs": 50},
}


def _found_in(bucket: str) -> Mapping[str, Any]:
    """As many passages as are asked for, from documents of that bucket."""
    documents = ("warranty.pdf", "tents/manual.pdf", "poles.pdf", "terms.pdf", "prices.pdf")
    return {"retrievalResults": [_passage(" ".join(_STATEMENTS * 10), f"s3://{bucket}/{name}") for name in documents]}


def _passage(text: str, uri: str) -> Mapping[str, Any]:
    return {
        "content": {"type": "TEXT", "text": text},
        "location": {"type": "S3", "s3Location": {"uri": uri}},
        "metadata": {
            "x-amz-bedrock-kb-source-uri": uri,
            "x-amz-bedrock-kb-document-page-number": 3,
            "department": "sales",
        },
        "score": 0.5,
    }


def _json(document: Mapping[str, Any]) -> Response:
    return Response(200, json.dumps(document).encode(), (("Content-Type", "application/json"),))


def _main(items: Path) -> None:
    with serving(_Account(json.loads(items.read_text("utf-8"))).answer) as port:
        print(port, flush=True)  # noqa: T201 - to the process that has started this one
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
