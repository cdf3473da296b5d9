"""Which files of a log folder may go. Pure: decides names; `log` carries it out.

Kept are the two newest snapshots and all segments that the older of them needs. With one snapshot everything is kept:
its older generation is the log from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from mapreduce.wal.names import Listing, SegmentId, SnapshotId, claim_name, is_temporary_of_older_epoch

GENERATIONS_KEPT: Final = 2


class Kept(msgspec.Struct, frozen=True):
    """The chain, oldest first, each segment with the sequence before its first record, and the usable snapshots."""

    chain: tuple[tuple[SegmentId, int], ...]
    snapshots: tuple[SnapshotId, ...]


def decide_kept(chain: Sequence[tuple[SegmentId, int]], snapshots: Sequence[SnapshotId]) -> Kept:
    """Return the generations to keep of the chain and of the usable snapshots."""
    newest = tuple(sorted(set(snapshots)))[-GENERATIONS_KEPT:]
    oldest_needed = newest[0].sequence if len(newest) == GENERATIONS_KEPT else 0
    first = 0
    for index, (_, sequence) in enumerate(chain):
        if sequence <= oldest_needed:
            first = index
    return Kept(chain=tuple(chain[first:]), snapshots=newest)


class Disposal(msgspec.Struct, frozen=True):
    """File names to remove, and names to keep as `.broken` because they are evidence of rot."""

    remove: tuple[str, ...]
    keep_as_broken: tuple[str, ...]


def decide_disposal(
    listing: Listing,
    kept: Kept,
    epoch: int,
    *,
    is_rotten: bool,
    damaged: frozenset[str],
    broken_kept_count: int,
) -> Disposal:
    """Return what incarnation `epoch` may dispose of. Files of later epochs are never touched.

    Damaged files are evidence, and while a rebuild is pending so are all segments and snapshots outside the chain.
    """
    chain = {segment for segment, _ in kept.chain}
    first = kept.chain[0][0].number if kept.chain else 0
    unused = [it for it in listing.segments if it not in chain and it.epoch <= epoch]
    stale = [it.name for it in unused if it.number < first]
    loose = [it.name for it in unused if it.number >= first]
    oldest = kept.snapshots[0].sequence if kept.snapshots else 0
    for snapshot in listing.snapshots:
        if snapshot not in kept.snapshots and snapshot.epoch <= epoch:
            (stale if snapshot.sequence < oldest else loose).append(snapshot.name)
    claims = [claim_name(claim) for claim in listing.claims if claim < epoch]
    temporary = [name for name in listing.temporary if is_temporary_of_older_epoch(name, epoch)]
    excess = listing.broken[: max(0, len(listing.broken) - broken_kept_count)]
    evidence = [name for name in loose if is_rotten or name in damaged]
    garbage = [name for name in loose if name not in evidence]
    return Disposal(remove=(*stale, *garbage, *claims, *temporary, *excess), keep_as_broken=tuple(evidence))
