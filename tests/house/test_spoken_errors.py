"""Whoever reads Chinese meets no English where something is wrong: errors carry messages by code, never bare text."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("features", "models", "training", "serving")

# Where its text stands among an error's arguments; all others begin with it.
TEXT_AT = {"Problem": 1, "Fault": 4}
ALSO_SHOWN = {"Problem", "Fault", "BadParameter", "SignatureError"}  # beside what comes of FairleadError

# Errors that nobody meets at a command, the interface or a page: they tell who writes code that it is wrong.
OF_CODE = {
    "AttributionError": "arrays that do not belong together; where data may be thin, its callers leave the part out",
    "TreeLimitError": "a model too large for the fast way; the callers take the slow one",
    "DuplicateDecisionError": "the desk looks a lead up before it decides",
}
FILES_OF_CODE = {
    "features/world.py": "a feature asked for at a moment that the world does not know",
    "models/drivers/did.py": "caught: the effect is withheld and its reason code is told",
    "models/drivers/growth.py": "caught likewise",
    "models/drivers/guards.py": "caught likewise",
    "models/drivers/habit.py": "caught likewise",
    "models/drivers/lead_effects.py": "caught likewise",
    "models/drivers/panel_effects.py": "caught likewise",
    "models/drivers/randomised.py": "caught likewise",
    "models/forecasting/blend.py": "a blend put together wrongly",
    "models/forecasting/contribution.py": "a method that the code names",
    "models/routing/measured.py": "arrays whose shapes do not fit",
    "models/routing/naive_bayes.py": "arrays whose shapes do not fit",
    "models/routing/offpolicy.py": "arrays whose shapes do not fit",
    "models/routing/prices.py": "values that are not finite",
    "models/routing/replay.py": "arrays whose shapes do not fit",
    "models/routing/transport.py": "arrays whose shapes do not fit",
    "serving/store/decisions.py": "a decision that the desk put together wrongly",
}


@cache
def trees() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


@cache
def shown_errors() -> set[str]:
    """Every class that comes of FairleadError, and what else carries words to a person."""
    bases = {
        node.name: [ast.unparse(base).split(".")[-1] for base in node.bases]
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def is_ours(name: str) -> bool:
        return name == "FairleadError" or any(is_ours(base) for base in bases.get(name, ()))

    return {name for name in bases if is_ours(name)} | ALSO_SHOWN


def is_bare(node: ast.expr, assigned: dict[str, list[ast.expr]]) -> bool:
    """Whether it is text that is no message: a literal, an f-string, `str(...)`, a join, or a name for one."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value != ""
    if isinstance(node, ast.JoinedStr | ast.BinOp):
        return True
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        return name in {"str", "repr"} or name.endswith((".join", ".format"))
    if isinstance(node, ast.IfExp):
        return is_bare(node.body, assigned) or is_bare(node.orelse, assigned)
    if isinstance(node, ast.Name):
        return any(is_bare(value, {}) for value in assigned.get(node.id, ()))
    return False


def bare_errors(tree: ast.AST, shown: set[str]) -> list[str]:
    """`line: call` of every error that is made with bare text."""
    found = []
    for function in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                assigned.setdefault(node.targets[0].id, []).append(node.value)
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            names = {ast.unparse(one).split(".")[-1] for one in ast.walk(node.func) if isinstance(one, ast.Name)}
            names |= {node.func.attr} if isinstance(node.func, ast.Attribute) else set()
            kind = next(iter(names & shown), "")
            at = TEXT_AT.get(kind, 0)
            known = assigned if function is not tree else {}
            if kind and kind not in OF_CODE and len(node.args) > at and is_bare(node.args[at], known):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return sorted(set(found))


@pytest.mark.parametrize(
    "bad",
    [
        "raise RequestError('no such thing')",
        "raise RequestError(f'no {thing}')",
        "raise ConfigError('a' + name)",
        "raise Problem(422, str(error))",
        "raise Problem(401, 'key', headers={})",
        "raise (UnknownRepError if rep else RequestError)(f'no {thing}')",
        "raise typer.BadParameter('write a or b', param_hint='--x')",
        "def f():\n    said = f'{x} is wrong'\n    raise SourceError(said)",
        "faults.append(Fault(name, 1, 'x', value, 'must be small'))",
        "raise StoreError(message('a.b') if x else 'busy')",
    ],
)
def test_the_rule_can_fail(bad):
    """A rule that finds nothing in a planted fault proves nothing."""
    assert bare_errors(ast.parse(bad), shown_errors())


@pytest.mark.parametrize(
    "good",
    [
        "raise RequestError(message('a.b', path=str(path)))",
        "raise Problem(422, said(error))",
        "def f():\n    why = str(error)\n    raise SourceError(message('a.b', why=why))",
        "raise ValueError('a programmer reads this')",
    ],
)
def test_the_rule_lets_messages_pass(good):
    assert bare_errors(ast.parse(good), shown_errors()) == []


def test_errors_that_people_meet_are_said_in_both_languages():
    """Sixty errors spoke English to readers of Chinese, because an f-string was nearer at hand than a code."""
    shown = shown_errors()
    assert {"RequestError", "ConfigError", "ConflictError", "StoreBusyError", "ReleaseError"} <= shown
    found = {path: bare for path, tree in trees().items() if (bare := bare_errors(tree, shown))}
    assert {path: bare for path, bare in found.items() if path not in FILES_OF_CODE} == {}
    assert set(FILES_OF_CODE) <= set(found), "a file that raises no bare text any more needs no exception"


def test_what_a_setting_must_be_is_a_message():
    """The checks of settings give the words that errors are made of; one came with its English alone."""
    bare = []
    for node in ast.walk(trees()["features/settings_file.py"]):
        if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) == "str":
            given = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None]
            bare += [ast.unparse(one) for one in given if is_bare(one, {})]
    assert bare == []
