"""The model beside its texts: it reads new ones at once (prefill), then what is new in each."""

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from logit_sampling.decoding.beginnings import LEAST, Beginnings, common
from logit_sampling.decoding.plan import Decoding, Read
from logit_sampling.decoding.window import window_start
from logit_sampling.models.model import Cache, Model, Output
from logit_sampling.models.sizes import similar

_Told = TypeVar("_Told")
_Text: TypeAlias = tuple[int, ...]


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

    def _found(self, key: Hashable, window: Sequence[int]) -> tuple[int, tuple[int, ...] | None]:
        """Return how much of a new text was read, and what that is part of, if it is a beginning.

        What was read of the text itself comes first.
        """
        if key in self._begun:
            return self._begun[key][0], None
        return self._beginnings.find(window) if self._beginnings is not None else (0, None)

    def read_on(self, key: Hashable, text: list[int], most: int) -> None:
        """Read a part of a new text before `read` is asked for it.

        Args:
            key: of the text.
            text: it must stay as it is, and at least one token is left to `read`.
            most: how many tokens to read.
        """
        window = text[self._start(text) :]
        known, beginning = self._found(key, window)
        part = window[known : min(known + most, len(window) - 1)]
        if not known:
            self._begun[key] = len(part), self._model.prefill([part])[1]
            return
        if beginning:
            assert self._beginnings is not None
            self._begun[key] = known, self._beginnings.copy(beginning, [known])
        cache = self._begun[key][1]
        cache.read([part])
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
        left: dict[tuple[int, ...], Hashable] = {}
        for i, text in texts.items():
            left.setdefault(tuple(text), i)
        order: list[tuple[int, ...]] = []
        outputs: list[Output] = []
        caches: list[Cache] = []
        while left:
            now = self._unlike(left)
            left = {text: i for text, i in left.items() if text not in now}
            for members, output, cache in list(self._read_together(now)):
                order += members
                outputs.append(output)
                caches.append(cache)
                if self._beginnings is not None:
                    for row, own in enumerate(members):
                        self._beginnings.keep(own, cache, row)
        for i in texts:
            self.forget(i)
        output = _stacked(outputs)
        place_of = {text: place for place, text in enumerate(order)}
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

    def _unlike(self, texts: Mapping[_Text, Hashable]) -> dict[_Text, Hashable]:
        """Return texts that are to be read before others, which begin as one of them does."""
        if self._beginnings is None:
            return dict(texts)
        unlike: dict[_Text, Hashable] = {}
        for own, i in texts.items():
            enough = self._found(i, own)[0] + LEAST
            if all(common(own, one) < enough for one in unlike):
                unlike[own] = i
        return unlike

    def _read_together(
        self, texts: Mapping[_Text, Hashable]
    ) -> Iterator[tuple[list[_Text], Output, Cache]]:
        """Read texts, as many as can be in one call of the model, each from what is known on.

        Yields:
            texts, what follows them, and their cache.
        """
        new: list[_Text] = []
        known_by: dict[_Text, list[tuple[_Text, int]]] = {}  # what begins as a text that is kept
        for own, i in texts.items():
            known, beginning = self._found(i, own)
            if beginning:
                known_by.setdefault(beginning, []).append((own, known))
            elif known:
                cache = self._begun[i][1]
                yield [own], cache.read([own[known:]]), cache
            else:
                new.append(own)
        if new:
            yield new, *self._model.prefill([list(text) for text in new])
        for beginning, all_members in known_by.items():
            assert self._beginnings is not None
            for places in similar([len(own) - known for own, known in all_members]):
                members = [all_members[place] for place in places]
                cache = self._beginnings.copy(beginning, [known for _, known in members])
                output = cache.read([own[known:] for own, known in members])
                yield [own for own, _ in members], output, cache

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
