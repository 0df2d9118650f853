"""Ports at each call of which whoever calls is stopped."""

from __future__ import annotations

import inspect
from typing import Any

from tests.interleaving.strands import STRAND, undisturbed


class StoppingPort:
    """Any port, whatever its methods: each awaited call is a stop, then happens as one transaction does.

    While a scene is being set, and in its aftermath, calls pass through.
    """

    def __init__(self, name: str, port: object) -> None:
        self._name = name
        self._port = port

    def __getattr__(self, method: str) -> Any:
        made = getattr(self._port, method)
        if not inspect.iscoroutinefunction(made):
            return made

        async def call(*args: Any, **kwargs: Any) -> Any:
            strand = STRAND.get()
            if strand is None:
                return await undisturbed(made(*args, **kwargs))
            return await strand.call(label, lambda: made(*args, **kwargs))

        label = f"{self._name}.{method}"
        self.__dict__[method] = call
        return call
