"""What the topic ``meta`` says: which log this is, and which generations of derived state it has.

It is read from start to end, and the first that says something is right, so that several processes may say it at once:

* ``log`` – the identity of the log and the number of its partitions; the first one counts.
* ``generation`` – a claim to be the generation of a version of the state. For each version the first one counts, behind
  the last ``rebuild`` and behind the ``retired`` of an earlier one.
* ``rebuild`` – all state is to be derived anew.
* ``retired`` – the topics of a generation are deleted, or will be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

PARTITIONER: Final = "murmur2"


class _Log(msgspec.Struct, tag_field="kind", tag="log"):
    id: str
    partitions: int
    partitioner: str
    created_at: str


class _Generation(msgspec.Struct, tag_field="kind", tag="generation"):
    generation: str
    state_version: str
    created_at: str


class _Rebuild(msgspec.Struct, tag_field="kind", tag="rebuild"):
    created_at: str


class _Retired(msgspec.Struct, tag_field="kind", tag="retired"):
    generation: str
    created_at: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Log | _Generation | _Rebuild | _Retired).decode


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log: an id, and the number of partitions of ``events`` with the function that chooses among them."""

    id: str
    partitions: int
    partitioner: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One history of folding, by one version of the folds."""

    id: str
    state_version: str


@dataclass(slots=True)
class Meta:
    """All that has been said so far. :meth:`add` what comes, in order."""

    log: LogIdentity | None = None
    current: dict[str, Generation] = field(default_factory=dict)  # by version of the state
    named: list[Generation] = field(default_factory=list)  # all that have counted, in order, but for retired ones
    retired: list[str] = field(default_factory=list)

    @property
    def newest(self) -> Generation | None:
        """The last generation that has begun and counts."""
        return next((one for one in reversed(self.named) if self.current.get(one.state_version) == one), None)

    def copy(self) -> Meta:
        """As it is now."""
        return Meta(self.log, dict(self.current), list(self.named), list(self.retired))

    def add(self, values: Iterable[bytes]) -> None:
        """Take records in; those of later versions of this program that nobody here understands are passed over."""
        for value in values:
            try:
                said = _decode(value)
            except msgspec.MsgspecError:
                continue
            if isinstance(said, _Log):
                self.log = self.log or LogIdentity(said.id, said.partitions, said.partitioner)
            elif isinstance(said, _Rebuild):
                self.current.clear()
            elif isinstance(said, _Retired):
                self.retired.append(said.generation)
                self.named = [one for one in self.named if one.id != said.generation]
                self.current = {v: one for v, one in self.current.items() if one.id != said.generation}
            elif said.state_version not in self.current:
                generation = Generation(said.generation, said.state_version)
                self.current[generation.state_version] = generation
                self.named.append(generation)


def log_record(identity: LogIdentity, created_at: str) -> bytes:
    """The record that says which log this is."""
    return _encode(_Log(identity.id, identity.partitions, identity.partitioner, created_at))


def generation_record(generation: Generation, created_at: str) -> bytes:
    """The record that claims to be the generation of a version."""
    return _encode(_Generation(generation.id, generation.state_version, created_at))


def rebuild_record(created_at: str) -> bytes:
    """The record behind which every version has a new generation."""
    return _encode(_Rebuild(created_at))


def retired_record(generation: str, created_at: str) -> bytes:
    """The record that takes a generation away."""
    return _encode(_Retired(generation, created_at))
