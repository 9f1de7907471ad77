"""The field's terms for model features: which driver a feature tells of, and which group a driver belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from models.drivers.attribution import OTHER, DriverMap

# In order; the first rule whose word is part of a feature's name names its driver.
_RULES: tuple[tuple[str, str], ...] = (
    ("training", "training"),
    ("trained", "training"),
    ("course", "training"),
    ("skill", "training"),
    ("score", "training"),
    ("feedback", "feedback"),
    ("complaint", "feedback"),
    ("within_24h", "response_time"),
    ("first_contact", "response_time"),
    ("response", "response_time"),
    ("contact_hours", "response_time"),
    ("follow_up", "follow_ups"),
    ("followup", "follow_ups"),
    ("activit", "follow_ups"),
    ("minutes", "follow_ups"),
    ("meeting", "follow_ups"),
    ("tenure", "tenure"),
    ("hired", "tenure"),
    ("working_days", "working_days"),
    ("workdays", "working_days"),
    ("month_of_year", "season"),
    ("month_sin", "season"),
    ("month_cos", "season"),
    ("month_elapsed", "working_days"),
    ("horizon", "season"),
    ("calendar", "season"),
    ("festival", "season"),
    ("season", "season"),
    ("desk", "market"),
    ("market", "market"),
    ("company", "market"),
    ("absen", "absence"),
    ("days_present", "absence"),
    ("pipeline", "pipeline"),
    ("stage", "pipeline"),
    ("open_lead", "pipeline"),
    ("expected", "pipeline"),
    ("new_leads", "lead_flow"),
    ("leads_assigned", "lead_flow"),
    ("workload", "lead_flow"),
    ("load", "lead_flow"),
    ("capacity", "lead_flow"),
    ("source", "lead_mix"),
    ("industry", "lead_mix"),
    ("mix", "lead_mix"),
    ("quality", "lead_mix"),
    ("won_rate", "conversion"),
    ("conversion", "conversion"),
    ("win_rate", "conversion"),
    ("amount", "deal_size"),
    ("deal_size", "deal_size"),
    ("contribution", "past_contribution"),
    ("n_won", "past_contribution"),
    ("wins", "past_contribution"),
    ("lag", "past_contribution"),
    ("trend", "past_contribution"),
    ("lead", "lead_flow"),
)

GROUP_OF: dict[str, str] = {
    "follow_ups": "activity",
    "response_time": "activity",
    "training": "skill",
    "conversion": "skill",
    "feedback": "skill",
    "past_contribution": "track_record",
    "deal_size": "leads",
    "lead_mix": "leads",
    "lead_flow": "leads",
    "pipeline": "load",
    "absence": "load",
    "working_days": "market",
    "season": "market",
    "market": "market",
    "tenure": "tenure",
}


def driver_of(feature: str) -> str:
    """Driver that a feature's name tells of; `other` where no rule knows it."""
    name = feature.lower()
    return next((driver for word, driver in _RULES if word in name), OTHER)


def driver_map(features: Sequence[str]) -> DriverMap:
    """Map of all `features` to drivers and groups."""
    return DriverMap({feature: driver_of(feature) for feature in features}, dict(GROUP_OF))
