"""From measures on two samples to a prediction for the whole job. Pure.

A map's time is a fixed part and one that grows with its bytes. What a run holds grows with a power of the input (Heaps'
law: ever fewer of the words that come are new), whose exponent the two samples give; it lies between 0 (all keys were
seen) and 1 (no key comes twice).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mapreduce.model import MIB
from mapreduce_cli.planning.measures import Measure, Measures

#: What a coordinator and a worker need for a task beside its work.
_TASK_S: Final = 0.005
_SLOW_MAP_S: Final = 60.0
_QUICK_MAP_S: Final = 0.2
_LARGE_PARTITION_BYTES: Final = 256 * MIB
_GOOD_PARTITION_BYTES: Final = 128 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of the run without running anything."""

    split_bytes: Sequence[int]
    """Content of each split; of compressed ones as estimated."""
    reduces: int
    slots: int
    """Tasks at once."""
    cpus: int
    start_s: float
    """From the command to the first task."""
    budget_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the whole run will be like."""

    maps: int
    reduces: int
    map_s: float
    """One map of the largest split."""
    maps_s: float
    """The whole phase."""
    run_bytes: int
    """All runs: what is shuffled, and has to lie on the volume until the end."""
    reduce_s: float
    reduces_s: float
    output_bytes: int
    output_records: int
    start_s: float
    slot_bytes: int
    """Memory of one slot."""
    spills: int
    """Of the largest map."""

    @property
    def total_s(self) -> float:
        """The whole run."""
        return self.start_s + self.maps_s + self.reduces_s

    @property
    def volume_bytes(self) -> int:
        """Runs and output lie there at the same time."""
        return self.run_bytes + self.output_bytes


def predict(measures: Measures, shape: Shape) -> Prediction:
    """The prediction. Both measures must be there."""
    small, large = measures.small, measures.large
    assert small is not None
    assert large is not None
    fixed_s, byte_s = _line(small, large)
    crowd = max(1.0, min(shape.slots, len(shape.split_bytes)) / max(1, shape.cpus))
    map_times = [(fixed_s + byte_s * size + _TASK_S) * crowd for size in shape.split_bytes]
    runs = [_grown(small, large, "run_bytes", size) for size in shape.split_bytes]
    total = sum(shape.split_bytes)
    run_bytes, biggest = sum(runs), max(shape.split_bytes, default=0)
    is_map_only = shape.reduces == 0
    per_run_byte_s = large.reduce_s / large.run_bytes if large.run_bytes else 0.0
    busy = max(1, min(shape.slots, shape.reduces, shape.cpus))
    all_reduces_s = per_run_byte_s * run_bytes
    grouping = _grown(small, large, "grouping_bytes", biggest)
    spills = 0 if is_map_only else int(grouping // max(1, shape.budget_bytes))
    power = 1.0 if is_map_only else None
    return Prediction(
        maps=len(shape.split_bytes),
        reduces=shape.reduces,
        map_s=max(map_times, default=0.0),
        maps_s=_makespan(map_times, shape.slots),
        run_bytes=round(run_bytes),
        reduce_s=all_reduces_s / shape.reduces if shape.reduces else 0.0,
        reduces_s=0.0 if is_map_only else max(all_reduces_s / busy, _TASK_S * shape.reduces / busy),
        output_bytes=round(_grown(small, large, "output_bytes", total, power)),
        output_records=round(_grown(small, large, "output_records", total, power)),
        start_s=shape.start_s,
        slot_bytes=measures.base_bytes + round(min(grouping, 2 * shape.budget_bytes)),
        spills=spills,
    )


def advice(prediction: Prediction, shape: Shape, split_size: int) -> list[str]:
    """What to set otherwise, as sentences that begin with the option."""
    said = []
    if shape.reduces:
        partition = prediction.run_bytes / shape.reduces
        if partition > _LARGE_PARTITION_BYTES:
            wanted = -(-prediction.run_bytes // _GOOD_PARTITION_BYTES)
            said.append(f"--reducers {wanted}: each reduce task would fetch {partition / MIB:,.0f} MiB of runs")
        elif shape.reduces < shape.slots and prediction.reduces_s > 5:
            said.append(f"--reducers {shape.slots}: {shape.reduces} reduce tasks leave other slots without work")
        elif shape.reduces > 4 * shape.slots and partition < MIB:
            said.append(f"--reducers {shape.slots}: {shape.reduces} tasks for {prediction.run_bytes / MIB:.1f} MiB")
    if prediction.map_s > _SLOW_MAP_S:
        wanted = max(1, round(split_size * _SLOW_MAP_S / 2 / prediction.map_s / MIB))
        said.append(
            f"--split-size {wanted}MiB: a map takes {prediction.map_s:.0f} s, all of it lost when a worker dies"
        )
    elif prediction.map_s < _QUICK_MAP_S and prediction.maps > 16 * shape.slots:
        wanted = max(1, round(split_size * 4 / MIB))
        said.append(f"--split-size {wanted}MiB: {prediction.maps:,} maps of {prediction.map_s:.2f} s are mostly ado")
    elif 0 < prediction.maps < shape.slots and prediction.map_s > 2:
        wanted = max(1, sum(shape.split_bytes) // shape.slots // MIB)
        said.append(f"--split-size {wanted}MiB: {prediction.maps} maps leave other slots without work")
    return said


def _line(small: Measure, large: Measure) -> tuple[float, float]:
    """Seconds of a map without input, and for each byte of it."""
    bytes_more = large.input_bytes - small.input_bytes
    slope = (large.map_s - small.map_s) / bytes_more if bytes_more > 0 else 0.0
    if slope <= 0:
        return 0.0, large.map_s / max(1, large.input_bytes)
    return max(0.0, large.map_s - slope * large.input_bytes), slope


def _grown(small: Measure, large: Measure, what: str, size: float, power: float | None = None) -> float:
    """What it will be at this many bytes of input."""
    one, other = getattr(small, what), getattr(large, what)
    if not other or not size:
        return 0.0
    if power is None:
        more = large.input_bytes / max(1, small.input_bytes)
        power = math.log(other / one) / math.log(more) if one and more > 1.05 and other > one else 0.0
        if more <= 1.05:  # one sample only, so nothing is known of how it grows
            power = 1.0
    grown: float = other * (size / large.input_bytes) ** min(1.0, max(0.0, power))
    return grown


def _makespan(times: Sequence[float], slots: int) -> float:
    """How long so many slots take for tasks that each takes when it is free."""
    free = [0.0] * max(1, slots)
    for seconds in times:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
