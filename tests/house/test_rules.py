"""Small rules over the source itself; each docstring tells what went wrong elsewhere without it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("features", "models", "training", "serving")


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages or PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def clock_reads(tree: ast.Module) -> list[str]:
    names = (
        "datetime.now",
        "datetime.today",
        "date.today",
        "time.time",
        "time.time_ns",
        "Timestamp.now",
        "datetime.utcnow",
    )
    return [name for _, name in calls(tree) if name.endswith(names)]


def unseeded(tree: ast.Module) -> list[str]:
    found = []
    for call, name in calls(tree):
        if name.endswith(("default_rng", "Philox", "PCG64", "SeedSequence")) and not call.args and not call.keywords:
            found.append(name)
        seeded = name.endswith(("Generator", "SeedSequence", "PCG64", "Philox")) or "default_rng(" in name
        if name.startswith("np.random.") and not seeded and not name.endswith("default_rng"):
            found.append(name)
    return found


def peeks(tree: ast.Module) -> list[str]:
    found = []
    for call, name in calls(tree):
        if name.endswith(".shift") and call.args and isinstance(call.args[0], ast.UnaryOp):
            found.append(ast.unparse(call))
        if name.endswith((".bfill", ".backfill")):
            found.append(ast.unparse(call))
    return found


def environment_reads(tree: ast.Module) -> list[str]:
    """What is read of the environment; giving a default to a library that reads it itself is allowed."""
    found = [name for _, name in calls(tree) if name.endswith(("os.getenv", "environ.get", "environ.pop"))]
    reads = (node for node in ast.walk(tree) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load))
    return found + [ast.unparse(node) for node in reads if ast.unparse(node.value).endswith("environ")]


def prints(tree: ast.Module) -> list[str]:
    return [ast.unparse(call) for call, name in calls(tree) if name == "print"]


def open_settings(tree: ast.Module) -> list[str]:
    found = []
    for call, _ in calls(tree):
        found += [ast.unparse(call) for key in call.keywords if key.arg == "extra" and _is_text(key.value, "allow")]
    return found


def _is_text(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def blind_asserts(tree: ast.Module) -> list[str]:
    """`assert max(x < 1)`: the comparison is inside, so the largest truth value is asserted."""
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assert) and isinstance(node.test, ast.Call)):
            continue
        reduces = ast.unparse(node.test.func).split(".")[-1] in {"max", "min", "sum", "mean", "abs", "len"}
        if reduces and any(isinstance(argument, ast.Compare) for argument in node.test.args):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        (environment_reads, "home = os.environ['HOME']"),
        (environment_reads, "home = os.environ.get('HOME', '')"),
        (environment_reads, "home = os.getenv('HOME')"),
        (prints, "print(1)"),
        (open_settings, "class A(BaseModel):\n    model_config = ConfigDict(extra='allow')"),
        (blind_asserts, "assert np.max(np.abs(x) < 1e6)"),
        (clock_reads, "x = datetime.now()"),
        (unseeded, "g = np.random.default_rng()"),
        (unseeded, "np.random.seed(3)"),
        (unseeded, "np.random.Philox()"),
        (unseeded, "np.random.default_rng().spawn(2)"),
        (peeks, "y = frame.shift(-1)"),
        (peeks, "y = frame.bfill()"),
    ],
)
def test_the_rules_can_fail(rule, bad):
    """A rule that finds nothing in a planted fault proves nothing."""
    assert rule(ast.parse(bad))


def test_only_the_serving_floor_reads_the_clock():
    """A feature built from now() differs between training and replay, and nobody notices until the backtest lies."""
    assert {
        path: found for path, tree in sources("features", "models", "training") if (found := clock_reads(tree))
    } == {}


def test_every_random_number_has_a_seed():
    """An unseeded generator makes a release that cannot be reproduced."""
    assert {path: found for path, tree in sources() if (found := unseeded(tree))} == {}


def test_nothing_looks_ahead():
    """A negative shift or a backward fill takes tomorrow's value for today's."""
    assert {path: found for path, tree in sources() if (found := peeks(tree))} == {}


def test_only_the_serving_floor_reads_the_environment():
    """A model that reads a variable is another model on the next machine, with the same release."""
    read = {
        path: found for path, tree in sources("features", "models", "training") if (found := environment_reads(tree))
    }
    assert read == {}


def test_nothing_prints_on_the_way():
    """A stray print breaks who reads JSON from standard output; commands write through one function."""
    printed = {path: found for path, tree in sources() if (found := prints(tree))}
    assert printed.keys() <= {"serving/release_probe.py"}, "the probe's child answers its parent by printing"


def test_settings_refuse_what_they_do_not_know():
    """With extra="allow" a misspelt setting is silently taken, and the default rules."""
    assert {path: found for path, tree in sources() if (found := open_settings(tree))} == {}


def test_asserts_can_fail():
    """A misplaced parenthesis made a famous assert true for any number."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if wrong := blind_asserts(ast.parse(path.read_text(encoding="utf-8"))):
            found[path.name] = wrong
    assert found == {}


def test_files_are_named_by_a_noun_and_stay_short():
    """What is called utils takes everything, and what is long is not read."""
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base", "shared"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert path.stem not in vague, path
            assert path.parent.name not in vague, path
            lines = path.read_text(encoding="utf-8").count("\n")
            assert lines <= 600, f"{path.relative_to(ROOT)} has {lines} lines: look for a second noun"


def test_no_package_below_tests_and_none_named_like_the_standard_library():
    """With --import-mode=importlib a package of tests shadows what it is named like; a module `types` shadows types."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not {path.stem for path in ROOT.glob("*.py")} & set(sys.stdlib_module_names)
    # `python benchmarks/routing.py` puts that folder first: a module `features` in it would hide the package.
    assert not {path.stem for path in (ROOT / "benchmarks").glob("*.py")} & {*sys.stdlib_module_names, *PACKAGES}
    assert not set(PACKAGES) & set(sys.stdlib_module_names)


def test_no_path_of_one_machine():
    """A path of the machine where it was written fails on every other."""
    for package in (*PACKAGES, "benchmarks", "examples"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"[\"'](?:/tmp|/root|/home|/work|/Users)/", text), path


def test_no_pickle():
    """A pickle runs code when it is read, and resolves classes to whatever happens to be installed."""
    banned = {"pickle", "cloudpickle", "joblib", "dill"}
    for path, tree in sources():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not banned & {name.split(".")[0] for name in names}, path


def test_importing_the_service_brings_neither_mlflow_nor_shap():
    """Both cost seconds and hundreds of megabytes in every worker."""
    code = "import serving.cli, serving.core, serving.http.app, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert "serving" in loaded
    assert not loaded & {"mlflow", "shap", "optuna", "matplotlib"}


def test_no_protected_attribute_is_a_feature(tmp_path):
    """People are affected: what the law protects never enters a model, whatever the export calls it."""
    import pandas as pd

    from features.lead_columns import screen_lead_columns

    leads = pd.DataFrame(
        {
            "lead_id": [f"L{i}" for i in range(60)],
            "source": ["a", "b"] * 30,
            "gender": ["male", "female", "female"] * 20,
            "年龄": [float(20 + i % 40) for i in range(60)],
            "language": ["en", "zh", "de"] * 20,
        }
    )
    found = screen_lead_columns(leads, ())
    used = set(found.numeric) | set(found.categorical)
    assert not used & {"gender", "年龄"}
    assert "language" in used
