"""Stores to test against: SQLite always, PostgreSQL where a server lets us make a schema of our own."""

from __future__ import annotations

import os
import secrets

import pytest
from sqlalchemy import create_engine, text

from serving.store import Store

SERVER = os.environ.get("FAIRLEAD_TEST_POSTGRES", "postgresql:///test")


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of a PostgreSQL that tests may use, or a skip that says how to get one."""
    engine = create_engine(SERVER.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    except Exception as error:  # noqa: BLE001  # any reason at all means there is none to test with
        pytest.skip(f"no PostgreSQL at {SERVER} ({type(error).__name__}); set FAIRLEAD_TEST_POSTGRES to test it")
    finally:
        engine.dispose()
    return SERVER


@pytest.fixture
def postgres_url(postgres_server):
    """URL whose connections live in a schema of their own, dropped afterwards."""
    schema = f"fairlead_test_{secrets.token_hex(6)}"
    engine = create_engine(postgres_server.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text(f"create schema {schema}"))
    joiner = "&" if "?" in postgres_server else "?"
    try:
        yield f"{postgres_server}{joiner}options=-csearch_path%3D{schema}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"drop schema {schema} cascade"))
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """URL of an empty store, once in each database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'fairlead.db'}"


@pytest.fixture
def store(url):
    """An empty store whose wall clock ticks one microsecond a look."""
    ticks = iter(range(1_700_000_000_000_000, 1_800_000_000_000_000))
    with Store.open(url, clock=lambda: next(ticks)) as opened:
        yield opened
