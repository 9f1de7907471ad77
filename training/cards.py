"""Model card and data sheet of a release, in English and Chinese, written from its report.

The form follows Mitchell et al. (2019), Model cards, and Gebru et al. (2021), Datasheets for datasets, cut to what a
sales organisation asks. No time and no path stands in them, so that equal releases have equal cards.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from features.messages import from_stored, in_language, message
from training.gate import group_name

LANGUAGES = ("en", "zh")


def card_document(report: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Markdown of both cards by language: `{"en": {"model_card", "data_sheet"}, "zh": ...}`."""
    return {
        lang: {"model_card": model_card(report, lang), "data_sheet": data_sheet(report, lang)} for lang in LANGUAGES
    }


def write_cards(folder: Path, report: Mapping[str, Any]) -> None:
    """Write `model_card.<lang>.md` and `data_sheet.<lang>.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    for lang, cards in card_document(report).items():
        for name, text in cards.items():
            (folder / f"{name}.{lang}.md").write_text(text, encoding="utf-8")


def _routing(findings: Mapping[str, Any]) -> str:
    possible = findings["routing_mode"] == "pairs" and not findings["interaction"]["supported"]
    return "possible" if possible else str(findings["routing_mode"])


def model_card(report: Mapping[str, Any], lang: str) -> str:
    """Purpose, data, findings, quality by segment, limits, oversight."""
    words, findings, choice = _texts(lang)["model"], report["findings"], report["choice"]
    numbers = _numbers(report, lang)
    parts = [f"# {words['title'].format(**numbers)}"]
    parts += [f"## {words['purpose_title']}", words["purpose"].strip()]
    parts += [f"## {words['data_title']}", words["data"].format(**numbers).strip()]
    parts += [f"## {words['routing_title']}", words[f"routing_{_routing(findings)}"]]
    parts += [f"## {words['quality_title']}", words["conversion"].format(**numbers)]
    parts += [words["calibration"].format(**numbers)]
    method = "+".join(name for name, _ in choice["weights"])
    between = "" if lang == "zh" else " "
    parts += [words["forecast"].format(method=method) + between + words[choice["reason"]]]
    parts += _method_table(report, words)
    parts += [f"### {words['by_segment']}"]
    parts += _table(words["conversion_head"], [_conversion_row(row, lang) for row in report["segments"]["conversion"]])
    parts += _table(words["forecast_head"], [_forecast_row(row, lang) for row in report["segments"]["forecast"]])
    parts += [f"## {words['limits_title']}", words["limits"].strip()]
    parts += [f"## {words['oversight_title']}", words["oversight"].strip()]
    return "\n\n".join(parts) + "\n"


def data_sheet(report: Mapping[str, Any], lang: str) -> str:
    """Origin, tables, columns used and left out, people, gaps."""
    texts = _texts(lang)
    words, numbers, data = texts["data"], _numbers(report, lang), report["data"]
    columns = ("、" if lang == "zh" else ", ").join(data["lead_columns"]) or texts["none"]
    parts = [f"# {words['title'].format(**numbers)}"]
    parts += [f"## {words['origin_title']}", words["origin"]]
    parts += [f"## {words['tables_title']}"]
    parts += _table(words["tables_head"], [(name, f"{n:,}") for name, n in sorted(data["tables"].items())])
    parts += [f"## {words['features_title']}", words["features"].format(**numbers)]
    parts += [words["lead_columns"].format(columns=columns)]
    parts += [f"## {words['excluded_title']}"]
    left_out = [(name, in_language(from_stored(why), lang)) for name, why in report["excluded"]]
    parts += _table(words["excluded_head"], left_out) or [texts["none"]]
    parts += [f"## {words['people_title']}", words["people"].strip()]
    parts += [f"## {words['gaps_title']}", words["gaps"].format(**numbers).strip()]
    return "\n\n".join(parts) + "\n"


@cache
def _texts(lang: str) -> dict[str, Any]:
    return tomllib.loads((files("training.card_texts") / f"{lang}.toml").read_text(encoding="utf-8"))


def _numbers(report: Mapping[str, Any], lang: str) -> dict[str, str]:
    """Placeholders of the texts."""
    findings, rows, data = report["findings"], report["rows"], report["data"]
    missing = _texts(lang)["not_measured"]
    given = {name: _decimal(findings[name], 3, missing) for name in ("auc", "log_loss", "brier", "ece", "ece_limit")}
    counts = {
        "n_pairs": rows["pairs"], "n_reps": rows["reps"], "n_panel": rows["panel"], "n_won": findings["n_won"],
        "n_open": findings["n_open"], "n_scored": findings["n_scored"], "n_lead": len(data["lead_columns"]),
        "n_rep": data["n_rep_features"], "n_month": data["n_month_features"],
    }  # fmt: skip
    return {**given, **{name: f"{value:,}" for name, value in counts.items()}, "as_of": data["as_of"]}


def _decimal(value: float | None, digits: int, missing: str = "–") -> str:
    return missing if value is None else f"{value:,.{digits}f}"


def _table(head: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table as one part; none without rows."""
    if not rows:
        return []
    rule = "|" + "---|" * (head.count("|") - 1)
    body = ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]
    return ["\n".join([head, rule, *body])]


def _method_table(report: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    mine = [row for row in report["backtest"] if row["level"] == "rep" and row["metric"] == "pinball"]
    mine.sort(key=lambda row: float("inf") if row["estimate"] is None else row["estimate"])
    rows = [
        (row["method"], _decimal(row["estimate"], 0), f"{_decimal(row['low'], 0)} – {_decimal(row['high'], 0)}")
        for row in mine
    ]
    return [words["forecast_table"], *_table(words["method_head"], rows)] if rows else []


def _segment(row: Mapping[str, Any], lang: str) -> str:
    label = group_name(str(row["group"])) if row["by"] == "tenure" else str(row["group"])
    return in_language(message(f"by.{row['by']}"), lang) + ("：" if lang == "zh" else ": ") + in_language(label, lang)


def _conversion_row(row: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    return (
        _segment(row, lang), f"{row['n']:,}", f"{row['won']:,.0f}", _decimal(row["predicted"], 1),
        _decimal(row["log_loss"], 3),
    )  # fmt: skip


def _forecast_row(row: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    return (
        _segment(row, lang), f"{row['n']:,}", _decimal(row["wape"], 2), _decimal(row["bias"], 2),
        _decimal(row["covered"], 2),
    )  # fmt: skip
