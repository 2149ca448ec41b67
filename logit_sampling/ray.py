"""Jobs over Ray Data: what `logit-sampling batch` does, on as many machines as Ray has.

    import logit_sampling.ray, ray
    requests = ray.data.read_json("requests.jsonl")
    logit_sampling.ray.write(requests, "shakespeare", workers=4).write_parquet("results")

Needs `pip install "logit-sampling[ray]"`.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from logit_sampling.types import NEW_TOKENS

if TYPE_CHECKING:
    from ray.data import Dataset

    from logit_sampling.models.model import AnyModel


def write(
    requests: "Dataset",
    model: "str | Callable[[], AnyModel]" = "shakespeare",
    *,
    workers: int = 1,
    rows: int = 256,
    seed: int = 0,
    template: str | None = None,
    sampler: str | None = None,
    max_new_tokens: int = NEW_TOKENS,
    max_rows: int = 32,
    **options: Any,
) -> "Dataset":
    """Return the results of requests, a row each.

    A request without a seed has one made of the job's and its `id`, so that its texts depend on
    neither the number of workers, nor their order, nor the death of one, whose requests Ray gives
    to another: but for rounding, as everywhere.

    Args:
        requests: rows with an `id` or a `seed`, with a `prompt` (a text or token ids) or
            `messages`, and the settings of `logit-sampling batch` as columns, null where a row has
            none. Or rows in the batch form of the OpenAI API: `custom_id`, `url`, `body`.
        model: a name that `load_model` takes, which each worker loads; or a function without
            arguments that returns a model.
        workers: how many hold a model, each in a process of its own.
        rows: how many requests a worker takes at once.
        seed: of the job.
        template: of conversations, in Jinja; by default the model's own.
        sampler: for requests that have no settings, as `Sampler.parse` reads it.
        max_new_tokens: for requests that do not say.
        max_rows: how many texts a worker writes at once.
        **options: of Ray's `map_batches`, such as `num_gpus=1` or `ray_remote_args`.

    Returns:
        a dataset with the column `id` as it came, or `custom_id`; `texts` and `finish_reasons`,
        lists of text; `prompt_tokens` and `completion_tokens`; `settings`, as JSON, which
        `generate` takes to write the texts again; `error`, why there are none, else null. Of the
        API's form there are `status_code` and `response`, as JSON, in place of these.

    Raises:
        ValueError: a row has neither an id nor a seed: nothing would tell two alike apart; or one
            is in the API's form, and another is not.

    Source:
        Ray Data, https://docs.ray.io/en/latest/data/data.html.
    """
    import ray.data

    otherwise: dict[str, Any] = {"max_new_tokens": max_new_tokens}
    if sampler is not None:
        from logit_sampling.decoding.written import read

        read(sampler)
        otherwise["sampler"] = sampler
    return requests.map_batches(
        _Worker,
        batch_size=rows,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        fn_constructor_kwargs={
            "model": model,
            "options": {
                "seed": seed,
                "template": template,
                "max_rows": max_rows,
                "otherwise": otherwise,
            },
        },
        **{"num_cpus": 0.5, **options},  # so that what reads and writes has room beside them
    )


class _Worker:
    """One process that holds a model."""

    def __init__(self, model: Any, options: Mapping[str, Any]) -> None:
        from logit_sampling.models.loading import load_model
        from logit_sampling.serving.lines import Writer

        loaded = load_model(model) if isinstance(model, str) else model()
        self._write = Writer(loaded, **options)

    def __call__(self, table: Any) -> Any:
        """Return a table of results for one of requests."""
        import pyarrow as pa

        given = [_without_nulls(row) for row in table.to_pylist()]
        api = "custom_id" in table.column_names
        for row in given:
            if api and "custom_id" not in row:
                raise ValueError(
                    f"the row {str(row)[:200]} has no `custom_id`, and others have: give all one, "
                    "or write those without by themselves"
                )
            if not {"id", "custom_id", "seed"} & row.keys():
                raise ValueError(
                    f"the row {str(row)[:200]} has neither an `id` nor a `seed`: give it "
                    "one, for what else would tell it from another that is alike?"
                )
        results = [_flat(result, api) for result in self._write(given)]
        kinds = _OF_THE_API if api else _PLAIN
        if not api:
            # As they came, with nulls: a number of a line says nothing where there are no lines.
            kinds = [("id", _type_of(table, "id")), *kinds]
            for row, result in zip(given, results, strict=True):
                result["id"] = row.get("id")
        return pa.Table.from_pylist(results, pa.schema(_types(kinds)))


def _type_of(table: Any, name: str) -> Any:
    import pyarrow as pa

    return table.schema.field(name).type if name in table.column_names else pa.null()


_PLAIN: list[tuple[str, Any]] = [
    ("texts", ["string"]),
    ("finish_reasons", ["string"]),
    ("prompt_tokens", "int64"),
    ("completion_tokens", "int64"),
    ("settings", "string"),
    ("error", "string"),
]
_OF_THE_API: list[tuple[str, Any]] = [
    ("custom_id", "string"),
    ("status_code", "int64"),
    ("response", "string"),
]


def _types(kinds: list[tuple[str, Any]]) -> Any:
    import pyarrow as pa

    def of(kind: Any) -> Any:
        if isinstance(kind, list):
            return pa.list_(of(kind[0]))
        return pa.type_for_alias(kind) if isinstance(kind, str) else kind

    return [(name, of(kind)) for name, kind in kinds]


def _flat(result: Mapping[str, Any], api: bool) -> dict[str, Any]:
    if api:
        response = result.get("response") or {"status_code": 400, "body": result.get("error")}
        return {
            "custom_id": str(result.get("custom_id", result["id"])),
            "status_code": response["status_code"],
            "response": json.dumps(response["body"]),
        }
    usage = result.get("usage", {})
    settings = result.get("settings")
    return {
        "id": result["id"],
        "texts": result.get("texts"),
        "finish_reasons": result.get("finish_reasons"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "settings": None if settings is None else json.dumps(settings),
        "error": result["error"]["message"] if "error" in result else None,
    }


def _without_nulls(value: Any) -> Any:
    """Return a row without what is null: in a table each row has what any has."""
    if isinstance(value, dict):
        return {name: _without_nulls(own) for name, own in value.items() if own is not None}
    return [_without_nulls(own) for own in value] if isinstance(value, list) else value


__all__ = ["write"]
