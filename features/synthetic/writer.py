"""The CSV files of a synthetic world, its truth.json and, where it needs one, its fairlead.toml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.contract import SCHEMA, Kind
from features.synthetic.config import WorldConfig
from features.synthetic.world import World, generate
from features.tables import Tables

# Extra lead columns that hold yes or no; inside they are numbers 0 and 1.
_EXTRA_KINDS: Final[dict[str, Kind]] = {"budget_stated": "boolean", "company_size": "text"}

SAMPLES: Final[dict[str, WorldConfig]] = {
    "en": WorldConfig(n_reps=12, n_months=14, seed=20, leads_per_rep_month=7.0, activity_scale=0.9),
    "zh": WorldConfig(
        n_reps=12,
        n_months=14,
        seed=21,
        leads_per_rep_month=7.0,
        activity_scale=0.9,
        language="zh",
        zone="Asia/Shanghai",
        currency="CNY",
    ),
}


def write_world(out_dir: Path | str, config: WorldConfig) -> World:
    """The world of `config`, written into `out_dir` (made where missing): same config, same bytes.

    `<table>.csv` for each table of the contract, UTF-8 without BOM, times with their offset; `truth.json`;
    `fairlead.toml` where zone, currency or language are not the default.
    """
    world = generate(config)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCHEMA:
        _write_table(folder / f"{name}.csv", text_frame(name, world.tables))
    _write_text(folder / "truth.json", json.dumps(world.truth, ensure_ascii=False, indent=1, sort_keys=False) + "\n")
    toml = settings_text(config)
    if toml:
        _write_text(folder / "fairlead.toml", toml)
    return world


def regenerate_samples(root: Path | str) -> tuple[Path, ...]:
    """The small sets `root`/en and `root`/zh, written anew; their folders."""
    folders = []
    for name, config in SAMPLES.items():
        folder = Path(root) / name
        write_world(folder, config)
        folders.append(folder)
    return tuple(folders)


def settings_text(config: WorldConfig) -> str:
    """Content of fairlead.toml, "" where the defaults do."""
    wanted = {"zone": config.zone, "currency": config.currency, "lang": config.language}
    usual = {"zone": "UTC", "currency": "", "lang": "en"}
    lines = [f'{key} = "{value}"' for key, value in wanted.items() if value != usual[key]]
    return "\n".join(["[general]", *lines]) + "\n" if lines else ""


def raw_frames(tables: Tables) -> dict[str, pd.DataFrame]:
    """All tables as text, cell by cell as the CSV files hold them."""
    return {name: text_frame(name, tables) for name in SCHEMA}


def text_frame(table: str, tables: Tables) -> pd.DataFrame:
    """One table as text; columns that the world does not use (recorded_at without late logging) are left out."""
    frame = tables[table]
    kinds: dict[str, Kind] = {column.name: column.kind for column in SCHEMA[table].columns}
    out: dict[str, Any] = {}
    for name in frame.columns:
        if name == "known_at":
            continue
        if name == "recorded_at" and bool((frame[name] == moments.NEVER).all()):
            continue
        kind = kinds.get(name) or _EXTRA_KINDS.get(name, "number")
        out[name] = _text(frame[name], kind, tables.zone)
    return pd.DataFrame(out, dtype="str")


def _text(values: pd.Series, kind: Kind, zone: str) -> npt.NDArray[Any]:
    """Cells of a column; missing is empty."""
    if kind in ("text", "list", "status"):
        return values.to_numpy(dtype=object)
    if kind in ("date", "time"):
        return _time_text(values.to_numpy(dtype=np.int64), zone, dates=kind == "date")
    # Few different values: each is put into words once.
    unique, inverse = np.unique(values.to_numpy(), return_inverse=True)
    return np.array([_cell(value, kind) for value in unique.tolist()], dtype=object)[inverse]


def _cell(value: float, kind: Kind) -> str:
    if kind == "month":
        return moments.month_text(int(value))
    if kind == "money":
        whole, cents = divmod(int(value), 100)
        return f"{whole}.{cents:02d}" if cents else str(whole)
    if np.isnan(value):
        return ""
    if kind == "boolean":
        return "true" if value else "false"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _time_text(at: moments.Moments, zone: str, *, dates: bool) -> npt.NDArray[Any]:
    """ISO 8601 text of moments: the date alone, or the time to the second with the zone's offset."""
    missing = at == moments.NEVER
    safe = np.where(missing, 0, at)
    local, offset = safe, np.zeros(len(at), dtype=np.int64)
    if zone != "UTC":
        stamps = pd.to_datetime(safe, unit="us", utc=True).tz_convert(zone).tz_localize(None)
        local = np.asarray(stamps.as_unit("us").asi8, dtype=np.int64)
        offset = local - safe
    text = np.datetime_as_string(local.astype("datetime64[us]"), unit="D" if dates else "s")
    if not dates:
        unique, inverse = np.unique(offset, return_inverse=True)
        text = np.char.add(text, np.array([_offset_text(int(each)) for each in unique], dtype="U6")[inverse])
    return np.where(missing, "", text).astype(object)


def _offset_text(offset: int) -> str:
    minutes = abs(offset) // (60 * moments.SECOND)
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    # Written through a handle with newline="": the same bytes on every system.
    with path.open("w", encoding="utf-8", newline="") as out:
        frame.to_csv(out, index=False, lineterminator="\n")


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(text)
