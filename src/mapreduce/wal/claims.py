"""Epoch claims: which incarnation of the coordinator may speak.

A claim is an empty file, created exclusively and made durable in its folder before its owner reads anything. An older
incarnation looks for a higher claim after every fsync and before success is told: if it sees none, what it wrote was
in the file before the successor could list the folder, so the successor has read it; if it sees one, it says nothing.
Sound on a POSIX disk; on a network file system with cached look-ups the log needs a volume that only one node can
mount.
"""

from __future__ import annotations

from typing import Final

from mapreduce.errors import Fenced
from mapreduce.wal.files import FileSystem
from mapreduce.wal.names import claim_name, list_log, place

#: Losing this many races in a row means that something else creates claims as fast as we do.
CLAIM_TRIES: Final = 100


def claim_epoch(files: FileSystem, folder: str) -> int:
    """Claim the next epoch durably and return it. Raises OSError; Fenced when a higher claim came in between."""
    for _ in range(CLAIM_TRIES):
        epoch = list_log(files, folder).highest_epoch + 1
        try:
            claim = files.create(place(folder, claim_name(epoch)))
        except FileExistsError:
            continue  # another incarnation (or our own retransmitted call on NFS) has it: take the next
        claim.sync()
        claim.close()
        files.sync_folder(folder)
        # We may have been paused between listing and creating, while higher claims came and lower ones were cleaned up.
        check_claim(files, folder, epoch)
        return epoch
    raise Fenced(f"log {folder}: {CLAIM_TRIES} attempts to claim an epoch were overtaken. Run one coordinator only.")


def is_overtaken(files: FileSystem, folder: str, epoch: int) -> bool:
    """Return whether an incarnation after `epoch` has claimed the log. Raises OSError."""
    return list_log(files, folder).highest_epoch > epoch


def check_claim(files: FileSystem, folder: str, epoch: int) -> None:
    """Raise Fenced if an incarnation after `epoch` has claimed the log."""
    if is_overtaken(files, folder, epoch):
        raise Fenced(f"log {folder}: a newer coordinator has claimed it; epoch {epoch} ends here without another word.")
