"""What the demo speakers say: Japanese-like sentences in romaji, and how romaji becomes phones.

The paper's corpus has other sentences for each emotion (section 4.1); so has this one. Sentences are
made by a small grammar with the words of everyday Japanese and dealt out without repetition.
"""

from __future__ import annotations

import itertools

import numpy as np

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.phones import ARTICULATIONS, PAUSE, Phone
from avsc_tf.demo.speakers.voices import EMOTIONS

OPENINGS = (
    "kyouwa", "ashitawa", "yuube", "kesa", "mainichi", "nichiyoubi ni", "sorede", "watashi wa",
    "anata mo", "minna de", "haha to", "chichi ga", "sensei ga", "ano hito wa", "bokutachi wa",
    "tomodachi to", "otouto wa", "mukashi", "futari de", "hiru kara",
)  # fmt: skip
# objects that go with verbs
SCENES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("akai ringo o", "yaki zakana o", "atsui soba o", "amai mikan o", "gohan o", "pan o"),
        ("tabemashita", "tabemasu", "kaimashita", "tanonda no", "wasureta no"),
    ),
    (
        ("umi e", "yama no mura e", "gakkou ni", "chiisana eki made", "kouen e", "puuru ni"),
        ("ikimashou", "arukimashita", "hashitta", "modorimasu", "mukatte iru"),
    ),
    (
        ("nagai tegami o", "furui hon o", "sono hanashi o", "kirei na shashin o", "zasshi o"),
        ("yomimashita", "kakimasu", "misete kudasai", "sagashite iru", "okutta no"),
    ),
    (
        ("shiroi neko ga", "kuroi inu ga", "kodomo ga", "tsubame ga", "bokujou no uma ga"),
        ("nemutte iru", "hashirimasu", "yonde iru yo", "kite imasu", "kieta no desu"),
    ),
    (
        ("tsumetai ame ga", "ookina tsuki ga", "yuki ga", "fuyu no kaze ga", "hana ga"),
        ("furimasu", "mieta yo", "yatte kuru", "hajimaru", "owarimashita"),
    ),
    (
        ("piano o", "atarashii uta o", "gitaa o", "heya no souji o", "jibun no shigoto o"),
        ("hajimemasu", "tsuzukete iru", "yamete kudasai", "oshieta no", "tetsudau yo"),
    ),
)  # fmt: skip
PAUSE_CHANCE = 0.55  # of a pause after the opening

VOWELS = "aiueo"


def demo_sentences(per_emotion: int, *, seed: int = 0) -> dict[str, list[str]]:
    """`per_emotion` sentences for each emotion, none of them twice.

    A longer list begins with a shorter one of the same seed, so a corpus can grow.

    Raises:
        ConfigError: more sentences are asked for than the grammar holds.
    """
    scenes = [f"{target} {verb}" for targets, verbs in SCENES for target, verb in itertools.product(targets, verbs)]
    rng = np.random.default_rng([seed, 8107])
    n_rounds = -(-per_emotion * len(EMOTIONS) // len(scenes))
    if n_rounds > len(OPENINGS):
        most = len(OPENINGS) * len(scenes) // len(EMOTIONS)
        raise ConfigError(f"{per_emotion} sentences an emotion: the grammar holds {most}; ask less")
    scene_order = rng.permutation(len(scenes))
    first_opening = rng.permutation(len(scenes)) % len(OPENINGS)
    texts = []
    for round_number, scene in itertools.product(range(len(OPENINGS)), scene_order):
        opening = OPENINGS[(first_opening[scene] + round_number) % len(OPENINGS)]
        comma = "," if rng.random() < PAUSE_CHANCE else ""
        texts.append(f"{opening}{comma} {scenes[scene]}")
    names = list(EMOTIONS)
    return {name: texts[i :: len(names)][:per_emotion] for i, name in enumerate(names)}


def romaji_phones(sentence: str, *, edge_pause_s: float = 0.22) -> list[Phone]:
    """Phones of a romaji sentence (words, commas for pauses), with a pause at either end.

    Raises:
        ConfigError: a letter that romaji does not have.
    """
    phones = [Phone(PAUSE, edge_pause_s)]
    for word in sentence.lower().replace(",", " , ").split():
        phones += [Phone(PAUSE)] if word == "," else _accented(_word_symbols(word))
    return [*phones, Phone(PAUSE, edge_pause_s)]


def _word_symbols(word: str) -> list[str]:
    """Split a word: `gakkou` -> g a q k o u, `shashin` -> sh a sh i N, `ryouri` -> r y o u r i."""
    symbols: list[str] = []
    rest = word
    while rest:
        symbol, length = _next_symbol(rest)
        if symbol is None:
            raise ConfigError(f"romaji {word!r}: cannot read {rest!r}; use letters of romaji only")
        symbols.append(symbol)
        rest = rest[length:]
    return symbols


def _next_symbol(rest: str) -> tuple[str | None, int]:
    after = rest[1:2]
    if (rest[0] == "n" and after not in (*VOWELS, "y")) or rest[:2] == "n'":
        return "N", 2 if after == "'" else 1
    if rest[0] not in VOWELS and (after == rest[0] or rest[:3] in ("tch", "ssh")):
        return "q", 1  # doubled consonant: first a silent hold
    if rest[:2] == "fu":
        return "fu", 1
    for length in (2, 1):
        symbol = rest[:length]
        if symbol in ("ts", "ch", "sh") or (length == 1 and symbol in "aiueokgsztdnhbpmyrwj"):
            return symbol, length
    return None, 0


def _accented(symbols: list[str]) -> list[Phone]:
    """Long vowels become one long phone; the pitch rises after the first mora and falls at the end."""
    merged: list[tuple[str, float]] = []
    for symbol in symbols:
        if merged and symbol in VOWELS and merged[-1][0] == symbol:
            merged[-1] = (symbol, 1.8)
        else:
            merged.append((symbol, 1.0))
    n_vowels = sum(symbol in VOWELS for symbol, _ in merged)
    phones, mora = [], 0
    for symbol, length in merged:
        if symbol not in VOWELS:
            phones.append(Phone(symbol))
            continue
        tone = 0.1 if mora == 0 and n_vowels > 1 else 0.9 if mora < max(n_vowels - 1, 1) else 0.0
        phones.append(Phone(symbol, ARTICULATIONS[symbol].seconds * length, tone))
        mora += 1
    return phones
