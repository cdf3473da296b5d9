"""The release, in a module of its own: whoever needs only the number imports nothing else."""

from typing import Final

__version__: Final = "0.1.0"
