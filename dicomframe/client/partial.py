"""What an interrupted call had done until then: the table is kept by the client and goes along with the interrupt."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NoReturn

from dicomframe.client.workers import current_call

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.session import Session

#: The status, in tables of outcomes, of what was not begun before the call was interrupted.
INTERRUPTED = "interrupted"


def give_back(session: Session, interrupt: KeyboardInterrupt, table: pd.DataFrame) -> NoReturn:
    """Raise the interrupt again, with the table of what was done as its ``table``; the client keeps it as well."""
    table.attrs["dicom"] = table.attrs.get("dicom", {}) | {"interrupted": True}
    if not hasattr(interrupt, "table"):
        interrupt.add_note("What was done until then is client.partial, and this exception's .table.")
    interrupt.table = session.partial = table  # type: ignore[attr-defined]
    raise interrupt


@contextmanager
def remaining(interrupt: KeyboardInterrupt | None) -> Iterator[None]:
    """Have an interrupt, if there was one, end the block, whatever else goes wrong in it: nobody may go on after it."""
    try:
        yield
    except Exception:
        if interrupt is None:
            raise
        raise interrupt from None


@contextmanager
def keeping(session: Session, partial: Callable[[], pd.DataFrame]) -> Iterator[None]:
    """If the block is interrupted, make the table of what was done, and give it back."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        with remaining(interrupt):
            table = partial()
        give_back(session, interrupt, table)


def read_until_interrupted(
    read: Callable[[Iterator[bytes]], pd.DataFrame], pages: Generator[bytes]
) -> tuple[pd.DataFrame, KeyboardInterrupt | None]:
    """Make a table of pages as they come in; if that is interrupted, of those that had come in order.

    Parameters
    ----------
    read : callable
        Makes the table; what reads bytes into tables leaves the table so far in an interrupt's ``table``.
    pages : generator of bytes
        It is closed.

    Returns
    -------
    (pandas.DataFrame, KeyboardInterrupt or None)
        The table, and what is to be raised again.
    """
    interrupts: list[KeyboardInterrupt] = []

    def until_interrupted(pages: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from pages
        except KeyboardInterrupt as interrupt:
            # For the reader, the pages end here.
            interrupts.append(interrupt)

    with closing(pages):
        try:
            table = read(until_interrupted(pages))
        except KeyboardInterrupt as interrupt:
            call = current_call()
            if call is not None:
                # Before the pages are closed, which would wait for those under way.
                call.give_up()
            if not hasattr(interrupt, "table"):
                raise
            return interrupt.table, interrupt
        except Exception:
            # Such as a bad value, where those are to raise: the interrupt came first.
            if interrupts:
                raise interrupts[0] from None
            raise
    return table, interrupts[0] if interrupts else None
