from collections.abc import Callable
from typing import Any

from .base import Object

class Empty: ...

class Structural(Object):
    TYPEMAP: Any
    dup: Callable[..., Any]
    interpolate: Callable[..., Any]
    def __init__(self, *arguments: Any, **fields: Any) -> None: ...
    def __call__(self, **fields: Any) -> Any: ...

class Struct(Structural): ...

class IsNotMappingError(ValueError):
    arg: Any
