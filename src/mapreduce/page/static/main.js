// The model of one job, and the page around it.

class Model {
  constructor() { this.reset(); this.onChange = () => {}; this.isFile = false; this.isConnected = false; }

  reset() {
    this.status = null; this.head = { sentence: "", severity: "info" }; this.verdicts = {}; this.failures = []; this.failuresKept = 0;
    this.partitions = []; this.workers = new Map(); this.jobs = []; this.spec = ""; this.source = ""; this.version = "";
    this.epoch = 0; this.sequence = 0; this.skew = 0; this.at = 0; this.perWorker = new Map();
    this.attempts = new Attempts();
    this.lanes = new Lanes(this.attempts, (worker) => (this.workers.get(worker) || { slots: 1 }).slots);
    this.isSettled = false; this.spreadCache = null;
  }

  now() { return this.isFile ? this.at : Date.now() / 1000 + this.skew; }

  isLive() { return !this.isFile && this.isConnected; }

  takeState(frame) { this.reset(); this.takeFacts(frame); }

  takePage(page) {
    this.attempts.take(page.attempts);
    this.attempts.outputs[0].take(page.maps);
    this.attempts.outputs[1].take(page.reduces);
  }

  // All columns are there: slots are worked out once for all of them, and from here on as attempts end.
  settle() {
    const ended = [];
    for (let row = 0; row < this.attempts.length; row += 1) if (this.attempts.end[row] !== RUNNING) ended.push(row);
    this.attempts.markBackups(0, this.attempts.length);
    this.lanes.granted(0, this.attempts.length);
    this.lanes.ended(ended);
    this.count(ended);
    this.isSettled = true;
    this.onChange();
  }

  takeDelta(frame) {
    this.takeFacts(frame);
    const before = this.attempts.length, ended = [];
    if (frame.new) ended.push(...this.attempts.take(frame.new));
    this.lanes.granted(before, this.attempts.length);
    if (frame.ended) ended.push(...this.attempts.takeEnded(frame.ended));
    this.attempts.markBackups(before, this.attempts.length);
    this.lanes.ended(ended);
    this.count(ended);
    this.onChange();
  }

  takeFacts(frame) {
    this.status = frame.status; this.head = frame.head; this.verdicts = frame.verdicts || {}; this.epoch = frame.epoch;
    this.sequence = frame.sequence; this.at = frame.at; this.skew = frame.at - Date.now() / 1000;
    if (frame.failures) { this.failures = frame.failures; this.failuresKept = frame.failures_kept || 0; }
    if (frame.partition_bytes) this.partitions = frame.partition_bytes;
    if (frame.workers) for (const worker of frame.workers) this.workers.set(worker.number, worker);
    if (frame.jobs) this.jobs = frame.jobs;
    if (frame.spec) { this.spec = frame.spec; this.source = frame.source || ""; this.version = frame.version || ""; }
  }

  count(rows) {
    for (const row of rows) {
      const counts = this.countsOf(this.attempts.worker[row]);
      if (this.attempts.end[row] === COMMITTED) counts.committed += 1;
      if (this.attempts.end[row] === FAILED) counts.failed += 1;
      this.perWorker.set(this.attempts.worker[row], counts);
    }
  }

  countsOf(worker) { return this.perWorker.get(worker) || { committed: 0, failed: 0 }; }

  held() {
    let sum = 0;
    for (const worker of this.lanes.workers.values()) sum += worker.running.size;
    return sum;
  }

  workerName(number) { return (this.workers.get(number) || { name: `worker ${number}` }).name; }

  // Workers by name, worker-2 before worker-10.
  inOrder(one, other) {
    return this.workerName(one).localeCompare(this.workerName(other), "en", { numeric: true }) || one - other;
  }

  // How commands name the job, quoted for a shell already.
  sourceWord() { return this.source || String(this.status.job); }

  // Sorting many values takes a while: then it is done more seldom than frames come.
  spreads() {
    const now = Date.now(), age = this.lanes.length > 20000 && this.isLive() && !this.status.finished_at ? 4000 : 0;
    if (!this.spreadCache || now - this.spreadCache.at > age) {
      this.spreadCache = { at: now, value: [spreadOf(this.attempts, this.lanes, 0), spreadOf(this.attempts, this.lanes, 1)] };
    }
    return this.spreadCache.value;
  }

  slowest(spreads) { return slowestOf(this.attempts, this.lanes, spreads, this.now(), 8); }

  // Seconds left of the phase that runs, from how fast it went so far.
  estimate() {
    const { status } = this, kind = status.state === "Mapping" ? 0 : status.state === "Reducing" ? 1 : -1;
    if (kind < 0) return 0;
    const counts = kind ? status.reduces : status.maps, spread = this.spreads()[kind].ran;
    let slots = 0;
    for (const worker of this.workers.values()) if (worker.is_here !== false) slots += worker.slots;
    if (!spread || !slots || spread.count < 3) return 0;
    return (counts.total - (counts.committed || 0)) * (spread.sum / spread.count) / slots;
  }

  describe(row) {
    const a = this.attempts, now = this.now(), end = a.end[row], ran = end === RUNNING ? now - a.startAt[row] : a.run[row] || a.endAt[row] - a.startAt[row];
    const lines = [a.task(row), `attempt ${a.number[row]}${a.isBackup[row] ? ", a backup" : ""}: ${ENDS[end]}`, `${end === RUNNING ? "leased for" : "ran"} ${durationText(ran)} on ${this.workerName(a.worker[row])}`,
      `granted ${durationText(a.startAt[row] - (this.status.started_at || a.startAt[row]))} after the start`];
    const outputs = a.outputs[a.kind[row]], index = a.index[row];
    if (end === COMMITTED && index < outputs.length) lines.push(`${sizeText(outputs.sizes[index])}, ${countText(outputs.records[index])} ${a.kind[row] ? "records" : "groups"}`);
    return lines.join("\n");
  }
}

class Page {
  constructor() {
    this.model = new Model();
    this.model.onChange = () => this.changed();
    this.timeline = new Timeline(this.model);
    this.isDue = false;
    this.stream = null;
    document.addEventListener("click", (event) => {
      const text = event.target.dataset ? event.target.dataset.copy : undefined;
      if (text !== undefined) copyText(text, event.target);
    });
    byId("copy-spec").addEventListener("click", (event) => copyText(this.model.spec, event.target));
    byId("theme").addEventListener("click", () => this.switchTheme());
    byId("jobs").addEventListener("change", (event) => this.open(Number(event.target.value)));
    byId("door").addEventListener("submit", (event) => { event.preventDefault(); this.enter(byId("door-token").value.trim()); });
    document.addEventListener("keydown", (event) => {
      if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) this.switchTheme();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyTheme());
    addEventListener("resize", () => this.changed());
    this.applyTheme();
    setInterval(() => { if (this.model.isLive() && this.model.isSettled && !this.model.status.finished_at) this.changed(); }, 1000);
  }

  changed() {
    if (this.isDue || !this.model.isSettled) return;
    this.isDue = true;
    // not while nobody can see it: animation frames rest in hidden tabs
    requestAnimationFrame(() => { this.isDue = false; this.show(); });
  }

  show() {
    const { model } = this;
    byId("job").hidden = false;
    showHead(model);
    this.timeline.draw();
    showSpread(model); showPartitions(model); showWorkers(model); showFailures(model); showCounters(model); showSpecification(model);
    const several = model.jobs.length > 1, select = byId("jobs");
    byId("jobs-label").hidden = !several || model.isFile;
    if (several && document.activeElement !== select) {
      fill(select, ...[...model.jobs].reverse().map((job) => element("option", { value: String(job.job) }, `${job.job} ${job.name} (${job.state})`)));
      select.value = String(model.status.job);
    }
    document.body.dataset.sequence = String(model.sequence);
    document.body.dataset.attempts = String(model.attempts.length);
  }

  // ------------------------------------------------------------------------------------------------------- theme

  applyTheme() {
    let chosen = "";
    try { chosen = localStorage.getItem("mapreduce-theme") || ""; } catch { /* not allowed here */ }
    const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    showLegend();
    this.changed();
  }

  switchTheme() {
    try { localStorage.setItem("mapreduce-theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark"); } catch { return; }
    this.applyTheme();
  }

  // -------------------------------------------------------------------------------------------------- where from

  async begin() {
    const held = byId("data");
    if (held) { this.showFile(JSON.parse(held.textContent)); return; }
    const asked = new URLSearchParams(location.hash.slice(1)), job = Number(asked.get("job")) || 0, ticket = asked.get("ticket");
    history.replaceState(null, "", location.pathname + location.search + (job ? `#job=${job}` : ""));
    let token = "";
    try { token = sessionStorage.getItem(TOKEN_KEY) || ""; } catch { /* not allowed here */ }
    if (ticket) {
      try { token = await buyToken(ticket); } catch (error) { if (!token) { this.showDoor(error.message); return; } }
    }
    this.job = job;
    if (token) this.enter(token); else this.showDoor("");
  }

  enter(token) {
    if (!token) return;
    try { sessionStorage.setItem(TOKEN_KEY, token); } catch { /* a reload asks again */ }
    this.token = token;
    byId("door").hidden = true;
    this.open(this.job || 0);
  }

  open(job) {
    if (this.stream) this.stream.end();
    if (job) history.replaceState(null, "", `${location.pathname}${location.search}#job=${job}`);
    this.timeline.view = null; this.timeline.chosen = -1; byId("chosen").hidden = true;
    const stream = this.stream = new Stream(this.token, job, this.model, (state) => { if (stream === this.stream) this.showLink(state); });
    stream.follow().catch((error) => {
      stream.end();
      if (stream !== this.stream) return;
      try { sessionStorage.removeItem(TOKEN_KEY); } catch { /* nothing was kept */ }
      this.showDoor(error instanceof NoToken ? error.message : String(error));
    });
  }

  showDoor(why) {
    byId("door").hidden = false;
    if (why) say(byId("door-why"), why);
    byId("door-token").focus();
  }

  showLink({ isConnected, lostAt }) {
    const { model } = this, before = model.isConnected, link = byId("link");
    model.isConnected = isConnected;
    link.className = isConnected ? "link" : "link lost";
    const isOver = model.status && model.status.finished_at;
    if (isConnected) say(link, isOver ? "● the job has ended" : "● live");
    else if (isOver) { link.className = "link"; say(link, "The job has ended, and so has its coordinator. This is how it ended."); }
    else say(link, `▲ no connection since ${new Date(lostAt).toLocaleTimeString()}; what is shown is from then. Trying again.`);
    if (before !== isConnected) this.changed();
  }

  showFile(data) {
    const { model } = this;
    model.isFile = true;
    model.takeState(data.frame);
    for (const page of data.pages) model.takePage(page);
    say(byId("link"), `A report made ${new Date(data.made_at * 1000).toLocaleString()}`);
    model.settle();
  }
}

const page = new Page();
page.begin();
