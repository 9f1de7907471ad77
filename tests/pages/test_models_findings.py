"""What the models page says about reps and leads agrees with how leads are routed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from serving.pages.models_page import _findings
from serving.texts import t


def said(lang, mode, *, supported):
    one = {"supported": supported, "p_value": 0.046, "estimate": 0.64}
    findings = {"interaction": one, "rep_effect": {**one, "p_value": 0.0002}, "routing_mode": mode}
    visit = SimpleNamespace(
        t=lambda key, **values: t(lang, key, **values), number=lambda value, digits=0: f"{value:.{digits}f}"
    )
    return _findings(visit, findings | {"n": 90, "n_won": 9, "n_open": 5})


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    ("mode", "supported", "key"),
    [("pairs", True, "found"), ("pairs", False, "possible"), ("reps", False, "none"), ("lead_only", False, "none")],
)
def test_an_interaction_that_is_routed_on_is_not_called_absent(lang, mode, supported, key):
    interaction, rep_effect, _ = said(lang, mode, supported=supported)
    assert interaction == t(lang, f"models.interaction_{key}", sd="0.64", p="= 0.046")
    assert "p < 0.001" in rep_effect
