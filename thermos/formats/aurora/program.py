"""Runs a file and what it includes, and says what of it went wrong, where, in the file's own terms."""

from __future__ import annotations

import os
import stat
import sys
import types

import pystachio
from pystachio.composite import IsNotMappingError, Structural

from . import python2, recipes, schema
from .places import Sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from .places import Spot

DEEPEST = 50  # files that include one another
LARGEST = 16 << 20  # bytes of an included file

_OF_PYSTACHIO = """
    Boolean Choice Default Empty Enum Environment Float Integer List Map MustacheParser Namable Ref Required String
    Struct Type TypeCheck TypeFactory
"""
_OF_THERMOS = """
    BYTES KB MB GB TB Constraint Logger LoggerDestination LoggerMode Process Resources RotatePolicy Task ThermosContext
"""
_OF_AURORA = """
    Announcer AppcImage BatchUpdateStrategy Container CoordinatorSlaPolicy CountSlaPolicy DefaultHealthChecker
    DefaultLifecycleConfig DisableLifecycle Docker DockerImage ExecutorConfig HealthCheckConfig HealthCheckerConfig
    HttpHealthChecker HttpLifecycleConfig Job LifecycleConfig Mesos MesosContext MesosJob MesosTaskInstance Metadata
    Mode Parameter PartitionPolicy PercentageSlaPolicy QueueUpdateStrategy Service ShellHealthChecker UpdateConfig
    VariableBatchUpdateStrategy Volume
"""
_RECIPES = """
    Options Processes SequentialTask SimpleTask Tasks Units combine_tasks concat_tasks java_options order python_options
"""

#: Modules that files of old import what they have anyway from.
_OLD_HOMES = (
    "apache",
    "apache.aurora",
    "apache.aurora.config",
    "apache.aurora.config.schema",
    "apache.aurora.config.schema.base",
    "apache.thermos",
    "apache.thermos.config",
    "apache.thermos.config.schema",
    "apache.thermos.config.schema_base",
    "apache.thermos.config.schema_helpers",
)


class CannotRun(Exception):
    """`spot`: file, line and column (0 where that is not known)."""

    def __init__(self, spot: Spot, why: str) -> None:
        super().__init__(why)
        self.spot = spot
        self.why = why


class Program:
    """`ask`: the text of a file that this process may not read, or an exception that says why not."""

    def __init__(self, file: str, dialect: str, ask: Callable[[str], str]) -> None:
        self.file = file
        self.ask = ask
        self.sources = Sources(file)
        self.under_way: list[str] = []
        self.tasks: list[Any] = []
        self.names = _names(dialect)
        _fill_old_homes(self.names)
        self.names.update(__name__="__main__", __file__=file, __builtins__=python2.names(), include=self._include)
        if dialect == "thermos":
            self.names["export"] = self._export

    def run(self, text: str) -> None:
        """Raises CannotRun."""
        try:
            self._run(self.file, text)
        except CannotRun:
            raise
        except BaseException as error:
            raise self._blamed(error) from None

    def _run(self, file: str, text: str) -> None:
        self.under_way.append(file)
        try:
            tree = python2.parse(text, file)
        except SyntaxError as error:
            spot = (file, error.lineno or 0, max(error.offset or 1, 1))
            raise CannotRun(spot, f"it is not Python: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise CannotRun((file, 0, 0), f"it is not Python: {error}") from None
        self.sources.add(file, text, tree)
        exec(compile(tree, file, "exec", dont_inherit=True), self.names)  # noqa: S102
        self.under_way.pop()

    def _include(self, path: str) -> None:
        file = os.path.normpath(os.path.join(os.path.dirname(self.under_way[-1]), path))
        if file in self.under_way:
            circle = " -> ".join([*self.under_way[self.under_way.index(file) :], file])
            raise _Refused(f"files include one another in a circle: {circle}")
        if len(self.under_way) >= DEEPEST:
            raise _Refused(f"files include one another more than {DEEPEST} deep")
        try:
            text = _read(file)
        except OSError:
            text = self.ask(file)
        depth = len(self.under_way)
        try:
            self._run(file, text)
        finally:
            del self.under_way[depth:]

    def _export(self, task: Any) -> None:
        if not isinstance(task, schema.Task):
            if not isinstance(task, dict):
                raise ValueError(f"export() takes a Task, not {task!r}")
            task = schema.Task(task)
        self.tasks.append(task)

    def _blamed(self, error: BaseException) -> CannotRun:
        spot = self._spot(sys.exc_info()[2])  # the error may have a `__traceback__` of its own
        return CannotRun(spot, self.said_by(error))

    def _spot(self, trace: TracebackType | None) -> Spot:
        spot: Spot = (self.file, 0, 0)
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename in self.sources.lines:
                line, _, offset, _ = self.sources.at(code, trace.tb_lasti)
                spot = self.sources.spot(code.co_filename, line, offset)
            trace = trace.tb_next
        return spot

    def said_by(self, error: BaseException) -> str:
        """What an exception says, to whoever wrote the file; whatever comes of asking it, where the file defines it."""
        try:
            return self._why(error)
        except BaseException:
            return "an exception that raises another one when it is asked what it is"

    def _why(self, error: BaseException) -> str:
        if isinstance(error, _Refused):
            return str(error)
        if isinstance(error, SystemExit):
            return f"it calls sys.exit({'' if error.code is None else _repr(error.code)})"
        if isinstance(error, MemoryError):
            return "it needs more memory than it may have"
        kind = type(error).__name__
        said = _said(error)
        struct = _struct_without(error)
        if struct is not None:
            kind_of_struct, field = struct
            said = f"{kind_of_struct.__name__} has no field {field!r}"
            near = _near(field, kind_of_struct.TYPEMAP)
            return said + (near or f"; it has {', '.join(sorted(kind_of_struct.TYPEMAP))}")
        if isinstance(error, IsNotMappingError):
            here = _innermost(error).tb_frame.f_locals
            return f"{type(here['self']).__name__} is made of fields, not of {_shown(error.arg)}"
        if isinstance(error, NameError) and error.name:
            elsewhere = "; only .aurora files have it" if error.name in _OF_AURORA.split() else ""
            return f"{kind}: {said}{elsewhere or _near(error.name, self.names)}"
        if isinstance(error, ModuleNotFoundError) and error.name in sys.stdlib_module_names:
            return f"{kind}: {said}; this Python lies where only root may enter, and a file gets the best known modules"
        if isinstance(error, PermissionError) and error.errno == 1:
            return f"{kind}: {said}; a task file may compute and read, and not write, start programs or use the network"
        return f"{kind}: {said}" if said else kind


class _Refused(Exception):
    """What `include` says no to."""


def refuse(why: str) -> Exception:
    return _Refused(why)


def _read(file: str) -> str:
    """Raises OSError for what this process may not read, and for what is no regular file."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("no regular file")
        with open(fd, "rb", closefd=False) as source:
            content = source.read(LARGEST + 1)
    finally:
        os.close(fd)
    return decoded(content)


def decoded(content: bytes) -> str:
    """The text of an included file. Raises what `include` raises."""
    if len(content) > LARGEST:
        raise _Refused(f"the included file is larger than {LARGEST >> 20} MiB")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise _Refused("the included file is not UTF-8 text") from None


def _names(dialect: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for home, listed in (
        (pystachio, _OF_PYSTACHIO),
        (schema, _OF_THERMOS + (_OF_AURORA if dialect == "aurora" else "")),
        (recipes, _RECIPES),
    ):
        names.update((name, getattr(home, name)) for name in listed.split())
    return names


def _fill_old_homes(names: dict[str, Any]) -> None:
    for name in _OLD_HOMES:
        module = types.ModuleType(name)
        vars(module).update(names, __path__=[])
        sys.modules[name] = module


def _said(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except BaseException:  # a file may define its own exceptions, which raise SystemExit
        return ""


def _repr(thing: object) -> str:
    try:
        return repr(thing)
    except BaseException:
        return f"a {type(thing).__name__}"


def _struct_without(error: BaseException) -> tuple[Any, str] | None:
    """The struct and the field it does not have, where that is what pystachio complains of."""
    if not isinstance(error, AttributeError):
        return None
    here = _innermost(error).tb_frame.f_locals
    struct, field = here.get("self"), here.get("attr")
    if isinstance(struct, Structural) and isinstance(field, str) and field not in struct.TYPEMAP:
        return type(struct), field
    return None


def _innermost(error: BaseException) -> TracebackType:
    trace = error.__traceback__
    assert trace is not None  # it has been raised
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _shown(thing: Any) -> str:
    return _repr(thing) if isinstance(thing, (str, int, float)) else f"a {type(thing).__name__}"


def _near(name: str, known: Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name[:100], [each for each in known if each.isidentifier()], 1)
    return f", did you mean {near[0]!r}?" if near else ""
