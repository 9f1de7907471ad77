"""All tables of an organisation, from a folder or by the mapping of `fairlead.toml`, checked and typed.

A table that the settings map comes from its file or query; every other one from `<table>.csv|.parquet|.xlsx` of the
data folder. A query without `database` runs in DuckDB, where each CSV, Parquet and workbook file of the data folder is
a view named like the file with or without its ending, its CSV cells all text, so that an id `007` stays one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pandas as pd

from features import cells
from features.checking import Checked, check_references, check_table
from features.config import Config, TableSource
from features.contract import SCHEMA
from features.errors import DataError, Fault, SourceError
from features.messages import message
from features.reading import SUFFIXES, RawTable, fingerprint, from_arrow, from_records, read_file
from features.tables import Tables, empty_frame

_BATCH: Final = 50_000


@dataclass(frozen=True)
class Loaded:
    """Checked tables and, for lineage, the SHA-256 of what each was read from (absent tables left out).

    `left_out`: (table, reason, rows) of what the settings' queries leave out, as their `left_out` queries count it.
    """

    tables: Tables
    fingerprints: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str, int], ...] = ()


def load_tables(data_dir: Path | None, config: Config, config_dir: Path | None = None) -> Tables:
    """Tables of the data folder and of the settings' mapping, typed as `features.tables` says.

    `config_dir`: the folder of `fairlead.toml`, where mapped files are looked for after the data folder.
    Raises DataError with every fault of every table, SourceError where a folder, query or database cannot be read.
    """
    return load(data_dir, config, config_dir).tables


def load(data_dir: Path | None, config: Config, config_dir: Path | None = None) -> Loaded:
    """Tables as `load_tables` gives them, with their fingerprints."""
    raws, faults = _read_all(data_dir, config, config_dir)
    zone = config.general.zone
    prints = tuple((name, fingerprint(raw)) for name, raw in raws.items() if raw.readable)
    checked: dict[str, Checked] = {}
    for name in list(raws):
        checked[name] = check_table(raws.pop(name), SCHEMA[name], zone)  # popped: the text is not held twice
        faults += checked[name].faults
    faults += check_references(checked)
    if faults:
        raise DataError(faults)
    frames = {name: checked[name].frame if name in checked else empty_frame(schema) for name, schema in SCHEMA.items()}
    return Loaded(Tables(frames, zone, config.general.currency), prints, _left_out(data_dir, config, config_dir))


def _read_all(
    data_dir: Path | None, config: Config, config_dir: Path | None
) -> tuple[dict[str, RawTable], list[Fault]]:
    if data_dir is not None and not data_dir.is_dir():
        raise SourceError(message("source.no_folder", folder=str(data_dir)))
    if data_dir is None and not config.tables:
        raise SourceError(message("source.no_data"))
    folders = _folders(data_dir, config_dir)
    mapped = dict(config.tables)
    raws: dict[str, RawTable] = {}
    faults: list[Fault] = []
    for name, schema in SCHEMA.items():
        source = mapped.get(name, TableSource())
        raw = _read_table(name, source, folders, faults)
        if raw is not None:
            raws[name] = raw
        elif not schema.optional and not any(fault.table == name for fault in faults):
            where = data_dir if data_dir is not None else "fairlead.toml"
            faults.append(Fault(name, 0, "", "", message("table.missing", table=name, where=str(where))))
    return raws, faults


def _folders(data_dir: Path | None, config_dir: Path | None) -> tuple[Path, ...]:
    return tuple(folder for folder in (data_dir, config_dir) if folder is not None)


def _left_out(data_dir: Path | None, config: Config, config_dir: Path | None) -> tuple[tuple[str, str, int], ...]:
    """What the settings' `left_out` queries count, in the order of the tables and of their rows."""
    counted: list[tuple[str, str, int]] = []
    for name, source in config.tables:
        if not source.left_out.strip():
            continue
        raw = _query(name, replace(source, query=source.left_out), _folders(data_dir, config_dir))
        for row in raw.frame.itertuples(index=False, name=None):
            if len(row) != 2 or not row[1].isdigit():
                raise SourceError(message("source.left_out", table=name))
            if int(row[1]):
                counted.append((name, row[0], int(row[1])))
    return tuple(counted)


def _query(name: str, source: TableSource, folders: Sequence[Path]) -> RawTable:
    """Rows of the source's query: in its database, else over the files of the data folder."""
    return _query_database(name, source, folders) if source.database.strip() else _query_files(name, source, folders)


def _read_table(name: str, source: TableSource, folders: Sequence[Path], faults: list[Fault]) -> RawTable | None:
    if source.query.strip():
        raw = _query(name, source, folders)
    else:
        path = (
            _mapped_file(name, source.file.strip(), folders)
            if source.file.strip()
            else _own_file(name, folders, faults)
        )
        if path is None or (SCHEMA[name].optional and path.is_file() and not path.stat().st_size):
            return None  # an optional table may be missing or empty
        raw = read_file(path, name)
    return _renamed(raw, source.columns) if raw.readable else raw


def _own_file(name: str, folders: Sequence[Path], faults: list[Fault]) -> Path | None:
    """The one file called like the table in the data folder, in whatever case; two are a fault.

    A link that leads nowhere counts: reading it says so, where a table that is not there would be silence.
    """
    if not folders:
        return None
    wanted = {f"{name}{suffix}" for suffix in SUFFIXES}
    found = sorted(path for path in folders[0].iterdir() if path.name.lower() in wanted)
    if len(found) > 1:
        files = ", ".join(path.name for path in found)
        faults.append(Fault(name, 0, "", "", message("table.many_files", files=files)))
        return None
    return found[0] if found else None


def _mapped_file(name: str, file: str, folders: Sequence[Path]) -> Path:
    tried = [Path(file)] if Path(file).is_absolute() else [folder / file for folder in folders]
    for path in tried:
        if path.is_file():
            return path
    if not tried:
        raise SourceError(message("source.no_folder_for", table=name, file=file))
    where: str = reduce(lambda one, other: message("source.nor", one=one, other=other), [str(p.parent) for p in tried])
    raise SourceError(message("source.no_mapped_file", table=name, file=file, where=where))


def _renamed(raw: RawTable, columns: Sequence[tuple[str, str]]) -> RawTable:
    """Columns under our names. A mapping wins over a column that has our name already."""
    if not columns:
        return raw
    faults = list(raw.faults)
    taken = {theirs for _, theirs in columns}
    ours = {name for name, _ in columns}
    named: dict[str, pd.Series] = {}
    typed = {name for name in raw.typed_dates if name not in taken | ours}
    for our, their in columns:
        if their not in raw.frame.columns:
            listed = ", ".join(map(str, raw.frame.columns))[:300]
            faults.append(Fault(raw.name, 0, our, "", message("table.unmapped", theirs=their, columns=listed)))
            continue
        named[our] = raw.frame[their]
        if their in raw.typed_dates:
            typed.add(our)
    for name in raw.frame.columns:
        if name not in taken and name not in named and name not in ours:
            named[name] = raw.frame[name]
    frame = pd.DataFrame(named, index=raw.frame.index)
    return replace(raw, frame=frame, faults=tuple(faults), typed_dates=frozenset(typed))


def _query_files(name: str, source: TableSource, folders: Sequence[Path]) -> RawTable:
    """Rows of a query over the files of the data folder (else the settings' folder), run by DuckDB."""
    import duckdb
    import pyarrow as pa

    if not folders:
        raise SourceError(message("source.no_place", table=name))
    folder = folders[0]
    # No look into Python's variables, nothing fetched from a network.
    settings = {"python_enable_replacements": "false", "autoinstall_known_extensions": "false"}
    with duckdb.connect(config=settings) as connection:
        try:
            connection.execute("SET file_search_path = ?", [str(folder)])
            _add_views(connection, name, source.query, folder)
            statements = connection.extract_statements(source.query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise SourceError(message("source.one_select", table=name))
            return from_arrow(name, connection.sql(source.query).to_arrow_table())
        except (duckdb.Error, pa.ArrowException) as error:
            raise SourceError(message("source.query_fails", table=name, why=_first_lines(str(error)))) from None
        except cells.NestedValueError as error:
            raise SourceError(message("source.nested", table=name, what=error.args[0])) from None


def _add_views(connection: Any, name: str, query: str, folder: Path) -> None:
    """A view for each file of the folder that the query may mean, under its stem and under its full name."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.stem.lower() not in query.lower():
            continue
        raw = read_file(path, path.stem)
        if raw.faults:
            told = [fault.told() for fault in raw.faults[:5]]
            said = reduce(lambda one, other: message("source.both", one=one, other=other), told)
            raise SourceError(message("source.file_faults", table=name, file=path.name, faults=said))
        for view in dict.fromkeys((path.name, path.stem)):
            connection.register(view, _view(path, raw))


def _view(path: Path, raw: RawTable) -> Any:
    """What a query sees of a file: Parquet as typed there, else text with empty cells as NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        return pq.read_table(path)
    columns = {}
    for column in raw.frame.columns:
        text = cells.as_arrow(raw.frame[column])
        columns[str(column)] = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
    return pa.table(columns)


def _query_database(name: str, source: TableSource, folders: Sequence[Path]) -> RawTable:
    """Rows of a query in SQLite, PostgreSQL or whatever else SQLAlchemy has a driver for."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    url = source.database.strip()
    try:
        engine = create_engine(_database_url(name, url, folders))
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        raise SourceError(message("source.no_url", table=name)) from None
    try:
        with engine.connect().execution_options(stream_results=True, no_parameters=True) as connection:
            result = connection.exec_driver_sql(source.query)
            if not result.returns_rows:
                raise SourceError(message("source.one_select", table=name))
            return from_records(name, list(result.keys()), result.yield_per(_BATCH))
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error)
        raise SourceError(
            message("source.database", table=name, url=_shown_url(url), why=_first_lines(_without_password(said, url)))
        ) from None
    except cells.NestedValueError as error:
        raise SourceError(message("source.nested", table=name, what=error.args[0])) from None
    finally:
        engine.dispose()


def _database_url(name: str, url: str, folders: Sequence[Path]) -> str:
    """The URL with the driver that is installed; a relative SQLite file is looked for in the folders."""
    url = re.sub(r"^postgres(?:ql)?://", "postgresql+psycopg://", url)
    found = re.match(r"^(sqlite(?:\+\w+)?):///([^?]+)(.*)$", url)
    if found and found[2] != ":memory:" and not found[2].startswith("file:"):
        tried = [Path(found[2])] if Path(found[2]).is_absolute() else [folder / found[2] for folder in folders]
        path = next((path for path in tried if path.is_file()), None)
        if path is None:  # SQLite itself would make an empty database of a misspelt name
            raise SourceError(message("source.no_database", table=name, file=found[2]))
        return f"{found[1]}:///{path.resolve()}{found[3]}"
    return url


def _shown_url(url: str) -> str:
    return re.sub(r"(?<=://)([^/@]*?):.*@", r"\1:***@", url)


def _without_password(said: str, url: str) -> str:
    """A driver's message in which the URL's password, if it is quoted there, is starred."""
    found = re.search(r"://[^:/@]*:(.*)@", url)
    return said.replace(found[1], "***") if found and found[1] else said


def _first_lines(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(lines)[:300]
