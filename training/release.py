"""Releases: what training hands to the service, a folder of text files with a manifest of SHA-256 hashes.

One unit moves together: conversion, time to close, amount, funnel, contribution, effects, findings, feature spec.
Files are JSON with sorted keys and LightGBM's own text; no time, path or pickle goes into the hashed bytes, so the
same data, code and seed give the same version on any machine.

    releases/<version>/manifest.json     names and hashes, data_until, spec fingerprint
    releases/<version>/*.json, *.txt     the parts
    releases/promotions.jsonl            one line a promotion, backfill or rollback, appended
    releases/champion                    the version in charge: a relative link to its folder
    releases/challenger                  the version that runs in shadow, one line of text; absent where there is none

A release trained for an earlier moment than the champion's is a backfill: it answers for moments before the champion's
data end and leaves the champion where it is. A rollback withdraws the version that it leaves.

Where links cannot be made `champion` is one line of text; a copy that followed the link left a folder. All are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import FairleadError, NoReleaseError
from features.messages import from_stored, in_language, message, to_stored
from features.moments import iso

FORMAT = 1


class ReleaseError(FairleadError):
    """A release folder is incomplete or its bytes differ from the manifest."""


@dataclass(frozen=True)
class Release:
    """A verified release. `documents` holds the parsed JSON parts, `texts` the LightGBM model texts by name."""

    version: str
    data_until: int
    spec_fingerprint: str
    documents: Mapping[str, dict[str, object]]
    texts: Mapping[str, str]

    def document(self, name: str) -> dict[str, object]:
        """The JSON part called `name`; ReleaseError where the release has none."""
        if name not in self.documents:
            raise ReleaseError(message("release.no_part", version=self.version, part=name))
        return self.documents[name]


@dataclass(frozen=True)
class Promotion:
    """One line of the promotion record.

    `at` is a moment; `action` is promote, backfill or rollback; `withdrawn` the version that a rollback leaves;
    `told` what Fairlead itself said of it (why it retrained, the gate's checks), which both languages can say.
    """

    version: str
    data_until: int
    action: str
    reason: str
    at: int
    withdrawn: str = ""
    told: tuple[str, ...] = ()

    def reason_in(self, lang: str) -> str:
        """Why, in the language `zh` or `en`; as it was written where a person wrote it."""
        if self.told and self.reason == self.told[0]:
            return in_language(self.told[0], lang)
        if not self.told or self.reason != "; ".join(self.told):
            return self.reason
        return ("；" if lang == "zh" else "; ").join(in_language(said, lang) for said in self.told)

    def as_line(self) -> str:
        """The line of the record, JSON."""
        held = {**self.__dict__, "told": [to_stored(said) for said in self.told]}
        if not self.told:
            del held["told"]
        return json.dumps(held, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str) -> Promotion:
        """The promotion that `as_line` wrote; ValueError or TypeError where the line is none."""
        held = json.loads(line)
        told = tuple(from_stored(said) for said in held.pop("told", ()))
        return cls(**held, told=told)


def canonical(document: object) -> bytes:
    """UTF-8 JSON bytes with sorted keys and exact floats; ValueError on NaN or infinity."""
    return (json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def sha256(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Write all or nothing: a reader sees the old bytes or the new, never half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def export_release(
    releases: Path,
    data_until: int,
    spec_fingerprint: str,
    documents: Mapping[str, object],
    texts: Mapping[str, str],
    zone: str = "UTC",
) -> str:
    """Version of the release written under `releases`; a folder that holds these bytes already stays as it is.

    The version is the date of `data_until` and the first twelve hex digits of the hash over all parts.
    """
    parts = {f"{name}.json": canonical(document) for name, document in documents.items()}
    parts |= {f"{name}.txt": text.encode() for name, text in texts.items()}
    manifest: dict[str, object] = {
        "format": FORMAT,
        "data_until": data_until,
        "spec_fingerprint": spec_fingerprint,
        "files": {name: sha256(data) for name, data in sorted(parts.items())},
    }
    digest = sha256(canonical(manifest))
    version = f"{iso(data_until - 1, zone)[:10].replace('-', '')}-{digest[:12]}"
    folder = releases / version
    if not _is_whole(releases, version):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in parts.items():
            _write(folder / name, data)
        _write(folder / "manifest.json", canonical({**manifest, "version": version}))
    return version


def _is_whole(releases: Path, version: str) -> bool:
    try:
        read_release(releases, version)
    except ReleaseError:
        return False
    return True


def read_release(releases: Path, version: str) -> Release:
    """The release `version`, each file's hash compared with the manifest before a byte of it is used."""
    folder = releases / version
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        files: dict[str, str] = manifest["files"]
        unsigned = {key: manifest[key] for key in ("format", "data_until", "spec_fingerprint", "files")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(message("release.no_manifest", version=version)) from error
    if manifest["format"] != FORMAT:
        found = str(manifest["format"])
        raise ReleaseError(message("release.format", version=version, found=found, known=FORMAT))
    if not version.endswith(sha256(canonical(unsigned))[:12]):
        raise ReleaseError(message("release.manifest_changed", version=version))
    documents: dict[str, dict[str, object]] = {}
    texts: dict[str, str] = {}
    for name, expected in files.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise ReleaseError(message("release.file_missing", version=version, file=name)) from error
        if sha256(data) != expected:
            raise ReleaseError(message("release.file_differs", version=version, file=name))
        if name.endswith(".json"):
            documents[name.removesuffix(".json")] = json.loads(data)
        else:
            texts[name.removesuffix(".txt")] = data.decode()
    return Release(version, int(manifest["data_until"]), str(manifest["spec_fingerprint"]), documents, texts)


def promotions(releases: Path) -> list[Promotion]:
    """The promotion record, oldest first; empty where nothing was ever promoted. ReleaseError where it is damaged."""
    path = releases / "promotions.jsonl"
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if line.strip():
            try:
                found.append(Promotion.from_line(line))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ReleaseError(message("release.record_line", path=str(path), line=number)) from error
    return found


def standing(record: Sequence[Promotion]) -> list[Promotion]:
    """The promotions that still count, by the end of their data, the latest promotion last; none that was withdrawn."""
    active: dict[str, tuple[int, int, Promotion]] = {}
    for place, entry in enumerate(record):
        if entry.action == "rollback":
            active.pop(entry.withdrawn, None)
        else:
            active[entry.version] = (entry.data_until, place, entry)
    return [entry for _, _, entry in sorted(active.values(), key=lambda item: item[:2])]


def was_withdrawn(record: Sequence[Promotion], version: str) -> bool:
    """Whether a version was promoted once and a rollback has left it since."""
    promoted = any(entry.version == version and entry.action != "rollback" for entry in record)
    return promoted and all(entry.version != version for entry in standing(record))


def promote(releases: Path, promotion: Promotion) -> bool:
    """Record the promotion; True where its version is champion now, False where it only answers for earlier moments."""
    record = promotions(releases)
    lines = "".join(f"{entry.as_line()}\n" for entry in (*record, promotion))
    _write(releases / "promotions.jsonl", lines.encode())
    in_charge = standing([*record, promotion])[-1].version
    if in_charge != champion(releases):
        _put_in_charge(releases, in_charge)
    return in_charge == promotion.version


def _put_in_charge(releases: Path, version: str) -> None:
    """Move `champion` to the version in one step."""
    path, fresh = releases / "champion", releases / f".champion.{os.getpid()}.tmp"
    if path.is_dir() and not path.is_symlink():  # left by a copy that followed the link; its original lies beside it
        shutil.rmtree(path)
    fresh.unlink(missing_ok=True)
    try:
        fresh.symlink_to(version, target_is_directory=True)
    except OSError:
        _write(path, version.encode() + b"\n")
        return
    fresh.replace(path)


def champion(releases: Path) -> str | None:
    """Version in charge, or None."""
    path = releases / "champion"
    if path.is_symlink():
        return path.readlink().name
    if path.is_dir():
        try:
            return str(json.loads((path / "manifest.json").read_bytes())["version"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(message("release.champion_unreadable", path=str(path))) from error
    return path.read_text(encoding="utf-8", errors="replace").strip() or None if path.exists() else None


def challenger(releases: Path) -> str | None:
    """Version that runs in shadow beside the champion, or None; never the champion itself."""
    path = releases / "challenger"
    try:
        named = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    return named if named and "/" not in named and named != champion(releases) else None


def name_challenger(releases: Path, version: str | None) -> None:
    """Let a version run in shadow from now on, in place of any other; None ends it."""
    path = releases / "challenger"
    if version is None:
        path.unlink(missing_ok=True)
    else:
        _write(path, version.encode() + b"\n")


def release_for(releases: Path, as_of: int, zone: str = "UTC") -> Release:
    """The newest promoted release whose data end at or before `as_of`: the latest data, then the latest promotion.

    NoReleaseError names the command that makes one; ReleaseError where its bytes are not those of the manifest.
    """
    record = standing(promotions(releases))
    fitting = [entry for entry in record if entry.data_until <= as_of]
    if fitting:
        return read_release(releases, fitting[-1].version)
    moment = iso(as_of, zone)
    code = "release.all_later" if record else "release.none"
    raise NoReleaseError(message(code, moment=moment, short=moment[:19]))
