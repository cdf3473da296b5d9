"""From splits to parts: reading, grouping, spilling, merging, reducing, writing. Nothing here knows who runs it."""
