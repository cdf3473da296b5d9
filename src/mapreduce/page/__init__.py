"""The page about one job: what it is told and how it is put together, served or as a file. Not who serves it."""
