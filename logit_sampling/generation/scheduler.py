"""Many calls at once: their texts join the batch of one model, and leave it when they end."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence

from logit_sampling.decoding.beginnings import Beginnings
from logit_sampling.decoding.plan import Read
from logit_sampling.decoding.reader import Reader
from logit_sampling.generation.writing import TextEvent, Writing
from logit_sampling.models.model import Model, Output

_PART = 256  # tokens of new prompts that are read in a step: the others wait so long


class Task:
    """A call, and who wants to know of it.

    Args:
        writing: the call.
        tell: called with each event.
        ended: called once, with what was raised, or None.

    Attributes:
        rows: how many of the model's batch it takes at once.
        tokens: how long its longest text may become.
        begun: whether its prompt has been read.
    """

    def __init__(
        self,
        writing: Writing,
        tell: Callable[[TextEvent], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        self.writing: Writing = writing
        self.tell: Callable[[TextEvent], None] = tell
        self.ended: Callable[[Exception | None], None] = ended
        call, plan = writing.call, writing.call.plan
        self.rows: int = call.search.rows(plan.n) if call.search else len(writing.rows)
        self.tokens: int = max(map(len, call.prompts)) + plan.max_new_tokens
        self.begun = False
        self._decoding = writing.run()
        self._asked: Read | None = None

    @property
    def asked(self) -> Read:
        """What it wants to be read."""
        assert self._asked is not None
        return self._asked

    def go_on(self, output: Output | None = None, error: Exception | None = None) -> bool:
        """Go on until something is to be read; tell whether anything is.

        Args:
            output: what was read.
            error: in its place, why it could not be.
        """
        decoding = self._decoding
        try:
            item = decoding.throw(error) if error else decoding.send(output)  # type: ignore[arg-type]
            while not isinstance(item, Read):
                self.tell(item)
                item = next(decoding)
        except StopIteration:
            self.ended(None)
            return False
        except Exception as raised:
            self.ended(raised)
            return False
        self._asked = item
        return True

    def end(self, reason: str) -> None:
        """End the texts that still grow."""
        self._decoding.close()
        for event in self.writing.end(reason):
            self.tell(event)
        self.ended(None)


class Scheduler:
    """What writes many calls at once, step by step, first come first served.

    A step reads the newest tokens of all texts in one call of the model; before it, the prompts of
    new ones are read, long ones in parts. What cannot share a batch (searches, a text that outgrows
    the context) has a cache of its own.

    Args:
        model: what reads.
        max_rows: how many texts are in the making at once.
        max_tokens: how many tokens the cache has room for: its rows times the longest text; None
            for any number.
        keep: how many tokens of texts that were read are kept, for others that begin alike.
    """

    def __init__(
        self, model: Model, max_rows: int, max_tokens: int | None = None, keep: int = 0
    ) -> None:
        self._model, self._max_rows, self._max_tokens = model, max_rows, max_tokens
        self._waiting: deque[Task] = deque()
        self._running: dict[Task, Reader | None] = {}  # with its own cache, if it has one
        self._keep = keep
        self._reader, self._state = self._new_reader(), None

    def _new_reader(self) -> Reader:
        return Reader(self._model, beginnings=Beginnings(self._keep) if self._keep else None)

    @property
    def tasks(self) -> list[Task]:
        """All that have not ended."""
        return [*self._running, *self._waiting]

    def check(self, task: Task) -> None:
        """Raise ValueError for what will never fit."""
        if task.rows > self._max_rows:
            raise ValueError(
                f"the request takes {task.rows} rows, and the engine has max_rows={self._max_rows}"
                ": ask for fewer samples or beams, or give the engine more"
            )
        if self._max_tokens is not None and task.rows * task.tokens > self._max_tokens:
            raise ValueError(
                f"the request takes {task.rows} x {task.tokens} tokens (prompt and "
                f"max_new_tokens), and the engine has max_tokens={self._max_tokens}: shorten it, "
                "or give the engine more"
            )

    def add(self, task: Task) -> None:
        """Let a task wait for its turn."""
        self._waiting.append(task)

    def remove(self, task: Task, reason: str) -> None:
        """End a task that has not ended."""
        if task in self._running:
            self._forget(task)
        elif task in self._waiting:
            self._waiting.remove(task)
        else:
            return
        task.end(reason)

    def step(self) -> None:
        """Give each text that is in the making a token."""
        for task in [task for task in self._waiting if task.writing.call.plan.late]:
            self.remove(task, "deadline")
        if self._keep and not self._running:
            self._check_state()
        while self._waiting and self._fits(self._waiting[0]):
            self._begin(self._waiting.popleft())
        self._read(self._ready())
        for task, own in list(self._running.items()):
            if own is not None:
                self._read_alone(task, own)
        if None not in self._running.values():
            self._reader.forget_all()

    def _check_state(self) -> None:
        """Forget what was read with other weights."""
        state = getattr(self._model, "state", None)
        if state != self._state:
            self._reader, self._state = self._new_reader(), state

    def _fits(self, task: Task) -> bool:
        rows = task.rows + sum(other.rows for other in self._running)
        longest = max(task.tokens, *(other.tokens for other in self._running), 0)
        tokens = self._max_tokens
        return rows <= self._max_rows and (tokens is None or rows * longest <= tokens)

    def _begin(self, task: Task) -> None:
        call = task.writing.call
        alone = call.search is not None or call.plan.slide
        self._running[task] = Reader(self._model, call.plan.slide) if alone else None
        self._go_on(task)

    def _go_on(
        self, task: Task, output: Output | None = None, error: Exception | None = None
    ) -> None:
        if not task.go_on(output, error):
            self._forget(task)

    def _forget(self, task: Task) -> None:
        del self._running[task]
        self._reader.forget((task, 0))

    def _ready(self) -> list[Task]:
        """Return what shares a batch and has its prompt read, all but a part that is left."""
        left, ready = _PART, []
        for task in [task for task, own in self._running.items() if own is None]:
            if not task.begun and left > 0:
                left = self._read_prompt(task, left)
            if task.begun:
                ready.append(task)
        return ready

    def _read_prompt(self, task: Task, most: int) -> int:
        """Read of a prompt what may be read in this step; return how many tokens more may be."""
        prompt, key = task.writing.call.prompts[0], (task, 0)
        try:
            left = self._reader.unread(key, prompt)
            if left > most:
                self._reader.read_on(key, prompt, most)
        except Exception as error:
            self._go_on(task, error=error)
            return 0
        task.begun = left <= most
        return most - left

    def _read(self, tasks: Sequence[Task]) -> None:
        """Read in one call of the model, and let all go on."""
        if not tasks:
            return
        texts: dict[Hashable, list[int]] = {
            (task, i): text for task in tasks for i, text in task.asked.texts.items()
        }
        try:
            output = self._reader.read(texts, max(task.asked.columns for task in tasks))
        except Exception as error:
            self._find_who_fails(tasks, error)
            return
        first = 0
        for task in tasks:
            last = first + len(task.asked.texts)
            hidden = None if output.hidden is None else output.hidden[first:last]
            self._go_on(task, Output(output.logits[first:last], hidden))
            first = last

    def _find_who_fails(self, tasks: Sequence[Task], error: Exception) -> None:
        """End what the model cannot read; the others are read anew in the next step."""
        self._reader = self._new_reader()
        for task in tasks:
            if len(tasks) > 1:
                try:
                    Reader(self._model).read(task.asked.texts)
                    continue
                except Exception as own:
                    error = own
            self._go_on(task, error=error)

    def _read_alone(self, task: Task, own: Reader) -> None:
        asked = task.asked
        try:
            output = own.read(asked.texts, asked.columns, asked.origins)
        except Exception as error:
            self._go_on(task, error=error)
        else:
            self._go_on(task, output)
