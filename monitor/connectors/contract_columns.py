"""Tables whose columns bear the contract's names: ``type``, ``time``, ``data.destination`` or ``destination``, …

Dots stand for nesting (``declared_value.amount``), ``;`` stands between the entries of a list. ``type`` and ``time``
must be there. ``id`` and ``source`` may be left out: the id is then a hash of what the row says, so that the same
row is the same event again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from xxhash import xxh3_128_hexdigest

from monitor.connectors.event_fields import ENVELOPE, Kind, all_fields, fields_of, subject_of
from monitor.connectors.files import UnusableFile
from monitor.core.events import EVENT_TYPES
from monitor.wire.incoming import to_json

SOURCE: Final = "csv"
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_ALIKE: Final = 0.8


class ContractRows:
    """Turns the cells of a row into an event. Raises :class:`UnusableFile` if the header cannot be right.

    Columns of other names are not read, as unknown members of an event are not.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        known = _known_columns()
        for name in ("type", "time"):
            if name not in columns:
                near = difflib.get_close_matches(name, columns, n=1)
                meant = f" (is {near[0]!r} meant?)" if near else ""
                raise UnusableFile(
                    f"{path} has no column {name!r}{meant}; --format csv takes the names of the contract, separated by "
                    f"commas, and --mapping takes a table of your own. Its columns are {', '.join(columns)}."
                )
        for name in columns:
            near = difflib.get_close_matches(name, [one for one in known if one not in columns], n=1, cutoff=_ALIKE)
            if name and name not in known and near:
                raise UnusableFile(f"{path}: there is no column {name!r} in the contract; is {near[0]!r} meant?")
        self._places = [(i, known[name]) for i, name in enumerate(columns) if name in known]

    def events(self, cells: Sequence[str], number: int) -> list[bytes]:
        """The event of a row; whether it is a good one is for the gateway to say."""
        event: dict[str, Any] = {"specversion": "1.0", "id": "", "source": SOURCE}
        data: dict[str, Any] = {}
        for i, (path, kind) in self._places:
            text = cells[i].strip()
            if not text:
                continue
            target = event
            if path[0] == "data":
                target = data if len(path) == 2 else data.setdefault(path[1], {})
            target[path[-1]] = _typed(text, kind)
        event_type = event.get("type")
        if event_type in EVENT_TYPES and "parcel_id" not in data and "subject" in event:
            field = fields_of(event_type).get("parcel_id")
            if field is not None and field.required:
                data["parcel_id"] = event["subject"]
        if "subject" not in event and (subject := subject_of(data)) is not None:
            event["subject"] = subject
        event["data"] = data
        if not event["id"]:
            event["id"] = f"row-{xxh3_128_hexdigest(to_json(event))}"
        return [to_json(event)]


def _known_columns() -> Mapping[str, tuple[tuple[str, ...], Kind]]:
    """Column name → where its value stands in an event, and of what kind it is."""
    known: dict[str, tuple[tuple[str, ...], Kind]] = {name: ((name,), "text") for name in ENVELOPE}
    for name, kind in all_fields().items():
        leaves = (f"{name}.amount", f"{name}.currency") if kind == "money" else (name,)
        for leaf in leaves:
            place = (("data", *leaf.split(".")), "text" if kind == "money" else kind)
            known[leaf] = known[f"data.{leaf}"] = place
    return known


def _typed(text: str, kind: Kind) -> Any:
    if kind == "list":
        return [word.strip() for word in text.split(";") if word.strip()]
    # What is no number stays text: decoding then says what is wrong with it.
    return float(text) if kind == "number" and _NUMBER.fullmatch(text) else text
