"""A struct as plain values: texts filled in, fields checked, in one walk that goes on after a mistake.

pystachio's own `interpolate` and `check` give the same values, and stop at the first thing wrong without saying where.
The rules are pystachio's own here too: what a name stands for is looked up in the struct's own fields, what is bound to
it, then in what is around it; texts are filled in by its parser and made numbers by its types. Only a `{{&x}}` is left
as it is, for whoever fills in what the run alone knows.
"""

from __future__ import annotations

from pystachio import Empty, Environment, MustacheParser, Ref
from pystachio.base import Object
from pystachio.choice import ChoiceContainer
from pystachio.composite import Structural
from pystachio.container import ListContainer, MapContainer

from .places import made_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .places import Spot

    Path = tuple[str | int, ...]


class Fault:
    """Something wrong with the value at `path`."""

    __slots__ = ("message", "path")

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        self.message = message


class Walk:
    """`known`: does the run know this name? `spots`: where each path is written: exactly, and in the top file.

    `defaults`: the paths of what nobody has written and the schema says.
    """

    def __init__(self, known: Callable[[str], bool]) -> None:
        self.known = known
        self.faults: list[Fault] = []
        self.spots: dict[Path, tuple[Spot, Spot]] = {}
        self.defaults: set[Path] = set()
        self._super: dict[tuple[int, ...], tuple[Any, Any]] = {}

    def plain(self, thing: Any, scopes: tuple[Any, ...] = (), path: Path = ()) -> Any:
        """The plain value of an object inside `scopes`. What is wrong becomes None, and a fault."""
        if isinstance(thing, Structural):
            return self._struct(thing, scopes, path)
        scopes = thing._scopes + scopes
        if isinstance(thing, ListContainer):
            return [self.plain(each, scopes, (*path, number)) for number, each in enumerate(thing._values)]
        if isinstance(thing, MapContainer):
            return {
                str(self.plain(key, scopes, (*path, str(key.get())))): self.plain(
                    value, scopes, (*path, str(key.get()))
                )
                for key, value in thing._map
            }
        if isinstance(thing, ChoiceContainer):
            return self._choice(thing, scopes, path)
        return self._simple(thing, scopes, path)

    def scopes_within(self, struct: Any, scopes: tuple[Any, ...]) -> tuple[Any, ...]:
        """What names in a struct's fields are looked up in: as `Structural.scopes`, with what does not change kept."""
        around = struct._scopes + scopes
        own = struct._self_scope()
        key = tuple(map(id, around))
        kept = self._super.get(key)
        if kept is None:  # kept with what it is made of, whose ids would be given to others otherwise
            kept = self._super[key] = (around, struct._cast_scopes_to_child(around))
        return (Environment({"self": own}), own, *around, *kept[1])

    def _struct(self, struct: Any, scopes: tuple[Any, ...], path: Path) -> dict[str, Any]:
        made = made_of(struct)
        if made is not None:
            self.spots[path] = (made.here, made.top)
            for field, spots in made.fields.items():
                self.spots[(*path, field)] = spots
        inside = self.scopes_within(struct, scopes)
        values: dict[str, Any] = {}
        for name, signature in struct.TYPEMAP.items():
            value = struct._schema_data[name]
            if value is not Empty:
                values[name] = self.plain(value, inside, (*path, name))
                if _is_default(value, signature.default, made is not None and name not in made.fields):
                    self.defaults.add((*path, name))
            elif signature.required:
                self.faults.append(Fault(path, f"missing field {name!r} of {type(struct).__name__}"))
        return values

    def _choice(self, choice: Any, scopes: tuple[Any, ...], path: Path) -> Any:
        """The first alternative that the value fits, or else, for their reasons, the first that it can be made."""
        value = choice._value
        first: Walk | None = None
        result: Any = None
        for alternative in choice.CHOICES:
            if not isinstance(value, alternative) and isinstance(value, Object):
                continue
            try:
                candidate = value if isinstance(value, alternative) else alternative(value)
            except (ValueError, AttributeError, TypeError):
                continue
            attempt = Walk(self.known)
            plain = attempt.plain(candidate, scopes, path)
            if first is None or not attempt.faults:
                first, result = attempt, plain
            if not attempt.faults:
                break
        if first is None:
            kinds = ", ".join(alternative.__name__ for alternative in choice.CHOICES)
            self.faults.append(Fault(path, f"it is none of {kinds}"))
            return None
        self.faults += first.faults
        self.spots.update(first.spots)
        self.defaults |= first.defaults
        return result

    def _simple(self, thing: Any, scopes: tuple[Any, ...], path: Path) -> Any:
        value = thing._value
        if isinstance(value, str) and "{{" in value:
            try:
                value, unbound = fill(value, scopes)
            except Exception as error:  # what a name stands for is asked for its text, whatever it is
                self.faults.append(Fault(path, _why_not_filled(value, error)))
                return None
            if unbound:
                self._check_unbound(unbound, path)
                return value
        try:
            return thing.coerce(value)
        except (ValueError, OverflowError, TypeError, Object.CoercionError):
            self.faults.append(
                Fault(path, f"expected {_KINDS.get(type(thing).__name__, _alternatives(thing))}, got {_shown(value)}")
            )
            return None

    def _check_unbound(self, unbound: list[str], path: Path) -> None:
        for name in dict.fromkeys(unbound):
            if not self.known(name):
                message = (
                    f"nothing is bound to {{{{{name}}}}}: bind it in the file, or give it with --bind {name}=VALUE"
                )
                self.faults.append(Fault(path, message))


def _is_default(value: Any, default: Any, unsaid: bool) -> bool:
    """The very object of the schema's, or its like in a copy that pystachio has made, where no call names the field."""
    if value is default or not unsaid or default is Empty:
        return value is default
    composite = isinstance(value, (Structural, ListContainer, MapContainer, ChoiceContainer))
    return bool(not composite and value.get() == default.get())


LONGEST = 1 << 20  # characters, as in `thermos.config.templates`

_KINDS = {
    "String": "text",
    "Integer": "a whole number",
    "Float": "a number",
    "Boolean": "true or false",
}


def fill(text: str, scopes: tuple[Any, ...]) -> tuple[str, list[str]]:
    """A text with its templates filled in, round by round until nothing changes, and the names nothing is bound to.

    As `MustacheParser.resolve` does it, but for the last step, where that one makes `{{&x}}` to `{{x}}`.
    """
    found: dict[Any, Any] = {}
    for _ in range(MustacheParser.MAX_ITERATIONS):
        pieces = MustacheParser.split(text, keep_aliases=True)
        names = [piece for piece in pieces if isinstance(piece, Ref)]
        text, unbound = MustacheParser.join(pieces, *scopes, found_refs=found)
        if len(text) > LONGEST:
            raise ValueError(f"filled in, it is longer than {LONGEST} characters")
        if unbound == names:
            return text, [name.address() for name in unbound]
    raise MustacheParser.Uninterpolatable(text)


def _why_not_filled(text: str, error: Exception) -> str:
    if isinstance(error, Ref.InvalidRefError):
        return (
            f"{_template_in(text)} is no template: no spaces or other signs may stand in one; "
            "for such a text itself write {{&...}}"
        )
    if isinstance(error, (MustacheParser.Uninterpolatable, RecursionError)):
        rounds = MustacheParser.MAX_ITERATIONS
        return f"its templates still change after {rounds} rounds: one stands for a text that names itself"
    return str(error) or type(error).__name__


def _template_in(text: str) -> str:
    for match in MustacheParser._MUSTACHE_RE.finditer(text):
        if match[1] is None:
            try:
                Ref.from_address(match[2])
            except Ref.InvalidRefError:
                return repr(match[0])
    return "what it is filled in with"


def _alternatives(thing: Any) -> str:
    return " or ".join(getattr(thing, "VALUES", ("another value",)))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:57] + '...'!r}"
    return repr(value)[:60]
