"""Vectors of passages, remembered in a file for the next process."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# What SQLite takes at least in one statement, whatever it was built with (https://sqlite.org/limits.html).
_PARAMETERS = 999
_WAIT_SECONDS = 60.0


class RememberedVectors:
    """Vectors by what they were made of. Processes may share the file; it is made when there is none.

    What was made first is forgotten first, beyond ``most`` vectors (of 384 numbers, 20,000 take 30 MB).
    """

    def __init__(self, file: Path, *, most: int = 20_000) -> None:
        """Opens nothing yet."""
        self._file = file
        self._most = most

    def find(self, keys: Collection[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The vectors of those keys that are known. sqlite3.DatabaseError when the file is something else."""
        wanted = list(keys)
        found: dict[bytes, NDArray[np.float32]] = {}
        with self._open() as database:
            for start in range(0, len(wanted), _PARAMETERS):
                some = wanted[start : start + _PARAMETERS]
                marks = ",".join("?" * len(some))
                rows = database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)  # noqa: S608
                found.update({key: np.frombuffer(vector, dtype="<f4") for key, vector in rows})
        return found

    def add(self, made: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Remembers vectors. sqlite3.DatabaseError when the file is something else."""
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in made.items()]
        with self._open() as database, database:
            database.executemany("INSERT OR IGNORE INTO vectors (key, vector) VALUES (?, ?)", rows)
            database.execute("DELETE FROM vectors WHERE made <= (SELECT max(made) FROM vectors) - ?", (self._most,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=_WAIT_SECONDS)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS vectors "
                "(made INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE NOT NULL, vector BLOB NOT NULL)"
            )
            yield database
