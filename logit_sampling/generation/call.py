"""A checked call of `generate`: what the loop and the searches run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from logit_sampling.decoding.lookup import Lookup
from logit_sampling.decoding.plan import Plan, Search
from logit_sampling.decoding.row import Row
from logit_sampling.decoding.speculative import Speculation
from logit_sampling.distribution.random import row_integers
from logit_sampling.generation.arguments import (
    Options,
    check_at_least,
    check_on_error,
    end_ids,
    grammar_of,
    groups_of,
    sampler_and_search,
    seconds,
    stops_of,
    with_defaults,
)
from logit_sampling.generation.prompts import Prompt, encode_prompt, listed
from logit_sampling.generation.result import GenerationResult
from logit_sampling.generation.score import log_probs_or_error
from logit_sampling.generation.stop_patterns import Stops
from logit_sampling.generation.stopping import Loops, StopStrings
from logit_sampling.generation.text import continuation
from logit_sampling.models.as_model import model_and_tokenizer
from logit_sampling.models.model import Tokenizer, needed_tokenizer
from logit_sampling.models.steps import MOST
from logit_sampling.models.tokenizers import token_count, vocabulary
from logit_sampling.strategies import Grammar

_RENAMED = 0.01  # share of tokens that two models of a family may call by other names


def _search(search: Any, draft: Any, num_draft: int | None) -> Search | None:
    """Return how to decode, if not token by token; raise ValueError for what does not fit."""
    if draft is None:
        if num_draft is not None:
            raise ValueError(f"num_draft is {num_draft!r}, but there is no draft=, which it is for")
        if search is not None and not hasattr(search, "decode"):
            raise ValueError(f"search must be a BeamSearch or a ContrastiveSearch, got {search!r}")
        return search
    if search is not None:
        raise ValueError(f"draft= speeds up drawing, and {search!r} draws nothing: leave one out")
    if num_draft is not None:
        check_at_least(1, num_draft=num_draft)
    given = {} if num_draft is None else {"num_draft": int(num_draft)}
    if isinstance(draft, str):
        if draft != "lookup":
            raise ValueError(f'draft must be a model or "lookup", got {draft!r}')
        return Lookup(**given)
    return Speculation(model_and_tokenizer(draft, None)[0], **given)


def _check_search(
    search: Search, given: Mapping[str, Any], tokenizer: Any, longest: int, new: int
) -> None:
    """Raise ValueError if a search cannot follow a call.

    Args:
        search: how to decode.
        given: arguments that it may refuse.
        tokenizer: of the model.
        longest: tokens of the longest prompt.
        new: how many a text gets at most.
    """
    drafts = isinstance(search, Speculation | Lookup)
    name = "draft=" if drafts else type(search).__name__
    for argument in search.refuses:
        if given[argument]:
            raise ValueError(f"{name} does not go together with {argument}=: leave one of them out")
    if not isinstance(search, Speculation):
        return
    draft = search.draft
    own, its = token_count(tokenizer), token_count(draft.tokenizer)
    if own is not None and its is not None and own != its:
        raise ValueError(
            f"the tokenizer of the draft model has {its} tokens and that of the target {own}: "
            "speculative decoding needs two models with the same tokens"
        )
    mine = {i: token for token, i in (vocabulary(tokenizer) or {}).items()}
    theirs = {i: token for token, i in (vocabulary(draft.tokenizer) or {}).items()}
    unlike = [i for i in sorted(mine.keys() & theirs) if mine[i] != theirs[i]]
    if len(unlike) > len(mine) * _RENAMED:
        i = unlike[0]
        raise ValueError(
            f"{len(unlike)} of {len(mine)} tokens are others for the tokenizer of the draft model: "
            f"token {i} is {theirs[i]!r} and for the target {mine[i]!r}; speculative decoding "
            "needs two models with the same tokens"
        )
    if draft.context_length is not None and longest + new > draft.context_length:
        raise ValueError(
            f"a prompt has {longest} tokens and max_new_tokens is {new}, together more than "
            f"the context of the draft model {draft.name!r}, {draft.context_length}: ask for "
            "fewer tokens, or shorten the prompt"
        )


def undecodable(error: Exception) -> str:
    """Return what to say of ids that a tokenizer refuses."""
    return f"the tokenizer cannot decode its tokens: {type(error).__name__}: {error}"


@dataclass(frozen=True)
class Call:
    """A checked call of `generate`.

    Attributes:
        plan: what decoding follows.
        search: how to decode, if not token by token.
        tokenizer: as the texts need it; None if there is none.
        given: the prompts as they were given.
        prompts: the token ids of each.
        seeds: of each row.
        min_new_tokens: of a row.
        stop: strings and regular expressions that end a text; None for none.
        loops: when a text repeats itself; None to let it.
        should_stop: `should_stop(row, ids)` ends a text.
        started: when the call began, in seconds of `time.perf_counter`.
        prompt_log_probs: with `echo`, for each prompt the log-probability of each of its tokens,
            and why it has none.
        on_error: whether to `"raise"` for rows that could not go on, or to `"return"` them.
    """

    plan: Plan
    search: Search | None
    tokenizer: Tokenizer | None
    given: list[Prompt]
    prompts: list[list[int]]
    seeds: list[int]
    min_new_tokens: int
    stop: Stops | StopStrings | None
    loops: Loops | None
    should_stop: Callable[[int, list[int]], bool] | None
    started: float
    prompt_log_probs: list[tuple[list[float | None], str | None]] | None
    on_error: str

    @property
    def echo(self) -> bool:
        """Whether the prompts are told too."""
        return self.prompt_log_probs is not None

    @classmethod
    def of(
        cls, model: Any, prompts: Prompt | Sequence[Prompt], **options: Unpack[Options]
    ) -> "Call":
        """Check a call of `generate`; raise ValueError for what is wrong."""
        started, asked = time.perf_counter(), with_defaults(options)
        runner, tokenizer = model_and_tokenizer(model, asked["tokenizer"])
        n, new, least = asked["n"], asked["max_new_tokens"], asked["min_new_tokens"]
        check_at_least(1, max_new_tokens=new, n=n, max_rows=asked["max_rows"])
        check_at_least(0, min_new_tokens=least, top_log_probs=asked["top_log_probs"])
        if least > new:
            raise ValueError(f"min_new_tokens is {least}, more than max_new_tokens, {new}")
        overflow, should_stop = asked["overflow"], asked["should_stop"]
        if overflow not in ("error", "slide"):
            raise ValueError(f'overflow must be "error" or "slide", got {overflow!r}')
        check_on_error(asked["on_error"])
        if should_stop is not None and not callable(should_stop):
            raise ValueError(f"should_stop must be a function of row and ids, got {should_stop!r}")
        stops, slide = stops_of(asked["stop"]), overflow == "slide"
        if stops is not None:
            needed_tokenizer(tokenizer, runner.name)
        given = listed(prompts)
        encoded = [
            encode_prompt(i, prompt, runner, tokenizer, new, slide)
            for i, prompt in enumerate(given)
        ]
        read = [
            log_probs_or_error(f"prompt {i}", runner, ids, slide)
            for i, ids in enumerate(encoded if asked["echo"] else ())
        ]
        sampler, search = sampler_and_search(asked["sampler"], asked["search"])
        search = _search(search, asked["draft"], asked["num_draft"])
        if search is not None:
            refusable = {
                "stop": stops is not None,
                "stop_loops": asked["stop_loops"] is not None,
                "should_stop": should_stop,
                "overflow": slide,
            }
            _check_search(search, refusable, tokenizer, max(map(len, encoded)), new)
        ends, deadline = end_ids(asked["stop_at_end"], asked["stop_token_ids"], runner), None
        if asked["deadline"] is not None:
            deadline = started + seconds(asked["deadline"])
        grammar = None
        if asked["json_schema"] is not None or asked["regex"] is not None:
            needed = needed_tokenizer(tokenizer, runner.name)
            grammar = grammar_of(asked["json_schema"], asked["regex"], needed, runner.end_ids)
        plan = Plan(
            model=runner,
            groups=groups_of(sampler, len(given), int(n), int(least), ends, grammar),
            n=int(n),
            max_new_tokens=int(new),
            top_log_probs=int(asked["top_log_probs"]),
            slide=slide,
            deadline=deadline,
            max_rows=int(asked["max_rows"]),
        )
        return cls(
            plan=plan,
            search=search,
            tokenizer=tokenizer,
            given=given,
            prompts=encoded,
            seeds=row_integers(asked["seed"], n * len(given)),
            min_new_tokens=int(least),
            stop=stops,
            loops=None if asked["stop_loops"] is None else Loops(asked["stop_loops"]),
            should_stop=should_stop,
            started=started,
            prompt_log_probs=read or None,
            on_error=asked["on_error"],
        )

    def ahead(self) -> "Call":
        """Return this call where nobody looks at tokens while a text grows."""
        if self.should_stop is not None or self.plan.deadline is not None:
            return self
        return replace(self, plan=replace(self.plan, ahead=MOST))

    def parts(self) -> list["Call"]:
        """Return a call for each prompt, which writes what this one writes for it."""
        return [self._part(i) for i in range(len(self.prompts))]

    def _part(self, prompt: int) -> "Call":
        first, n = prompt * self.plan.n, self.plan.n
        groups = []
        for group in self.plan.groups:
            places = [p for p, row in enumerate(group.rows) if first <= row < first + n]
            if places:
                rows = [group.rows[place] - first for place in places]
                groups.append(replace(group, sampler=group.sampler.of_rows(places), rows=rows))
        echoed = self.prompt_log_probs
        return replace(
            self,
            plan=replace(self.plan, groups=groups, first_row=first),
            given=[self.given[prompt]],
            prompts=[self.prompts[prompt]],
            seeds=self.seeds[first : first + n],
            prompt_log_probs=None if echoed is None else [echoed[prompt]],
            on_error="return",
        )

    def rows(self) -> list[Row]:
        """Return the rows, with nothing written yet."""
        ends = {i: group.end_ids for group in self.plan.groups for i in group.rows}
        rows = [
            Row(self.prompts[i // self.plan.n], seed, ends[i]) for i, seed in enumerate(self.seeds)
        ]
        for prompt, (_, problem) in enumerate(self.prompt_log_probs or ()):
            for row in rows[prompt * self.plan.n :][: self.plan.n]:
                if problem is not None:
                    row.fail(problem)
        return rows

    def unfinished(self, i: int, row: Row) -> bool:
        """Whether row `i` is no whole text under a grammar of its sampler."""
        sampler = next(group.sampler for group in self.plan.groups if i in group.rows)
        grammars = [own for own in sampler.transforms if isinstance(own, Grammar)]
        return not all(grammar.accepts(row.ids) for grammar in grammars)

    def text(self, i: int, row: Row) -> str:
        """Return what row `i` adds to its prompt, without what ended it.

        One that the tokenizer cannot decode ends as an error, without a text.
        """
        if row.text is not None:
            return row.text
        decode = needed_tokenizer(self.tokenizer, self.plan.model.name).decode
        try:
            return continuation(decode, row.prompt, row.shown)
        except Exception as error:  # whatever a tokenizer raises
            row.fail(f"row {self.plan.first_row + i}: {undecodable(error)}")
            return ""

    def prompt_text(self, row: int) -> str:
        """Return the text of a row's prompt."""
        prompt = self.given[row // self.plan.n]
        if isinstance(prompt, str):
            return prompt
        decode = needed_tokenizer(self.tokenizer, self.plan.model.name).decode
        return decode(self.prompts[row // self.plan.n])

    def result(self, rows: Sequence[Row]) -> GenerationResult:
        """Return what finished rows say."""
        owners = [i // self.plan.n for i in range(len(rows))]
        texts = []
        if self.tokenizer is not None:
            for i, row in enumerate(rows):
                texts.append((self.prompt_text(i) if self.echo else "") + self.text(i, row))
        scores = [row.score for row in rows if row.score is not None]
        echoed = self.prompt_log_probs
        return GenerationResult(
            prompts=[
                prompt if isinstance(prompt, str) else list(self.prompts[i])
                for i, prompt in ((i, self.given[i]) for i in owners)
            ],
            texts=texts,
            token_ids=[row.ids for row in rows],
            log_probs=[row.log_probs for row in rows],
            sampler_log_probs=[row.sampler_log_probs for row in rows],
            finish_reasons=[row.finish_reason for row in rows],
            seeds=self.seeds,
            seconds=time.perf_counter() - self.started,
            stop_strings=[row.stop_string for row in rows] if self.stop else None,
            top_log_probs=[row.top_log_probs for row in rows] if self.plan.top_log_probs else None,
            prompt_ids=[self.prompts[i] for i in owners] if echoed else None,
            prompt_log_probs=[echoed[i][0] for i in owners] if echoed else None,
            scores=scores or None,
            errors=[row.error for row in rows] if any(row.error for row in rows) else None,
            accepted=[row.accepted / max(row.rounds, 1) for row in rows]
            if any(row.rounds for row in rows)
            else None,
        )
