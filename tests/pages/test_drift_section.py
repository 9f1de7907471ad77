"""Drift on the models page, on its route and in the metrics: before a look, with alarms, and by a real look."""

from __future__ import annotations

import json

import pytest

from serving.drift_watch import DriftWatch, last_report, save_report
from serving.texts import t

REPORT = {
    "release": "20260301-abc",
    "as_of": "2026-03-20T18:00:00+00:00",
    "needed": True,
    "findings": [
        {"kind": "freshness", "name": "deals", "change": 2.5, "p_value": None, "alarm": False},
        {"kind": "input", "name": "employees", "change": 0.01, "p_value": 0.9, "alarm": False},
        {"kind": "target", "name": "won_within_60_days", "change": -0.42, "p_value": 0.004, "alarm": True},
        {"kind": "input", "name": "source=web", "change": 0.33, "p_value": 0.01, "alarm": True},
        {"kind": "calibration", "name": "won_over_expected", "change": 0.71, "p_value": 0.002, "alarm": True},
        {"kind": "unseen", "name": "source", "change": 0.02, "p_value": None, "alarm": False},
    ],
}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_alarms_come_first_in_words_of_the_language(fresh, lang):
    browser = fresh.client()
    assert t(lang, "drift.not_yet") in fresh.Page(browser.get(f"/models?lang={lang}").text).text()
    assert browser.get("/v1/models/drift").json()["release"] is None
    assert "fairlead_drift" not in browser.get("/metrics").text
    save_report(fresh.session.home, REPORT)
    page = fresh.Page(browser.get(f"/models?lang={lang}").text).text()
    told = t(lang, "drift_name.won_within", days="60")
    shown = page.split(t(lang, "drift.caption"))[1].split(t(lang, "drift.note"))[0]
    assert shown.index(told) < shown.index(t(lang, "drift_kind.freshness"))
    assert page.count(t(lang, "drift.alarm")) >= 3
    assert "source=web" in page
    assert "employees" not in shown
    assert "0.71" in page
    assert browser.get("/v1/models/drift").json() == REPORT
    metrics = browser.get("/metrics").text
    assert 'fairlead_drift_alarm{kind="target",name="won_within_60_days"} 1.0' in metrics
    assert 'fairlead_drift_change{kind="calibration",name="won_over_expected"} 0.71' in metrics
    assert 'fairlead_drift_alarm{kind="freshness",name="deals"} 0.0' in metrics


@pytest.mark.parametrize("bytes_", [b"", b"{", b"[]", b'{"findings": 3}', b'{"findings": [1]}', b"\xff"])
def test_a_report_that_cannot_be_read_counts_as_none(fresh, bytes_):
    (fresh.home / "drift.json").write_bytes(bytes_)
    assert last_report(fresh.session.home) is None
    assert fresh.client().get("/models").status_code == 200
    assert fresh.client().get("/metrics").status_code == 200


def test_a_child_process_looks_and_leaves_its_report(fresh):
    """The tables and the moment of the service, its release, and a report that pages can show."""
    watch = DriftWatch(fresh.session)
    assert watch.is_due()
    watch.look()
    assert watch.failed == 0
    assert not watch.is_due()
    found = last_report(fresh.session.home)
    assert found["release"] == fresh.core.model_version
    assert found["as_of"].startswith(fresh.core.models()["releases"][0]["data_until"][:10])
    assert {"input", "freshness", "age"} <= {row["kind"] for row in found["findings"]}
    assert fresh.client().get("/models").status_code == 200


def test_a_look_that_fails_is_counted_and_the_old_report_stays(fresh, tmp_path):
    save_report(fresh.session.home, REPORT)
    fresh.session.data = tmp_path / "nowhere"
    watch = DriftWatch(fresh.session)
    watch.look()
    assert watch.failed == 1
    assert json.loads((fresh.home / "drift.json").read_text()) == REPORT
