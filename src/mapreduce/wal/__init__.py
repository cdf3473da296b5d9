"""The write-ahead log: what the coordinator has said is on the disk before it says it.

`log.Log` is the blocking log of one incarnation, `groupcommit.GroupCommit` its asyncio side, `explain` what `mr wal`
shows. Bytes and rules for a reader: docs/wal-format.md. What a record's payload means is the scheduling core's.
"""
