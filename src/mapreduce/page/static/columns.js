// Attempts and outputs as growing typed arrays, filled from base64 columns. No drawing, no fetching.

const ENDS = ["running", "committed", "failed", "given back", "lost"];
const RUNNING = 0, COMMITTED = 1, FAILED = 2, RELEASED = 3, LOST = 4;

function decode(text, Type) {
  const raw = atob(text || ""), bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return new Type(bytes.buffer);
}

function grown(array, length) {
  if (array.length >= length) return array;
  const larger = new array.constructor(Math.max(length, array.length * 2, 1024));
  larger.set(array);
  return larger;
}

class Outputs {
  constructor() { this.sizes = new Float64Array(0); this.records = new Float64Array(0); this.length = 0; }

  reach(length) {
    this.sizes = grown(this.sizes, length); this.records = grown(this.records, length);
    this.length = Math.max(this.length, length);
  }

  take(columns) {
    const sizes = decode(columns.sizes, BigUint64Array), records = decode(columns.records, BigUint64Array);
    this.reach(columns.first + columns.count);
    for (let at = 0; at < columns.count; at += 1) {
      if (sizes[at]) this.sizes[columns.first + at] = Number(sizes[at]);
      if (records[at]) this.records[columns.first + at] = Number(records[at]);
    }
  }

  set(index, size, records) { this.reach(index + 1); this.sizes[index] = size; this.records[index] = records; }
}

class Attempts {
  constructor() {
    this.length = 0;
    this.kind = new Uint8Array(0); this.index = new Uint32Array(0); this.number = new Uint16Array(0);
    this.worker = new Uint32Array(0); this.startAt = new Float64Array(0); this.endAt = new Float64Array(0);
    this.end = new Uint8Array(0); this.run = new Float32Array(0); this.isBackup = new Uint8Array(0);
    this.outputs = [new Outputs(), new Outputs()];
    this.newest = new Map();
  }

  reach(length) {
    for (const name of ["kind", "index", "number", "worker", "startAt", "endAt", "end", "run", "isBackup"]) {
      this[name] = grown(this[name], length);
    }
    this.length = Math.max(this.length, length);
  }

  // New rows, or rows known already: those that have ended stay as they are.
  take(columns) {
    const kind = decode(columns.kind, Uint8Array), index = decode(columns.index, Uint32Array);
    const number = decode(columns.number, Uint16Array), worker = decode(columns.worker, Uint32Array);
    const startAt = decode(columns.start_at, Float64Array), endAt = decode(columns.end_at, Float64Array);
    const end = decode(columns.end, Uint8Array), run = decode(columns.run_s, Float32Array);
    const known = this.length, ended = [];
    this.reach(columns.first + columns.count);
    for (let at = 0; at < columns.count; at += 1) {
      const row = columns.first + at;
      if (row < known && this.end[row] !== RUNNING) continue;
      this.kind[row] = kind[at]; this.index[row] = index[at]; this.number[row] = number[at];
      this.worker[row] = worker[at]; this.startAt[row] = startAt[at]; this.endAt[row] = endAt[at];
      this.end[row] = end[at]; this.run[row] = run[at];
      if (end[at] !== RUNNING) ended.push(row);
    }
    return ended;
  }

  // Rows that ended; returns those that were not known to have.
  takeEnded(columns) {
    const row = decode(columns.row, Uint32Array), endAt = decode(columns.end_at, Float64Array);
    const end = decode(columns.end, Uint8Array), run = decode(columns.run_s, Float32Array);
    const sizes = decode(columns.sizes, BigUint64Array), records = decode(columns.records, BigUint64Array), ended = [];
    for (let at = 0; at < columns.count; at += 1) {
      const r = row[at];
      if (r >= this.length) continue;
      if (end[at] === COMMITTED) this.outputs[this.kind[r]].set(this.index[r], Number(sizes[at]), Number(records[at]));
      if (this.end[r] !== RUNNING) continue;
      this.endAt[r] = endAt[at]; this.end[r] = end[at]; this.run[r] = run[at];
      ended.push(r);
    }
    return ended;
  }

  // Attempts that were granted while another one of their task was running; once it is known how those have ended.
  markBackups(first, end) {
    for (let row = first; row < end; row += 1) {
      const task = this.kind[row] * 4294967296 + this.index[row], before = this.newest.get(task);
      if (before !== undefined && before < row) {
        const endedAt = this.end[before] === RUNNING ? Infinity : this.endAt[before];
        this.isBackup[row] = endedAt > this.startAt[row] + 0.001 ? 1 : 0;
      }
      this.newest.set(task, row);
    }
  }

  task(row) { return `${this.kind[row] ? "reduce" : "map"}-${this.index[row]}`; }
}
