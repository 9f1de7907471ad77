"""The audit by group as a page: for HR alone, from pasted cells, of which nothing is kept."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs


def cells(town, separator="\t", name="gender"):
    """Every second rep a zebra."""
    rows = [f"{seat.rep_id}{separator}{'zebra' if at % 2 else 'okapi'}" for at, seat in enumerate(town.seats())]
    return "\r\n".join([f"rep_id{separator}{name}", *rows])


def sent(browser, town, **fields):
    token = town.token_of(browser.get("/group-audit").text)
    return browser.post("/group-audit?lang=en", data={"token": token, **fields})


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_pasted_groups_are_compared_and_the_reading_is_logged_without_them(town, separator, monkeypatch):
    monkeypatch.setattr("serving.group_audit.FEWEST", 2)
    with capture_logs() as logs:
        answer = sent(town.client(), town, groups=cells(town, separator))
    assert answer.status_code == 200
    page = town.Page(answer.text)
    assert "zebra" in page.text()
    assert "not a verdict" in page.text()
    read = [line for line in logs if line["event"] == "group_audit_read"]
    assert [(line["role"], line["n_attributes"]) for line in read] == [("admin", 1)]
    assert "zebra" not in str(logs)
    assert not any(b"zebra" in file.read_bytes() for file in town.home.rglob("*") if file.is_file())


def test_groups_that_cannot_be_read_come_back_with_what_was_pasted(town):
    for fields, said in (
        ({"groups": "rep_id\nR001"}, "at least one group column"),
        ({"groups": cells(town) + "\r\nNOBODY\tokapi"}, "is not in reps"),
        ({"groups": cells(town), "since": "yesterday"}, "yesterday is not a date"),
        ({"groups": cells(town), "since": "2190-01-01"}, "no automated decision"),
    ):
        answer = sent(town.client(), town, **fields)
        assert answer.status_code == 422
        assert said in town.Page(answer.text).text()
        assert fields["groups"].partition("\r")[0].partition("\n")[0] in answer.text


def test_what_is_wrong_with_the_groups_is_told_in_chinese(town):
    browser, seat = town.client(), town.seats()[0]
    for fields, said in (
        ({"groups": "rep_id\nR001"}, "无法比较：群体：需要 rep_id 列和至少一个群体列。"),
        ({"groups": f"rep_id,g,g\n{seat.rep_id},a,b"}, "每列都要有列名，且不得重复；现有列名：rep_id、g、g。"),
        ({"groups": f"rep_id,g\n{seat.rep_id},a,b"}, "第 2 行有 3 个单元格，而表头有 2 列。"),
        ({"groups": f"rep_id,g\n{seat.rep_id},a\n{seat.rep_id},b"}, "每名销售只能出现一次，且不能为空。"),
        ({"groups": cells(town) + "\r\nNOBODY\tokapi"}, "reps 中没有 rep_id 'NOBODY'（共 1 个）。"),
        ({"groups": cells(town, name="source")}, "不得作为特征"),
        ({"groups": cells(town), "since": "昨天"}, "昨天 不是日期；请写成 YYYY-MM-DD。"),
        ({"groups": cells(town), "since": "2190-01-01"}, "该期间没有自动分配，无法比较。"),
    ):
        token = town.token_of(browser.get("/group-audit").text)
        answer = browser.post("/group-audit?lang=zh", data={"token": token, **fields})
        assert answer.status_code == 422
        assert said in town.Page(answer.text).text()


def test_a_form_of_nobody_is_refused(town):
    assert town.client().post("/group-audit", data={"token": "1.00", "groups": cells(town)}).status_code == 403


def test_hr_finds_the_page_from_the_notice_and_others_do_not(fresh):
    hr, manager = fresh.signed_in("hr", "people"), fresh.signed_in("manager", "M01")
    assert "/group-audit" in hr.get("/notice").text
    assert hr.get("/group-audit").status_code == 200
    assert "/group-audit" not in manager.get("/notice").text
    assert manager.get("/group-audit").status_code == 403
    assert manager.post("/group-audit", data={"groups": cells(fresh)}).status_code == 403
