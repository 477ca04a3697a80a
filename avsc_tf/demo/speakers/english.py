"""English for the synthesiser: the words of the GRID corpus and the sentences behind its file names.

GRID: Cooke, Barker, Cunningham & Shao, J. Acoust. Soc. Am. 120(5), 2006.
"""

from __future__ import annotations

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.phones import ARTICULATIONS, PAUSE, Phone

COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
COLOURS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
LETTERS = "abcdefghijklmnopqrstuvxyz"  # no w: its name is too long
DIGITS = {
    "z": "zero",
    "1": "one",
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
}
ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}

PRONUNCIATIONS: dict[str, str] = {
    "bin": "b ih n",
    "lay": "l eh iy",
    "place": "p l eh iy s",
    "set": "s eh t",
    "blue": "b l uw",
    "green": "g rr iy n",
    "red": "rr eh d",
    "white": "w aa ih t",
    "at": "ae t",
    "by": "b aa ih",
    "in": "ih n",
    "with": "w ih dh",
    "again": "ax g eh n",
    "now": "n aa uh",
    "please": "p l iy z",
    "soon": "s uw n",
    "zero": "z ih rr ao uh",
    "one": "w ah n",
    "two": "t uw",
    "three": "th rr iy",
    "four": "f ao",
    "five": "f aa ih v",
    "six": "s ih k s",
    "seven": "s eh v ax n",
    "eight": "eh ih t",
    "nine": "n aa ih n",
    "a": "eh iy",
    "b": "b iy",
    "c": "s iy",
    "d": "d iy",
    "e": "iy",
    "f": "eh f",
    "g": "j iy",
    "h": "eh ih ch",
    "i": "aa iy",
    "j": "j eh iy",
    "k": "k eh iy",
    "l": "eh l",
    "m": "eh m",
    "n": "eh n",
    "o": "ao uh",
    "p": "p iy",
    "q": "k y uw",
    "r": "aa",
    "s": "eh s",
    "t": "t iy",
    "u": "y uw",
    "v": "v iy",
    "x": "eh k s",
    "y": "w aa ih",
    "z": "z eh d",
}
ACCENTS = {"colour": 0.6, "letter": 1.0, "digit": 0.7}  # what the listener has to catch


def grid_sentence(name: str) -> str:
    """The sentence behind a GRID file name: `bbaf2n` -> `bin blue at f two now`.

    Raises:
        ConfigError: the name is not command colour preposition LETTER digit adverb.
    """
    code = name.lower()
    tables = (COMMANDS, COLOURS, PREPOSITIONS, {x: x for x in LETTERS}, DIGITS, ADVERBS)
    if len(code) != len(tables) or any(letter not in table for letter, table in zip(code, tables, strict=True)):
        raise ConfigError(
            f"{name!r} is no GRID sentence: give six characters for command [blps], colour [bgrw], "
            "preposition [abiw], letter [a-z but w], digit [z1-9], adverb [anps], like bbaf2n"
        )
    return " ".join(table[letter] for letter, table in zip(code, tables, strict=True))


def english_phones(sentence: str, *, edge_pause_s: float = 0.22) -> list[Phone]:
    """Phones of a sentence made of GRID words, with a pause at either end.

    Raises:
        ConfigError: a word has no pronunciation here.
    """
    words = sentence.lower().split()
    slots = ["command", "colour", "preposition", "letter", "digit", "adverb"]
    phones = [Phone(PAUSE, edge_pause_s)]
    for place, word in enumerate(words):
        accent = ACCENTS.get(slots[place], 0.0) if len(words) == len(slots) else 0.4
        phones += _word_phones(word, accent)
    return [*phones, Phone(PAUSE, edge_pause_s)]


def _word_phones(word: str, accent: float) -> list[Phone]:
    if word not in PRONUNCIATIONS:
        known = " ".join(PRONUNCIATIONS)
        raise ConfigError(f"word {word!r}: no pronunciation; use words of the GRID corpus: {known}")
    symbols = PRONUNCIATIONS[word].split()
    return [Phone(symbol, tone=accent if ARTICULATIONS[symbol].kind == "vowel" else 0.0) for symbol in symbols]
