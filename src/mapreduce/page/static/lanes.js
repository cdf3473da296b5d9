// Which slot of its worker an attempt ran in, and from when to when; `page/lanes.py` says why it is done so. Pure.

class Lanes {
  constructor(attempts, slotsOf) {
    this.attempts = attempts; this.slotsOf = slotsOf;
    this.row = new Uint32Array(0); this.lane = new Uint32Array(0);
    this.from = new Float64Array(0); this.to = new Float64Array(0); this.length = 0;
    this.workers = new Map();
    this.busy = new Map();
    this.longest = 0;
  }

  of(worker) {
    let known = this.workers.get(worker);
    if (known === undefined) {
      known = { number: worker, free: new Float64Array(Math.max(1, this.slotsOf(worker))), busy: 0, firstAt: Infinity, running: new Set() };
      this.workers.set(worker, known);
    }
    return known;
  }

  granted(first, end) {
    const a = this.attempts;
    for (let row = first; row < end; row += 1) if (a.end[row] === RUNNING) this.of(a.worker[row]).running.add(row);
  }

  // Rows that ended, in any order; all that ended before were given before.
  ended(rows) {
    const a = this.attempts;
    const ran = [];
    for (const row of rows) {
      this.of(a.worker[row]).running.delete(row);
      if (a.end[row] !== RELEASED || a.run[row] > 0) ran.push(row);
    }
    ran.sort((one, other) => a.endAt[one] - a.endAt[other] || a.worker[one] - a.worker[other] || one - other);
    for (let at = 0; at < ran.length;) {
      const endAt = a.endAt[ran[at]], worker = a.worker[ran[at]];
      let next = at + 1;
      while (next < ran.length && a.endAt[ran[next]] === endAt && a.worker[ran[next]] === worker) next += 1;
      this.lay(this.of(worker), ran.slice(at, next), endAt);
      at = next;
    }
  }

  lay(worker, rows, endAt) {
    const a = this.attempts, free = worker.free, ends = new Float64Array(free.length).fill(endAt);
    for (let at = rows.length - 1; at >= 0; at -= 1) {
      const row = rows[at], ranFor = a.run[row] || endAt - a.startAt[row], lane = bestLane(free, ends, ranFor);
      const stop = Math.max(ends[lane], free[lane]);
      const start = Math.min(stop, Math.max(stop - ranFor, free[lane]));
      ends[lane] = start;
      this.add(row, lane, start, stop);
      worker.busy += stop - start;
      worker.firstAt = Math.min(worker.firstAt, start);
    }
    for (let lane = 0; lane < free.length; lane += 1) if (ends[lane] < endAt) free[lane] = endAt;
  }

  add(row, lane, from, to) {
    const at = this.length;
    this.row = grown(this.row, at + 1); this.lane = grown(this.lane, at + 1);
    this.from = grown(this.from, at + 1); this.to = grown(this.to, at + 1);
    this.row[at] = row; this.lane[at] = lane; this.from[at] = from; this.to[at] = to;
    this.longest = Math.max(this.longest, to - from);
    this.length = at + 1;
  }

  // Boxes of what runs now; what a worker holds beyond its slots waits in it.
  running(now) {
    const boxes = [];
    for (const worker of this.workers.values()) {
      const free = Float64Array.from(worker.free);
      let left = free.length;
      for (const row of worker.running) {
        if (left === 0) break;
        left -= 1;
        let lane = 0;
        for (let other = 1; other < free.length; other += 1) if (free[other] < free[lane]) lane = other;
        const from = Math.max(this.attempts.startAt[row], free[lane]);
        boxes.push({ row, lane, worker: worker.number, from, to: Math.max(from, now) });
        free[lane] = Infinity;
      }
    }
    return boxes;
  }
}

// The slot in which an attempt leaves the least room, or the one with most room if it fits in none.
function bestLane(free, ends, ranFor) {
  let best = -1, least = Infinity, roomiest = 0;
  for (let lane = 0; lane < free.length; lane += 1) {
    const room = ends[lane] - free[lane], left = room - ranFor;
    if (left >= 0 && left < least) { best = lane; least = left; }
    if (room > ends[roomiest] - free[roomiest]) roomiest = lane;
  }
  return best < 0 ? roomiest : best;
}

// Busy seconds of each kind by lane and column, for more boxes than can be drawn; none is left out.
class Bins {
  constructor(laneCount, columnCount, from, to) {
    this.columnCount = columnCount; this.from = from; this.width = (to - from) / columnCount;
    const size = laneCount * columnCount;
    this.map = new Float32Array(size); this.reduce = new Float32Array(size); this.failed = new Uint8Array(size);
    this.count = 0;
  }

  add(lane, from, to, isReduce, hasFailed) {
    const first = Math.max(0, Math.floor((from - this.from) / this.width));
    const last = Math.min(this.columnCount - 1, Math.floor((to - this.from) / this.width));
    if (first >= this.columnCount || last < 0) return;
    this.count += 1;
    const target = isReduce ? this.reduce : this.map, base = lane * this.columnCount;
    for (let column = first; column <= last; column += 1) {
      const left = this.from + column * this.width;
      target[base + column] += Math.max(0, Math.min(to, left + this.width) - Math.max(from, left)) / this.width || 0.001;
      if (hasFailed) this.failed[base + column] = 1;
    }
  }
}
