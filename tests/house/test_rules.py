"""Small rules over the source itself; each docstring tells what went wrong elsewhere without it."""

from __future__ import annotations

import ast
import json
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


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
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
