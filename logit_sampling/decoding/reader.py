"""The model beside its texts: it reads new ones at once (prefill), then what is new in each."""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from logit_sampling.decoding.beginnings import LEAST, Beginnings
from logit_sampling.decoding.plan import Decoding, Read
from logit_sampling.decoding.window import window_start
from logit_sampling.models.model import Cache, Model, Output

_Told = TypeVar("_Told")


def follow(
    decoding: Generator[_Told | Read, Output, None], reader: "Reader"
) -> Generator[_Told, None, None]:
    """Let a way to decode have what it asks for, and yield what else it yields."""
    try:
        asked = next(decoding)
        while True:
            if isinstance(asked, Read):
                try:
                    output = reader.read(asked.texts, asked.columns, asked.origins)
                except BaseException as error:
                    asked = decoding.throw(error)  # it may have to put something in order
                else:
                    asked = decoding.send(output)
            else:
                yield asked
                asked = next(decoding)
    except StopIteration:
        return
    finally:
        decoding.close()


def told(decoding: Decoding, tell: Callable[[int], _Told]) -> Generator[_Told | Read, Output, None]:
    """Yield what there is to tell of a row in place of its number."""
    try:
        asked = next(decoding)
        while True:
            if isinstance(asked, Read):
                try:
                    output = yield asked
                except BaseException as error:
                    asked = decoding.throw(error)
                else:
                    asked = decoding.send(output)
            else:
                yield tell(asked)
                asked = next(decoding)
    except StopIteration:
        return
    finally:
        decoding.close()


class Reader:
    """A model that reads texts which grow and shrink, come and go; each has a key that names it.

    Args:
        model: what reads.
        slide: whether texts may outgrow the context of the model (see `window_start`).
        beginnings: texts that were read before; None to read each text anew.
    """

    def __init__(
        self, model: Model, slide: bool = False, beginnings: Beginnings | None = None
    ) -> None:
        self._model, self._context = model, model.context_length if slide else None
        self._stride: int | None = getattr(model, "stride", None) if slide else None
        self._beginnings = beginnings
        self._cache: Cache | None = None
        self._texts: dict[Hashable, list[int]] = {}  # what each row of the cache holds
        self._starts: dict[Hashable, int] = {}  # for each row of the cache, where its text begins
        self._begun: dict[Hashable, tuple[int, Cache]] = {}  # texts of which a part was read

    def read(
        self,
        texts: Mapping[Any, list[int]],
        columns: int = 1,
        origins: Mapping[Any, Any] | None = None,
    ) -> Output:
        """Read each text to its end.

        What has been read of a text may differ from it in its last `columns` tokens and behind
        them; that is forgotten. All texts are read by equally many tokens at once, so that the last
        tokens of some are read again.

        Args:
            texts: by their keys. One that the call before did not have is read from its beginning,
                and one that it had and this one has not is forgotten.
            columns: of how many tokens to tell what follows.
            origins: the key that a text had in the call before, where that is another one; several
                texts may have been one.

        Returns:
            for each of `texts` what follows at least its last `columns` tokens, and all that had
            not been read; the last column belongs to the last token. Columns before the first token
            mean nothing, and of a text that is new the last column alone means something.
        """
        starts = {i: self._start(text) for i, text in texts.items()}
        windows = {i: text[starts[i] :] if starts[i] else text for i, text in texts.items()}
        was = {i: (origins or {}).get(i, i) for i in texts}
        stay = {i: was[i] for i in texts if self._starts.get(was[i]) == starts[i]}
        self._select(stay)
        outputs = [self._decode([windows[i] for i in stay], columns)] if stay else []
        new = {i: window for i, window in windows.items() if i not in stay}
        if new:
            outputs.append(self._prefill(new))
            self._starts |= {i: starts[i] for i in new}
        self._texts = windows
        output = _stacked(outputs)
        if list(texts) == list(self._starts):
            return output
        place_of = {i: place for place, i in enumerate(self._starts)}
        return _at(output, [place_of[i] for i in texts])

    def _start(self, text: list[int]) -> int:
        return window_start(len(text), self._context, self._stride)

    def unread(self, key: Hashable, text: list[int]) -> int:
        """Return how many tokens of a new text `read` would read."""
        window = text[self._start(text) :]
        return len(window) - self._found(key, window)[0]

    def _found(self, key: Hashable, window: list[int]) -> tuple[int, Cache | None]:
        """Return how much of a new text was read, and a cache with that."""
        known = self._begun.get(key)
        if known is None and self._beginnings is not None:
            known = self._beginnings.find(window)
            if known is not None:
                self._begun[key] = known
        return known or (0, None)

    def read_on(self, key: Hashable, text: list[int], most: int) -> None:
        """Read a part of a new text before `read` is asked for it.

        Args:
            key: of the text.
            text: it must stay as it is, and at least one token is left to `read`.
            most: how many tokens to read.
        """
        window = text[self._start(text) :]
        known, cache = self._found(key, window)
        part = window[known : min(known + most, len(window) - 1)]
        if cache is None:
            cache = self._model.prefill([part])[1]
        else:
            cache.append(np.array([part], np.int32), last=True)
        self._begun[key] = known + len(part), cache

    def forget(self, key: Hashable) -> None:
        """Forget a text of which a part was read."""
        self._begun.pop(key, None)

    def forget_all(self) -> None:
        """Forget all texts, but for the beginnings that are kept."""
        self._select({})
        self._texts, self._begun = {}, {}

    def _select(self, origins: Mapping[Any, Any]) -> None:
        """Keep text `i` as what `origins[i]` was."""
        place_of = {i: place for place, i in enumerate(self._starts)}
        places = [place_of[origin] for origin in origins.values()]
        if self._cache is not None and self._beginnings is not None:
            for i in self._starts.keys() - origins.values():
                length = self._cache.lengths[place_of[i]]
                self._beginnings.keep(self._texts[i][:length], self._cache, place_of[i])
        if not places:
            self._cache = None
        elif self._cache is not None and places != list(range(len(self._starts))):
            self._cache = self._cache.select(places)
        self._starts = {i: self._starts[origin] for i, origin in origins.items()}

    def _prefill(self, texts: Mapping[Any, list[int]]) -> Output:
        """Read texts from their beginnings, equal ones once, and take them in."""
        distinct: dict[tuple[int, ...], Hashable] = {}
        for i, text in texts.items():
            distinct.setdefault(tuple(text), i)
        together: list[tuple[int, ...]] = []
        order: list[tuple[int, ...]] = []
        read: list[tuple[Output, Cache]] = []
        for own, i in distinct.items():
            known, begun = self._found(i, list(own))
            if begun is not None:
                del self._begun[i]
                read.append((begun.append(np.array([own[known:]], np.int32), last=True), begun))
            elif self._beginnings is not None and len(own) > LEAST:
                read.append(self._model.prefill([list(own)]))
            else:
                together.append(own)
                continue
            order.append(own)
            if self._beginnings is not None:
                self._beginnings.keep(own, read[-1][1])
        if together:
            read.append(self._model.prefill([list(text) for text in together]))
        output, caches = _stacked([told for told, _ in read]), [cache for _, cache in read]
        place_of = {text: place for place, text in enumerate([*order, *together])}
        places = [place_of[tuple(text)] for text in texts.values()]
        if places != list(range(len(place_of))):
            first, *others = caches
            caches = [first.join(*others).select(places)]
            output = _at(output, places)
        if self._cache is not None:
            caches.insert(0, self._cache)
        first, *others = caches
        self._cache = first.join(*others) if others else first
        return output

    def _decode(self, texts: Sequence[list[int]], columns: int) -> Output:
        """Read on, all texts in the cache by equally many tokens."""
        assert self._cache is not None
        held, lengths = self._cache.lengths, np.array([len(text) for text in texts])
        columns = max(columns, int((lengths - held).max()))
        surplus = held - np.maximum(lengths - columns, 0)
        if surplus.any():
            self._cache.drop(surplus)
        # What stands behind a text that is shorter than that is forgotten again.
        parts = [text[-columns:] + text[-1:] * (columns - len(text)) for text in texts]
        output = self._cache.append(np.array(parts, np.int32))
        short = np.maximum(columns - lengths, 0)
        if not short.any():
            return output
        self._cache.drop(short)
        return _at(output, (np.arange(len(texts))[:, None], np.arange(columns) - short[:, None]))


def _at(output: Output, places: Any) -> Output:
    logits, hidden = output
    return Output(logits[places], None if hidden is None else hidden[places])


def _stacked(outputs: Sequence[Output]) -> Output:
    """Return the rows of all, with as many columns as one has; the last ones are theirs."""
    if len(outputs) == 1:
        return outputs[0]
    columns = max(output.logits.shape[1] for output in outputs)

    def stacked(arrays: Sequence[Any]) -> Any:
        if any(array is None for array in arrays):
            return None
        return np.concatenate(
            [np.pad(a, [(0, 0), (columns - a.shape[1], 0), (0, 0)]) for a in arrays]
        )

    logits, hidden = zip(*outputs, strict=True)
    return Output(stacked(logits), stacked(hidden))
