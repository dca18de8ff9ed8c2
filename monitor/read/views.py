"""What the monitor shows: the one interface between the read side and the page, the API and the metrics.

An implementation answers for the last closed tick, at once and from memory; only ``parcel`` may read the log, and is
asked from a thread of its own. Records are those of the contract, for reading only. Unknown ids raise nothing.
"""

from __future__ import annotations

from typing import Any, Protocol

Record = dict[str, Any]


class Families(Protocol):
    """What can be measured."""

    def families(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Metric name without prefix → samples (labels, value), the most important samples first."""


class Views(Families, Protocol):
    """The state of the monitor at the last closed tick."""

    def as_of(self) -> str | None:
        """The last closed tick as RFC 3339 UTC; ``None`` before the first."""

    def channels(self) -> list[Record]:
        """Contract records of ``channels.jsonl``, sorted by channel."""

    def incidents(self) -> list[Record]:
        """Contract records of ``incidents.jsonl``, open and closed, newest first."""

    def watchlist(self) -> list[Record]:
        """Contract records of ``watchlist.jsonl``, sorted by (priority, days left, parcel id); 1 is most urgent."""

    def recommendations(self) -> list[Record]:
        """Contract records of ``recommendations.jsonl``, sorted by lane."""

    def outcomes(self) -> list[Record]:
        """What accepted switches brought, the latest first."""

    def balance(self) -> Record:
        """The accepted switches added up."""

    def parcel(self, parcel_id: str) -> Record | None:
        """One parcel with its timeline; ``None`` if it was never registered.

        Keys: ``parcel_id``, ``channel``, ``state``, ``registered_at``, ``promised_by``, ``last_scan_at`` and
        ``events``, each with ``time``, ``recordedtime``, ``type``, what it says (``milestone``, ``kind``,
        ``stage``, ``outcome``, …), ``country``, ``place``, ``raw_code``, ``raw_text`` and its ``position`` in the
        log (``topic``, ``partition``, ``offset``, ``index``).
        """

    def explain(self, id_: str) -> Record | None:
        """The figures, the rule and the events behind an incident, a watch item or a recommendation."""

    def dead_letters(self) -> list[Record]:
        """Dead letter records of the contract, newest first."""

    def health(self) -> Record:
        """``recovered``, ``lag_records``, ``last_tick``, ``watermark``, ``ready`` and ``reasons`` (sentences)."""
