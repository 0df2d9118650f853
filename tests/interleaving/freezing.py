"""The state of the small world: copied, so that it can be had again, and hashed, so that it is recognised."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from operator import attrgetter
from types import FunctionType, MethodType
from typing import Any

from infra.memory.clock import MovedClock
from infra.memory.request_book import MemoryRequestBook
from matching.request_rules import RequestLimits

LEFT_OUT = (MovedClock, RequestLimits, MemoryRequestBook, FunctionType, MethodType)
"""The same in all states, or looked at by themselves."""

Digest = Callable[[Any], int]


class Digests:
    """Equal for equal contents; dictionaries and sets are in no order.

    What cannot change is digested once.
    """

    def __init__(self) -> None:
        self._of_kind: dict[type, Digest] = {}
        self._kept: dict[int, tuple[object, int]] = {}

    def forget(self) -> None:
        """Begin anew, before too much is kept."""
        self._kept.clear()

    def of(self, value: Any) -> int:
        digest = self._of_kind.get(type(value))
        if digest is None:
            digest = self._of_kind[type(value)] = self._for(value)
        return digest(value)

    def of_parts(self, value: object, left_out: Collection[str] = ()) -> int:
        """The attributes of an object that changes."""
        of = self.of
        return hash(tuple([of(part) for name, part in vars(value).items() if name not in left_out]))

    def _for(self, value: Any) -> Digest:
        if value is None or isinstance(value, LEFT_OUT):
            return lambda _: 0
        if isinstance(value, Mapping):
            return self._mapping
        if isinstance(value, set | frozenset):
            return lambda items: hash(frozenset(map(self.of, items)))
        if isinstance(value, list | tuple):
            return lambda items: hash(tuple(map(self.of, items)))
        if isinstance(value, BaseException):
            return lambda error: hash(repr(error))
        if is_dataclass(value):
            names = tuple(field.name for field in fields(value))
            frozen = _is_frozen(type(value))
            return self._once(type(value), names) if frozen else self._fields(type(value), names)
        if getattr(type(value), "__hash__", None) in (None, object.__hash__):
            return self.of_parts
        return hash

    def _mapping(self, items: Mapping[Any, Any]) -> int:
        of = self.of
        return hash(frozenset([(of(key), of(item)) for key, item in items.items()]))

    def _fields(self, kind: type, names: tuple[str, ...]) -> Digest:
        """At once where all fields can be hashed, which is the fast way, else one by one."""
        of, parts = self.of, attrgetter(*names, "__class__")

        def one_by_one(value: object) -> int:
            return hash(tuple([of(getattr(value, name)) for name in names]))

        def at_once(value: object) -> int:
            try:
                return hash(parts(value))
            except TypeError:
                self._of_kind[kind] = one_by_one
                return one_by_one(value)

        return at_once

    def _once(self, kind: type, names: tuple[str, ...]) -> Digest:
        kept, fresh = self._kept, self._fields(kind, names)

        def digest(value: object) -> int:
            known = kept.get(id(value))
            if known is None:
                # With the value itself, or its number could be another's one day.
                known = kept[id(value)] = (value, fresh(value))
            return known[1]

        return digest


class Copies:
    """Copies of what changes; what cannot change is shared, and what is known by several stays the same for all."""

    def __init__(self) -> None:
        self._of_kind: dict[type, Callable[[Any], Any]] = {}
        self._made: dict[int, Any] = {}

    def of(self, *values: Any) -> tuple[Any, ...]:
        self._made.clear()
        return tuple(map(self._of, values))

    def _of(self, value: Any) -> Any:
        copy = self._of_kind.get(type(value))
        if copy is None:
            copy = self._of_kind[type(value)] = self._for(value)
        return copy(value)

    def _for(self, value: Any) -> Callable[[Any], Any]:
        if isinstance(value, dict):
            return lambda items: {key: self._of(item) for key, item in items.items()}
        if isinstance(value, list):
            return lambda items: list(map(self._of, items))
        if isinstance(value, set):
            return set
        if hasattr(value, "__dict__") and not _cannot_change(type(value)):
            return self._parts
        return lambda same: same

    def _parts(self, value: Any) -> Any:
        copy = self._made.get(id(value))
        if copy is None:
            copy = self._made[id(value)] = object.__new__(type(value))
            copy.__dict__.update((name, self._of(part)) for name, part in vars(value).items())
        return copy


def _cannot_change(kind: type) -> bool:
    frozen = is_dataclass(kind) and _is_frozen(kind)
    return frozen or issubclass(kind, Enum | FunctionType | MethodType | type)


def _is_frozen(kind: Any) -> bool:
    return bool(kind.__dataclass_params__.frozen)
