// The timeline: a row for each worker slot, a box for each attempt; binned when there are more than can be told apart.

const MOST_BOXES = 10000, BIN_STEPS = 6;
const GUTTER = 152, AXIS = 25;

class Timeline {
  constructor(model) {
    this.model = model;
    this.canvas = byId("timeline"); this.frame = byId("timeline-frame"); this.tip = byId("tip");
    this.view = null;
    this.chosen = -1;
    this.drawn = [];
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => { this.tip.hidden = true; });
    this.canvas.addEventListener("click", (event) => { this.choose(this.rowAt(event)); });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.timeAt(event.offsetX));
    }, { passive: false });
    byId("zoom-in").addEventListener("click", () => this.zoom(0.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(2));
    byId("zoom-all").addEventListener("click", () => { this.view = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  // All of the job's time, with a little room at its end while it runs.
  whole() {
    const { status } = this.model, from = status.started_at || status.submitted_at || this.model.now() - 1;
    const to = status.finished_at || this.model.now();
    return { from, to: Math.max(from + 0.05, to + (status.finished_at ? 0 : (to - from) * 0.02)) };
  }

  layout() {
    const workers = [...this.model.lanes.workers.values()].sort((one, other) => this.model.inOrder(one.number, other.number));
    const first = new Map();
    let count = 0;
    for (const worker of workers) { first.set(worker.number, count); count += worker.free.length; }
    const height = Math.min(26, Math.max(5, 400 / Math.max(1, count)));
    return { workers, first, count, height: count * height > 15000 ? 15000 / count : height };
  }

  draw() {
    const width = this.frame.clientWidth;
    if (!width || !this.model.status) return;
    const { lanes, attempts } = this.model, colour = colours(), now = this.model.now();
    const layout = this.layout(), view = this.view || this.whole(), span = view.to - view.from;
    const plot = width - GUTTER - 8, scale = plot / span;
    const context = sized(this.canvas, width, AXIS + Math.max(1, layout.count) * layout.height + 6);
    this.shown = { layout, view, scale, plot };
    this.drawAxis(context, colour, layout, view, scale, width);
    context.save();
    context.beginPath(); context.rect(GUTTER, AXIS, plot, layout.count * layout.height); context.clip();
    const running = lanes.running(now);
    let inView = 0;
    for (let at = 0; at < lanes.length; at += 1) if (lanes.to[at] >= view.from && lanes.from[at] <= view.to) inView += 1;
    const isBinned = inView > MOST_BOXES;
    this.drawn = [];
    if (isBinned) this.drawBins(context, colour, layout, view, plot);
    else {
      for (let at = 0; at < lanes.length; at += 1) {
        if (lanes.to[at] < view.from || lanes.from[at] > view.to) continue;
        const row = lanes.row[at];
        this.drawBox(context, colour, { row, lane: lanes.lane[at], worker: attempts.worker[row], from: lanes.from[at], to: lanes.to[at] }, false);
      }
    }
    for (const box of running) if (box.to >= view.from && box.from <= view.to) this.drawBox(context, colour, box, true);
    this.drawChosen(context, colour);
    context.restore();
    const held = this.model.held() - running.length;
    const parts = [`${plural(attempts.length, "attempt")} on ${plural(layout.count, "slot")} of ${plural(layout.workers.length, "worker")}`];
    if (isBinned) parts.push(`${countText(inView)} of them binned, ${durationText(span / plot)} a column; none is left out, zoom in for single ones`);
    if (held > 0) parts.push(`${countText(held)} more leased and waiting in their workers`);
    if (this.view) parts.push(`zoomed to ${durationText(span)}`);
    const text = attempts.length ? `${parts.join("; ")}.` : "No attempt yet.";
    say(byId("timeline-note"), text);
    this.canvas.setAttribute("aria-label", `Timeline. ${text}`);
  }

  drawAxis(context, colour, layout, view, scale, width) {
    const start = this.whole().from, step = axisStep(view.to - view.from, (width - GUTTER) / 90);
    context.font = "12px system-ui, sans-serif"; context.textBaseline = "middle"; context.lineWidth = 1;
    const bottom = AXIS + layout.count * layout.height;
    for (let mark = Math.ceil((view.from - start) / step); start + mark * step <= view.to; mark += 1) {
      const x = GUTTER + (start + mark * step - view.from) * scale;
      context.strokeStyle = colour.line;
      context.beginPath(); context.moveTo(x, AXIS - 4); context.lineTo(x, bottom); context.stroke();
      context.fillStyle = colour.quiet; context.textAlign = x > width - 30 ? "right" : "center";
      context.fillText(axisText(mark * step, step), x, 12);
    }
    context.textAlign = "left";
    let free = 0;
    const beginning = commonBeginning([...this.model.workers.values()].map((worker) => worker.name));
    for (const worker of layout.workers) {
      const y = AXIS + layout.first.get(worker.number) * layout.height, mid = y + Math.min(layout.height, 26) / 2;
      context.strokeStyle = colour.line;
      context.beginPath(); context.moveTo(0, y); context.lineTo(width, y); context.stroke();
      if (mid < free) continue;
      free = mid + 13;
      const known = this.model.workers.get(worker.number);
      context.fillStyle = known && known.is_here === false ? colour.quiet : colour.ink;
      context.fillText(fitted(context, known ? short(known.name, beginning) : `worker ${worker.number}`, GUTTER - 12), 6, mid);
    }
  }

  drawBins(context, colour, layout, view, plot) {
    const { lanes, attempts } = this.model, columns = Math.max(1, Math.floor(plot));
    const bins = new Bins(layout.count, columns, view.from, view.to);
    for (let at = 0; at < lanes.length; at += 1) {
      const row = lanes.row[at], lane = layout.first.get(attempts.worker[row]) + lanes.lane[at];
      bins.add(lane, lanes.from[at], lanes.to[at], attempts.kind[row] === 1, attempts.end[row] === FAILED || attempts.end[row] === LOST);
    }
    const gap = layout.height > 7 ? 1.5 : layout.height > 3 ? 1 : 0;
    for (let lane = 0; lane < layout.count; lane += 1) {
      const y = AXIS + lane * layout.height + gap / 2, h = layout.height - gap;
      // Neighbours that look alike are one rectangle: a hundred thousand of them would take longer than all the rest.
      let first = 0, look = 0;
      for (let column = 0; column <= columns; column += 1) {
        const at = lane * columns + column, busy = column < columns ? bins.map[at] + bins.reduce[at] : 0;
        const steps = busy ? Math.max(1, Math.round(Math.min(1, busy) * BIN_STEPS)) : 0;
        const next = steps && bins.reduce[at] > bins.map[at] ? -steps : steps;
        if (next === look) continue;
        if (look) {
          const tall = Math.max(1, h * Math.abs(look) / BIN_STEPS), kind = look < 0 ? "reduce" : "map";
          if (tall < h) { context.fillStyle = colour[`${kind}-soft`]; context.fillRect(GUTTER + first, y, column - first, h); }
          context.fillStyle = colour[kind];
          context.fillRect(GUTTER + first, y + h - tall, column - first, tall);
        }
        first = column; look = next;
      }
      context.fillStyle = colour.bad;
      for (let column = 0; column < columns; column += 1) {
        if (bins.failed[lane * columns + column]) context.fillRect(GUTTER + column - 0.5, y, 2, Math.max(2, h / 3));
      }
    }
  }

  drawBox(context, colour, box, isRunning) {
    const { attempts } = this.model, { layout, view, scale } = this.shown, row = box.row;
    const gap = layout.height > 7 ? 1.5 : layout.height > 3 ? 1 : 0;
    const x = GUTTER + (box.from - view.from) * scale, width = Math.max(1, (box.to - box.from) * scale - (scale * (box.to - box.from) > 4 ? 1 : 0));
    const y = AXIS + (layout.first.get(box.worker) + box.lane) * layout.height + gap / 2, height = layout.height - gap;
    const end = attempts.end[row];
    paintBox(context, colour, x, y, width, height, {
      isReduce: attempts.kind[row] === 1, isBackup: attempts.isBackup[row] === 1, isRunning,
      hasFailed: end === FAILED, hasNoResult: end === LOST || end === RELEASED,
    });
    const left = Math.max(x, GUTTER), room = Math.min(x + width, GUTTER + this.shown.plot) - left;
    if (height >= 12 && room > 18) {
      context.fillStyle = isRunning || attempts.isBackup[row] || end === LOST || end === RELEASED ? colour.ink : colour.card;
      context.font = "11px system-ui, sans-serif"; context.textBaseline = "middle"; context.textAlign = "left";
      const space = room - (end === FAILED ? 22 : 8), names = [attempts.task(row), String(attempts.index[row])];
      const name = names.find((text) => context.measureText(text).width <= space);
      if (name) context.fillText(name, left + 4, y + height / 2 + 0.5);
    }
    this.drawn.push({ row, x, y, width, height, lane: layout.first.get(box.worker) + box.lane, from: box.from, to: box.to });
  }

  drawChosen(context, colour) {
    const box = this.drawn.find((drawn) => drawn.row === this.chosen);
    if (!box) return;
    context.strokeStyle = colour.focus; context.lineWidth = 2.5;
    context.strokeRect(box.x - 1, box.y - 1, box.width + 2, box.height + 2);
  }

  timeAt(x) { return this.shown.view.from + (x - GUTTER) / this.shown.scale; }

  rowAt(event) {
    const x = event.offsetX, y = event.offsetY;
    let best = -1, bestDistance = 4;
    for (const box of this.drawn) {
      if (y < box.y - 1 || y > box.y + box.height + 1) continue;
      const distance = Math.max(box.x - x, x - box.x - box.width, 0);
      if (distance < bestDistance) { best = box.row; bestDistance = distance; }
    }
    return best;
  }

  hover(event) {
    const row = this.rowAt(event);
    this.tip.hidden = row < 0;
    if (row < 0) return;
    this.tip.textContent = this.model.describe(row);
    const x = Math.min(event.offsetX + 14, this.frame.clientWidth - this.tip.offsetWidth - 8);
    this.tip.style.left = `${Math.max(4, x)}px`;
    this.tip.style.top = `${event.offsetY + 16}px`;
  }

  choose(row) {
    this.chosen = row;
    const place = byId("chosen");
    place.hidden = row < 0;
    if (row >= 0) {
      fill(place, element("strong", {}, this.model.attempts.task(row)), ` ${this.model.describe(row).split("\n").slice(1).join(" · ")}`,
        command(`mr logs ${this.model.sourceWord()} --task ${this.model.attempts.task(row)}`));
      const box = this.drawn.find((drawn) => drawn.row === row);
      if (box && (box.y < this.frame.scrollTop || box.y + box.height > this.frame.scrollTop + this.frame.clientHeight)) this.frame.scrollTop = box.y - 60;
    }
    this.draw();
  }

  zoom(factor, around) {
    const view = this.view || this.whole(), all = this.whole();
    const chosen = this.drawn.find((drawn) => drawn.row === this.chosen);
    const center = around ?? (chosen ? (chosen.from + chosen.to) / 2 : (view.from + view.to) / 2);
    const from = Math.max(all.from, center - (center - view.from) * factor), to = Math.min(all.to, center + (view.to - center) * factor);
    this.view = to - from >= (all.to - all.from) * 0.999 ? null : { from, to: Math.max(to, from + 0.002) };
    this.draw();
  }

  pan(share) {
    if (!this.view) return;
    const all = this.whole(), width = this.view.to - this.view.from;
    const from = Math.min(Math.max(all.from, this.view.from + width * share), all.to - width);
    this.view = { from, to: from + width };
    this.draw();
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && event.key === "ArrowLeft") this.pan(-0.25);
    else if (event.shiftKey && event.key === "ArrowRight") this.pan(0.25);
    else if (event.key in moves) this.step(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "0") { this.view = null; this.draw(); }
    else if (event.key === "Escape") this.choose(-1);
    else return;
    event.preventDefault();
  }

  // From the chosen attempt to its neighbour in time, or to the nearest one of another slot.
  step(sideways, down) {
    const drawn = [...this.drawn].sort((one, other) => one.lane - other.lane || one.from - other.from);
    if (!drawn.length) return;
    const at = drawn.findIndex((box) => box.row === this.chosen);
    if (at < 0) { this.choose(drawn[0].row); return; }
    if (sideways) {
      const next = drawn[at + sideways];
      if (next && next.lane === drawn[at].lane) this.choose(next.row);
      return;
    }
    const middle = (drawn[at].from + drawn[at].to) / 2, beyond = drawn.filter((box) => (box.lane - drawn[at].lane) * down > 0);
    if (!beyond.length) return;
    const lane = beyond.reduce((best, box) => (Math.abs(box.lane - drawn[at].lane) < Math.abs(best - drawn[at].lane) ? box.lane : best), beyond[0].lane);
    const near = beyond.filter((box) => box.lane === lane);
    near.sort((one, other) => Math.abs((one.from + one.to) / 2 - middle) - Math.abs((other.from + other.to) / 2 - middle));
    this.choose(near[0].row);
  }
}

function short(name, beginning) { return beginning ? `…${name.slice(beginning.length)}` : name; }

function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return short.length > 1 ? `${short}…` : "";
}
