"""Files are Python 2, and we are not: its syntax, its names, its division and its dictionaries.

Names are given with their old meaning (`map` makes a list), expressions that meant something else are compiled to
calls (`7 / 2` is 3, unless the file asks for `division`), and syntax that is no longer any is translated where a file
does not parse otherwise. What has no sound translation is left to fail: text is text, so `"x".encode()` gives bytes.
"""

from __future__ import annotations

import ast
import builtins
import functools
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

#: Translations of lib2to3 that neither guess nor move lines.
_FIXERS = ("except", "exec", "ne", "numliterals", "print", "raise", "repr", "unicode")

_DIVIDE = " divide"  # no file can use such a name
_ATTRIBUTE = " attribute"


def parse(text: str, file: str) -> ast.Module:
    """The tree of a file, ready to be compiled. Raises SyntaxError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, file)
            _refuse_printing_by_shift(tree)
    except SyntaxError as error:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(_translated(text, error), file)
        except SyntaxError:
            raise error from None
    _Meaning(_divides(tree)).visit(tree)
    return ast.fix_missing_locations(tree)


def _refuse_printing_by_shift(tree: ast.Module) -> None:
    """`print >>file, x` parses today, as a comparison of sorts. Raises SyntaxError."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left=ast.Name(id="print"), op=ast.RShift()):
                raise SyntaxError("print >>file, ...", ("", node.lineno, node.col_offset + 1, ""))
            case _:
                pass


def _translated(text: str, error: SyntaxError) -> str:
    """Raises `error`, with the place moved to where Python 2 fails too, if that is further on."""
    try:
        from lib2to3.pgen2.parse import ParseError
        from lib2to3.pgen2.tokenize import TokenError
        from lib2to3.refactor import RefactoringTool
    except ImportError:
        error.msg = (
            f"{error.msg} (if it is Python 2: this Python has no lib2to3 any more, which would translate it; "
            "Python 3.12 has)"
        )
        raise error from None
    fixers = [f"lib2to3.fixes.fix_{name}" for name in _FIXERS]
    text = text if text.endswith("\n") else text + "\n"
    for options in ({}, {"print_function": True}):
        try:
            return str(RefactoringTool(fixers, options).refactor_string(text, "file"))
        except (ParseError, TokenError) as later:
            says, (line, offset) = ("invalid syntax", later.context[1]) if isinstance(later, ParseError) else later.args
            if line > (error.lineno or 0):
                error.msg, error.lineno, error.offset = f"{says} (as Python 2)", line, offset + 1
        except Exception:  # its tokenizer raises what it likes; what Python 3 says of the file is good enough
            continue
    raise error from None


def _divides(tree: ast.Module) -> bool:
    """Whether `/` has its new meaning."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(name.name == "division" for name in node.names)
        for node in tree.body
    )


class _Meaning(ast.NodeTransformer):
    def __init__(self, divides: bool) -> None:
        self.divides = divides

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if self.divides or not isinstance(node.op, ast.Div):
            return node
        return ast.copy_location(_call(_DIVIDE, node.left, node.right), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if self.divides or not isinstance(node.op, ast.Div) or not isinstance(node.target, ast.Name):
            return node
        value = ast.Name(node.target.id, ast.Load())
        return ast.copy_location(ast.Assign([node.target], _call(_DIVIDE, value, node.value)), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or node.attr not in _OLD_ATTRIBUTES:
            return node
        return ast.copy_location(_call(_ATTRIBUTE, node.value, ast.Constant(node.attr)), node)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    return left / right


def _has_key(mapping: Any) -> Callable[[Any], bool]:
    return lambda key: key in mapping


def _listing(name: str) -> Callable[[Any], Callable[[], list[Any]]]:
    return lambda mapping: lambda: list(getattr(mapping, name)())


def _iterating(name: str) -> Callable[[Any], Callable[[], Any]]:
    return lambda mapping: lambda: iter(getattr(mapping, name)())


_OF_DICTIONARIES: dict[str, Callable[[Any], Any]] = {
    "has_key": _has_key,
    "keys": _listing("keys"),
    "values": _listing("values"),
    "items": _listing("items"),
    "iterkeys": _iterating("keys"),
    "itervalues": _iterating("values"),
    "iteritems": _iterating("items"),
}
_OLD_ATTRIBUTES = {*_OF_DICTIONARIES, "next", "decode"}


def _attribute(thing: Any, name: str) -> Any:
    if name in _OF_DICTIONARIES and issubclass(thing.__class__, dict):
        return _OF_DICTIONARIES[name](thing)
    if issubclass(thing.__class__, str) and name == "decode":
        return functools.partial(_decoded, thing)
    if name == "next" and not hasattr(thing, "next") and hasattr(thing, "__next__"):
        return thing.__next__
    return getattr(thing, name)


def _decoded(text: str, *_encoding: str) -> str:
    return text


def _map(function: Any, *sequences: Iterable[Any]) -> list[Any]:
    """Up to the end of the longest, and without a function the items themselves."""
    from itertools import zip_longest

    rows = zip_longest(*sequences) if len(sequences) > 1 else zip(*sequences, strict=True)
    if function is None:
        return [row if len(sequences) > 1 else row[0] for row in rows]
    return [function(*row) for row in rows]


def _filter(function: Any, sequence: Iterable[Any]) -> Any:
    kept = builtins.filter(function, sequence)
    if isinstance(sequence, str):
        return "".join(kept)
    return tuple(kept) if isinstance(sequence, tuple) else list(kept)


def _zip(*sequences: Iterable[Any]) -> list[Any]:
    return list(builtins.zip(*sequences, strict=False))


def _range(*bounds: int) -> list[int]:
    return list(builtins.range(*bounds))


def _cmp(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def names() -> dict[str, Any]:
    """The builtins of a file."""
    return {
        **vars(builtins),
        "map": _map,
        "filter": _filter,
        "zip": _zip,
        "range": _range,
        "xrange": builtins.range,
        "reduce": functools.reduce,
        "cmp": _cmp,
        "unicode": str,
        "basestring": str,
        "long": int,
        "unichr": chr,
        "file": open,
        _DIVIDE: _divide,
        _ATTRIBUTE: _attribute,
    }
