"""Prints what every role of the stack is permitted, in Markdown: `python tests/contract/permission_table.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.deployment_values import Deployment
from tests.support.granted_permissions import Permissions

if __name__ == "__main__":
    everything = {"OfferOpenSearchServerless": "true", "GenerationModelId": "model"}
    print(Permissions(Deployment("account", "region", everything)).table())  # noqa: T201 - it is what the script is for
