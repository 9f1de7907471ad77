"""What is wrong is told in Chinese from end to end: settings, tables, sources, options, files that are not there."""

from __future__ import annotations

import re

import pytest

HAN = re.compile("[\u4e00-\u9fff]")
ENGLISH = re.compile("[A-Za-z]{2,}(?: [a-z]{2,}){2,}")  # three words in a row; names of columns and commands are fewer


@pytest.fixture
def told(shell):
    """What a command that must fail with exit 1 says under --lang zh, English looked for line by line."""

    def run(*words):
        code, out, errors = shell(*words, "--lang", "zh")
        said = (out + errors).strip()
        assert code == 1, said
        for line in said.splitlines():
            assert HAN.search(line), line
            assert not ENGLISH.search(re.sub("'[^']*'|`[^`]*`|fairlead train", "", line)), line
        return said

    return run


def written(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def test_a_faulty_settings_file(told, tmp_path):
    faulty = """
        [generel]
        zone = "UTC"
        [general]
        zone = "Mars"
        lang = "fr"
        miss_ratio = 3
        [routing]
        holdout = 0.9
        exploration = 0.2
        default_capacity = -1
        same_account = "yes"
        newcomer_share = 2
        contact_hours = 48
        move_uncontacted_hours = 24
        [leads]
        ignore = ["a", "a"]
        [store]
        url = 5
        [tables.leads]
        file = "a.csv"
        query = "SELECT 1"
        [tables.lead]
        file = "b.csv"
        [tables.deals]
        columns = {closed_at = 1}
        database = "sqlite:///x.db"
        [webhooks.CRM]
        url = "http://example.com"
        secret = "short"
        events = ["decisions"]
        [incoming.sap]
        secret = "0123456789abcdef"
        [measures.calls]
        starts_on = "soon"
        pilot = "p.csv"
        [measures.empty]
        title = "x"
    """
    said = told("check", "--data", str(tmp_path), "--config", str(written(tmp_path, f__toml=faulty) / "f.toml"))
    assert "f.toml：有 24 处错误" in said
    for line in (
        "配置节 [generel] 无法识别；是否应为 'general'？",
        "[general] zone 应为时区，例如 Asia/Shanghai 或 UTC，现为 'Mars'",
        "[general] lang 应为 'en' 或 'zh'，现为 'fr'",
        "[routing] exploration 与 holdout 同为一个整体中的占比，合计不得超过 1",
        "[tables.leads] 同时有 file 和 query；请只保留一个",
        "[webhooks.CRM] secret 应为至少 16 个字符的文本",
        "[measures.empty] 需要 starts_on、[[measures.empty.rounds]] 或 pilot",
    ):
        assert line in said
    assert "short" not in said


@pytest.mark.parametrize(
    ("toml", "wanted"),
    [
        ("[tables.deals]\nquery = 'SELECT * FROM deals; SELECT 1'", "[tables.deals] query 应为一条 SELECT"),
        ("[tables.deals]\nfile = 'no.csv'", "在下列位置都找不到文件 'no.csv'"),
        ("[tables.deals]\nquery = 'SELECT 1'\ndatabase = 'sqlite:///no.db'", "数据库文件 'no.db' 不存在"),
        ("[tables.deals]\nquery = 'SELECT 1'\ndatabase = 'nonsense'", "database 不是可以打开的 URL"),
        ("[general]\nlang = 'en'\n[measures.m]\nstarts_on = 2026-01-01\nreps = ['R9']", ""),
        ("[general", "不是有效的 TOML"),
    ],
)
def test_faulty_sources(told, shell, desk, tmp_path, toml, wanted):
    here = ("--data", str(desk().data), "--config", str(written(tmp_path, s__toml=toml) / "s.toml"))
    if wanted == "不是有效的 TOML":  # what the parser of TOML says itself stays English
        code, _, said = shell("check", *here, "--lang", "zh")
        assert code == 1
    elif not wanted:
        said, wanted = told("warn", *here), "[measures.m]：reps.rep_id 中没有 R9"
    else:
        said = told("check", *here)
    assert wanted in said


@pytest.mark.parametrize("command", ["check", "train", "forecast"])
def test_faulty_tables(told, desk, tmp_path, command):
    data = desk().data
    leads = "lead_id,created_at\nL1,soon\nL1,2026-01-02\n,2026-01-02,x\n"
    (data / "leads.csv").write_text(leads, encoding="utf-8")
    said = told(command, "--data", str(data), "--home", str(tmp_path / "h"))
    assert "leads.created_at 第 1 行：内容为 'soon'；不是 ISO 8601 时间" in said
    assert "leads.source：缺少必需的列" in said


def test_options_and_files(told, shell, desk, tmp_path):
    data, home = str(desk().data), str(tmp_path / "h")
    here = ("--data", data, "--home", home)
    assert "没有这个数据文件夹" in told("check", "--data", str(tmp_path / "none"))
    assert "请用 --data DIR 指定数据表所在的文件夹" in told("check", "--home", home)
    assert "--as-of 'soon'：请写日期" in told("check", *here, "--as-of", "soon")
    assert "没有这个配置文件" in told("check", *here, "--config", str(tmp_path / "no.toml"))
    assert "没有这个线索文件" in told("route", *here, "--leads", str(tmp_path / "no.csv"))
    assert "没有这个事件文件" in told("import", *here, "--events", str(tmp_path / "no.csv"))
    assert "没有哪个已启用的版本" in told("explain", *here, "--out", str(tmp_path))
    assert "没有 mlflow.db" in told("reproduce", "none", *here)
    assert "未知的角色 'boss'" in told("keys", "add", "boss", "x", "--home", home)
    assert "没有密钥 'k1'" in told("keys", "revoke", "k1", "--home", home)
    assert "没有更早启用过的版本" in told("rollback", "--reason", "x", "--home", home)
    assert "没有关于线索 'L9' 的分配记录" in told("erase", "--lead", "L9", "--reason", "x", "--home", home)
    assert "群体文件无法读取：没有这个文件或文件夹" in told("audit-groups", "--groups", str(tmp_path / "no"), *here)
    assert "无法安排试点：所有销售都还没有完整的月份记录" in told("pilot", *here, "--lever", "followups_per_week")
    assert "试点名单无法读取" in told("pilot", *here, "--result", str(tmp_path / "no.csv"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --promote force", "--promote force：请用 --reason 说明原因（帮助：fairlead train --help）"),
        ("pilot", "--lever：--lever 与 --result 须给出其一，且只能给出其一"),
        ("route", "缺少 '--leads'（帮助：fairlead route --help）"),
        ("synth x --reps 1", "'--reps'：应不小于 2"),
        ("synth x --reps many", "'--reps'：应为整数"),
        ("warn --nonsense", "没有选项 --nonsense"),
        ("warn more", "多余的参数：more"),
        ("nonsense", "没有命令 'nonsense'"),
        ("keys nonsense", "没有命令 'nonsense'"),
    ],
)
def test_wrong_usage(shell, words, said):
    code, out, errors = shell(*words.split(), "--lang", "zh")
    assert (code, out) == (2, "")
    assert errors.startswith("用法有误：")
    assert said in errors
    assert not ENGLISH.search(errors.replace("fairlead", ""))
    code, out, errors = shell(*words.split())
    assert (code, out) == (2, "")
    assert "Error: " in errors


def test_the_settings_language_holds_where_none_is_asked_for(shell, desk, tmp_path):
    data = desk(toml='[general]\nlang = "zh"\n').data
    (data / "leads.csv").write_text("lead_id\n", encoding="utf-8")
    for command in (("check",), ("warn",), ("audit-groups", "--groups", str(tmp_path / "no"))):
        code, out, errors = shell(*command, "--data", str(data))
        assert (code, "缺少必需的列" in out + errors) == (1, True)
