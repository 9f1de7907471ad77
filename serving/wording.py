"""Decisions in words: the stored record's codes and numbers as sentences of one language."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from serving.texts import Lang, as_lang, has, joined, money, named, number, percent, t

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(", ", ": ")).encode

Json = dict[str, Any]
Namer = Callable[[str], str]
FeatureNamer = Callable[[Lang, str], str]


def decision_bytes(document: Mapping[str, Any]) -> bytes:
    """A decision's JSON bytes, the same for the same document."""
    return _ENCODE(document).encode()


def decision_document(
    record: Mapping[str, Any], lang: Lang, currency: str, objective: str, name_of: Namer, feature_name: FeatureNamer
) -> Json:
    """The contract's decision in one language, from the record as it was stored."""
    reasons: Any = record.get("reasons", [])
    alternatives: Any = record.get("alternatives", [])
    wins = objective == "wins"
    return {
        "lead_id": record["lead_id"],
        "rep_id": record["rep_id"],
        "decided_at": record["decided_at"],
        "status": record["status"],
        "win_probability": record["win_probability"],
        "expected_value": record["expected_value"],
        "capacity_price": record["capacity_price"],
        "policy": record["policy"],
        "propensity": record["propensity"],
        "reasons": [
            {
                "feature": reason["feature"],
                "text": reason_text(reason, lang, currency, wins, name_of, feature_name),
                "contribution": reason["contribution"],
            }
            for reason in reasons
        ],
        "alternatives": [alternative(other, lang) for other in alternatives],
        "model_version": record["model_version"],
        "policy_version": record["policy_version"],
        "data_until": record.get("data_until"),
    }


def alternative(other: Mapping[str, Any], lang: Lang) -> Json:
    """One alternative of a decision."""
    rule = t(lang, f"rule.{other['rule']}")
    why = t(lang, f"why_not.{other['why_not']}", rule=rule, p=percent(lang, other["win_probability"], 1))
    shown = ("rep_id", "win_probability", "expected_value", "capacity_price", "propensity")
    return {**{key: other[key] for key in shown}, "why_not": why, "why_not_code": other["why_not"]}


def reason_text(
    reason: Mapping[str, Any], lang: Lang, currency: str, wins: bool, name_of: Namer, feature_name: FeatureNamer
) -> str:
    """One reason as a sentence."""
    code, numbers = str(reason["code"]), dict(reason["numbers"])
    if code == "feature":
        shown = number(lang, float(numbers["points"]), 1, signed=True)
        return t(lang, "routing.feature", name=feature_name(lang, str(reason["feature"])), points=shown)
    if code == "ruled_out":
        parts = [t(lang, "routing.rule_name_count", n=n, rule=t(lang, f"rule.{rule}")) for rule, n in numbers.items()]
        return t(lang, "routing.ruled_out", rules=("、" if lang == "zh" else ", ").join(parts))
    if code == "owner_unavailable":
        return t(lang, "routing.owner_unavailable", rule=t(lang, f"rule.{numbers['rule']}"))
    if code == "held_own_prospect":
        rep, rule = name_of(str(numbers["rep"])), t(lang, f"rule.{numbers['rule']}")
        return t(lang, "routing.held_own_prospect", rep=rep, rule=rule)
    if code in ("best_net", "explored", "price"):
        return _against(code, numbers, lang, currency, wins, name_of)
    load = percent(lang, numbers.get("load_share"))
    return t(lang, f"routing.{code}", load=load)


def _against(code: str, numbers: Mapping[str, Any], lang: Lang, currency: str, wins: bool, name_of: Namer) -> str:
    key = f"routing.{'best_net_wins' if code == 'best_net' and wins else code}"
    # Only what the sentence names is put into words: each amount of money costs as much as the sentence.
    return t(lang, key, **{name: _said(name, numbers, lang, currency, wins, name_of) for name in named(lang, key)})


def _said(name: str, numbers: Mapping[str, Any], lang: Lang, currency: str, wins: bool, name_of: Namer) -> str:
    """One placeholder of a sentence about the chosen rep and another."""
    if name in ("rep", "other"):
        return name_of(str(numbers[name]))
    if name in ("p", "p_other"):
        return percent(lang, numbers[name], 1)
    side = "_other" if name.endswith("_other") else ""
    if name in ("net", "net_other"):
        return _money_or_number(lang, currency, numbers[f"value{side}"] - numbers[f"price{side}"], wins)
    return _money_or_number(lang, currency, numbers[name], wins)


def _money_or_number(lang: Lang, currency: str, value: float, wins: bool) -> str:
    return number(lang, value, 2) if wins else money(lang, currency, value)


@dataclass(frozen=True)
class DecisionWords:
    """What it takes to say records in words: currency, objective, names of reps by id, names of features."""

    currency: str
    objective: str
    names: Mapping[str, str]
    feature_name: FeatureNamer

    def name_of(self, rep_id: str) -> str:
        """A rep's name for people, his id where he has none."""
        return self.names.get(rep_id, rep_id)

    def document(self, record: Mapping[str, Any], lang: Lang) -> Json:
        """A decision's record in words."""
        return decision_document(record, lang, self.currency, self.objective, self.name_of, self.feature_name)

    def answer(self, record: Mapping[str, Any], lang: str) -> bytes:
        """A decision's answer in one language; once given it is kept, and given for ever."""
        return decision_bytes(self.document(record, as_lang(lang)))


def feature_namer(meanings: Mapping[str, tuple[str, str]]) -> FeatureNamer:
    """Names of model features for people, from the spec's meanings (English, Chinese)."""

    def name(lang: Lang, feature: str) -> str:
        if feature in meanings:
            return meanings[feature][0 if lang == "en" else 1]
        if " x " in feature:
            left, right = feature.split(" x ", 1)
            return f"{name(lang, left)} × {name(lang, right)}"
        key = f"routing_feature.{feature}"
        return t(lang, key) if has(lang, key) else feature.replace("_", " ")

    return name


def one_line(document: Mapping[str, Any], lang: Lang) -> str:
    """The reasons of a decision in one line, for a CSV."""
    return joined(lang, *(str(reason["text"]) for reason in document["reasons"][:3]))
