"""The page about one job: what it is told and how it is put together, served or as a file. Who serves it is elsewhere."""
