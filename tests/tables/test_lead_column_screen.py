"""Which lead columns become features: every ban by name, every near miss, and leaks with a known truth."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.checking import feature_values
from features.lead_columns import protected_code, protected_name, screen_lead_columns
from features.leaks import auc, leaks_of_leads, suspected_leaks, telling_name
from features.moments import DAY, NEVER

N = 400
PROTECTED = """
    gender Sex AGE customer_age customerAge ageGroup date-of-birth birthYear Ethnicity race religion marital_status
    MaritalStatus isPregnant disability nationality political_party health_status union_member is_male 性别 客户年龄
    民族 政治面貌 婚姻状况 健康状况 出生日期 工会会员 salutation
"""
NEAR_MISSES = """
    language page_views usage message_count percentage average_spend manager package sector agency engagement raceway
    trace embrace Essex region reunion onion healthy_budget lineage origin stage storage 年级 性能 行业
"""
TELLING = (
    "Tags,Won,is_won,closed_won,lost_reason,LostReason,outcome,Converted,last_activity,Last Contacted,LastModifiedDate,"
    "Lead Status,Close Date,follow_ups,成交金额,跟进次数,最近联系时间,线索状态"
)
NOT_TELLING = "TotalVisits,last_name,wonder,lostandfound,do_not_call,source,call_me,product_stage,closest_city,stage"


def leads(**columns):
    frame = pd.DataFrame({"lead_id": [f"L{n}" for n in range(N)], "source": ["web", "event"] * (N // 2)})
    for name, values in columns.items():
        repeated = [values[n % len(values)] for n in range(N)]
        frame[name] = pd.Series(repeated, dtype="float64" if isinstance(values[0], float) else "str")
    return frame


def code_of(frame, name, **more):
    reasons = dict(screen_lead_columns(frame, **more).excluded)
    return reasons[name].split(":")[0] if name in reasons else ""


@pytest.mark.parametrize("name", PROTECTED.split())
def test_named_like_a_protected_attribute(name):
    assert protected_name(name)
    assert code_of(leads(**{name: ["a", "b", "c"]}), name) == "protected"
    assert code_of(leads(**{name: [1.0, 2.0, 3.0]}), name) == "protected"


@pytest.mark.parametrize("name", NEAR_MISSES.split())
def test_names_that_only_contain_the_letters(name):
    assert not protected_name(name)
    assert code_of(leads(**{name: ["a", "b", "c"]}), name) == ""


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (["male", "female"], "sex"),
        (["M", "F", "unknown"], "sex"),
        (["男", "女"], "sex"),
        (["Mr.", "Mrs.", "Ms."], "sex"),
        (["先生", "女士", "其他"], "sex"),
        (["married", "single", "divorced"], "marital status"),
        (["已婚", "未婚"], "marital status"),
        (["Muslim", "Christian", "other"], "religion"),
        (["汉族", "回族", "满族"], "ethnicity"),
        (["Asian", "Black", "White"], "ethnicity"),
        (["S", "M", "L"], ""),
        (["m", "km"], ""),
        (["black", "white"], ""),
        (["black", "white", "red"], ""),
        (["yes", "no"], ""),
        (["single", "double"], ""),
    ],
)
def test_coded_like_a_protected_attribute(values, what):
    assert protected_code(values) == what
    assert code_of(leads(x1=values), "x1") == ("protected" if what else "")


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("crm_id", ["a", "b"], "id"),
        ("CustomerNumber", [float(n) for n in range(N)], "id"),
        ("编号", ["a", "b"], "id"),
        ("company_name", ["Acme", "Beta", "Gamma"], "name"),
        ("联系人", ["张三", "李四", "王五"], "name"),
        ("campaign_name", ["spring", "autumn"], ""),
        ("phone", [f"+86 138 0000 {n:04d}" for n in range(N)], "contact"),
        ("reach_at", [f"+86 138 0000 {n:04d}" for n in range(N)], "contact"),
        ("手机", [13800000000.0 + n for n in range(N)], "contact"),
        ("who", [f"p{n}@example.org" for n in range(N)], "contact"),
        ("do_not_email", [0.0, 1.0], ""),
        ("homepage", [f"https://example.org/{n}" for n in range(N)], "contact"),
        ("seen", [f"2025-01-{n % 28 + 1:02d}" for n in range(N)], "time"),
        ("wish", [f"We would like to hear more about product number {n}" for n in range(N)], "free_text"),
        ("notes", [f"called {n}" for n in range(N)], "free_text"),
        ("slug", [f"s{n}" for n in range(N)], "free_text"),
        ("town", [f"t{n % 201}" for n in range(N)], "free_text"),
        ("town", [f"t{n % 150}" for n in range(N)], ""),
        ("always", ["same"], "constant"),
        ("always", [3.0], "constant"),
        ("nothing", [""], "empty"),
        ("nothing", [float("nan")], "empty"),
        ("part", ["same", ""], ""),
        ("budget", [1.5, 2.5, float("nan")], ""),
    ],
)
def test_other_bans(name, values, code):
    assert code_of(leads(**{name: values}), name) == code


def test_too_many_values():
    frame = pd.concat([leads(town=[f"t{n % 250}" for n in range(N)])] * 3, ignore_index=True)
    assert code_of(frame, "town") == "too_many_values"


def test_ignored_and_standard_columns():
    frame = leads(
        territory=["n", "s"], marketer_id=["m1", "m2"], account_id=["a", "b"], extra=["x", "y"], size=[1.0, 2.0]
    )
    found = screen_lead_columns(frame, ("extra",))
    assert found.categorical == ("source", "territory", "marketer_id")
    assert found.numeric == ("size",)
    assert found.excluded == (("extra", "ignored: listed in [leads] ignore"),)
    many = screen_lead_columns(leads(marketer_id=[f"m{n}" for n in range(201)]))
    assert dict(many.excluded)["marketer_id"].startswith("too_many_values")


def test_no_leads_at_all():
    from features.tables import empty_tables

    found = screen_lead_columns(empty_tables().leads)
    assert found.categorical == ("source", "territory", "industry")


@pytest.mark.parametrize("name", TELLING.split(","))
def test_telling_names(name):
    assert telling_name(name)


@pytest.mark.parametrize("name", NOT_TELLING.split(","))
def test_names_that_tell_nothing(name):
    assert not telling_name(name)


def world(n=3000, seed=1):
    """Leads of which a good but honest feature and several kinds of leak are known."""
    rng = np.random.default_rng(seed)
    good = rng.normal(size=n)
    won = rng.random(n) < 1 / (1 + np.exp(-(1.2 * good - 1.5)))
    closed = rng.random(n) < 0.6
    frame = pd.DataFrame(
        {
            "good": good,
            "kind": np.where(rng.random(n) < 0.3 + 0.3 * won, "a", "b"),
            "randomly_missing": np.where(rng.random(n) < 0.5, rng.normal(size=n), np.nan),
            "price_agreed": np.where(won, rng.normal(size=n), np.nan),
            "verdict": np.where(won & (rng.random(n) < 0.3), "signed soon", rng.choice(["x", "y"], n)),
            "echo": won * 2.0 + rng.normal(size=n) * 0.5,
            "account": np.where(closed | (rng.random(n) < 0.3), rng.choice(["p", "q", "r"], n), ""),
            "lead_score": np.where(rng.random(n) < 0.6, good + rng.normal(size=n), np.nan),
            "shoe_size": np.where(rng.random(n) < 0.6, good + rng.normal(size=n), np.nan),
        }
    )
    for name in ("kind", "verdict", "account"):
        frame[name] = frame[name].astype("str")
    return frame, won.astype(float), closed


def test_leaks_of_known_truth():
    """Each kind of leak is named for what gives it away; honest features and plain gaps are not."""
    frame, y, closed = world()
    assert auc(frame["good"].to_numpy(), y == 1) > 0.7  # not trivial: the honest feature is a strong one
    found = dict(suspected_leaks(frame, y, closed))
    assert set(found) == {"price_agreed", "verdict", "echo", "account", "lead_score"}
    assert "being filled in" in found["price_agreed"]
    assert "of the wins" in found["verdict"]
    assert "alone tells" in found["echo"]
    assert "of the closed leads" in found["account"]
    assert "assessment" in found["lead_score"]


def test_nothing_is_a_leak_where_outcomes_are_noise():
    frame, y, closed = world()
    rng = np.random.default_rng(2)
    assert not suspected_leaks(frame, rng.permutation(y), rng.permutation(closed))


def test_values_that_are_the_outcome():
    """A current stage gives itself away by its values, a column merely called so does not."""
    assert code_of(leads(stage=["demo", "Closed Won", "call"]), "stage") == "leak"
    assert code_of(leads(stage=["startup", "grown"]), "stage") == ""


def test_too_few_outcomes_say_nothing():
    frame, y, _ = world(60)
    assert not suspected_leaks(frame, np.where(np.arange(60) < 40, y, np.nan))


def test_a_column_begun_lately_is_no_leak():
    """Old leads are closed and new ones are not; a field that the form has had since spring only is innocent."""
    n = 2000
    created = np.arange(n) * DAY
    rng = np.random.default_rng(3)
    age = 1 - np.arange(n) / n
    closed = rng.random(n) < age
    frame = pd.DataFrame({"lead_id": [f"L{i}" for i in range(n)]})
    frame["old_field"] = np.where(age > 0.5, rng.normal(size=n), np.nan)
    frame["on_closing"] = np.where(closed, rng.normal(size=n), np.nan)
    outcomes = pd.DataFrame(
        {
            "lead_id": frame["lead_id"],
            "created_at": created,
            "outcome": np.where(closed, "won", "open"),
            "first_contact_at": np.full(n, NEVER),
        }
    )
    assert closed[age > 0.5].mean() - closed[age <= 0.5].mean() > 0.4  # unadjusted, the innocent field would fall
    assert [name for name, _ in leaks_of_leads(frame, ["old_field", "on_closing"], outcomes)] == ["on_closing"]


def public(*parts):
    root = os.environ.get("FAIRLEAD_PUBLIC_DATA", "")
    path = Path(root).joinpath(*parts)
    if not root or not path.exists():
        pytest.skip(f"set FAIRLEAD_PUBLIC_DATA to the folder of public data sets that holds {'/'.join(parts)}")
    return path


def test_a_real_export_of_leads():
    """Nine columns of it are filled in by the sellers; none of the other twenty-seven is called a leak."""
    path = public("x_education_leads", "leads.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    y = np.array([float(row.pop("Converted")) for row in rows])
    frame = pd.DataFrame(
        {name: feature_values(pd.Series([row[name] for row in rows], dtype="str")).values for name in rows[0]}
    )
    found = [name for name, _ in suspected_leaks(frame, y)]
    assert found == [
        "Last Activity",
        "Tags",
        "Lead Quality",
        "Lead Profile",
        "Asymmetrique Activity Index",
        "Asymmetrique Profile Index",
        "Asymmetrique Activity Score",
        "Asymmetrique Profile Score",
        "Last Notable Activity",
    ]
    unnamed = suspected_leaks(frame[["Tags"]].rename(columns={"Tags": "x"}), y)
    assert "alone tells the outcome" in unnamed[0][1]
