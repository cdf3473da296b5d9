// From the coordinator to the model: token, frames, columns; and going on after every kind of break.

const TOKEN_KEY = "mapreduce-token";
const PAGE_ROWS = 50000;

class NoToken extends Error {}

// Relative to where the page itself was found, so that it works behind a proxy with a path of its own.
function address(path) { return new URL(path, document.baseURI.split("#")[0]).href; }

function pause(ms) { return new Promise((resolve) => { setTimeout(resolve, ms); }); }

async function call(path, token, options) {
  const headers = { ...((options || {}).headers || {}) };
  if (token) headers["X-MapReduce-Token"] = token;
  const reply = await fetch(address(path), { cache: "no-store", credentials: "same-origin", ...options, headers });
  if (reply.status === 401 || reply.status === 403) throw new NoToken((await problem(reply)) || "This token is not accepted.");
  if (!reply.ok) throw new Error((await problem(reply)) || `status ${reply.status}`);
  return reply;
}

async function problem(reply) {
  try { return (await reply.json()).message || ""; } catch { return ""; }
}

async function buyToken(ticket) {
  const reply = await call("v1/ticket", "", { method: "POST", body: JSON.stringify({ ticket }), headers: { "Content-Type": "application/json" } });
  return (await reply.json()).token;
}

// Yields [sequence, message] of a text/event-stream until it ends.
async function* events(reply, onSign) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", id = "", data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onSign();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) yield [Number(id), JSON.parse(data.join("\n"))];
        data = [];
      } else if (line.startsWith("id:")) id = line.slice(3).trim();
      else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}

class Stream {
  constructor(token, job, model, onState) {
    this.token = token; this.job = job; this.model = model; this.onState = onState;
    this.sequence = 0; this.isOver = false; this.abort = null; this.heardAt = Date.now();
    // A connection that was cut without a word, by a proxy or a sleeping machine, is noticed by its silence.
    this.watch = setInterval(() => { if (Date.now() - this.heardAt > 40000 && this.abort) this.abort.abort(); }, 5000);
  }

  end() { this.isOver = true; clearInterval(this.watch); if (this.abort) this.abort.abort(); }

  // Follows for ever; throws NoToken when the token is refused.
  async follow() {
    let wait = 500, lostAt = 0;
    while (!this.isOver) {
      try {
        this.abort = new AbortController();
        this.heardAt = Date.now();
        const headers = this.sequence ? { "Last-Event-ID": String(this.sequence) } : {};
        const reply = await call(`v1/jobs/${this.job}/frames`, this.token, { headers, signal: this.abort.signal });
        for await (const [sequence, frame] of events(reply, () => { this.heardAt = Date.now(); })) {
          if (frame.type === "State") await this.begin(frame);
          else this.model.takeDelta(frame);
          this.sequence = sequence;
          wait = 500; lostAt = 0;
          this.onState({ isConnected: true });
        }
      } catch (error) {
        if (error instanceof NoToken) throw error;
        console.debug("The connection ended:", error);
      }
      if (this.isOver) return;
      lostAt = lostAt || Date.now();
      this.onState({ isConnected: false, lostAt });
      await pause(wait);
      wait = Math.min(wait * 1.7, 8000);
    }
  }

  // The whole state: its columns come page by page.
  async begin(frame) {
    this.model.takeState(frame);
    let from = 0;
    while (from !== null && !this.isOver) {
      const reply = await call(`v1/jobs/${frame.status.job}/timeline?from=${from}&limit=${PAGE_ROWS}`, this.token, { signal: this.abort.signal });
      const page = await reply.json();
      this.model.takePage(page);
      from = page.next === undefined ? null : page.next;
    }
    this.model.settle();
  }
}
