"""fairlead.toml: what it says is what counts, and what it may not say is refused by name."""

import pytest

from features.config import Config, Measure, Round, TableSource
from features.errors import ConfigError
from features.settings_file import find_config, read_config


def write(tmp_path, text):
    (tmp_path / "fairlead.toml").write_text(text, encoding="utf-8")
    return tmp_path / "fairlead.toml"


def test_silence_is_the_default(tmp_path):
    assert read_config(write(tmp_path, "")) == Config()


def test_everything_said(tmp_path):
    config = read_config(
        write(
            tmp_path,
            """
            [general]
            zone = "Asia/Shanghai"
            currency = "CNY"
            lang = "zh"
            miss_ratio = 0.7
            [routing]
            objective = "wins"
            default_capacity = 12
            same_account = false
            contact_hours = 4
            exploration = 0
            holdout = 0.05
            newcomer_min = 2
            newcomer_share = 0.1
            high_value_max = 3
            [stages]
            order = ["初访", "demo"]
            [leads]
            ignore = ["x"]
            dead_after_days = 90
            [warnings]
            budget = 5
            [store]
            url = "postgresql://h/b"
            [tables.leads]
            file = "a.csv"
            columns = {source = "Channel", anything = "Else"}
            [tables.deals]
            query = "SELECT 1"
            database = "sqlite:///x.db"
            """,
        )
    )
    assert (config.general.zone, config.general.currency, config.general.lang) == ("Asia/Shanghai", "CNY", "zh")
    assert config.general.miss_ratio == 0.7
    routing = config.routing
    assert (routing.objective, routing.default_capacity, routing.same_account) == ("wins", 12, False)
    assert (routing.contact_hours, routing.exploration, routing.holdout) == (4, 0, 0.05)
    assert (routing.newcomer_min, routing.newcomer_share, routing.high_value_max) == (2, 0.1, 3)
    assert config.stage_order == ("初访", "demo")
    assert (config.leads.ignore, config.leads.dead_after_days, config.warnings.budget) == (("x",), 90, 5)
    assert config.store_url == "postgresql://h/b"
    assert dict(config.tables) == {
        "leads": TableSource(file="a.csv", columns=(("source", "Channel"), ("anything", "Else"))),
        "deals": TableSource(query="SELECT 1", database="sqlite:///x.db"),
    }


def test_measures_in_one_round_in_several_and_by_lot(tmp_path):
    text = """
    [measures.reminders]
    title = "提醒"
    starts_on = 2026-03-01
    teams = ["A"]
    [[measures.coaching.rounds]]
    starts_on = "2026-01-15"
    reps = ["R1", "R2"]
    [[measures.coaching.rounds]]
    starts_on = "2026-04-01"
    [measures.drawn]
    pilot = "pilot.csv"
    """
    assert read_config(write(tmp_path, text)).measures == (
        Measure("reminders", "提醒", (Round("2026-03-01", ("A",)),)),
        Measure("coaching", "", (Round("2026-01-15", (), ("R1", "R2")), Round("2026-04-01"))),
        Measure("drawn", pilot="pilot.csv"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[genral]\nzone='UTC'", "section [genral] is unknown; did you mean 'general'?"),
        ("[general]\ntimezone='UTC'", "[general] timezone is unknown; did you mean 'zone'?"),
        ("[routing]\nxyz=1", "legal are objective,"),
        ("[general]\nzone='Mars/Base'", "must be a time zone such as"),
        ("[general]\nzone='../etc/passwd'", "must be a time zone such as"),
        ("[general]\nlang='fr'", "'en' or 'zh'"),
        ("[general]\nmiss_ratio=0", "a number above 0"),
        ("[general]\nmiss_ratio=nan", "a number above 0"),
        ("[general]\nmiss_ratio=true", "a number above 0"),
        ("[routing]\ndefault_capacity=1.5", "a whole number from 0"),
        ("[routing]\nsame_account=1", "true or false"),
        ("[routing]\nexploration=-0.1", "a number from 0 to 1"),
        ("[routing]\nexploration=0.6\nholdout=0.6", "together they exceed 1"),
        ("[routing]\ncontact_hours=24\nmove_uncontacted_hours=4", "at least contact_hours (24), found 4"),
        ("[routing]\nnewcomer_share=1.5", "newcomer_share must be a number from 0 to 1"),
        ("[leads]\ndead_after_days=0", "a whole number from 1"),
        ("[leads]\nignore='x'", "a list of texts"),
        ("[stages]\norder=['a','a']", "each once"),
        ("[tables.lead]\nfile='x'", "[tables.lead] is unknown; did you mean 'leads'?"),
        ("[tables.leads]\nfiel='x'", "did you mean 'file'?"),
        ("[tables.leads]\nfile='x'\nquery='y'", "both file and query"),
        ("[tables.leads]\nfile='x'\ndatabase='y'", "database needs a query"),
        ("[tables.leads]\nfile='x'\nleft_out='SELECT 1, 2'", "left_out needs a query"),
        ("[tables.leads]", "needs a file, a query or columns"),
        ("[tables.deals]\nfile='x'\ncolumns={closd_at='y'}", "columns.closd_at is unknown; did you mean 'closed_at'?"),
        ("[tables.deals]\nfile='x'\ncolumns={closed_at=1}", 'must be {ours = "theirs"'),
        ("tables=3", "[tables] must hold sections"),
        ("general=3", "[general] must be a section"),
        ("measures=3", "[measures] must hold sections"),
        ("[measures.x]\ntitle='y'", "[measures.x] needs starts_on"),
        ("[measures.x]\nstarts_on='soon'", "a date such as 2026-03-01, found 'soon'"),
        ("[measures.x]\nstarts_on=2026-03-01T08:00:00", "without a time"),
        ("[measures.x]\nstarts_on=2026-03-01\npilot='p.csv'", "starts_on and pilot; keep one"),
        ("[measures.x]\nstarts_on=2026-03-01\nteam=['A']", "did you mean 'teams'?"),
        ("[measures.x]\npilot='p.csv'\nteams=['A']", "belong beside a starts_on"),
        ("[[measures.x.rounds]]\nteams=['A']", "rounds]] needs starts_on"),
        ("[measures.x]\nrounds=[]", "sections [[measures.NAME.rounds]]"),
        ("[general", "no valid TOML"),
    ],
)
def test_mistakes(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text))
    assert said in str(caught.value)


def test_all_mistakes_at_once_and_no_password(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, "[general]\nlang=1\nzone=2\n[nope]\n[store]\nurl=['postgresql://me:hush@h/b']"))
    assert "4 mistake(s)" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "fairlead.toml").write_bytes(b"\xff\xfe[")
    with pytest.raises(ConfigError, match="no valid TOML"):
        read_config(tmp_path / "fairlead.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


def test_which_settings_rule(tmp_path):
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    home.mkdir()
    assert find_config(data, home, None) is None
    in_home = write(home, "")
    assert find_config(data, home, None) == in_home
    in_data = write(data, "")
    assert find_config(data, home, None) == in_data
    assert find_config(None, home, None) == in_home
    assert find_config(data, home, in_home) == in_home
    with pytest.raises(ConfigError, match="no such settings file"):
        find_config(data, home, tmp_path / "x.toml")
