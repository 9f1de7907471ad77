"""Both languages say the same things, and write numbers their own way."""

from __future__ import annotations

import re
import string
from datetime import date

import pytest

from serving import texts
from serving.texts import JOINER, LANGUAGES, bound, catalogue, money, money_together, number, percent, points, t


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def test_both_languages_have_the_same_keys_and_placeholders():
    en, zh = catalogue("en"), catalogue("zh")
    assert len(en) > 100
    assert set(en) == set(zh)
    assert {key: placeholders(en[key]) for key in en} == {key: placeholders(zh[key]) for key in zh}


def test_chinese_texts_are_chinese_with_full_width_punctuation():
    own = [key for key in catalogue("zh") if key.startswith(("report.", "driver.", "verdict.", "group."))]
    for key in own:
        text = catalogue("zh")[key]
        assert not any(mark in text for mark in (",", ";", "?", "(")), key
        words = re.sub(r"\{[^}]*\}", "", text).strip("、；：。")
        assert not words or any("一" <= c <= "鿿" for c in words), key


def test_an_unknown_key_or_a_missing_placeholder_is_an_error():
    with pytest.raises(KeyError):
        t("en", "report.no_such_text")
    with pytest.raises(KeyError):
        t("zh", "report.subtitle", month="x")


def test_values_are_not_read_as_templates():
    assert t("en", "report.reps.section", name="{month}") == "{month}"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (9_876, "9,876 元"),
        (9_999.6, "1.00 万元"),
        (123_456, "12.35 万元"),
        (-123_456, "−12.35 万元"),
        (1_234_567, "123.5 万元"),
        (234_000_000, "2.34 亿元"),
        (99_999_999, "1.00 亿元"),
        (0, "0 元"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_chinese_money_counts_in_wan_from_ten_thousand(amount, expected):
    assert money("zh", "CNY", amount) == expected


def test_money_in_other_currencies_and_english():
    assert money("zh", "USD", 20_000) == "2.00 万美元"
    assert money("zh", "CHF", 20_000) == "2.00 万 CHF"
    assert money("zh", "CHF", 200) == "200 CHF"
    assert money("en", "USD", 1234.5) == "$1,234"
    assert money("en", "CHF", 1234) == "CHF 1,234"
    assert money("en", "", 1234) == "1,234"
    assert money("en", "EUR", -1234).replace("\u2060", "") == "−€1,234"
    assert money("en", "EUR", 5, signed=True).replace("\u2060", "") == "+€5"


def test_amounts_of_one_range_stand_in_one_unit():
    assert money_together("zh", "CNY", (-900, 21_400), signed=True) == ("−0.09 万元", "+2.14 万元")
    assert money_together("zh", "CNY", (4_200, 120_000_000)) == ("0.00 亿元", "1.20 亿元")
    assert money_together("zh", "CNY", (-21_400, 900)) == ("−2.14 万元", "0.09 万元")
    assert money_together("zh", "CNY", (-900, 2_100)) == ("−900 元", "2,100 元")
    assert money_together("zh", "CNY", (None, 2_100)) == ("–", "2,100 元")
    assert money_together("en", "USD", (900, 21_400)) == ("$900", "$21,400")


def test_numbers_percentages_points_and_dates():
    assert number("en", -1234.56, 1) == "−1,234.6"
    assert number("en", -0.001, 1) == "0.0"  # no minus before a zero
    assert number("zh", 3, signed=True) == "+3"
    assert percent("en", 0.123) == "12 %"
    assert percent("zh", -0.123, 1) == "−12.3%"
    assert points("en", 0.043) == "+4.3 points"
    assert points("zh", None) == "–"
    assert texts.day("en", date(2026, 11, 1)) == "1 November 2026"
    assert texts.day("zh", date(2026, 11, 1)) == "2026年11月1日"
    assert texts.month("zh", 2026 * 12 + 10) == "2026年11月"
    assert texts.month("en", 2026 * 12) == "January 2026"
    assert texts.moment_day("en", 0) == "1 January 1970"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_unknown_drivers_and_skills_are_shown_as_they_are(lang):
    assert texts.driver(lang, "my_own_feature") == "my own feature"
    assert "谈判技巧" in texts.driver(lang, "training:谈判技巧")
    assert texts.group(lang, "my_group") == "my group"


def test_every_driver_group_and_reason_of_the_models_has_a_text():
    from models.drivers.guards import BLOCKING
    from models.drivers.terms import _RULES, GROUP_OF

    known = catalogue("en")
    assert all(f"driver.{driver}" in known for _, driver in _RULES)
    assert all(f"group.{group}" in known for group in GROUP_OF.values())
    assert all(f"reason.{reason}" in known for reason in BLOCKING)


def test_chinese_has_no_space_between_two_characters_and_one_beside_latin_letters():
    said = t("zh", "report.measures.words_none", low=money("zh", "CNY", -600.0), high=money("zh", "CNY", 4_400.0))
    assert "−600 元至 4,400 元包含零" in said
    gap = {"amount": "8 元", "whom": "同事", "rest": "1 元"}
    assert t("zh", "report.reps.gap_above", name="Ann Lee", **gap).startswith("Ann Lee 每月比同事高 8 元")
    assert t("zh", "report.reps.gap_above", name="王 伟", **gap).startswith("王 伟每月"), "a name stays as it is"
    assert t("zh", "report.reps.gap_above", name="", **gap).startswith("每月")


def test_a_date_and_a_counted_unit_stay_on_one_line():
    assert texts.minute("2026-06-15T09:12:59+08:00") == "2026‑06‑15 09:12"
    assert "-" not in texts.unbroken("2026-06")
    shown = bound(f"为期 {6} 个月，{points('zh', 0.035)}")
    assert shown.replace("\u00a0", " ").replace(JOINER, "") == "为期 6 个月，+3.5 个百分点"
    assert f"个{JOINER}月" in shown
    assert f"个{JOINER}百{JOINER}分{JOINER}点" in shown
