"""Ways to send that tamper with what passes through them: bad or missing values, bodies that end too soon."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.service.baddata import spoil
from dicomframe.service.faultplan import Rule, Truncate

if TYPE_CHECKING:
    from starlette.types import Message, Send

    from dicomframe.service.inject import Chosen

#: So much of a body is held back until it is known where to cut it.
_MOST_HELD: Final = 1 << 20


class Spoiled:
    """A way to send that makes values of DICOM JSON bad.

    Parameters
    ----------
    send
        Of ASGI.
    chosen : Chosen
        The rule, of `BadValues`.
    """

    def __init__(self, send: Send, chosen: Chosen) -> None:
        self._send = send
        self._chosen = chosen
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Hold good JSON back until all of it is there; let everything else pass."""
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_all(self._start)

    async def _send_all(self, start: Message) -> None:
        body = self._body
        rows = orjson.loads(body) if body else None
        if isinstance(rows, list) and self._change(rows) and self._chosen.strikes():
            body = orjson.dumps(rows)
        await self._send({**start, "headers": _sized(start, len(body))})
        await self._send({"type": "http.response.body", "body": body})

    def _change(self, rows: list[Any]) -> bool:
        """Make values of rows bad; tell whether any is."""
        rule: Any = self._chosen.rule
        dice = self._chosen.dice
        return True in [spoil(row, rule.kinds, dice) for row in rows if dice.random() < rule.share]


class Withheld(Spoiled):
    """A way to send that leaves metadata out: of a change feed's entries, else all rows."""

    def _change(self, rows: list[Any]) -> bool:
        had = len(rows)
        if rows and all("sequence" in row for row in rows):
            held = [row.pop("metadata", None) for row in rows]
            return any(each is not None for each in held)
        rows.clear()
        return had > 0


class Cut:
    """A way to send that ends in the middle of the body; what comes after that is let go.

    Parameters
    ----------
    send
        Of ASGI.
    chosen : sequence of Chosen
        The rules of which the first that may still strike cuts.

    Attributes
    ----------
    by : Rule, optional
        What has cut.
    """

    def __init__(self, send: Send, chosen: Sequence[Chosen]) -> None:
        self.by: Rule | None = None
        self._send = send
        self._chosen = chosen
        self._start: Message | None = None
        self._held = b""
        self._passes = False

    async def send(self, message: Message) -> None:
        """Hold the body back until there is enough of it to cut."""
        if self.by is not None:
            return
        if self._passes:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._start = message
        else:
            self._held += message.get("body", b"")
            more = message.get("more_body", False)
            if not more or len(self._held) >= _MOST_HELD:
                await self._send_part(more=more)

    async def _send_part(self, *, more: bool) -> None:
        start = self._start or {}
        rule = next((each.rule for each in self._chosen if self._held and each.strikes()), None)
        if rule is None:
            self._passes = True
            await self._send(start)
            await self._send({"type": "http.response.body", "body": self._held, "more_body": more})
            return
        self.by = rule
        keep, framing = (rule.keep, rule.framing) if isinstance(rule, Truncate) else (0.5, None)
        headers = start["headers"]
        if framing == "chunked":
            headers = _sized(start, None)
        elif framing == "length" and not any(name == b"content-length" for name, _ in headers):
            # Of a body that is not whole yet, nobody knows the length; any that is too long will do.
            headers = _sized(start, len(self._held) * (2 if more else 1))
        await self._send({**start, "headers": headers})
        part = self._held[: int(len(self._held) * keep)]
        await self._send({"type": "http.response.body", "body": part, "more_body": True})


def _sized(start: Message, length: int | None) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return headers if length is None else [*headers, (b"content-length", b"%d" % length)]
