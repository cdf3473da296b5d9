"""The one refusal of keys and values that no run or output can hold. Which types can be stored is said in `keys` and
`values`; who emitted the culprit is found out by the tasks, not here.
"""

from __future__ import annotations

from mapreduce.errors import MapReduceError


class UnstorableValue(MapReduceError):
    """A key or value has a type (or a size) that does not survive storage unchanged.

    Subclasses of the plain types are refused as well: they would come back as something else than what was emitted.
    """

    def __init__(self, role: str, culprit: object, problem: str = "") -> None:
        found = type(culprit)
        name = found.__qualname__ if found.__module__ == "builtins" else f"{found.__module__}.{found.__qualname__}"
        cause = f": {problem}" if problem else ""
        super().__init__(f"a {role} of type {name} cannot be stored{cause}. {_fix(role, culprit)}")
        self.role, self.culprit, self.type_name, self.problem = role, culprit, name, problem


def _fix(role: str, culprit: object) -> str:
    """What to write instead, as precisely as the type allows."""
    for base in (bool, int, float, str, bytes):
        if isinstance(culprit, base) and type(culprit) is not base:
            return f"Emit {base.__name__}(...) of it."
    if role == "key":
        if isinstance(culprit, (tuple, list)) and type(culprit) is not tuple:
            return "Emit tuple(...) of it."
        return "Keys are None, bool, int, float, str, bytes and tuples of these."
    for plain in (tuple, list, dict):
        if isinstance(culprit, plain) and type(culprit) is not plain:
            return f"Emit {plain.__name__}(...) of it."
    if isinstance(culprit, (set, frozenset)):
        return "Emit sorted(...) of it."
    return (
        "Values are None, bool, int, float, str, bytes, tuples, lists, dicts, and dataclasses or msgspec Structs"
        " defined in the job's own code."
    )
