"""What a reader of files hands on: the bytes as they stood, where they stood, and what they say.

Readers (connectors) and the gateway of the log do not know each other; this is the form they share.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from monitor.core.events import Rejected


class Reader(Struct, frozen=True, omit_defaults=True):
    """How the bytes of a row become events, so that a dead letter can be tried again after a fix.

    ``columns`` is the header of the table; ``mapping`` the name or path of the mapping, None for the columns
    of the contract.
    """

    format: str
    columns: tuple[str, ...] = ()
    mapping: str | None = None


class Incoming(NamedTuple):
    """One event, one fault or one row that was left out on purpose.

    ``raw`` is what stood in the file (of a fault perhaps only its first bytes) and ``line`` the number of its
    first line, from 1. Of ``event`` (the JSON text of one event), ``fault`` and ``skipped`` (the reason, in a
    few words) exactly one is set.
    """

    file: str
    line: int
    raw: bytes
    event: bytes | None = None
    fault: Rejected | None = None
    skipped: str | None = None
    reader: Reader | None = None


#: What a reader says, in the place of an :class:`Incoming`, when its source has nothing more for the moment.
IDLE: Final = None

Flow = Incoming | None

to_json: Final = msgspec.json.Encoder().encode
