// How values are spread: quantiles by nearest rank, as the coordinator counts them. Pure.

function quantilesOf(values) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
  let sum = 0;
  for (const value of sorted) sum += value;
  return { count: sorted.length, least: sorted[0], p25: at(0.25), median: at(0.5), p75: at(0.75), most: sorted[sorted.length - 1], sum };
}

// Rows of committed attempts of one kind, and what is compared about them.
function spreadOf(attempts, lanes, kind) {
  const ran = [], waited = [], sizes = [], records = [], outputs = attempts.outputs[kind];
  for (let at = 0; at < lanes.length; at += 1) {
    const row = lanes.row[at];
    if (attempts.kind[row] !== kind || attempts.end[row] !== COMMITTED) continue;
    ran.push(attempts.run[row] || lanes.to[at] - lanes.from[at]);
    waited.push(Math.max(0, lanes.from[at] - attempts.startAt[row]));
    const index = attempts.index[row];
    sizes.push(index < outputs.length ? outputs.sizes[index] : 0);
    records.push(index < outputs.length ? outputs.records[index] : 0);
  }
  return { ran: quantilesOf(ran), waited: quantilesOf(waited), sizes: quantilesOf(sizes), records: quantilesOf(records) };
}

// Committed and running attempts that took longest, as multiples of the 75th percentile of their kind.
function slowestOf(attempts, lanes, spreads, now, limit) {
  const found = [];
  const weigh = (row, seconds) => {
    const spread = spreads[attempts.kind[row]].ran;
    if (!spread || spread.p75 <= 0) return;
    const ratio = seconds / spread.p75;
    if (ratio > 1 && (found.length < limit || ratio > found[found.length - 1].ratio)) {
      found.push({ row, seconds, ratio });
      found.sort((one, other) => other.ratio - one.ratio);
      if (found.length > limit) found.pop();
    }
  };
  for (let at = 0; at < lanes.length; at += 1) {
    const row = lanes.row[at];
    if (attempts.end[row] === COMMITTED) weigh(row, attempts.run[row] || lanes.to[at] - lanes.from[at]);
  }
  for (const box of lanes.running(now)) weigh(box.row, box.to - box.from);
  return found;
}
