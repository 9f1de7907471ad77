"""A running service takes promotions and rollbacks by itself, and keeps the old release where the new one is broken."""

from __future__ import annotations

import time

import pytest

from serving import core as core_module
from serving.session import open_session
from training.release import Promotion, ReleaseError, champion, export_release, promote, read_release
from training.rollback import roll_back


def successor(place, texts=None):
    """A release like the champion but for its report."""
    good = read_release(place.releases, champion(place.releases))
    documents = {**good.documents, "report": {**good.document("report"), "seed": 99}}
    return export_release(
        place.releases, good.data_until, good.spec_fingerprint, documents, good.texts if texts is None else texts
    )


def put(place, version):
    promote(place.releases, Promotion(version, place.tables.newest(), "promote", "test", 0))


def waited(condition, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


@pytest.fixture
def serving(copy_of, tables_folder, monkeypatch):
    monkeypatch.setattr(core_module, "_FOLLOW_SECONDS", 0.1)
    place = copy_of()
    core = open_session(tables_folder, place.root, None).core()
    core.start_clock()
    yield place, core
    core.close()


def test_the_service_follows_promotion_and_rollback(serving):
    place, core = serving
    first, second = champion(place.releases), successor(place)
    put(place, second)
    assert waited(lambda: core.model_version == second)
    assert roll_back(place.releases, place.root / "none", "worse", 1) == first
    assert waited(lambda: core.model_version == first)
    assert core.models()["champion"] == first


def test_a_tampered_or_deadly_release_is_refused_and_the_old_one_serves_on(serving):
    place, core = serving
    first = champion(place.releases)
    good = read_release(place.releases, first)
    deadly = successor(place, {name: text[: len(text) // 3] for name, text in good.texts.items()})
    put(place, deadly)
    with pytest.raises(ReleaseError, match=r"cannot be used|differs"):
        core.reload_models()
    assert core.model_version == first
    (place.releases / deadly / "amount.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"amount\.json differs"):
        core.reload_models()
    assert core.model_version == first
    assert core.state().unit.version == first
