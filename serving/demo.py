"""`fairlead demo`: the whole main job on synthetic data, into one folder that can be kept.

The last week of the synthetic tables is hidden: models know nothing of it, and its leads are then routed as new.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from features import moments
from features.errors import RequestError
from features.messages import Message, in_language, message
from features.synthetic import WorldConfig, write_world
from serving.texts import JOINER, as_lang

MARKER = ".fairlead-demo"


def prepare_folder(out: Path) -> None:
    """Make the folder, or empty that of an earlier demo; anything else in the way is left alone and named."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise RequestError(message("demo.not_empty", folder=str(out)))
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("made by fairlead demo; emptied by the next one\n", encoding="utf-8")


def last_week(data: Path, zone: str) -> tuple[int, list[dict[str, str]], list[str]]:
    """Monday 00:00 of the last whole ISO week with leads, its leads to be routed, and their columns."""
    with (data / "leads.csv").open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), list(reader.fieldnames or [])
    newest = max(moments.parse(row["created_at"], zone) for row in rows)
    monday = moments.start_of_week(moments.start_of_week(newest, zone) - 1, zone)
    end = moments.end_of_week(monday, zone)
    fresh = [row for row in rows if monday <= moments.parse(row["created_at"], zone) < end]
    return monday, [row for row in fresh if not row.get("sourced_by_rep_id")], names


def write_leads(path: Path, rows: list[dict[str, str]], names: list[str]) -> None:
    """A leads table of the rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


def run_demo(out: Path, reps: int, months: int, seed: int, lang: str, say: Callable[[str], object]) -> Iterator[str]:
    """Fill `out` step by step; yields the closing lines."""
    from serving.pages.demo_index import write_index
    from serving.session import open_session
    from serving.simulation import simulate_weeks
    from training.pipeline import TrainRequest, train_release

    def tell(step: Message) -> None:
        say(in_language(step, lang))

    prepare_folder(out)
    data, home = out / "data", out / "home"
    tell(message("demo.tables", reps=reps, months=months))
    write_world(data, WorldConfig(n_reps=reps, n_months=months, seed=seed, language=as_lang(lang), currency="CNY"))
    zone = open_session(data, home, None).tables.zone
    monday, fresh, names = last_week(data, zone)
    write_leads(out / "new-leads.csv", fresh, names)
    session = open_session(data, home, None, moments.iso(monday, zone), lang)
    tell(message("demo.training"))
    request = TrainRequest(monday, 0, "gate", "", seed, session.now())
    summary = train_release(
        session.tables, session.config, session.home.releases, session.home.mlruns, request, session.fingerprints
    )
    (out / "training.txt").write_text(summary.as_text(lang) + "\n", encoding="utf-8")
    core = session.core()
    tell(message("demo.routing", n=len(fresh)))
    (out / "routed.csv").write_text(core.route_csv(out / "new-leads.csv"), encoding="utf-8", newline="")
    tell(message("demo.forecast"))
    for level in ("rep", "team", "company"):
        (out / f"forecast-{level}.csv").write_text(core.forecast_csv(None, level), encoding="utf-8", newline="")
    tell(message("demo.warnings"))
    from serving.core import dump_json

    warnings = core.warning_items()
    (out / "warnings.json").write_text(dump_json(warnings), encoding="utf-8")
    tell(message("demo.report"))
    for language in ("en", "zh"):
        core.write_report(out / f"report-{language}", None, language)
    tell(message("demo.replay"))
    replay = simulate_weeks(session, 8, seed)
    replay.write(out / "simulation")
    index, said = write_index(out, core, replay, warnings, lang)
    core.close()
    yield ""
    yield from (line.replace(JOINER, "") for line in said)
    yield ""
    yield in_language(message("demo.done", file=str(index)), lang)
    yield f"  fairlead serve --data {data} --home {home} --as-of {moments.iso(monday, zone)[:10]}"
