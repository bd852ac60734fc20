"""Kinds of value a field may take. Each reads a plain value, and refuses what it cannot take with its reason.

`read(value, path, reading)` gives the value the core wants, or UNKNOWN after telling the reading why, or where a
template in it has to wait for a binding.
"""

from __future__ import annotations

import re

from .reading import UNKNOWN
from .scalars import scalar
from .wording import plain, shortened, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from .reading import Reading
    from .wording import Path, Value

    class Kind(Protocol):
        def read(self, value: Value, path: Path, reading: Reading) -> Any: ...


LONGEST_TEXT = 131071  # bytes: Linux's MAX_ARG_STRLEN, less the final NUL; one argument, or one NAME=VALUE
DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
CONDITIONS = ("started", "healthy", "succeeded", "completed", "failed")
_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU "
    "URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
SIGNALS = {name: number for number, name in enumerate(_SIGNALS.split(), 1)}  # signal(7), on x86 and ARM
LAST_SIGNAL = 64
SIZE_UNITS = {
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "B": 1,
}


class Scalar:
    """A value without parts. `accept` gives it as the core wants it and raises ValueError, its text for people."""

    __slots__ = ()

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if isinstance(value, str) and "{{" in value:
            filled = reading.fill(value, path)
            if filled is None:
                return UNKNOWN
            value = self.from_template(filled)
        try:
            return self.accept(value)
        except ValueError as error:
            reading.refuse(path, str(error))
            return UNKNOWN

    def from_template(self, text: str) -> Value:
        """A filled-in template stands for what it would mean if written so, without quotes."""
        return scalar(text)

    def accept(self, value: Value) -> Any:
        raise NotImplementedError


class Text(Scalar):
    """A string that can be given to a program."""

    __slots__ = ("may_be_empty",)

    def __init__(self, *, may_be_empty: bool = True) -> None:
        self.may_be_empty = may_be_empty

    def from_template(self, text: str) -> Value:
        return text

    def accept(self, value: Value) -> str:
        if not isinstance(value, str):
            quotes = "; put it in quotes" if isinstance(value, (int, float)) else ""
            raise ValueError(f"expected text, got {shown(value)}{quotes}")
        if not value and not self.may_be_empty:
            raise ValueError("it is empty")
        check_text(value)
        return value


class Flag(Scalar):
    __slots__ = ()

    def accept(self, value: Value) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {shown(value)}")
        return value


class Whole(Scalar):
    """A whole number from `low` to `high`."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def accept(self, value: Value) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            quoted = "; remove the quotes" if isinstance(value, str) and value.isdecimal() else ""
            raise ValueError(f"expected a whole number, got {shown(value)}{quoted}")
        _check_range(value, self.low, self.high)
        return value


class Number(Scalar):
    """A number from `low` to `high`."""

    __slots__ = ("high", "low")

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def accept(self, value: Value) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError(f"expected a number, got {shown(value)}")
        _check_range(value, self.low, self.high)
        return float(value)


class Duration(Scalar):
    """Seconds, as a number or a text with a unit. Gives seconds from 0 to `high`."""

    __slots__ = ("high",)

    def __init__(self, high: float) -> None:
        self.high = high

    def accept(self, value: Value) -> float:
        seconds = _with_unit(value, DURATION_UNITS, "seconds, or a text such as '500ms', '30s', '2m', '1h'")
        _check_range(seconds, 0, self.high)
        return float(seconds)


class Size(Scalar):
    """Bytes, as a whole number or a text with a unit. Gives bytes from 1 to `high`."""

    __slots__ = ("high",)

    def __init__(self, high: int) -> None:
        self.high = high

    def accept(self, value: Value) -> int:
        expected = "bytes, or a text such as '256MiB' (KiB MiB GiB TiB; kB MB GB TB)"
        size = _with_unit(value, SIZE_UNITS, expected)
        _check_range(size, 1, self.high)
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(f"expected whole bytes, got {shown(value)}")
        return round(size)


class ListOf:
    """A list; with `or_one`, a single value stands for a list of it."""

    __slots__ = ("at_least", "item", "or_one", "what")

    def __init__(self, item: Kind, what: str, *, at_least: int = 0, or_one: bool = False) -> None:
        self.item = item
        self.what = what
        self.at_least = at_least
        self.or_one = or_one

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if self.or_one and not isinstance(value, list):
            return [self.item.read(value, path, reading)]
        if not isinstance(value, list):
            reading.refuse(path, f"expected {self.what}, got {shown(value)}")
            return UNKNOWN
        if len(value) < self.at_least:
            reading.refuse(path, f"expected {self.what}, got an empty list")
            return UNKNOWN
        return [self.item.read(item, (*path, number), reading) for number, item in enumerate(value)]


class Variables:
    """Environment variables: names and texts."""

    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text = Text()

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if not isinstance(value, dict):
            reading.refuse(path, f"expected a mapping of names to texts, got {shown(value)}")
            return UNKNOWN
        variables: dict[str, Any] = {}
        for name, item in value.items():
            here = (*path, name)
            variables[name] = text = self.text.read(item, here, reading)
            try:
                check_variable(name)
                if text is not UNKNOWN:
                    check_text(f"{name}={text}")
            except ValueError as error:
                reading.refuse(here, str(error), at_key=True)
        return variables


class Word(Scalar):
    """One of a few words. Gives what it stands for."""

    __slots__ = ("meanings",)

    def __init__(self, meanings: Mapping[str, Any]) -> None:
        self.meanings = meanings

    def from_template(self, text: str) -> Value:
        return text

    def accept(self, value: Value) -> Any:
        if not isinstance(value, str) or value not in self.meanings:
            raise ValueError(f"expected {' or '.join(self.meanings)}, got {shown(value)}")
        return self.meanings[value]


class Signal(Scalar):
    """A signal, as a number or by its name with or without SIG. Gives the number."""

    __slots__ = ()

    def accept(self, value: Value) -> int:
        if isinstance(value, str) and (number := SIGNALS.get(value.removeprefix("SIG"))):
            return number
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LAST_SIGNAL:
            return value
        raise ValueError(f"expected the name of a signal, such as TERM, or its number, got {shown(value)}")


class Range(Scalar):
    """A whole number, or a text `LOW-HIGH`, both ends in. Gives (low, high)."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def from_template(self, text: str) -> Value:
        return scalar(text)

    def accept(self, value: Value) -> tuple[int, int]:
        ends = value.split("-") if isinstance(value, str) else [str(value)]
        if isinstance(value, bool) or not all(end.isascii() and end.isdigit() for end in ends) or len(ends) > 2:
            raise ValueError(
                f"expected a whole number, or a range such as '{self.low}-{self.high}', got {shown(value)}"
            )
        first, last = int(ends[0]), int(ends[-1])
        for end in (first, last):
            _check_range(end, self.low, self.high)
        if first > last:
            raise ValueError(f"the range {value} ends before it begins")
        return first, last


class Port(Scalar):
    """A port, by its number or by the name that the task gives it. Gives a text."""

    __slots__ = ()

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        port = super().read(value, path, reading)
        if port is not UNKNOWN and not port.isdigit():
            reading.ports[port] = None
        return port

    def accept(self, value: Value) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            _check_range(value, 1, 65535)
            return str(value)
        if not isinstance(value, str) or not re.fullmatch(r"[\w\-./]*[^\d\W][\w\-./]*", value):
            raise ValueError(f"expected the name of a port, or its number, got {shown(value)}")
        return value


class Pattern(Text):
    """A regular expression of Python's `re`."""

    __slots__ = ()

    def accept(self, value: Value) -> str:
        text = super().accept(value)
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{shown(text)} is no regular expression: {error}") from None
        return text


class Awaited:
    """What a process comes after: a name, a list of names, or a mapping of names to conditions.

    Gives a list of (step of the path, name, condition, pattern).
    """

    __slots__ = ("name", "pattern")

    def __init__(self) -> None:
        self.name = Text(may_be_empty=False)
        self.pattern = Pattern(may_be_empty=False)

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if isinstance(value, str):
            return [(0, self.name.read(value, path, reading), "succeeded", "")]
        if isinstance(value, list):
            names = [self.name.read(name, (*path, place), reading) for place, name in enumerate(value)]
            return [(place, name, "succeeded", "") for place, name in enumerate(names)]
        if isinstance(value, dict):
            return [self._condition(name, condition, path, reading) for name, condition in value.items()]
        reading.refuse(
            path,
            f"expected the name of a process, a list of them, or a mapping of names to conditions, got {shown(value)}",
        )
        return []

    def _condition(self, name: str, value: Value, path: Path, reading: Reading) -> tuple[str, Any, str, str]:
        here = (*path, name)
        filled: Any = self.name.read(name, here, reading) if "{{" in name else name
        if isinstance(value, dict) and set(value) == {"log"}:
            pattern = self.pattern.read(value["log"], (*here, "log"), reading)
            return name, filled, "log", pattern
        if not isinstance(value, str) or value not in CONDITIONS:
            got = "a mapping" if isinstance(value, dict) else shown(value)
            hint = reading.did_you_mean(value, CONDITIONS) if isinstance(value, str) else ""
            reading.refuse(here, f"expected {', '.join(CONDITIONS)} or {{log: REGEX}}, got {got}{hint}")
            return name, UNKNOWN, "succeeded", ""
        return name, filled, value, ""


class Field:
    """A field of a record.

    `default` is what a file would have to say to mean the same as silence. With `omit` silence leaves no trace: the
    record lacks the field, and the core's default stands.
    """

    __slots__ = ("default", "kind", "omit", "required")

    def __init__(self, kind: Kind, default: Value = None, *, required: bool = False, omit: bool = False) -> None:
        self.kind = kind
        self.default = default
        self.required = required
        self.omit = omit


class Record:
    """A mapping with fields of its own, all of them known. `finish` makes of what was read what the core wants."""

    __slots__ = ("fields", "finish", "what")

    def __init__(
        self,
        what: str,
        fields: dict[str, Field],
        finish: Callable[[dict[str, Any], Path, Reading], Any] | None = None,
    ) -> None:
        self.what = what
        self.fields = fields
        self.finish = finish

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if not isinstance(value, dict):
            reading.refuse(path, f"expected {self.what} (a mapping), got {shown(value)}")
            return UNKNOWN
        for name in value:
            if name not in self.fields:
                hint = reading.did_you_mean(name, self.fields) or f"; the fields of {self.what} are {self._names()}"
                reading.refuse((*path, name), f"unknown field {shortened(name)!r}{hint}", at_key=True)
        record: dict[str, Any] = {}
        for name, field in self.fields.items():
            if field.omit and value.get(name) is None:
                continue
            given = value.get(name, field.default)
            if name not in value and field.required:
                reading.refuse(path, f"missing field {name!r}")
                record[name] = UNKNOWN
            elif given is None and field.default is None and not field.required:
                record[name] = None
            else:
                record[name] = field.kind.read(given, (*path, name), reading)
        return self.finish(record, path, reading) if self.finish is not None else record

    def _names(self) -> str:
        return ", ".join(self.fields)


def check_text(text: str) -> None:
    """Raise ValueError for what execve(2) cannot carry."""
    if "\0" in text:
        raise ValueError("it holds a zero byte, which no program can be given")
    if len(text) * 4 <= LONGEST_TEXT and text.isascii():
        return
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which is no character") from None
    if length > LONGEST_TEXT:
        raise ValueError(f"it is {length} bytes long; Linux takes at most {LONGEST_TEXT} in one argument or variable")


def check_variable(name: str) -> None:
    """Raise ValueError for what cannot be the name of an environment variable."""
    if not name or "=" in name:
        raise ValueError("the name of a variable is not empty and holds no '='")
    if "{{" in name:
        raise ValueError("templates are not filled in in the name of a variable")


def _with_unit(value: Value, units: Mapping[str, float], expected: str) -> float:
    """The number a value stands for, its unit applied; a number alone has the unit 1."""
    number = value
    factor: float = 1
    if isinstance(value, str):
        digits = value.rstrip("".join(units))
        unit = value[len(digits) :]
        number = scalar(digits.rstrip(" "))
        factor = units.get(unit, 1) if unit in units or not unit else 0
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not factor:
        raise ValueError(f"expected {expected}, got {shown(value)}")
    return number * factor


def _check_range(number: float, low: float, high: float) -> None:
    if not low <= number <= high:
        expected = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
        raise ValueError(f"expected {expected}, got {shown(number)}")
