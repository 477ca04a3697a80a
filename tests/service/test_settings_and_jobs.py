"""Strict settings; jobs that are never lost, doubled or taken out of turn; tokens; rates."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from avsc_tf.core.errors import ConfigError, ServiceError
from avsc_tf.service.access import Access, RateLimiter, check_host
from avsc_tf.service.jobs import FullError, JobStore, KeyReusedError, new_id
from avsc_tf.service.progress import ProgressBoard
from avsc_tf.service.settings import AccessSettings, ServiceSettings, load_settings
from avsc_tf.service.storage import Storage
from avsc_tf.service.uploads import display_name, media_type_of


def test_the_shipped_file_says_every_default(root: Path) -> None:
    """configs/serve.yaml is the documentation of the settings: it must hold all of them, with the values in force."""
    path = root / "configs" / "serve.yaml"
    assert load_settings(path) == ServiceSettings()
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {s: set(v) for s, v in tree.items()} == {s: set(v) for s, v in dataclasses.asdict(ServiceSettings()).items()}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("jobs.max_queue=3", "unknown setting jobs.max_queue. The nearest known one is jobs.max_queued"),
        ("jobs.max_queued=0", "must be above 0"),
        ("clip.max_seconds=long", "must be of type float"),
        ("conversion.vocoder=straight", "must be one of wavenet, griffin-lim"),
        ("conversion.offered=[griffin-lim]", "conversion.vocoder"),
        ("conversion.seed=-1", "conversion.seed must lie"),
    ],
)
def test_wrong_settings(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_settings(None, [override])


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = JobStore(tmp_path / "jobs.sqlite")
    yield made
    made.close()


def add(
    store: JobStore, owner: str = "a", key: str | None = None, sha: str = "0", most: tuple[int, int] = (9, 9)
) -> Any:
    values = {"vocoder": "wavenet", "seed": 0, "name": "x", "media_type": "video/mp4", "upload_bytes": 10}
    values |= {"upload_sha256": sha, "idempotency_key": key}
    return store.add(new_id(), owner, values, max_queued=most[0], max_own=most[1])


def test_jobs_are_taken_in_turn_and_once(store: JobStore) -> None:
    jobs = [add(store) for _ in range(3)]
    assert [store.ahead_of(job) for job in jobs] == [0, 1, 2]
    first = store.start_next()
    assert first is not None and first.id == jobs[0].id and first.state == "checking" and first.starts == 1
    assert store.converting(first.id, 2.5) and store.finish(first.id, "done", result_name="r", result_bytes=7)
    assert not store.finish(first.id, "failed", error="x") and not store.requeue(first.id)  # no second outcome
    second = store.start_next()
    assert second is not None and second.id == jobs[1].id
    assert store.requeue(second.id, died=True)
    again = store.start_next()
    assert again is not None and (again.id, again.starts, again.deaths) == (jobs[1].id, 2, 1)  # in its old place
    assert store.cancel(again.id) and not store.converting(again.id, 1.0) and not store.cancel(again.id)
    assert store.counts() == {"queued": 1, "checking": 0, "converting": 0, "done": 1, "failed": 0, "cancelled": 1}
    assert store.stored_bytes() == 37
    assert not store.remove(jobs[2].id) and store.remove(first.id) and store.get(first.id) is None


def test_idempotency_keys_and_room(store: JobStore) -> None:
    job = add(store, key="k")
    assert add(store, key="k").id == job.id and add(store, "b", key="k").id != job.id
    with pytest.raises(KeyReusedError):
        add(store, key="k", sha="1")
    with pytest.raises(FullError) as caught:
        add(store, most=(9, 1))
    assert caught.value.is_client
    with pytest.raises(FullError) as caught:
        add(store, "c", most=(2, 9))
    assert not caught.value.is_client
    assert [found.id for found in store.of_owner("a", 9)] == [job.id]


def test_a_database_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(ServiceError, match="cannot be used as a database"):
        JobStore(tmp_path / "jobs.sqlite")


def test_one_server_a_folder_and_orphans_removed(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "data")
    with pytest.raises(ServiceError, match="another server uses it"):
        Storage(tmp_path / "data")
    for path in (storage.uploads / "known", storage.uploads / "lost.part", storage.results / "gone.mp4"):
        path.write_text("x", encoding="utf-8")
    (storage.work / "known-1").mkdir()
    assert storage.tidy({"known"}) == 2
    assert [p.name for p in storage.uploads.iterdir()] == ["known"] and not list(storage.work.iterdir())
    storage.close()
    Storage(tmp_path / "data").close()


def access(tmp_path: Path, text: str = "", **environment: str) -> Access:
    path = tmp_path / "tokens"
    path.write_text(text, encoding="utf-8")
    return Access(AccessSettings(tokens_file=str(path) if text else ""), tmp_path / "key", environment)


def test_tokens_and_sessions(tmp_path: Path) -> None:
    secret = "s" * 30
    line = f"anna sha256:{hashlib.sha256(secret.encode()).hexdigest()}\n# a note\n"
    known = access(tmp_path, line, AVSC_TF_TOKENS="ben " + "b" * 20)
    assert (known.by_token(secret), known.by_token("b" * 20), known.by_token("c" * 20)) == ("anna", "ben", None)
    by_token = known.identify(f"Bearer {secret}", None)
    assert by_token is not None and by_token.owner == "anna" and not by_token.by_cookie
    cookie = known.session("anna")
    by_cookie = known.identify(None, cookie)
    assert by_cookie is not None and by_cookie.owner == "anna" and by_cookie.by_cookie
    for wrong in (None, "", "Basic x", f"Bearer {secret}x", "Bearer"):
        assert known.identify(wrong, None) is None
    _, until, signature = cookie.split(":")
    for forged in (
        f"ben:{until}:{signature}",
        f"anna:{int(until) + 1}:{signature}",
        f"anna:{until}:{'0' * 64}",
        "anna",
        "::",
        "é:1:2",
    ):
        assert known.identify(None, forged) is None
    assert access(tmp_path, line).identify(None, cookie) is not None  # the key is kept
    assert access(tmp_path, "", AVSC_TF_TOKENS="ben " + "b" * 20).identify(None, cookie) is None  # token taken away
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["anna secret", "anna sha256:12", "a b c", "an/na sha256:" + "0" * 64, "# nothing"])
def test_wrong_token_files(tmp_path: Path, text: str) -> None:
    with pytest.raises(ServiceError, match="tokens"):
        access(tmp_path, text)


def test_another_host_needs_tokens(tmp_path: Path) -> None:
    without = access(tmp_path)
    check_host(ServiceSettings(), without, "127.0.0.1")
    with pytest.raises(ServiceError, match=r"there are no tokens. Set access.tokens_file"):
        check_host(ServiceSettings(), without, "0.0.0.0")
    check_host(load_settings(None, ["access.allow_without_tokens=true"]), without, "0.0.0.0")
    check_host(ServiceSettings(), access(tmp_path, "", AVSC_TF_TOKENS="ben " + "b" * 20), "0.0.0.0")


def test_rate() -> None:
    limiter = RateLimiter(60, 3)
    assert [limiter.wait_seconds("a", 0.0) for _ in range(3)] == [0, 0, 0]
    assert limiter.wait_seconds("a", 0.0) == pytest.approx(1.0) and limiter.wait_seconds("b", 0.0) == 0
    assert limiter.wait_seconds("a", 0.5) == pytest.approx(0.5) and limiter.wait_seconds("a", 1.01) == 0
    for n in range(20_000):
        limiter.wait_seconds(str(n), 2.0)
    assert len(limiter._buckets) == 10_000  # strangers without end do not fill the memory


def test_names_are_for_display_alone() -> None:
    assert display_name("../../etc/pass wd<script>.mp4") == "pass wdscript.mp4"
    assert display_name("C:\\x\\\0\u202eclip.mp4") == "clip.mp4" and len(display_name("x" * 999)) == 80


def test_kinds_by_first_bytes(tmp_path: Path) -> None:
    assert media_type_of(b"\0\0\0\x20ftypisom" + b"\0" * 50) == "video/mp4"
    assert media_type_of(b"RIFF\0\0\0\0WAVE") == "audio/wav" and media_type_of(b"RIFF\0\0\0\0AVI ") == "video/x-msvideo"
    assert media_type_of(b"#EXTM3U") == media_type_of(b"") == media_type_of(b"<html>") == ""


def test_time_left_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one job whose stages took 1, 2, 4, 2 and 1 s for 2 s of clip, the next is expected to take the same."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    board = ProgressBoard()
    for job in ("first", "second"):
        for stage, seconds in (("check", 1), ("read", 2), ("speak", 4), ("paint", 2), ("finish", 1)):
            board.at(job, stage, 0.0, vocoder="wavenet", clip_seconds=2.0)
            progress = board.get(job)
            assert progress is not None
            if job == "second" and stage == "speak":
                assert board.seconds_left(progress) == pytest.approx(7.0)
                assert board.overall(progress) == pytest.approx(0.3)
            now[0] += seconds
        board.drop(job)
    assert board.get("first") is None
