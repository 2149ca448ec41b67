"""How the package is laid out: imports without circles, private parts behind the fence."""

import ast
import graphlib
import inspect
import re
from pathlib import Path

import pytest

import logit_sampling as ls

PACKAGE = Path(__file__).parents[1] / "logit_sampling"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path, inside: bool) -> set[str]:
    """Our modules that a module imports, of its functions too if `inside` of them counts."""
    found = set()

    def look(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update({alias.name for alias in child.names} & FILES.keys())
            if isinstance(child, ast.ImportFrom):
                whole = {f"{child.module}.{alias.name}" for alias in child.names}
                found.update(whole & FILES.keys() or {child.module} & FILES.keys())
            if inside or not isinstance(child, ast.FunctionDef):
                look(child)

    look(ast.parse(path.read_text()))
    return found


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: imports(path, inside=False) - {name} for name, path in FILES.items()}
    assert sum(map(len, graph.values())) > 300
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError
    # Of functions, which import when they are called: only a method that shows or adapts its own
    # object asks for what is written for it.
    lazy = {name: imports(path, inside=True) - {name} for name, path in FILES.items()}
    for owner, servants in (("sampler", "interop"), ("explain.trace", "explain")):
        own = lazy[f"logit_sampling.{owner}"]
        own -= {name for name in own if name.startswith(f"logit_sampling.{servants}")}
    graphlib.TopologicalSorter(lazy).prepare()


def test_the_test_sees_every_kind_of_import(tmp_path: Path) -> None:
    """So that one import more, of `row` in what `row` imports, would make a circle."""
    path = tmp_path / "module.py"
    path.write_text(
        "import logit_sampling\nfrom logit_sampling import sampler\n"
        "from logit_sampling.types import Array\n"
        "def f():\n    from logit_sampling.distribution.row import EagerRow\n"
    )
    at_once = {"logit_sampling", "logit_sampling.sampler", "logit_sampling.types"}
    assert imports(path, inside=False) == at_once
    assert imports(path, inside=True) == at_once | {"logit_sampling.distribution.row"}
    graph = {name: imports(own, inside=False) - {name} for name, own in FILES.items()}
    assert "logit_sampling.distribution.weights" in graph["logit_sampling.distribution.row"]
    graph["logit_sampling.distribution.weights"].add("logit_sampling.distribution.row")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


def test_private_parts_of_keras_stay_behind_the_fence() -> None:
    private = re.compile(
        r"keras(_hub)?\\?\.src|_flatten_layers|_self_attention_layer|unittest.mock"
    )
    users = {name for name, path in FILES.items() if private.search(path.read_text())}
    assert users == {"logit_sampling.models.keras_hub_bridge"}


def annotations(public: object) -> dict[str, object]:
    """The annotations of a function, or of the public methods and fields of a class of ours."""
    if not inspect.isclass(public):
        return dict(inspect.unwrap(public).__annotations__)
    found: dict[str, object] = {}
    for own in (c for c in public.__mro__ if c.__module__.startswith("logit_sampling")):
        fields = vars(own).get("__annotations__", {})
        found |= {f"{own.__name__}.{n}": a for n, a in fields.items() if n[0] != "_"}
        for name, method in vars(own).items():
            made = name == "__init__" and "__dataclass_fields__" in vars(own)
            if made or (name[0] == "_" and name not in ("__call__", "__init__")):
                continue
            method = method.fget if isinstance(method, property) else method
            function = getattr(method, "__func__", method)
            if inspect.isfunction(function):
                parts = inspect.unwrap(function).__annotations__
                found |= {f"{own.__name__}.{name}.{n}": a for n, a in parts.items()}
    return found


def test_public_signatures_say_what_they_take() -> None:
    """States are what a strategy makes them, and numbers are read as what they were given as."""
    names = {n: a for public in ls.__all__ for n, a in annotations(getattr(ls, public)).items()}
    untyped = [name for name, annotation in names.items() if "Any" in str(annotation)]
    assert len(names) > 400
    assert len(untyped) < 110, untyped
