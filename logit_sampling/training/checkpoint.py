"""The state of a run in one file, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, finds the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: dict[str, Any], arrays: dict[str, list[np.ndarray]]) -> None:
    """Store JSON-able `state` and lists of arrays by name."""
    import io

    named = {f"{name}.{i}": a for name, group in arrays.items() for i, a in enumerate(group)}
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(json.dumps(state)), **named)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """What `save_checkpoint` stored. Raises `ValueError` if the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            state = json.loads(str(file["state"]))
            arrays: dict[str, list[np.ndarray]] = {}
            for key in file.files:
                if key != "state":
                    arrays.setdefault(key.split(".")[0], []).append(file[key])
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a readable checkpoint ({error}); delete it") from error
    return state, arrays
