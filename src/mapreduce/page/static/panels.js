// Head, spread, partitions and workers: each function draws one panel from the model, as often as it is called.

function showHead(model) {
  const { status, head } = model, ended = status.finished_at || 0;
  say(byId("name"), status.name);
  document.title = `${status.name}: ${status.state}`;
  const looks = { Complete: "good", Failed: "bad", Cancelled: "warning" };
  say(byId("state"), status.state);
  byId("state").className = `pill ${looks[status.state] || ""}`;
  byId("sentence").className = `sentence ${head.severity}`;
  const told = model.isLive() || status.finished_at ? `${head.sentence}.` : `When last heard: ${head.sentence}.`;
  say(byId("sentence"), told);
  byId("fix").hidden = !head.fix;
  fill(byId("fix"), ...withCode(head.fix || ""));
  const begun = status.started_at || status.submitted_at;
  const parts = [begun ? `begun ${clockText(begun)}` : "", begun ? `elapsed ${durationText((ended || model.now()) - begun)}` : ""];
  const left = ended ? 0 : model.estimate();
  if (left > 0) parts.push(`about ${durationText(left)} left`);
  parts.push(`${sizeText(status.input_bytes || 0)} of input`);
  if (status.output_bytes) parts.push(`${countText(status.output_records || 0)} records, ${sizeText(status.output_bytes)} of output`);
  say(byId("times"), parts.filter(Boolean).join(" · "));
  showBars(model);
}

function showBars(model) {
  const { status } = model, rows = [];
  for (const kind of ["map", "reduce"]) {
    const counts = status[`${kind}s`] || {};
    if (!counts.total) continue;
    const done = (counts.committed || 0) / counts.total, leased = Math.min(1 - done, (counts.running || 0) / counts.total);
    const track = element("div", { class: "track", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(counts.total),
      "aria-valuenow": String(counts.committed || 0), "aria-label": `${kind} tasks committed` },
    element("span", { class: `done ${kind}` }), element("span", { class: `leased ${kind}` }));
    track.children[0].style.width = `${done * 100}%`;
    track.children[1].style.width = `${leased * 100}%`;
    const texts = [`${countText(counts.committed || 0)} of ${countText(counts.total)}`];
    if (counts.running) texts.push(`${countText(counts.running)} leased`);
    if (counts.attempts_failed) texts.push(`${countText(counts.attempts_failed)} failed`);
    if (counts.backups) texts.push(`${countText(counts.backups)} backed up`);
    if (kind === "map" && status.maps_remade) texts.push(`${countText(status.maps_remade)} remade`);
    rows.push(element("span", {}, kind === "map" ? "Map" : "Reduce"), track, element("span", { class: "text" }, texts.join(" · ")));
  }
  byId("bars").replaceChildren(...rows);
}

function showSpread(model) {
  const rows = [], spreads = model.spreads();
  for (const [kind, name] of [[0, "map"], [1, "reduce"]]) {
    const spread = spreads[kind], verdict = model.verdicts[name];
    if (!spread.ran) continue;
    const line = (title, q, text, isTotal) => cells([[title], [text(q.least), "number"], [text(q.p25), "number"], [text(q.median), "number"],
      [text(q.p75), "number"], [text(q.most), "number"], [isTotal ? text(q.sum) : "", "number"]]);
    rows.push(element("h3", { class: "quiet" }, `${plural(spread.ran.count, `${name} task`)} committed`));
    if (verdict) rows.push(element("p", { class: `verdict ${verdict.split(":")[0]}` }, capital(verdict)));
    rows.push(element("div", { class: "scroll" }, table([["", ""], ["least", "number"], ["25 %", "number"], ["median", "number"], ["75 %", "number"], ["most", "number"], ["all", "number"]], [
      line("ran", spread.ran, durationText, true), line("waited in its worker", spread.waited, durationText, false),
      line(kind ? "output" : "run", spread.sizes, sizeText, true), line(kind ? "records" : "groups", spread.records, countText, true)])));
  }
  fill(byId("spread"), ...(rows.length ? rows : [element("p", { class: "quiet" }, "Nothing is committed yet.")]));
  const slow = model.slowest(spreads);
  byId("slowest-box").hidden = !slow.length;
  if (slow.length) {
    fill(byId("slowest"), table([["task"], ["times the 75 %", "number"], ["ran", "number"], ["worker"], ["outcome"], ["attempt", "number"]], slow.map((entry) => {
      const row = entry.row, a = model.attempts;
      return cells([[a.task(row)], [`${entry.ratio.toFixed(1)}×`, "number"], [durationText(entry.seconds), "number"], [model.workerName(a.worker[row])], [ENDS[a.end[row]]], [String(a.number[row]), "number"]]);
    })));
  }
}

function capital(text) { return text ? `${text[0].toUpperCase()}${text.slice(1)}.` : ""; }

function showPartitions(model) {
  const sizes = model.partitions, canvas = byId("partitions"), frame = byId("partitions-frame");
  const isKnown = sizes.length > 0 && sizes.some((size) => size > 0), verdict = model.verdicts.partitions || "";
  canvas.hidden = !isKnown;
  say(byId("partitions-verdict"), capital(verdict));
  byId("partitions-verdict").className = `verdict ${verdict.split(":")[0]}`;
  if (!isKnown) {
    const hasReduces = model.status.reduces && model.status.reduces.total;
    say(byId("partitions-note"), hasReduces || !model.status.maps ? "Known when the first maps are committed." : "A job without reduces has no partitions.");
    return;
  }
  const width = frame.clientWidth, height = 130, base = height - 18, left = 64;
  if (!width) return;
  const context = sized(canvas, width, height), colour = colours(), most = Math.max(...sizes), sum = sizes.reduce((one, other) => one + other, 0);
  canvas.style.width = "100%";
  const plot = width - left - 8, columns = Math.min(sizes.length, Math.floor(plot / 3)), fair = sum / sizes.length;
  const bar = Math.min(72, plot / columns);
  context.font = "12px system-ui, sans-serif"; context.textBaseline = "middle";
  for (const [value, text] of [[most, sizeText(most)], [fair, "fair share"]]) {
    const y = base - (base - 10) * (value / most);
    context.strokeStyle = value === fair ? colour.quiet : colour.line;
    context.setLineDash(value === fair ? [4, 4] : []);
    context.beginPath(); context.moveTo(left, y); context.lineTo(width - 8, y); context.stroke();
    context.setLineDash([]);
    context.fillStyle = colour.quiet; context.textAlign = "right";
    if (value === most || Math.abs(y - 10) > 14) context.fillText(text, left - 6, y);
  }
  for (let column = 0; column < columns; column += 1) {
    const first = Math.floor(column * sizes.length / columns), end = Math.max(first + 1, Math.floor((column + 1) * sizes.length / columns));
    let largest = 0;
    for (let at = first; at < end; at += 1) largest = Math.max(largest, sizes[at]);
    const tall = Math.max(largest ? 1 : 0, (base - 10) * (largest / most)), isHeavy = sizes.length > 1 && largest >= 2 * fair;
    context.fillStyle = colour.reduce;
    context.fillRect(left + column * bar + (bar > 4 ? 1 : 0), base - tall, Math.max(1, bar - (bar > 4 ? 2 : 0)), tall);
    if (isHeavy) {
      context.fillStyle = colour.bad;
      context.fillRect(left + column * bar + (bar > 4 ? 1 : 0), base - tall - 3, Math.max(1, bar - (bar > 4 ? 2 : 0)), 3);
      if (bar > 18) { context.fillStyle = colour.ink; context.textAlign = "center"; context.fillText("▲", left + (column + 0.5) * bar, base - tall + 9); }
    }
  }
  context.fillStyle = colour.quiet; context.textAlign = "left"; context.fillText("0", left, height - 7);
  if (columns > 1) { context.textAlign = "right"; context.fillText(String(sizes.length - 1), left + columns * bar, height - 7); }
  const known = model.status.state === "Mapping" ? `so far, with ${countText(model.status.maps.committed || 0)} of ${countText(model.status.maps.total)} maps committed` : "of all runs";
  const binned = columns < sizes.length ? ` ${plural(sizes.length, "partition")} binned: each bar shows the largest of its ${Math.ceil(sizes.length / columns)}.` : "";
  const text = `${sizeText(sum)} ${known}; the largest partition has ${sizeText(most)}, a fair share is ${sizeText(fair)}.${binned}`;
  say(byId("partitions-note"), text);
  canvas.setAttribute("aria-label", `Bytes by partition. ${capital(verdict)} ${text}`);
}

function agoText(seconds) { return seconds < 1 ? "now" : `${durationText(seconds)} ago`; }

const STEPS = { compute: ["map", "reduce", "combine"], read: ["read", "decode", "parse"], shuffle: ["fetch", "spill", "merge", "sort"], write: ["write", "sync"] };

// `busySeconds` is what its attempts ran, those that failed or were lost too; only of committed ones the steps are known.
function sharesOf(steps, busySeconds, roomSeconds) {
  const shares = {};
  let known = 0;
  for (const [name, members] of Object.entries(STEPS)) {
    shares[name] = members.reduce((sum, step) => sum + (steps[step] || 0), 0);
    known += shares[name];
  }
  shares.other = Math.max(0, busySeconds - known);
  const all = Math.max(roomSeconds, known + shares.other);
  for (const name of Object.keys(shares)) shares[name] = all > 0 ? shares[name] / all : 0;
  shares.waiting = all > 0 ? Math.max(0, 1 - (known + Math.max(0, busySeconds - known)) / all) : 0;
  return shares;
}

function showWorkers(model) {
  const rows = [];
  for (const worker of [...model.workers.values()].sort((one, other) => model.inOrder(one.number, other.number))) {
    const lane = model.lanes.workers.get(worker.number), isHere = worker.is_here !== false;
    const until = model.status.finished_at || (isHere ? model.now() : lane ? Math.max(...lane.free) : 0);
    const room = lane && Number.isFinite(lane.firstAt) ? Math.max(0, until - lane.firstAt) * worker.slots : 0;
    const shares = sharesOf(worker.step_s || {}, lane ? lane.busy : 0, room), counts = model.countsOf(worker.number);
    const bar = element("span", { class: "share", role: "img", "aria-label": shareText(shares) }), percent = (share) => `${Math.round(share * 100)} %`;
    for (const name of [...Object.keys(STEPS), "other"]) {
      const piece = element("i", { class: name });
      piece.style.width = `${shares[name] * 100}%`;
      bar.append(piece);
    }
    bar.title = shareText(shares);
    rows.push(cells([[worker.name], [String(worker.slots), "number"], [countText(counts.committed), "number"], [countText(counts.failed), "number"], [bar],
      [room ? `${percent(shares.compute)} / ${percent(shares.read)} / ${percent(shares.shuffle)} / ${percent(shares.write)} / ${percent(shares.other)} / ${percent(shares.waiting)}` : "–"],
      [worker.memory_bytes ? sizeText(worker.memory_bytes) : "–", "number"],
      [isHere ? (model.status.finished_at ? "–" : agoText(worker.silent_s || 0)) : "gone", "number"]], isHere ? "" : "gone"));
  }
  const place = byId("workers");
  if (!rows.length) { fill(place, element("p", { class: "quiet" }, "No worker has come yet.")); return; }
  place.replaceChildren(table([["worker"], ["slots", "number"], ["committed", "number"], ["failed", "number"], ["where its time went"], ["compute / read / shuffle / write / other / waiting"], ["memory", "number"], ["last heard", "number"]], rows));
}

function shareText(shares) {
  return Object.entries(shares).map(([name, share]) => `${name} ${Math.round(share * 100)} %`).join(", ");
}

function showLegend() {
  const colour = colours(), place = byId("legend"), looks = [["map", {}], ["reduce", { isReduce: true }], ["running", { isRunning: true }],
    ["backup", { isBackup: true }], ["failed", { hasFailed: true }], ["lost or given back", { hasNoResult: true }]];
  place.replaceChildren(...looks.map(([name, look]) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    canvas.style.width = "22px";
    paintBox(sized(canvas, 22, 12), colour, 0, 0, 22, 12, look);
    return element("span", {}, canvas, name);
  }));
}
