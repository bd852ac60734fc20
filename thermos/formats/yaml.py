"""YAML 1.2 by PyYAML's events: its parser, and our own, smaller idea of what a value is.

Not PyYAML's constructor, which reads YAML 1.1 (`no` is false, `22:22` is 1342), honours tags, expands aliases without
bound and recurses. `<<` merges as everybody knows it from other tools, though YAML 1.2 has dropped it.
"""

from __future__ import annotations

from thermos.config.scalars import scalar

from .document import DEEPEST, Builder, Document, Place
from .problems import TaskFileError, unreadable
from .pyyaml import yaml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from thermos.config.wording import Value

MOST_REPEATED = 100_000  # values that aliases may add
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


class _NotSimple:
    """Stands for a value that takes the whole of YAML to read."""


_NOT_SIMPLE = _NotSimple()
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, file: str) -> Document:
    """Raises TaskFileError where the text is not YAML, or holds what a task file has no use for."""
    try:
        value: Any = _simple(text)
    except yaml.YAMLError:
        value = _NOT_SIMPLE
    if value is not _NOT_SIMPLE:
        return Document(value, lambda: _read(text, file).place, [])
    builder = _read(text, file)
    return Document(builder.value, lambda: builder.place, builder.problems)


def _read(text: str, file: str) -> Builder:
    """Everything YAML has, with its places."""
    reader = _Reader(file)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.reader.ReaderError as error:
        raise _not_text(text, file, error) from None
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(text, file, error) from None
    return reader.builder


def _simple(text: str) -> Any:
    """The value of a text that is YAML without anchors, tags, merges or mistakes, in a third of the time.

    Most files are so. Of all others this says only that they are not.
    """
    next_event: Callable[[], Any] = _Loader(text).get_event
    whole: Any = _NOT_SIMPLE
    top: dict[str, Value] | list[Value] | None = None  # the innermost open list or mapping
    key: str | None = None  # of a mapping, where its next value goes
    around: list[dict[str, Value] | list[Value] | None] = []
    while True:
        event = next_event()
        kind: Any = event.__class__
        value: Value
        opened: dict[str, Value] | list[Value] | None = None
        if kind is yaml.ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                return _NOT_SIMPLE
            if key is None and isinstance(top, dict):
                key = str(event.value)
                if key in top or key == "<<":
                    return _NOT_SIMPLE
                continue
            value = scalar(event.value) if event.implicit[0] else event.value
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.anchor is not None or event.tag is not None or len(around) >= DEEPEST:
                return _NOT_SIMPLE
            opened = {} if kind is yaml.MappingStartEvent else []
            value = opened
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            top = around.pop()
            continue
        elif kind is yaml.StreamEndEvent:
            return whole
        elif kind is yaml.AliasEvent or (kind is yaml.DocumentStartEvent and whole is not _NOT_SIMPLE):
            return _NOT_SIMPLE
        else:
            continue
        if isinstance(top, list):
            top.append(value)
        elif top is None:
            whole = value
        elif key is None:
            return _NOT_SIMPLE  # a list or mapping where a name should be
        else:
            top[key] = value
            key = None
        if opened is not None:
            around.append(top)
            top = opened


class _Reader:
    def __init__(self, file: str) -> None:
        self.builder = Builder(file)
        self.anchors: dict[str, tuple[Value, Place, int]] = {}  # with the number of values it stands for
        self.opened: list[tuple[str | None, int]] = []  # the anchor of each open collection, the values before it
        self.values = 0
        self.repeated = 0
        self.documents = 0

    def take(self, event: Any) -> None:
        builder = self.builder
        if isinstance(event, yaml.ScalarEvent):
            self.values += 1
            plain = event.implicit[0] and event.tag is None
            self.check_tag(event)
            self.put(event.value if builder.wants_key() or not plain else scalar(event.value), event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self.values += 1
            self.check_tag(event)
            if builder.wants_key():
                raise self.refuse(event, "a field's name is a word; a text that begins with '{' or '[' needs quotes")
            place = _place(event)
            builder.open({} if isinstance(event, yaml.MappingStartEvent) else [], place)
            self.opened.append((event.anchor, self.values))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            whole = builder.close()
            anchor, before = self.opened.pop()
            if isinstance(whole.value, dict) and "<<" in whole.value:
                self.merge(whole.value, whole.place)
            if anchor is not None:
                self.anchors[anchor] = (whole.value, whole.place, self.values - before + 1)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self.refuse(event, "a second document begins; a task file holds one")

    def put(self, value: Value, event: Any) -> None:
        place = _place(event)
        if self.builder.wants_key():
            self.builder.key(str(value), place.line, place.column)
        else:
            self.builder.add(value, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, place, 1)

    def alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self.refuse(event, f"'*{event.anchor}' stands for nothing: no '&{event.anchor}' has ended before it")
        value, place, values = self.anchors[event.anchor]
        self.values += values
        self.repeated += values
        if self.repeated > MOST_REPEATED:
            raise self.refuse(event, f"its aliases repeat more than {MOST_REPEATED} values")
        if self.builder.wants_key():
            if not isinstance(value, str):
                raise self.refuse(event, "a field's name is a word, not an alias")
            here = _place(event)
            self.builder.key(value, here.line, here.column)
        else:
            self.builder.add(value, place)

    def merge(self, fields: dict[str, Value], place: Place) -> None:
        """Give a mapping what it lacks of those under its `<<`, the first of them first."""
        merged = fields.pop("<<")
        source = place.below.pop("<<")
        column = place.keys.pop("<<")
        several = isinstance(merged, list)
        for number, other in enumerate(merged if isinstance(merged, list) else [merged]):
            if not isinstance(other, dict):
                raise unreadable(self.builder.file, *column, "'<<' takes a mapping or a list of mappings")
            origin = source.below[number] if several else source
            for name in other:
                if name not in fields:
                    fields[name] = other[name]
                    place.keys[name] = origin.keys[name]
                    place.below[name] = origin.below[name]

    def check_tag(self, event: Any) -> None:
        if event.tag not in _PLAIN_TAGS:
            raise self.refuse(event, f"tags have no use in a task file: remove {event.tag!r}")

    def refuse(self, event: Any, why: str) -> TaskFileError:
        place = _place(event)
        return unreadable(self.builder.file, place.line, place.column, why)


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


#: What the parser says of a text that should have stood in quotes.
_SLIPS = (
    "mapping values are not allowed",
    "cannot start any token",
    "did not find expected alphabetic or numeric character",
    "did not find expected key",
)


def _not_yaml(text: str, file: str, error: yaml.MarkedYAMLError) -> TaskFileError:
    mark: Any = error.problem_mark or error.context_mark
    if mark is None:
        return unreadable(file, 0, 0, f"not YAML: {error.problem}")
    why = ", ".join(filter(None, (error.context, error.problem)))
    lines = text.splitlines()
    if mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        why = "YAML is indented with spaces, and this is a tab"
    elif any(slip in why for slip in _SLIPS):
        why += "; a text that holds ': ' or begins with one of @`%*&!\"' needs quotes, or lines of its own below '|'"
    return unreadable(file, mark.line + 1, mark.column + 1, f"not YAML: {why}")


def _not_text(text: str, file: str, error: Any) -> TaskFileError:
    # The parser in C counts bytes, the one in Python characters.
    before = (
        text.encode()[: error.position].decode(errors="replace")
        if _Loader is not yaml.SafeLoader
        else text[: error.position]
    )
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return unreadable(file, line, column, f"not YAML: {error.reason}")
