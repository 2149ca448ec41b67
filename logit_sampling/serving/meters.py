"""What a server counts, in the text form of Prometheus."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Meters:
    """The counters of one server.

    Attributes:
        waiting: texts of which there is no token yet.
        rows: texts that have tokens and have not ended.
        ended: texts by what ended them.
        answered: requests by their status of HTTP.
        tokens: read in prompts, and written.
        first: seconds from a request to its first token.
        whole: seconds from a request to the end of its answer.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry, "namespace": "logit_sampling"}
        self.waiting = Gauge("waiting_rows", "Texts of which there is no token yet.", **own)
        self.rows = Gauge("running_rows", "Texts that have tokens and have not ended.", **own)
        self.ended = Counter("texts", "Texts that ended, by what ended them.", ["reason"], **own)
        self.answered = Counter("requests", "Requests, by the status of HTTP.", ["status"], **own)
        self.tokens = Counter("tokens", "Tokens: of prompts, and written.", ["kind"], **own)
        self._rate = Gauge(
            "tokens_per_second", "Tokens written a second since this was asked last.", **own
        )
        self.first = Histogram(
            "time_to_first_token_seconds", "To the first token.", buckets=_SECONDS, **own
        )
        self.whole = Histogram("request_seconds", "To the whole answer.", buckets=_SECONDS, **own)
        self._written, self._told = 0, (time.monotonic(), 0)

    def wrote(self, tokens: int = 1) -> None:
        """Count tokens that were written."""
        self._written += tokens
        self.tokens.labels("written").inc(tokens)

    def text(self) -> bytes:
        """Return all numbers."""
        (since, before), now = self._told, time.monotonic()
        self._rate.set((self._written - before) / max(now - since, 1e-9))
        self._told = now, self._written
        return generate_latest(self._registry)


class Texts:
    """The texts of one request on their way through the meters.

    Args:
        meters: what counts them.
        rows: how many texts.
        prompts: tokens of the prompts.
    """

    def __init__(self, meters: Meters, rows: int, prompts: int) -> None:
        self._meters, self._waiting, self._running = meters, rows, 0
        self._since = time.perf_counter()
        self._begun: set[int] = set()
        meters.waiting.inc(rows)
        meters.tokens.labels("prompt").inc(prompts)

    def tell(self, row: int, token: bool, reason: str | None) -> None:
        """Count what an event tells of a row: a token, or its end."""
        if row not in self._begun:
            if not self._begun:
                self._meters.first.observe(time.perf_counter() - self._since)
            self._begun.add(row)
            self._move(-1, 1)
        if token:
            self._meters.wrote()
        if reason:
            self._meters.ended.labels(reason).inc()
            self._move(0, -1)

    def end(self) -> None:
        """Count no longer what has not ended."""
        left = self._waiting + self._running
        if left:
            self._meters.ended.labels("cancelled").inc(left)
        self._move(-self._waiting, -self._running)
        self._meters.whole.observe(time.perf_counter() - self._since)

    def _move(self, waiting: int, running: int) -> None:
        self._waiting += waiting
        self._running += running
        self._meters.waiting.inc(waiting)
        self._meters.rows.inc(running)
