"""Who asks: tokens, sessions of the page, and how often one client may come.

Only digests of tokens are kept, compared in constant time. A token has a name; jobs belong to the name.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avsc_tf.core.errors import ServiceError
from avsc_tf.service.settings import LOOPBACK, AccessSettings, ServiceSettings

COOKIE = "avsc_tf_session"
EVERYBODY = "everybody"  # owner of all jobs where there are no tokens
_MIN_TOKEN_CHARACTERS = 20
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_CLIENTS = 10_000


@dataclass(frozen=True)
class Identity:
    """Who asks; `by_cookie`: a browser says so by itself, so that the request's origin must be checked."""

    owner: str
    by_cookie: bool


class Access:
    """The tokens of a service."""

    def __init__(self, settings: AccessSettings, key_file: Path, environment: Mapping[str, str] = os.environ) -> None:
        """Read tokens and the key of sessions (made on first use). Raises ServiceError."""
        self._tokens = _read_tokens(settings, environment)
        self._key = _session_key(key_file)
        self._session_seconds = settings.session_hours * 3600

    @property
    def needs_token(self) -> bool:
        """Whether strangers are refused."""
        return bool(self._tokens)

    def by_token(self, token: str) -> str | None:
        """The token's name; takes as long for any token."""
        digest, name = hashlib.sha256(token.encode()).digest(), None
        for known, expected in self._tokens.items():
            if hmac.compare_digest(digest, expected):
                name = known
        return name

    def identify(self, authorization: str | None, cookie: str | None) -> Identity | None:
        """Who sent these headers; None: somebody without a valid token."""
        if not self.needs_token:
            return Identity(EVERYBODY, True)
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            name = self.by_token(token.strip()) if scheme.lower() == "bearer" else None
            return None if name is None else Identity(name, False)
        name = None if cookie is None else self._of_session(cookie)
        return None if name is None else Identity(name, True)

    def session(self, name: str) -> str:
        """A cookie's value that stands for the token of that name until it expires or the token is taken away."""
        until = int(time.time() + self._session_seconds)
        return f"{name}:{until}:{self._signature(name, until)}"

    def _of_session(self, value: str) -> str | None:
        name, _, rest = value.partition(":")
        until, _, signature = rest.partition(":")
        if name not in self._tokens or not re.fullmatch(r"\d{1,12}", until) or int(until) < time.time():
            return None
        expected = self._signature(name, int(until))
        return name if hmac.compare_digest(signature.encode(), expected.encode()) else None

    def _signature(self, name: str, until: int) -> str:
        message = b"|".join((name.encode(), str(until).encode(), self._tokens[name]))
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def check_host(settings: ServiceSettings, access: Access, host: str) -> None:
    """Raise ServiceError where others than this machine could ask without a token, and no setting says so."""
    if host not in LOOPBACK and not access.needs_token and not settings.access.allow_without_tokens:
        raise ServiceError(
            f"--host {host}: others than this machine could use the service, and there are no tokens. Set "
            "access.tokens_file (docs/serve.md), or say --set access.allow_without_tokens=true."
        )


def _read_tokens(settings: AccessSettings, environment: Mapping[str, str]) -> dict[str, bytes]:
    tokens: dict[str, bytes] = {}
    if settings.tokens_file:
        path = Path(settings.tokens_file)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ServiceError(f"{path}: the tokens cannot be read ({error}). Correct access.tokens_file.") from error
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                _add(tokens, line, f"{path}, line {number}", plain=False)
        if not tokens:
            raise ServiceError(f"{path}: holds no token. Add a line: NAME sha256:HEX (docs/serve.md).")
    variable = settings.tokens_variable
    for number, text in enumerate(filter(str.strip, environment.get(variable, "").split(",")), start=1):
        _add(tokens, text, f"{variable}, entry {number}", plain=True)
    return tokens


def _add(tokens: dict[str, bytes], text: str, place: str, *, plain: bool) -> None:
    name, _, value = text.strip().partition(" ")
    value = value.strip()
    digest = _DIGEST.fullmatch(value)
    if not _NAME.fullmatch(name) or (digest is None and (not plain or len(value) < _MIN_TOKEN_CHARACTERS)):
        or_plain = f" or NAME TOKEN with {_MIN_TOKEN_CHARACTERS} characters or more" if plain else ""
        raise ServiceError(f"{place}: must read NAME sha256:HEX{or_plain}; see docs/serve.md.")
    if name in tokens:
        raise ServiceError(f"{place}: {name} is there twice. Give each token its own name.")
    tokens[name] = bytes.fromhex(digest[1]) if digest else hashlib.sha256(value.encode()).digest()


def _session_key(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) == 32:
            return key
        path.unlink()
        return _session_key(path)
    with os.fdopen(fd, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key


class RateLimiter:
    """A bucket of tokens a client: `burst` at once, refilled at a steady rate. Not for several threads."""

    def __init__(self, per_minute: float, burst: int) -> None:
        self._rate, self._burst = per_minute / 60, float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> level, when

    def wait_seconds(self, client: str, now: float | None = None) -> float:
        """Take one; 0.0 where there was one, else the seconds until there is."""
        now = time.monotonic() if now is None else now
        level, when = self._buckets.pop(client, (self._burst, now))
        level = min(self._burst, level + (now - when) * self._rate)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate
        self._buckets[client] = (level - 1 if level >= 1 else level, now)
        while len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)  # the one that was silent longest: its bucket is the fullest
        return wait
