"""What routing gave by group: ratios in closed form, small groups hidden, groups never stored or used as features."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest
from scipy.stats import t as student

from features import moments
from features.errors import RequestError
from serving.cli import _guarded, app
from serving.group_audit import audit, rate_of, ratio_interval, read_groups

MONDAY = "2026-03-02"
REPS = [{"rep_id": f"R{i:02d}", "weekly_capacity": 4} for i in range(13)]
# Groups a: R00-R04, b: R05-R09, and c, which is too small to be shown: R10-R12.
GROUP = {rep["rep_id"]: "a" if at < 5 else "b" if at < 10 else "c" for at, rep in enumerate(REPS)}


def groups_file(tmp_path, text=None):
    path = tmp_path / "groups.csv"
    rows = "\n".join(f"{rep},{group}" for rep, group in GROUP.items())
    path.write_text(text or f"rep_id,gender\n{rows}\n", encoding="utf-8")
    return path


def put(core, lead_id, rep_id, value, policy="priced", best=0.0):
    record = {
        "lead_id": lead_id, "rep_id": rep_id, "policy": policy, "expected_value": value,
        "alternatives": [{"rep_id": "R12", "expected_value": best}],
    }  # fmt: skip
    with core.store.transaction() as tx:
        tx.put_decision(
            lead_id,
            decided_at=moments.parse(f"{MONDAY}T09:00", core.zone),
            status="assigned",
            rep_id=rep_id,
            week="2026-W10",
            record=record,
            lead={},
        )


def filled(desk, **options):
    """Each of a gets 2 leads worth 100, each of b 1, each of c 3; and one owned lead that must not count."""
    made = desk(REPS, **options)
    n = 0
    for rep, group in GROUP.items():
        for _ in range({"a": 2, "b": 1, "c": 3}[group]):
            n += 1
            put(made.core, f"L{n}", rep, 100.0 + n)
    put(made.core, "OWN", "R05", 9_000.0, policy="owner")
    return made


def by_name(found):
    return {group.name: group for group in found.audits[0].groups}


def test_ratios_shares_and_places(desk, tmp_path):
    found = audit(filled(desk).core, read_groups(groups_file(tmp_path)))
    assert found.n_decisions == 5 * 2 + 5 + 3 * 3
    groups = by_name(found)
    assert set(groups) == {"a", "b"}
    assert found.audits[0].n_hidden == 1
    assert (groups["a"].shares["leads"], groups["b"].shares["leads"]) == pytest.approx((2 / 3, 1 / 3))
    leads = {(one.given, one.per): one for one in groups["b"].figures}
    assert leads["leads", "head"].ratio == pytest.approx(0.5)
    assert leads["leads", "place"].rate == pytest.approx(5 / 20)  # five reps of four places in the one week
    assert leads["leads", "head"].standing == "below"
    assert found.audits[0].best["leads.head"] == "a"


def test_a_lead_is_of_high_value_by_the_best_rep_on_record_whoever_got_it(desk, tmp_path):
    made = filled(desk)
    for i in range(4):
        put(made.core, f"BIG{i}", f"R0{5 + i}", 1.0, best=1e6)
    figures = by_name(audit(made.core, read_groups(groups_file(tmp_path))))["b"].figures
    assert next(one.rate for one in figures if (one.given, one.per) == ("high_value", "head")) == pytest.approx(4 / 5)


def test_absent_weeks_and_late_hires_take_places_off(desk, tmp_path):
    made = filled(desk, absences=[{"rep_id": "R05", "starts_on": MONDAY, "ends_on": "2026-03-08"}])
    figures = by_name(audit(made.core, read_groups(groups_file(tmp_path))))["b"].figures
    assert next(one.rate for one in figures if (one.given, one.per) == ("leads", "place")) == pytest.approx(5 / 16)


def test_the_interval_is_that_of_means_where_bases_are_equal():
    own, top = np.array([1.0, 2, 3, 2, 1]), np.array([4.0, 5, 6, 5, 4, 4])
    ones = [rate_of(x, np.ones(len(x))) for x in (own, top)]
    assert ones[0][:2] == pytest.approx((own.mean(), own.std(ddof=1) / np.sqrt(5)))
    ratio, low, high = ratio_interval(*ones)
    half = student.ppf(0.95, 4) * np.hypot(
        own.std(ddof=1) / np.sqrt(5) / own.mean(), top.std(ddof=1) / np.sqrt(6) / top.mean()
    )
    assert (ratio, low, high) == pytest.approx((1.8 / (28 / 6), ratio * np.exp(-half), ratio * np.exp(half)))


def test_intervals_cover_where_groups_are_alike():
    """90 % intervals of the ratio of two groups of ten who draw from the same law; nominal within what 2,000 say."""
    rng = np.random.default_rng(5)
    n, inside = 2_000, 0
    for _ in range(n):
        places = rng.integers(3, 9, size=(2, 10)).astype(float)
        got = rng.poisson(places * rng.gamma(8.0, 0.5, size=(2, 10))).astype(float)
        _, low, high = ratio_interval(*(rate_of(got[i], places[i]) for i in (0, 1)))
        inside += low <= 1.0 <= high
    assert 0.87 <= inside / n <= 0.94


def test_a_column_that_is_a_feature_is_refused(desk, tmp_path):
    leads = [
        {"lead_id": f"H{i}", "created_at": "2026-02-20T09:00:00", "source": "web", "size": i} for i in range(1, 60)
    ]
    made = filled(desk, leads=leads)
    for name in ("size", "rep_load_share_28d"):
        with pytest.raises(RequestError, match=f"column {name} is a feature"):
            audit(made.core, read_groups(groups_file(tmp_path, f"rep_id,{name}\nR00,x\n")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rep_id\nR00\n", "at least one group column"),
        ("rep_id,g,g\nR00,a,b\n", "a name of its own"),
        ("rep_id,g\nR00,a,b\n", "row 2 has 3 cells"),
        ("rep_id,g\nR00,a\nR00,b\n", "each rep once"),
    ],
)
def test_a_faulty_file_is_told_by_row_and_value(tmp_path, text, said):
    with pytest.raises(RequestError, match=said):
        read_groups(groups_file(tmp_path, text))


def test_the_command_writes_pages_in_both_languages_and_stores_no_group(desk, tmp_path, monkeypatch, capsys):
    made = filled(desk)
    made.core.close()
    out = tmp_path / "audit"

    def run(*words):
        here = ["--data", str(made.data), "--home", str(made.home)]
        monkeypatch.setattr(sys, "argv", ["fairlead", "audit-groups", "--groups", str(path), *here, *words])
        try:
            code = _guarded(app)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, capsys.readouterr()

    path = groups_file(tmp_path, groups_file(tmp_path).read_text().replace(",b", ",=zebra"))
    code, said = run("--out", str(out))
    assert code == 0
    assert "=zebra got 0.50 times" in said.out
    assert "not a verdict" in said.out
    assert "五分之四" in run("--lang", "zh")[1].out
    page = (out / "audit-zh.html").read_text(encoding="utf-8")
    assert 'lang="zh-CN"' in page
    assert "低于五分之四" in page
    assert "<script" not in page
    rows = list(csv.DictReader((out / "audit.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["group"] for row in rows} == {"a", "'=zebra"}
    assert json.loads((out / "audit.json").read_text(encoding="utf-8"))["line"] == 0.8
    assert not any(b"zebra" in file.read_bytes() for file in made.home.rglob("*") if file.is_file())
    path.write_text("rep_id,gender\nNOBODY,a\n", encoding="utf-8")
    code, said = run()
    assert (code, "'NOBODY' is not in reps" in said.err) == (1, True)
    assert run("--since", "2030-01-01")[0] == 1


def test_the_interface_gives_the_audit_in_words_and_keeps_no_group(desk):
    made = filled(desk)
    given = {"gender": {rep: "zebra" if group == "b" else group for rep, group in GROUP.items()}}
    found = made.core.group_audit(given, since=None, until=None, lang="zh")
    assert found["n_decisions"] == 24
    assert any("zebra" in sentence and "五分之四" in sentence for sentence in found["text"])
    json.dumps(found, allow_nan=False)
    day = moments.parse("2026-03-03", made.core.zone)
    with pytest.raises(RequestError, match="no automated decision"):
        made.core.group_audit(given, since=day, until=None, lang="en")
    made.core.close()
    assert not any(b"zebra" in file.read_bytes() for file in made.home.rglob("*") if file.is_file())


def test_too_many_groups_are_told_to_be_banded(desk):
    made = filled(desk, leads=[])
    made.core.group_audit({"age": {f"R{i:02d}": "x" for i in range(13)}}, since=None, until=None, lang="en")
    with pytest.raises(RequestError, match="column age holds more than 2 groups"):
        _with_most(made.core, 2)


def _with_most(core, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.group_audit._MOST_GROUPS", most)
        core.group_audit({"age": {f"R{i:02d}": str(20 + i) for i in range(13)}}, since=None, until=None, lang="en")
