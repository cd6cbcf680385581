"""The emulator's state kept in a directory, from one run to the next."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bedrock_emulator.account import Account
from bedrock_emulator.services.ingestion import vectors

_FILE = "bedrock.pickle"
_FORMAT = 4
_KEPT = (
    "knowledge_bases",
    "data_sources",
    "jobs",
    "vector_buckets",
    "collections",
    "collection_indexes",
    "policies",
    "sessions",
    "guardrails",
)


class StateError(Exception):
    """The directory holds a state that this version can't read."""


def kept(directory: Path) -> dict[str, Any] | None:
    """The time and the Regions that are kept in ``directory``, None when there is nothing.

    StateError when it is damaged or of another version.
    """
    file = directory / _FILE
    if not file.exists():
        return None
    try:
        state = pickle.loads(file.read_bytes())  # noqa: S301 - written by this module, on this machine
        if isinstance(state, dict) and state.get("format") == _FORMAT:
            state["regions"] = {name: pickle.loads(of) for name, of in state["regions"].items()}  # noqa: S301 - as above
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, TypeError) as error:
        raise StateError(f"{file} can't be read: {error}") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise StateError(f"{file} is of another version")
    return state


def keep(accounts: Mapping[str, Account], directory: Path) -> None:
    """Write the state of each Region, by its name, to ``directory``: whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    now = max(account.now() for account in accounts.values())
    regions = {name: _state(account) for name, account in accounts.items()}
    written = pickle.dumps({"format": _FORMAT, "now": now, "regions": regions})
    partial = directory / f"{_FILE}.{os.getpid()}"
    partial.write_bytes(written)
    partial.replace(directory / _FILE)


def _state(account: Account) -> bytes:
    with account.lock:
        state = {name: getattr(account, name) for name in _KEPT}
        state["contents"] = {key: contents.stored() for key, contents in account.all_contents().items()}
        # Pickled under the lock: what goes on meanwhile must not change it.
        return pickle.dumps(state)


def restore(account: Account, state: dict[str, Any]) -> None:
    """Put a Region's kept state into an empty account. Texts are embedded anew where another model was in use."""
    with account.lock:
        for name in _KEPT:
            setattr(account, name, state[name])
        for key, (chunks, known) in state["contents"].items():
            fitting = known if known.dimension == account.embedder.dimension else vectors(account.embedder, chunks)
            account.contents(key).replace("", (), chunks, fitting)
