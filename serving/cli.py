"""The `fairlead` command: reads options, calls `serving.core`, prints. Nothing is computed here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from features.errors import DataError, FairleadError, RequestError, system_words
from features.messages import in_language, message
from serving.command_options import SPOKEN, AsJson, AsOf, ConfigFile, Data, HomeDir, Lang, spoken
from serving.exchange_commands import webhooks
from serving.key_commands import keys
from serving.operation_commands import backup
from serving.people_commands import audit_groups, erase, retention

app = typer.Typer(
    name="fairlead",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Routes sales leads to the rep who will make most of them, forecasts contribution, "
        "warns before a target is missed, and explains what drives productivity."
    ),
)


class Progress:
    """Lines of progress on a terminal, silence in a pipe."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        """Show what is being done now."""
        if self.shown:
            typer.echo(f"  {spoken(text)}", err=True)


def _session(
    data: Path | None, home: Path | None, config: Path | None, as_of: str | None = None, lang: str | None = None
) -> Any:
    from serving.session import open_session, spoken_language

    SPOKEN.set(spoken_language(data, home, config, lang))
    return open_session(data, home, config, as_of, lang)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to fill; must be empty, new or an earlier demo.")] = Path(
        "demo"
    ),
    reps: Annotated[int, typer.Option("--reps", min=4, max=1000, help="Sales representatives.")] = 40,
    months: Annotated[int, typer.Option("--months", min=8, max=120, help="Months of history.")] = 24,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the generator.")] = 11,
    lang: Lang = None,
) -> None:
    """Run the whole main job on synthetic data: tables, training, routing, forecast, warnings, driver report.

    Fills one folder and says what to open. Takes a few minutes on two cores.
    """
    from serving.demo import run_demo

    for line in run_demo(out, reps, months, seed, lang or "en", typer.echo):
        typer.echo(line)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write the tables into.")],
    reps: Annotated[int, typer.Option("--reps", min=2, max=5000, help="Sales representatives.")] = 60,
    months: Annotated[int, typer.Option("--months", min=4, max=240, help="Months of history.")] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")] = 1,
    lang: Lang = None,
) -> None:
    """Write synthetic tables with known truth: one CSV a table, and truth.json with each true effect."""
    from features.synthetic import WorldConfig, write_world
    from serving.texts import as_lang

    write_world(out, WorldConfig(n_reps=reps, n_months=months, seed=seed, language=as_lang(lang or "en")))
    typer.echo(spoken(message("synth.done", reps=reps, months=months, folder=str(out))))


@app.command()
def check(
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Validate the tables: every fault at once, by table, row, column, value and rule. Exit 1 where there is one."""
    from serving.session import spoken_language
    from serving.table_check import check_tables

    SPOKEN.set(spoken_language(data, home, config, lang))
    report = check_tables(data, home, config, lang, as_of)
    if as_json:
        _print_json(report.as_dict())
    else:
        typer.echo(report.as_text())
    if report.faults:
        raise typer.Exit(1)


@app.command()
def dataset(
    out: Annotated[Path, typer.Option("--out", help="Folder for panel.parquet and pairs.parquet.")],
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """Write the training sets: the rep x month panel and the lead x rep pairs, as known at as_of."""
    from training.datasets import build_datasets, write_datasets

    session = _session(data, home, config, as_of, lang)
    sets = build_datasets(session.tables, session.as_of, session.config)
    for path, rows in write_datasets(sets, out):
        typer.echo(spoken(message("dataset.rows", path=str(path), n=rows)))


@app.command()
def train(
    trials: Annotated[int, typer.Option("--trials", min=0, help="Optuna trials of the contribution model.")] = 0,
    promote: Annotated[str, typer.Option("--promote", help="never, gate or force.")] = "gate",
    reason: Annotated[str, typer.Option("--reason", help="Why; required with --promote force.")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random in training.")] = 7,
    win_probability: Annotated[
        str, typer.Option("--win-probability", help="A model of your own, module:Class; see training/own_model.py.")
    ] = "",
    contribution: Annotated[
        str, typer.Option("--contribution", help="The same for contribution; see training/own_contribution.py.")
    ] = "",
    folds: Annotated[
        int, typer.Option("--folds", min=3, max=36, help="Past months that backtest and gate score, where there are.")
    ] = 6,
    mlflow: Annotated[
        str, typer.Option("--mlflow", envvar="FAIRLEAD_MLFLOW", help="An MLflow server's address; else HOME/mlruns.")
    ] = "",
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Build datasets, fit and backtest the models, judge them against the champion, write a release.

    Everything is logged and registered in MLflow under HOME/mlruns.
    """
    from training.pipeline import TrainRequest, train_release

    if promote not in {"never", "gate", "force"}:
        raise typer.BadParameter(spoken(message("usage.promote")), param_hint="--promote")
    if promote == "force" and not reason:
        raise typer.BadParameter(spoken(message("usage.promote_reason")), param_hint="--promote force")
    session = _session(data, home, config, as_of, lang)
    request = TrainRequest(
        session.as_of,
        trials,
        promote,
        reason,
        seed,
        session.now(),
        mlflow,
        win_probability,
        contribution,
        folds,
    )
    summary = train_release(
        session.tables,
        session.config,
        session.home.releases,
        session.home.mlruns,
        request,
        session.fingerprints,
        Progress(),
    )
    if as_json:
        _print_json({**summary.as_dict(), "rows_left_out": [list(item) for item in session.left_out]})
    else:
        typer.echo(summary.as_text(session.lang))
        for table, why, rows in session.left_out:
            typer.echo(spoken(message("trained.left_out", table=table, n=rows, why=why)))


@app.command()
def drift(
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Compare what has come in lately with what the release has learnt from, and its predictions with what was won."""
    session = _session(data, home, config, as_of, lang)
    report = session.drift()
    if as_json:
        _print_json(report.as_dict())
    else:
        typer.echo(report.as_text(session.lang))


@app.command()
def retrain(
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Only where drift is found or no release fits.")
    ] = False,
    trials: Annotated[int, typer.Option("--trials", min=0, help="Optuna trials of the contribution model.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random in training.")] = 7,
    folds: Annotated[
        int, typer.Option("--folds", min=3, max=36, help="Past months that backtest and gate score, where there are.")
    ] = 12,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """Train again and promote by the gate; with --if-needed, meant for cron, only where drift calls for it.

    The gate judges by twelve past months, twice as many as with train, where the champion was judged by as many.
    """
    from training.pipeline import TrainRequest, train_release

    session = _session(data, home, config, as_of, lang)
    why = session.needs_training() if if_needed else (message("retrain.asked"),)
    if not why:
        typer.echo(in_language(message("retrain.not_needed"), session.lang))
        return
    typer.echo(in_language(message("retrain.begun", why=why), session.lang))
    reason = message("retrain.reason", why=why)
    request = TrainRequest(session.as_of, trials, "gate", reason, seed, session.now(), folds=folds)
    home_ = session.home
    summary = train_release(
        session.tables, session.config, home_.releases, home_.mlruns, request, session.fingerprints, Progress()
    )
    typer.echo(summary.as_text(session.lang))


@app.command()
def reproduce(
    run: Annotated[str, typer.Argument(help="An MLflow run id, or a release.")],
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild an old run from the tables as they are now, apart from the registry, and say what differs."""
    from training.reproduce import reproduce as rebuild

    session = _session(data, home, config, None, lang)
    place = session.home
    found = rebuild(session.tables, session.config, place.releases, place.mlruns, run, session.fingerprints, Progress())
    if as_json:
        _print_json(found.as_dict())
    else:
        typer.echo(found.as_text(session.lang))


@app.command()
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")],
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
) -> None:
    """Put the release that was champion before back in charge."""
    from serving.session import open_home, spoken_language
    from training.rollback import roll_back

    SPOKEN.set(spoken_language(None, home, config, lang))
    place, now = open_home(home)
    version = roll_back(place.releases, place.mlruns, reason, now)
    typer.echo(in_language(message("rollback.done", version=version), SPOKEN.get()))


@app.command()
def forecast(
    month: Annotated[
        str | None, typer.Option("--month", help="YYYY-MM. Default: as_of's month and the next two.")
    ] = None,
    level: Annotated[str, typer.Option("--level", help="rep, team or company.")] = "rep",
    out: Annotated[Path | None, typer.Option("--out", help="CSV file; default: standard output.")] = None,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """Forecast contribution as a distribution: mean, deciles, target and probability of a miss."""
    if level not in {"rep", "team", "company"}:
        raise typer.BadParameter(spoken(message("usage.level")), param_hint="--level")
    core = _session(data, home, config, as_of, lang).core()
    _write_text(out, core.forecast_csv(month, level))


@app.command()
def warn(
    out: Annotated[Path | None, typer.Option("--out", help="JSON file; default: standard output.")] = None,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """List early warnings, most urgent first, with reasons in numbers and suggestions."""
    core = _session(data, home, config, as_of, lang).core()
    _write_text(out, json.dumps(core.warning_items(), ensure_ascii=False, indent=1) + "\n")


@app.command()
def explain(
    out: Annotated[Path, typer.Option("--out", help="Folder for drivers.json, report.html and report.xlsx.")],
    month: Annotated[
        str | None, typer.Option("--month", help="YYYY-MM to explain. Default: the last full month.")
    ] = None,
    against: Annotated[
        str, typer.Option("--against", help="Compare reps with: peers, or top (the top tenth on twelve months).")
    ] = "peers",
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """Write the driver report: what goes with output, what changes it, whether measures worked, and what is luck."""
    if against not in {"peers", "top"}:
        raise typer.BadParameter(spoken(message("usage.against")), param_hint="--against")
    core = _session(data, home, config, as_of, lang).core()
    for path in core.write_report(out, month, against=against):
        typer.echo(str(path))


@app.command()
def pilot(
    lever: Annotated[
        str, typer.Option("--lever", help="followups_per_week, contact_within_24h, training:SKILL or a new one.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="CSV of who goes first; default: standard output.")] = None,
    effect: Annotated[
        float | None, typer.Option("--effect", min=0.01, help="Money a rep and month to find; default: a tenth.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw: the same one draws the same.")] = 7,
    result: Annotated[
        Path | None, typer.Option("--result", help="A list that this command wrote: say what the pilot shows.")
    ] = None,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Plan a pilot by lot (who goes first, how long, what it would show), or read back what a finished one says."""
    from serving.pilot_command import plan_words, result_words

    if bool(lever) == (result is not None):
        raise typer.BadParameter(spoken(message("usage.lever")), param_hint="--lever")
    session = _session(data, home, config, as_of, lang)
    if result is not None:
        words, document = result_words(session, result)
    else:
        words, document, table = plan_words(session, lever, seed, effect)
        if table is not None and (out is not None or not as_json):
            _write_text(out, table)
    if as_json:
        _print_json(document)
    else:
        typer.echo(words, err=result is None and out is None)


@app.command()
def route(
    leads: Annotated[Path, typer.Option("--leads", help="A leads table of new leads.")],
    out: Annotated[Path | None, typer.Option("--out", help="CSV file; default: standard output.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, record nothing.")] = False,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """Assign leads one at a time in created_at order, as the service would."""
    core = _session(data, home, config, as_of, lang).core(dry_run=dry_run)
    _write_text(out, core.route_csv(leads))


@app.command()
def simulate(
    weeks: Annotated[int, typer.Option("--weeks", min=1, max=104, help="How many recent weeks to replay.")] = 8,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for simulation.html, .csv and .json.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of what is random in the replay.")] = 7,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Replay recent weeks under rival policies with models trained on what was known before them."""
    from serving.simulation import simulate_weeks

    session = _session(data, home, config, as_of, lang)
    result = simulate_weeks(session, weeks, seed, Progress())
    if as_json:
        _print_json(result.as_dict())
    else:
        typer.echo(result.as_text(session.lang))
    if out is not None:
        for path in result.write(out):
            typer.echo(str(path), err=as_json)


@app.command()
def overdue(
    move: Annotated[
        bool, typer.Option("--move", help="Move them too, where [routing] move_uncontacted_hours allows it.")
    ] = False,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """List leads that nobody has contacted in time, with the expected gain of moving each to the best rep with room."""
    from serving.overdue_words import overdue_text
    from serving.texts import as_lang

    core = _session(data, home, config, as_of, lang).core()
    if move:
        core.require_moves()
    moved = core.move_overdue() if move else []
    found = core.overdue()
    if as_json:
        _print_json({**found, "moved": moved} if move else found)
    else:
        typer.echo(overdue_text(core, found, moved if move else None, as_lang(core.default_lang)))


@app.command()
def uplift(
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Measure what routing brings against the always-on hold-out, in wins and money, from the decision log."""
    session = _session(data, home, config, as_of, lang)
    found = session.core().experiment()
    if as_json:
        _print_json(found)
    else:
        typer.echo("\n".join(found["text"]))


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address; beyond loopback only with keys.")] = "127.0.0.1",
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
) -> None:
    """Run the HTTP service and the pages: assignments, forecasts, warnings, drivers. Documentation at /docs."""
    from serving.launch import launch

    launch(_session(data, home, config, as_of, lang), host, port, typer.echo)


app.add_typer(keys, name="keys")
app.add_typer(webhooks, name="webhooks")


@app.command("import")
def import_(
    events: Annotated[Path, typer.Option("--events", help="NDJSON, CSV, Parquet or .xlsx file of rows.")],
    table: Annotated[
        str, typer.Option("--table", help="Their table. Default: the file's name; in NDJSON each line's own.")
    ] = "",
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=100_000, help="Rows taken together or not at all.")
    ] = 1_000,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Take rows as the service takes events: checked, batch by batch, whole or not at all; a replay changes nothing.

    Every fault is listed. Lines of NDJSON are {"table": "activities", "row": {...}}, or rows alone with --table.
    """
    from serving.bulk import import_events
    from serving.texts import as_lang, t

    core = _session(data, home, config, None, lang).core()
    found = import_events(core, events, table, batch, Progress())
    if as_json:
        _print_json(found.as_dict())
    else:
        n = {"taken": found.n_taken, "before": found.n_before, "refused": found.n_refused}
        typer.echo(t(as_lang(SPOKEN.get()), "exchange.imported", **{name: f"{count:,}" for name, count in n.items()}))
    if found.faults and as_json:
        raise typer.Exit(1)
    if found.faults:
        raise DataError(found.faults)


app.command()(backup)
app.command("audit-groups")(audit_groups)
app.command()(erase)
app.command()(retention)


@app.command("verify-log")
def verify_log(home: HomeDir = None, config: ConfigFile = None, lang: Lang = None) -> None:
    """Recompute the hash chain over the decision log; exit 1 where it breaks."""
    from serving.session import open_store, spoken_language

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store, store.read() as view:
        found = view.verify()
    if not found.ok:
        raise RequestError(message("log.breaks", entry=str(found.broken_at), why=found.reason))
    typer.echo(spoken(message("log.whole", n=found.n_entries, head=str(found.head))))


def _write_text(out: Path | None, text: str) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8", newline="")


def _guarded(run: Callable[..., Any]) -> int:
    """Exit code of `run`; what the caller can mend is said in one paragraph, without a traceback."""
    try:
        ended = run(standalone_mode=False)
    except TyperException as error:
        return _wrong_usage(error)
    except typer.Abort:
        return 1
    except DataError as error:
        typer.echo(error.describe(lang=SPOKEN.get()), err=True)
        return 1
    except FairleadError as error:
        typer.echo(f"fairlead: {spoken(error)}", err=True)
        return 1
    except (PermissionError, IsADirectoryError, NotADirectoryError, FileNotFoundError) as error:
        why = message("system.refused", why=system_words(error), file=str(error.filename))
        typer.echo(f"fairlead: {spoken(why)}", err=True)
        return 1
    except BrokenPipeError:
        return 0
    return ended if isinstance(ended, int) else 0


def _wrong_usage(error: TyperException) -> int:
    """Exit code of wrong usage, told in Chinese where that is spoken, else as typer does."""
    from serving.usage_words import asks_for_chinese, usage_in_chinese

    is_help = type(error).__name__ == "NoArgsIsHelpError"  # help itself is English
    if not is_help and (SPOKEN.get() == "zh" or asks_for_chinese(sys.argv)):
        typer.echo(usage_in_chinese(error), err=True)
    else:
        error.show()  # type: ignore[attr-defined]  # every error that typer itself raises can be shown
    return error.exit_code


def main() -> None:
    """Entry point: exit 0 on success, 1 where data or request is at fault, 2 for wrong usage."""
    # Matrices here are small: threads within a product would spin and wait. To be said before numpy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(_guarded(app))
