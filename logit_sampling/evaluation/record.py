"""The folder of a comparison: what was asked for, and each text as soon as it is written.

`comparison.json` says what is compared and how, and lists each call that wrote here, with its date,
command and versions. `texts.jsonl` has a line for each text; of two with one key the later counts.
A line is there whole or not at all: what an interruption cut off is cut away at the next opening.
"""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from logit_sampling.evaluation.texts import Text
from logit_sampling.locking import locked
from logit_sampling.plotting.visible import brief

FORMAT = 1
_PACKAGES = (
    "logit-sampling",
    "numpy",
    "scipy",
    "keras",
    "keras-hub",
    "tensorflow",
    "jax",
    "torch",
    "numba",
)


class Record:
    """The texts of a comparison, and in a folder if it has one.

    Args:
        setting: what is compared, as JSON has it; see `Comparison.setting`.
        folder: where it is kept; made if it is not there; None for nowhere.
        command: the command that asked for it, if one did.

    Attributes:
        about: all that `comparison.json` holds.
        texts: by their keys.

    Raises:
        ValueError: the folder holds another comparison: other texts of these prompts, samplers and
            models than these would be, or what is no comparison.
        OSError: it cannot be read or written.
    """

    def __init__(
        self, setting: dict[str, Any], folder: str | os.PathLike[str] | None, command: str = ""
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.texts: dict[tuple[Any, ...], Text] = {}
        self.about: dict[str, Any] = {"format": FORMAT, "setting": setting, "calls": []}
        self._setting, self._call = setting, call(command)
        self._take_in()
        known = self.folder is None or (self.folder / "comparison.json").exists()
        if not known and not _vacant(Path(self.folder or "")):
            raise ValueError(f"{self.folder} is there and holds no comparison: choose another one")

    def _take_in(self) -> None:
        """Read what is in the folder, and join it to what this call asks for."""
        self.about = {"format": FORMAT, "setting": self._setting, "calls": [self._call]}
        if self.folder is None or not (self.folder / "comparison.json").exists():
            return
        about, self.texts = read(self.folder)
        if self.texts:
            self.about["setting"] = _joined(
                self.folder, about["setting"], self._setting, self.texts
            )
        self.about["calls"] = [*about["calls"], self._call]

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Keep other processes out of the folder, and say in it what is compared.

        What another one wrote there in the meantime counts; what an interruption cut off is mended.

        Raises:
            ValueError: another process works there.
        """
        if self.folder is None:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = locked(self.folder, "comparison", "choose another folder")
        try:
            self._take_in()
            write_whole(self.folder / "comparison.json", json.dumps(self.about, indent=1))
            path = self.folder / "texts.jsonl"
            if path.exists():
                with path.open("rb+") as file:
                    file.truncate(file.read().rfind(b"\n") + 1)
            yield
        finally:
            (self.folder / "lock").unlink(missing_ok=True)
            lock.close()

    def add(self, texts: Iterable[Text]) -> None:
        """Take in texts, and write them to the folder before anything else is done."""
        new = list(texts)
        self.texts.update((text.key, text) for text in new)
        if self.folder is not None:
            with (self.folder / "texts.jsonl").open("a", encoding="utf-8") as file:
                file.write("".join(text.to_json() + "\n" for text in new))
                file.flush()
                os.fsync(file.fileno())


def _vacant(folder: Path) -> bool:
    """Whether a folder is not there, or empty."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(path.name == "lock" for path in folder.iterdir())


def read(folder: Path) -> tuple[dict[str, Any], dict[tuple[Any, ...], Text]]:
    """Return what a folder says of its comparison, and its texts by their keys.

    Raises:
        ValueError: it holds no comparison.
        OSError: it cannot be read.
    """
    try:
        about = json.loads((folder / "comparison.json").read_text("utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, and this version reads {FORMAT}")
        path = folder / "texts.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # the last may be cut
        texts = [_text(path, i, line) for i, line in enumerate(lines, 1) if line]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} holds no comparison that can be read: {error}") from None
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no comparison: it has no comparison.json") from None
    return about, {text.key: text for text in texts}


def _text(path: Path, number: int, line: bytes) -> Text:
    try:
        return Text.from_json(line.decode())
    except ValueError as error:
        raise ValueError(
            f"line {number} of {path.name} is no text ({error}); delete it, and it is made again"
        ) from None


def _joined(
    folder: Path, old: dict[str, Any], new: dict[str, Any], texts: Iterable[tuple[Any, ...]]
) -> dict[str, Any]:
    """Return both settings as one; raise ValueError where one text would be two."""
    for name in ("max_new_tokens", "stop_at_end", "overflow"):
        if old[name] != new[name]:
            raise ValueError(
                f"{name} is {new[name]!r}, and was {old[name]!r} for the texts in {folder}: choose "
                "another folder"
            )
    joined = {**old, **new}
    for name in ("judge", "embedder"):
        if old[name] and new[name] and old[name] != new[name]:
            _check_version(folder, old[name], new[name])
            raise ValueError(
                f"{folder} holds what another {name} found ({_changed(old[name], new[name])}): "
                "choose another folder"
            )
        joined[name] = new[name] or old[name]
    # Those of which there is no text may be others now: the last call had failed before it wrote.
    models, samplers, prompts, _ = map(set, zip(*texts, strict=True))
    for name, there in (("prompts", prompts), ("samplers", samplers), ("models", models)):
        for key in old[name].keys() & new[name].keys() & there:
            before, now = (_identity(own[name][key]) for own in (old, new))
            if before != now:
                _check_version(folder, before, now)
                raise ValueError(
                    f"{folder} holds texts of another {name[:-1]} {key!r} "
                    f"({_changed(before, now)}): give it another name, or choose another folder"
                )
        joined[name] = {**old[name], **new[name]}
    joined["seeds"] = [*old["seeds"], *(s for s in new["seeds"] if s not in old["seeds"])]
    return joined


def _check_version(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ValueError if less was noted of a model than is now."""
    if missing := sorted(now.keys() - before.keys()):
        raise ValueError(
            f"{folder} is of an earlier version, which did not note {' and '.join(missing)} of a "
            "model: choose another folder; Comparison.load and --load still show this one"
        )


def _identity(about: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of a prompt, sampler or model without what is for show or follows."""
    return {name: value for name, value in about.items() if name not in ("settings", "draws")}


def _changed(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return what differs: `chain 'Greedy()' there, 'Sampler()' here`."""
    return "; ".join(
        f"{name} {brief(value, 100)} there, {brief(new.get(name), 100)} here"
        for name, value in old.items()
        if value != new.get(name)
    )


def call(command: str) -> dict[str, Any]:
    """Return when, how and with what a comparison was made."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        if name.replace("-", "_") in sys.modules:
            with contextlib.suppress(PackageNotFoundError):
                versions[name] = version(name)
    backend = sys.modules["keras"].backend.backend() if "keras" in sys.modules else None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions,
        "backend": backend,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, and move it there: a reader never sees half of one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # before the name is there: not an empty file after a crash
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
