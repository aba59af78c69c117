"""Grounding: whether a text says nothing but what it was told, as far as numbers, names and
verdicts go.

A number is digits or a word for them; it must be one of the facts' numbers, with their currencies.
A name is what has a capital letter or a digit in it; at the beginning of a sentence, a word that is
neither plain English nor among the facts. Data from outside stands as a whole: inside double quotes
whatever it says, bare only if it cannot be mistaken for words. What cannot be told apart is
refused: the template is always right. Who exchanges two numbers of the facts is not found out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

LENGTH_MAX = 1500
_STRANGE = re.compile(r"[<>`\[\]{}\\|@#*_~^=]|//|www\.", re.IGNORECASE)
"""Markup, links and addresses."""
_QUOTES = '"“”„«»'
_TOKEN = re.compile(r"[^\W_](?:[\w.,:'’\-]*\w)?")
_PARTS = re.compile(r"[-'’]")
_NUMBER = re.compile(r"\d[\d.,]*")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_BEGINS = re.compile(r"(?:^|[.!?:]\s+|\n)[\s\"“]*$")
"""What stands before the first word of a sentence."""
_BARE = re.compile(r"[A-Z]{2,3}|[\w.\-]*\d[\w.\-]*|[a-z]+(?:_[a-z]+)+", re.ASCII)
"""Data that may stand without quotes: codes, ids, words with an underscore."""
_NEVER = -1
_NUMBER_WORDS: Mapping[str, int] = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12, "once": 1,
    "twice": 2, "thrice": 3, "double": 2, "triple": 3, "second": 2, "third": 3, "fourth": 4,
    "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "half": _NEVER,
    "quarter": _NEVER, "dozens": _NEVER, "hundreds": _NEVER, "thousands": _NEVER,
    "millions": _NEVER,
}  # fmt: skip
_VERDICTS = (
    "approv", "declin", "review", "reject", "accept", "block", "releas", "cancel", "genuin",
    "legit", "fraud", "safe", "trust", "innocen", "stolen", "criminal", "allow", "refus",
    "harmless", "whitelist", "ignor", "instruct", "authori", "permit",
)  # fmt: skip
"""Stems of words that judge: one may be used only where the facts use it."""
_CONDITIONAL = re.compile(r"\bwould(?:\W+\w+){0,3}\W*$", re.IGNORECASE)
_DENIED = re.compile(
    rf"\b(?:not|never|no|\w+n['’]t)\W+(?:\w+\W+){{0,2}}(?:{'|'.join(_VERDICTS)})", re.IGNORECASE
)
_PLAIN_TEXT = """
a after all also although among an and another any as at because before besides both but by compared
despite even for from further had has have here how however if in instead it its many meanwhile more
moreover most much neither no nor normally not now of on only other otherwise overall payment
purchase since so some such that the their there these they this those though thus together
transaction under unlike until usually was were what when where which while who why with within
without would yet card score rule rules reasons reason model amount merchant decision country device
category channel
"""
_PLAIN = frozenset(_PLAIN_TEXT.split())
"""Words that a sentence may begin with."""


@dataclass(frozen=True)
class Facts:
    """What may be said. told: ours, by what it is; data: from outside, whatever it says."""

    told: Mapping[str, str | list[str]]
    data: Mapping[str, str]

    @property
    def texts(self) -> Iterator[str]:
        """Our own words, those that say what each fact is too."""
        for name, value in self.told.items():
            yield name
            yield from [value] if isinstance(value, str) else value


def wrong_in(text: str, facts: Facts) -> str | None:
    """What in the text is not among the facts; None: nothing.

    >>> facts = Facts({"decision": "DECLINED", "amount": "€ 940.00"}, {"merchant": "m17"})
    >>> wrong_in("The payment of € 940.00 at m17 was declined.", facts)
    >>> wrong_in("The payment of € 904.00 at m17 was declined.", facts)
    'the number 904.00'
    >>> wrong_in("Boris was declined.", facts)
    'the name Boris'
    """
    if not 0 < len(text) <= LENGTH_MAX:
        return f"a length of {len(text)} characters"
    rest, known = _without_data(text, facts), _Known.of(facts)
    if (wrong := _wrong_sign(rest, known)) is not None:
        return wrong
    if denied := _DENIED.search(rest):
        return f"the verdict {denied[0]}"
    for token in _TOKEN.finditer(rest):
        if (wrong := known.wrong(token[0], rest[: token.start()])) is not None:
            return wrong
    return None


def _wrong_sign(rest: str, known: _Known) -> str | None:
    if strange := _STRANGE.search(rest):
        return f"the sign {strange[0]}"
    for sign in set(rest) - known.signs - {"\n"}:
        kind = unicodedata.category(sign)
        is_foreign = sign.isalpha() and not unicodedata.name(sign, "").startswith("LATIN")
        if kind in ("Sc", "Sm", "So") or sign == "%" or is_foreign or not sign.isprintable():
            return f"the sign {sign!r}"
    return None


@dataclass(frozen=True)
class _Known:
    signs: frozenset[str]
    numbers: frozenset[Decimal]
    words: frozenset[str]
    """As they are compared: without case."""
    is_approved: bool

    @classmethod
    def of(cls, facts: Facts) -> _Known:
        tokens = [token for text in facts.texts for token in _TOKEN.findall(text)]
        parts = {part for token in tokens for part in _PARTS.split(token)}
        words = frozenset(token.casefold() for token in {*tokens, *parts})
        numbers = {n for token in tokens if (n := _number(token)) is not None}
        numbers |= {Decimal(n) for w, n in _NUMBER_WORDS.items() if w in words and n != _NEVER}
        is_approved = "approved" in str(facts.told.get("decision", "")).casefold()
        return cls(frozenset("".join(facts.texts)), frozenset(numbers), words, is_approved)

    def wrong(self, token: str, before: str) -> str | None:
        """Why a token may not be said behind what was said before."""
        word = token.casefold()
        if (number := _number(token)) is not None:
            return None if number in self.numbers else f"the number {token}"
        for part in _PARTS.split(word):
            if part in _NUMBER_WORDS and Decimal(_NUMBER_WORDS[part]) not in self.numbers:
                return f"the number {part}"
            if self._judges(part, before):
                return f"the verdict {part}"
        if word in self.words or word.removesuffix("'s").removesuffix("’s") in self.words:
            return None
        if token == word and not any(c.isnumeric() for c in token):
            return None
        is_plain = word in _PLAIN and _BEGINS.search(before) is not None
        return None if is_plain else f"the name {token}"

    def _judges(self, word: str, before: str) -> bool:
        """Whether it judges otherwise than the facts do."""
        stem = next((stem for stem in _VERDICTS if stem in word), None)
        if stem is None:
            return False
        if stem == "approv" and not self.is_approved and not _CONDITIONAL.search(before):
            return True
        return not any(stem in known for known in self.words)


def _number(token: str) -> Decimal | None:
    """
    >>> _number("1,200.50"), _number("4th"), _number("0.50"), _number("m17"), _number("940,00")
    (Decimal('1200.50'), Decimal('4'), Decimal('0.50'), None, Decimal('940.00'))
    """
    if ordinal := _ORDINAL.fullmatch(token):
        return Decimal(ordinal[1])
    if not _NUMBER.fullmatch(token):
        return None
    try:
        return Decimal(token.replace(",", "" if _THOUSANDS.fullmatch(token) else "."))
    except InvalidOperation:  # 1.2.3: a date or a version, which no fact is
        return Decimal(_NEVER)


def _without_data(text: str, facts: Facts) -> str:
    """The text with data from outside taken out, where it stands as data."""
    for value in sorted(filter(None, facts.data.values()), key=len, reverse=True):
        text = re.sub(f"[{_QUOTES}]{re.escape(value)}[.,]?[{_QUOTES}]", " ", text)
        is_verdict = any(stem in value.casefold() for stem in _VERDICTS)
        if _BARE.fullmatch(value) and not is_verdict:
            text = re.sub(rf"(?<![\w.\-]){re.escape(value)}(?![\w\-])", " ", text)
    return text
