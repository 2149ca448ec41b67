"""A file of requests to a file of results, a line each."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

from logit_sampling.locking import lock
from logit_sampling.plain import read_json
from logit_sampling.serving.lines import Writer
from logit_sampling.serving.refused import RefusedError

CHUNK = 256  # lines that are one batch, and are written to the file together
_LONGEST = 4 << 20  # bytes of a line


class Job:
    """What writes the results of a file of requests.

    Results are gathered in `OUT.part`, which becomes OUT when all are there: OUT is whole or not
    there. Lines are written in chunks, each a batch of its own, so that a job that was interrupted
    and goes on at a chunk writes the same bytes as one that was not.

    Args:
        given: the file of requests: a JSON object a line; lines of white space are passed over.
        out: the file of results, which must not be there.
        resume: whether to go on where an interrupted job ended; one that is complete stays as it
            is. OUT.job.json says what its results depend on.

    Attributes:
        complete: whether all results are there already.
        part: where the results are until all are there.
        done: how many there are.
        errors: how many of them are errors.

    Raises:
        ValueError: `out`, or an unfinished job, is there and `resume` is not said.
    """

    def __init__(self, given: Path, out: Path, resume: bool = False) -> None:
        self._given, self._out = given, out
        self.part = out.with_name(f"{out.name}.part")
        self._note = out.with_name(f"{out.name}.job.json")
        self.complete = resume and out.exists() and self._note.exists()
        self.done = self.errors = 0
        if not given.is_file():
            raise ValueError(f"{given} is no file")
        if not out.parent.is_dir():
            raise ValueError(f"{out.parent} is no folder")
        if not self.complete:
            self._check_free()
        if self.part.exists() and not resume:
            raise ValueError(
                f"{self.part} holds the results of a job that was interrupted: --resume goes on "
                "with it; or delete it"
            )

    def run(
        self,
        writer: Writer,
        about: Mapping[str, Any],
        tell: Callable[[int, int], None] = lambda place, size: None,
    ) -> None:
        """Write all results.

        Args:
            writer: what writes them.
            about: what they depend on beside the requests, as JSON has it.
            tell: called with the place in the file of requests and its size, in bytes, whenever a
                request has ended.

        Raises:
            ValueError: another process is at it, or the results so far are those of other
                requests, or of other settings.
            OSError: a file cannot be read or written.
        """
        size = self._given.stat().st_size
        with self._given.open("rb") as source:
            same = {"SHA-256 of the requests": hashlib.file_digest(source, "sha256").hexdigest()}
        known = json.loads(json.dumps(same | dict(about)))
        if self.complete:
            self._check_same(known, self._out)
            with self._out.open("rb") as file:
                while written := list(islice(file, CHUNK)):
                    self._count([json.loads(line) for line in written])
            return
        with self._given.open("rb") as source, self.part.open("ab+") as target:
            if not lock(target):
                raise ValueError(f"another process writes {self.part}: wait for its end")
            self._check_free()  # since then, who had the lock may have ended
            if self.part.stat().st_size:
                self._check_same(known, self.part)
            else:
                self._note.write_text(json.dumps(known), "utf-8")
            lines = _lines(source)
            self._go_to_the_end(lines, target)
            while chunk := list(islice(lines, CHUNK)):
                places = iter([place for place, _ in chunk])
                results = writer([own for _, own in chunk], self.done, _Told(places, size, tell))
                target.write(b"".join(map(_line, results)))
                target.flush()
                os.fsync(target.fileno())
                self._count(results)
            self.part.replace(self._out)

    def _check_free(self) -> None:
        if self._out.exists():
            raise ValueError(f"{self._out} is there: choose another name, or delete it")

    def _check_same(self, about: dict[str, Any], results: Path) -> None:
        """Raise ValueError unless results depend on the same."""
        try:
            before = json.loads(self._note.read_text("utf-8"))
        except (OSError, ValueError):
            raise ValueError(f"{self._note} cannot be read: delete {results} too") from None
        for name in {**before, **about}:
            if before.get(name) != about.get(name):
                raise ValueError(
                    f"{results} was written with {name} {_short(before.get(name))}, and now it "
                    f"is {_short(about.get(name))}: say the same, or delete {results}"
                )

    def _go_to_the_end(self, lines: Iterator[tuple[int, Any]], target: IO[bytes]) -> None:
        """Pass over the requests of whole chunks whose results are there; cut off the others."""
        target.seek(0)
        end = 0
        while True:
            results = list(islice(iter(target.readline, b""), CHUNK))
            if len(results) < CHUNK or not results[-1].endswith(b"\n"):
                break
            deque(islice(lines, CHUNK), maxlen=0)
            end = target.tell()
            self._count([json.loads(line) for line in results])
        target.truncate(end)
        target.seek(0, os.SEEK_END)

    def _count(self, results: list[dict[str, Any]]) -> None:
        self.done += len(results)
        self.errors += sum(_failed(result) for result in results)


class _Told:
    """Tells the next place each time it is called."""

    def __init__(self, places: Iterator[int], size: int, tell: Callable[[int, int], None]) -> None:
        self._places, self._size, self._tell = places, size, tell

    def __call__(self) -> None:
        self._tell(next(self._places), self._size)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


def _failed(result: Mapping[str, Any]) -> bool:
    if "response" in result:
        return result["response"]["status_code"] != 200
    return "error" in result


def _line(result: Mapping[str, Any]) -> bytes:
    return json.dumps(result, allow_nan=False).encode() + b"\n"


def _lines(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield the requests of a file, each with the place behind it; errors for what is none."""
    while line := file.readline(_LONGEST):
        given: Any
        if len(line) == _LONGEST and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_LONGEST)
            given = RefusedError(f"the line has more than {_LONGEST} bytes", status=413)
        elif not line.strip():
            continue
        else:
            given = _read(line)
        yield file.tell(), given


def _read(line: bytes) -> Any:
    try:
        return read_json(line.decode("utf-8-sig"))
    except json.JSONDecodeError as error:  # its line number is none of the file
        return RefusedError(f"the line is no JSON: {error.msg} at character {error.pos + 1}")
    except ValueError as error:
        return RefusedError(f"the line is no JSON: {error}"[:200])
