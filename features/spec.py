"""Which features there are: built-in ones and those the data bring (lead columns, sources, skills), as one value.

A model keeps the fingerprint of the spec it was trained with; a release carries the spec itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from features.config import Config
from features.definitions import LEAD, PAIR, PANEL, REP, Definition
from features.errors import ConfigError
from features.lead_columns import screen_lead_columns
from features.messages import from_stored, message, to_stored
from features.outcomes import lead_outcomes
from features.tables import Tables

VERSION: Final = 1
MAX_SOURCES: Final = 8
MAX_SKILLS: Final = 12
LEAD_CATEGORICAL: Final = ("source", "territory", "industry")
REP_CATEGORICAL: Final = ("rep_team", "rep_territories")  # where a new rep starts from

Named = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FeatureSpec:
    """All feature names in order, and what is needed to build them.

    `custom_numeric`: (lead column, feature name); `sources`, `skills`: (value, name part) of the commonest ones;
    `excluded`: (lead column, reason) of what was left out. `rep_categorical`: the rep's team and territories, where
    they group reps.
    """

    lead_numeric: tuple[str, ...]
    lead_categorical: tuple[str, ...]
    rep_numeric: tuple[str, ...]
    pair_numeric: tuple[str, ...]
    panel_numeric: tuple[str, ...]
    custom_numeric: Named = ()
    sources: Named = ()
    skills: Named = ()
    dead_after_days: int = 180
    excluded: tuple[tuple[str, str], ...] = ()
    version: int = VERSION
    rep_categorical: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The spec as JSON text, keys sorted; `from_json` gives an equal spec back."""
        given = asdict(self)
        given["excluded"] = [(name, to_stored(reason)) for name, reason in self.excluded]
        if not self.rep_categorical:
            del given["rep_categorical"]  # so that a spec of before keeps its fingerprint
        return json.dumps(given, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FeatureSpec:
        """The spec that `to_json` wrote. ConfigError where the text is no spec of this version."""
        try:
            read: dict[str, Any] = json.loads(text)
            read["excluded"] = [[name, from_stored(reason)] for name, reason in read.get("excluded", [])]
            given: dict[str, Any] = {key: _frozen(value) for key, value in read.items()}
            spec = cls(**given)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(message("release.no_spec", why=str(error))) from error
        if spec.version != VERSION:
            raise ConfigError(message("release.spec_version", found=spec.version, known=VERSION))
        return spec

    def fingerprint(self) -> str:
        """SHA-256 of the spec, hex: equal for equal features, in whatever process."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def definitions(self) -> list[Definition]:
        """One definition a numeric feature, in the order lead, rep, pair, panel."""
        custom = [
            Definition(name, "", f"lead column {column}", f"线索字段“{column}”", "leads")
            for column, name in self.custom_numeric
        ]
        reps = _expand(REP, self.sources, self.skills)
        return [*_expand(LEAD), *custom, *reps, *_expand(PAIR), *_expand(PANEL)]

    def describe(self) -> list[tuple[str, str, str, str, str, str]]:
        """(name, unit, window, meaning in English, in Chinese, group) of every feature, categories last."""
        rows = [(d.name, d.unit, d.window, d.meaning_en, d.meaning_zh, d.group) for d in self.definitions()]
        known = {"source": "来源", "territory": "区域", "industry": "行业"}
        rows += [
            (name, "category", "", f"lead column {name}", f"线索的{known.get(name, name)}", "leads")
            for name in self.lead_categorical
        ]
        rows += [(name, "category", "", *_REP_MEANINGS[name], "market") for name in self.rep_categorical]
        return [(name, unit, window, en, zh, str(group)) for name, unit, window, en, zh, group in rows]

    def groups(self) -> dict[str, str]:
        """Group of every feature by name."""
        return {row[0]: row[5] for row in self.describe()}


_REP_MEANINGS: Final = {"rep_team": ("team", "所在团队"), "rep_territories": ("listed territories", "负责的区域")}


def rep_texts(reps: pd.DataFrame) -> dict[str, pd.Series]:
    """Categories of the rows of a reps table, "" where it says nothing; territories sorted: order is nothing."""
    listed = [sorted({part.strip() for part in str(text).split(";")} - {""}) for text in reps["territories"]]
    return {
        "rep_team": reps["team_id"].fillna("").astype(str),
        "rep_territories": pd.Series([";".join(names) for names in listed], index=reps.index, dtype=object),
    }


def _rep_categorical(known: Tables) -> tuple[str, ...]:
    """Categories that group the reps: at least two values, one of them shared."""
    found = []
    for name, values in rep_texts(known.reps.drop_duplicates("rep_id")).items():
        counts = values.loc[(values != "").to_numpy()].value_counts()
        if len(counts) > 1 and counts.iloc[0] > 1:
            found.append(name)
    return tuple(found)


def make_spec(tables: Tables, config: Config, as_of: int) -> FeatureSpec:
    """The spec of the features that these tables allow, from what `as_of` knows of them."""
    known = tables.known(as_of)
    outcomes = lead_outcomes(tables, as_of, config.leads.dead_after_days)
    columns = screen_lead_columns(known.leads, config.leads.ignore, outcomes)
    excluded = dict(columns.excluded)
    built_in = {definition.name for definition in LEAD}
    parts = _name_parts(columns.numeric, {name.removeprefix("lead_") for name in built_in})
    skills = known.trainings["skill"].where(known.trainings["skill"] != "", known.trainings["course"])
    return assemble_spec(
        custom_numeric=tuple((column, f"lead_{part}") for column, part in parts),
        custom_categorical=tuple(name for name in columns.categorical if name not in LEAD_CATEGORICAL),
        left_out=tuple(name for name in LEAD_CATEGORICAL if not excluded.get(name, "constant").startswith("constant")),
        sources=_name_parts(_commonest(known.leads["source"], MAX_SOURCES)),
        skills=_name_parts(_commonest(skills, MAX_SKILLS)),
        dead_after_days=config.leads.dead_after_days,
        excluded=columns.excluded,
        rep_categorical=_rep_categorical(known),
    )


def assemble_spec(
    custom_numeric: Named = (),
    custom_categorical: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    sources: Named = (),
    skills: Named = (),
    dead_after_days: int = 180,
    excluded: tuple[tuple[str, str], ...] = (),
    rep_categorical: tuple[str, ...] = (),
) -> FeatureSpec:
    """A spec of the built-in features and these columns, sources and skills.

    `left_out` names categories of the contract that are not wanted; a constant one stays, as it may vary one day.
    """
    return FeatureSpec(
        lead_numeric=(*_names(LEAD), *(name for _, name in custom_numeric)),
        lead_categorical=(*(name for name in LEAD_CATEGORICAL if name not in left_out), *custom_categorical),
        rep_numeric=tuple(d.name for d in _expand(REP, sources, skills)),
        pair_numeric=_names(PAIR),
        panel_numeric=tuple(d.name for d in (*_expand(REP, sources, skills), *_expand(PANEL))),
        custom_numeric=custom_numeric,
        sources=sources,
        skills=skills,
        dead_after_days=dead_after_days,
        excluded=excluded,
        rep_categorical=rep_categorical,
    )


def _names(definitions: tuple[Definition, ...]) -> tuple[str, ...]:
    return tuple(d.name for d in _expand(definitions))


def _expand(definitions: tuple[Definition, ...], sources: Named = (), skills: Named = ()) -> list[Definition]:
    single: list[Definition] = []
    for definition in definitions:
        single += definition.expand(skills if definition.per == "skill" else sources)
    return single


def _commonest(values: pd.Series, most: int) -> list[str]:
    """The commonest values, at most `most`, then in their own order, so that a changed rank changes no column."""
    given = values.loc[(values != "").to_numpy()]
    counts = given.value_counts()
    ranked = sorted(counts.index, key=lambda value: (-int(counts[value]), str(value)))
    return sorted(str(value) for value in ranked[:most])


def _name_parts(values: list[str] | tuple[str, ...], taken: set[str] | None = None) -> Named:
    """(value, name part): letters and digits of any script kept, the rest `_`, made unique by a number.

    LightGBM refuses names with JSON's own characters, and blanks do not survive its text format.
    """
    used = set(taken or ())
    parts = []
    for value in values:
        plain = "".join(letter if letter.isalnum() else "_" for letter in value.strip()) or "_"
        part, n = plain, 2
        while part in used:
            part, n = f"{plain}_{n}", n + 1
        used.add(part)
        parts.append((value, part))
    return tuple(parts)


def _frozen(value: object) -> object:
    """Lists of JSON as tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
