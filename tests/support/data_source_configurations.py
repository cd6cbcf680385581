"""What AWS says of a data source, as it would be sent."""

from __future__ import annotations

import json
from typing import Any

_CONNECTOR = "managedKnowledgeBaseConnectorConfiguration"


def as_sent(told: dict[str, Any]) -> dict[str, Any]:
    """Of a `dataSourceConfiguration` by GetDataSource: a connector's parameters come as JSON in a text."""
    if _CONNECTOR not in told:
        return told
    parameters = json.loads(told[_CONNECTOR]["connectorParameters"])
    return {**told, _CONNECTOR: {**told[_CONNECTOR], "connectorParameters": parameters}}
