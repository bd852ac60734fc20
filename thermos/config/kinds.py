"""Kinds of value a field may take. Each reads a plain value, and refuses what it cannot take with its reason.

`read(value, path, reading)` gives the value the core wants, or UNKNOWN after telling the reading why, or where a
template in it has to wait for a binding. What each of them takes is said once more, for editors, in `json_schema`.
"""

from __future__ import annotations

from . import patterns, units
from .reading import UNKNOWN, did_you_mean
from .scalars import scalar
from .templates import port_named
from .wording import plain, shortened, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Protocol

    from .reading import Reading
    from .wording import Path, Value

    class Kind(Protocol):
        def read(self, value: Value, path: Path, reading: Reading) -> Any: ...


LONGEST_TEXT = 131071  # bytes: Linux's MAX_ARG_STRLEN, less the final NUL; one argument, or one NAME=VALUE
TEMPLATE = r"\{\{[^&{}][^{}]*\}\}"  # what stands for something else; `templates` says of what
LONGEST_NAME = 200  # bytes: names become parts of file names, with some characters around them
NAME = r"[^./][^/]*"
RANGE = r"[0-9]{1,9}(?:-[0-9]{1,9})?"
PORT_NAME = r"[A-Za-z0-9_\-./]*[A-Za-z_][A-Za-z0-9_\-./]*"
OURS = ("THERMOS_PID", "THERMOS_PROCESS", "THERMOS_RUN", "THERMOS_SANDBOX", "THERMOS_TASK_ID")  # variables
CONDITIONS = ("started", "healthy", "succeeded", "completed", "failed")
_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU "
    "URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
SIGNALS = {name: number for number, name in enumerate(_SIGNALS.split(), 1)}  # signal(7), on x86 and ARM
LAST_SIGNAL = 64
_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(_CAPABILITIES.split())  # capabilities(7), by number
RLIMIT = r"(?:[0-9]{1,18}|unlimited)(?::(?:[0-9]{1,18}|unlimited))?"
ABSOLUTE = r"/[^\0]*"
CPUS = r"[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?)*"  # cpuset(7), "List format"


class Unfit(ValueError):
    """A value of the right shape that still cannot be used."""


class Verbatim(str):
    """A text that holds no templates and that no message shows: it may be a secret."""

    __slots__ = ()


class Scalar:
    """A value without parts. `accept` gives it as the core wants it and raises ValueError, its text for people."""

    __slots__ = ()

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        written = value
        if isinstance(value, str) and "{{" in value:
            filled = reading.fill(value, path)
            if filled is None:
                return UNKNOWN
            value = self.from_template(filled)
        try:
            return self.accept(value)
        except ValueError as error:
            bound = isinstance(written, str) and patterns.search(TEMPLATE, written) is not None
            reading.refuse(path, str(error), relation=bound or isinstance(error, Unfit))
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


class Name(Text):
    """The name of a process or a task: Thermos's rule is `^[^./][^/]*$`, since directories are called so.

    Terminals have their say too.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(may_be_empty=False)

    def accept(self, value: Value) -> str:
        name = super().accept(value)
        if name[0] == "." or "/" in name:
            raise ValueError(f"a name does not begin with '.' and holds no '/', got {shown(name)}")
        if not name.isprintable():
            raise Unfit(f"a name holds no control characters, got {shown(name)}")
        if len(name) * 4 > LONGEST_NAME and len(name.encode()) > LONGEST_NAME:
            raise Unfit(f"a name is at most {LONGEST_NAME} bytes long, got {len(name.encode())}")
        return name


class Flag(Scalar):
    __slots__ = ()

    def accept(self, value: Value) -> bool:
        if not isinstance(value, bool):
            quoted = "; remove the quotes" if value in ("true", "false") else ""
            raise ValueError(f"expected true or false, got {shown(value)}{quoted or _meant_flag(value)}")
        return value


class Whole(Scalar):
    """A whole number from `low` to `high`."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def accept(self, value: Value) -> int:
        value = _whole(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number, got {shown(value)}{_quoted(value)}")
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
            raise ValueError(f"expected a number, got {shown(value)}{_quoted(value)}")
        _check_range(value, self.low, self.high)
        return float(value)


class Cores(Number):
    """Processors, as a number, or in thousandths with an `m`, as Kubernetes has it. Gives a number."""

    __slots__ = ()

    def accept(self, value: Value) -> float:
        if isinstance(value, str):
            if not patterns.fullmatch(units.CORES, value):
                meant = f", did you mean '{value.lower()}'?" if patterns.fullmatch(units.CORES, value.lower()) else ""
                raise ValueError(f"expected cores, such as 1.5 or '500m', got {shown(value)}{meant or _quoted(value)}")
            return _in_range(int(value[:-1]) / 1000, value, self.low, self.high)
        return super().accept(value)


class Duration(Scalar):
    """Seconds, as a number or a text with units. Gives seconds from 0 to `high`."""

    __slots__ = ("high",)

    def __init__(self, high: float) -> None:
        self.high = high

    def accept(self, value: Value) -> float:
        seconds = units.duration(value) if isinstance(value, str) else value
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
            expected = "seconds, or a text such as '500ms', '30s', '2m', '1h30m', '1d'"
            meant = units.meant_duration(value) if isinstance(value, str) else ""
            raise ValueError(f"expected {expected}, got {shown(value)}{meant}")
        return float(_in_range(seconds, value, 0, self.high))


class Size(Scalar):
    """Bytes, as a whole number or a text with a unit. Gives bytes from `low` to `high`."""

    __slots__ = ("high", "low")

    def __init__(self, high: int, low: int = 1) -> None:
        self.high = high
        self.low = low

    def accept(self, value: Value) -> int:
        size = units.size(value) if isinstance(value, str) else value
        if not isinstance(size, (int, float)) or isinstance(size, bool):
            expected = "bytes, or a text such as '256MiB' (KiB MiB GiB TiB; kB MB GB TB)"
            meant = units.meant_size(value) if isinstance(value, str) else ""
            raise ValueError(f"expected {expected}, got {shown(value)}{meant}")
        _in_range(size, value, self.low, self.high)
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
        if self.or_one and not isinstance(value, list) and isinstance(value, dict) == isinstance(self.item, Record):
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
            text = item if isinstance(item, Verbatim) else self.text.read(item, here, reading)
            variables[name] = text if text is UNKNOWN else str(text)
            try:
                check_variable(name)
                if text is not UNKNOWN:
                    check_text(f"{name}={text}")
            except ValueError as error:
                reading.refuse(here, str(error), at_key=True, relation=isinstance(error, Unfit))
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
            *first, last = self.meanings
            expected = f"expected {', '.join(first)} or {last}"
            raise ValueError(f"{expected}, got {shown(value)}{_meant(value, self.meanings)}")
        return self.meanings[value]


class Signal(Scalar):
    """A signal, as a number or by its name with or without SIG. Gives the number."""

    __slots__ = ()

    def accept(self, value: Value) -> int:
        if isinstance(value, str) and (number := SIGNALS.get(value.removeprefix("SIG"))):
            return number
        value = _whole(value)
        if isinstance(value, int) and not isinstance(value, bool):
            _check_range(value, 1, LAST_SIGNAL)
            return value
        meant = _meant(value.upper().removeprefix("SIG"), SIGNALS) if isinstance(value, str) else ""
        raise ValueError(f"expected the name of a signal, such as TERM, or its number, got {shown(value)}{meant}")


class Range(Scalar):
    """A whole number, or a text `LOW-HIGH`, both ends in. Gives (low, high)."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def from_template(self, text: str) -> Value:
        return scalar(text)

    def accept(self, value: Value) -> tuple[int, int]:
        if isinstance(value, str) and patterns.fullmatch(RANGE, value):
            first, _, last = value.partition("-")
            ends = int(first), int(last or first)
            for end in ends:
                _in_range(end, value, self.low, self.high)
            if ends[0] > ends[1]:
                raise Unfit(f"the range {value} ends before it begins")
            return ends
        value = _whole(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(
                f"expected a whole number, or a range such as '{self.low}-{self.high}', got {shown(value)}"
            )
        _check_range(value, self.low, self.high)
        return value, value


class Shaped(Text):
    """A text of a certain form; `expected` says which, for people."""

    __slots__ = ("expected", "pattern")

    def __init__(self, pattern: str, expected: str) -> None:
        super().__init__(may_be_empty=False)
        self.pattern = pattern
        self.expected = expected

    def accept(self, value: Value) -> str:
        if not isinstance(value, str) or not patterns.fullmatch(self.pattern, value):
            bare = isinstance(value, (int, float)) and patterns.fullmatch(self.pattern, str(value))
            raise ValueError(f"expected {self.expected}, got {shown(value)}{'; put it in quotes' if bare else ''}")
        return super().accept(value)


class Cpus(Shaped):
    """Processors by number, and ranges of them."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(CPUS, "numbers of processors, such as '0-2,5'")

    def accept(self, value: Value) -> str:
        text = super().accept(value)
        for part in text.split(","):
            first, _, last = part.partition("-")
            if last and int(first) > int(last):
                raise Unfit(f"the range {part} ends before it begins")
        return text


class Capability(Word):
    """A capability of Linux by its name, with or without CAP_. Gives the name without."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__({spelt: name for name in CAPABILITIES for spelt in (name, f"CAP_{name}")})

    def accept(self, value: Value) -> Any:
        if not isinstance(value, str) or value not in self.meanings:
            hint = _meant(value.upper(), self.meanings) if isinstance(value, str) else ""
            raise ValueError(f"expected the name of a capability, such as NET_BIND_SERVICE, got {shown(value)}{hint}")
        return self.meanings[value]


class Rlimit(Scalar):
    """A limit of setrlimit(2): a whole number, `unlimited`, or `SOFT:HARD` of them. Gives (soft, hard); -1: none."""

    __slots__ = ()

    def accept(self, value: Value) -> tuple[int, int]:
        if isinstance(value, str) and patterns.fullmatch(RLIMIT, value):
            soft, _, hard = value.partition(":")
            both = _rlimit(soft), _rlimit(hard or soft)
            if both[1] != -1 and (both[0] == -1 or both[0] > both[1]):
                raise Unfit(f"the soft limit of {value} is above the hard one")
            return both
        value = _whole(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number, 'unlimited' or 'SOFT:HARD', got {shown(value)}")
        _check_range(value, 0, 2**63 - 1)
        return value, value


def _rlimit(text: str) -> int:
    return -1 if text == "unlimited" else int(text)


class Rate(Scalar):
    """Bits a second, as a whole number or a text with a unit. Gives bits."""

    __slots__ = ()

    def accept(self, value: Value) -> int:
        rate = units.rate(value) if isinstance(value, str) else _whole(value)
        if not isinstance(rate, (int, float)) or isinstance(rate, bool):
            raise ValueError(f"expected bits a second, or a text such as '20Mbit' (kbit Mbit Gbit), got {shown(value)}")
        return round(_in_range(rate, value, units.SLOWEST, 2**40))


class Port(Scalar):
    """A port, by its number or by the name that the task gives it. Gives a text."""

    __slots__ = ()

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if isinstance(value, str) and value[:2] == "{{" and value[-2:] == "}}":
            named = port_named(value[2:-2])  # the number that it stands for, by its name: inspect can show that
            if named is not None and patterns.fullmatch(PORT_NAME, named):
                value = named
        port = super().read(value, path, reading)
        if port is not UNKNOWN and not port.isdigit():
            reading.ports[port] = None
        return port

    def accept(self, value: Value) -> str:
        value = _whole(value)
        if isinstance(value, int) and not isinstance(value, bool):
            _check_range(value, 1, 65535)
            return str(value)
        if not isinstance(value, str) or not patterns.fullmatch(PORT_NAME, value):
            raise ValueError(f"expected the name of a port, or its number, got {shown(value)}{_quoted(value)}")
        return value


class Pattern(Text):
    """A regular expression of Python's `re`."""

    __slots__ = ()

    def accept(self, value: Value) -> str:
        import re
        import warnings

        text = super().accept(value)
        try:
            with warnings.catch_warnings():  # of what another Python may read otherwise, and only its authors care for
                warnings.simplefilter("ignore")
                re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise Unfit(f"{shown(text)} is no regular expression: {error}") from None
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
        condition: Any = reading.fill(value, here) if isinstance(value, str) and "{{" in value else value
        if condition is None and value is not None:
            return name, UNKNOWN, "succeeded", ""
        if not isinstance(condition, str) or condition not in CONDITIONS:
            hint = _meant(condition, CONDITIONS)
            reading.refuse(here, f"expected {', '.join(CONDITIONS)} or {{log: REGEX}}, got {shown(condition)}{hint}")
            return name, UNKNOWN, "succeeded", ""
        return name, filled, condition, ""


class Matrix:
    """The copies of a process; see `matrix`, which is needed only by a file that has one."""

    __slots__ = ()

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        from .matrix import combinations

        return combinations(value, path, reading)


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

    __slots__ = ("_silence", "fields", "finish", "what")

    def __init__(
        self,
        what: str,
        fields: dict[str, Field],
        finish: Callable[[dict[str, Any], Path, Reading], Any] | None = None,
    ) -> None:
        self.what = what
        self.fields = fields
        self.finish = finish
        # What silence means, read once; not what could be changed by who gets it.
        self._silence: dict[str, Any] = {
            name: field.kind.accept(field.default)
            for name, field in fields.items()
            if isinstance(field.kind, Scalar) and not isinstance(field.kind, Port) and field.default is not None
        }

    def read(self, value: Value, path: Path, reading: Reading) -> Any:
        if not isinstance(value, dict):
            reading.refuse(path, f"expected {self.what} (a mapping), got {shown(value)}")
            return UNKNOWN
        fields = self.fields
        if not value.keys() <= fields.keys():
            self._refuse_unknown(value, path, reading)
        record: dict[str, Any] = {}
        for name, field in fields.items():
            given = value.get(name)
            if given is not None:
                record[name] = field.kind.read(given, (*path, name), reading)
            elif field.omit:
                continue
            elif name in value and (field.required or field.default is not None):
                record[name] = field.kind.read(given, (*path, name), reading)  # which refuses null in its own words
            elif field.required:
                reading.refuse(path, f"missing field {name!r}")
                record[name] = UNKNOWN
            elif name in self._silence:
                record[name] = self._silence[name]
            elif field.default is None:
                record[name] = None
            else:
                record[name] = field.kind.read(field.default, (*path, name), reading)
        return self.finish(record, path, reading) if self.finish is not None else record

    def _refuse_unknown(self, value: dict[str, Value], path: Path, reading: Reading) -> None:
        for name in value:
            if name not in self.fields:
                known = ", ".join(self.fields)
                hint = reading.did_you_mean(name, self.fields) or f"; the fields of {self.what} are {known}"
                reading.refuse((*path, name), f"unknown field {shortened(name)!r}{hint}", at_key=True)


def check_text(text: str) -> None:
    """Raise ValueError for what execve(2) cannot carry."""
    if "\0" in text:
        raise Unfit("it holds a zero byte, which no program can be given")
    if len(text) * 4 <= LONGEST_TEXT and text.isascii():
        return
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise Unfit("it holds half of a surrogate pair, which is no character") from None
    if length > LONGEST_TEXT:
        raise Unfit(f"it is {length} bytes long; Linux takes at most {LONGEST_TEXT} in one argument or variable")


def check_variable(name: str) -> None:
    """Raise ValueError for what cannot be the name of an environment variable."""
    if not name or "=" in name:
        raise ValueError("the name of a variable is not empty and holds no '='")
    if "{{" in name:
        raise ValueError("templates are not filled in in the name of a variable")
    if name in OURS or name.startswith("THERMOS_PORT_"):
        raise Unfit("thermos gives every process its own value of that")


def _whole(value: Value) -> Value:
    """`3` for `3.0`: some that write JSON know no other numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _check_range(number: float, low: float, high: float) -> None:
    if not low <= number <= high:
        expected = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
        error = Unfit if number != number else ValueError  # no schema can speak of what is not a number
        raise error(f"expected {expected}, got {shown(number)}")


def _in_range(number: float, written: Value, low: float, high: float) -> float:
    """The number, unless it is out of range; of a text no pattern can tell."""
    try:
        _check_range(number, low, high)
    except ValueError as error:
        raise (Unfit if isinstance(written, str) else type(error))(str(error)) from None
    return number


def _quoted(value: Value) -> str:
    """Advice where a number was written as a text."""
    if isinstance(value, str) and isinstance(scalar(value), (int, float)) and not isinstance(scalar(value), bool):
        return "; remove the quotes"
    return ""


def _meant_flag(value: Value) -> str:
    if not isinstance(value, str):
        return ""
    word = value.lower()
    if word in ("yes", "on", "y", "true", "t"):
        return ": write true"
    return ": write false" if word in ("no", "off", "n", "false", "f") else ""


def _meant(value: Value, known: Iterable[str]) -> str:
    """`, did you mean 'x'?`, or nothing."""
    if not isinstance(value, str):
        return ""
    as_written = next((name for name in known if name.lower() == value.lower()), "")
    return f", did you mean {as_written!r}?" if as_written else did_you_mean(value, known)
