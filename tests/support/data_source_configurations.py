"""What AWS says of a data source, as it would be sent."""

from __future__ import annotations

import json
from typing import Any

_CONNECTOR = "managedKnowledgeBaseConnectorConfiguration"


def as_sent(described: dict[str, Any]) -> dict[str, Any]:
    """Of a `dataSourceConfiguration` by GetDataSource: a connector's parameters come as JSON in a text."""
    if _CONNECTOR not in described:
        return described
    parameters = json.loads(described[_CONNECTOR]["connectorParameters"])
    return {**described, _CONNECTOR: {**described[_CONNECTOR], "connectorParameters": parameters}}
