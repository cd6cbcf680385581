"""One step of the workflow: answers, fails by name, or leaves its task open."""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

import built_for
import greeting


class NotReadyYet(Exception):
    """Worth another try."""


class Broken(Exception):
    """Not worth another try."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    match event.get("do"):
        case "fail":
            raise Broken("cannot be done")
        case "fail once":
            mark = Path(os.environ["TMPDIR"]) / f"tried-{event['key']}"
            if not mark.exists():
                mark.touch()
                raise NotReadyYet("the first try always fails")
        case "fetch":
            with urllib.request.urlopen(event["url"], context=ssl.create_default_context()) as response:  # noqa: S310
                return {"body": json.load(response)}
        case "environment":
            return {"variables": dict(os.environ), "search_path": sys.path}
    return {"greeting": greeting.greet("step"), "built_for": built_for.TARGET, "state": event.get("state")}
