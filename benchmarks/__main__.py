"""Lists the benchmarks and runs them, each in a process of its own.

    python -m benchmarks                 run each benchmark's quick version, and list those that have none
    python -m benchmarks --list          names, what they measure, and their commands
    python -m benchmarks NAME ...        run these in full
    python -m benchmarks --all           run all in full: hours

A benchmark is a module of this folder. Its quick version is the options in its constant `QUICK`.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """A module of this folder: first line of its text, and the options of its quick version (None: it has none)."""

    name: str
    says: str
    quick: tuple[str, ...] | None

    def command(self, options: Sequence[str]) -> list[str]:
        """What runs it."""
        return [sys.executable, "-m", f"benchmarks.{self.name}", *options]


def find_benchmarks(folder: Path = HERE) -> list[Benchmark]:
    """The modules of the folder that can be run, by name. They are read, not imported."""
    found = []
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.stem.startswith("__") or 'if __name__ == "__main__"' not in text:
            continue
        tree = ast.parse(text)
        found.append(Benchmark(path.stem, (ast.get_docstring(tree) or "").partition("\n")[0], _quick(tree)))
    return found


def _quick(tree: ast.Module) -> tuple[str, ...] | None:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "QUICK" for target in targets):
            return tuple(str(option) for option in ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def run(benchmark: Benchmark, options: Sequence[str]) -> bool:
    """Run one and say how long it took; whether it ended well."""
    _say(f"\n=== {benchmark.name} {' '.join(options)}\n{benchmark.says}")
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    begun = time.monotonic()
    done = subprocess.run(
        benchmark.command(options), check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    )
    _say(f"--- {benchmark.name}: exit {done.returncode} after {time.monotonic() - begun:.0f} s")
    return done.returncode == 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _list(benchmarks: Sequence[Benchmark]) -> None:
    for one in benchmarks:
        quick = "" if one.quick is None else f"   (quick: {' '.join(one.quick) or 'as it is'})"
        _say(f"{one.name:<20} {one.says}\n{'':<20} python -m benchmarks.{one.name}{quick}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 where all that was run ended well."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run in full")
    parser.add_argument("--list", action="store_true", help="list them and stop")
    parser.add_argument("--all", action="store_true", help="run all in full")
    given = parser.parse_args(arguments)
    benchmarks = find_benchmarks()
    if unknown := set(given.names) - {one.name for one in benchmarks}:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in benchmarks)}"
        )
    if given.list:
        _list(benchmarks)
        return 0
    full = given.all or bool(given.names)
    chosen = [one for one in benchmarks if given.all or one.name in given.names or (not full and one.quick is not None)]
    failed = [one.name for one in chosen if not run(one, () if full else one.quick or ())]
    if not full and (rest := [one for one in benchmarks if one.quick is None]):
        _say("\nNot run, for they have no quick version:")
        _list(rest)
    if failed:
        _say(f"\nFailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
