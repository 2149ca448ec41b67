"""How the package is laid out: imports without circles, private parts behind the fence."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "logit_sampling"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path, inside: bool) -> set[str]:
    """Our modules that a module imports, of its functions too if ``inside`` of them counts."""
    found = set()

    def look(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
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


def test_the_test_sees_a_circle() -> None:
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_private_parts_of_keras_stay_behind_the_fence() -> None:
    private = re.compile(
        r"keras(_hub)?\\?\.src|_flatten_layers|_self_attention_layer|unittest.mock"
    )
    users = {name for name, path in FILES.items() if private.search(path.read_text())}
    assert users == {"logit_sampling.models.keras_hub_bridge"}
