// Small helpers for the document. Text always goes in as text: nothing that user code printed becomes markup.

function byId(id) { return document.getElementById(id); }

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Replaces what is in a node if it differs, so that a selection or focus in it is not lost for nothing.
function fill(node, ...children) {
  const made = element("div", {}, ...children);
  if (node.innerHTML !== made.innerHTML) node.replaceChildren(...made.childNodes);
}

function say(node, text) { if (node.textContent !== text) node.textContent = text; }

// Text in which `words` between backticks are commands.
function withCode(text) {
  return text.split("`").map((piece, at) => (at % 2 ? element("code", {}, piece) : piece));
}

function table(titles, rows) {
  const head = element("tr", {}, ...titles.map(([text, kind]) => element("th", { class: kind || "", scope: "col" }, text)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function cells(values, rowClass) {
  return element("tr", { class: rowClass || "" }, ...values.map(([value, kind]) => element("td", { class: kind || "" }, value)));
}

function command(text) {
  const button = element("button", { type: "button", "data-copy": text, "aria-label": `Copy: ${text}` }, "Copy");
  return element("div", { class: "command" }, element("code", {}, text), button);
}

async function copyText(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {  // not allowed, or not a secure place: leave it selected
    const code = button.parentElement.querySelector("code, pre") || byId("spec");
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 1200);
}

function colours() {
  const style = getComputedStyle(document.documentElement), read = (name) => style.getPropertyValue(`--${name}`).trim();
  const found = {};
  for (const name of ["ink", "quiet", "line", "soft", "card", "map", "reduce", "map-soft", "reduce-soft", "bad", "focus", "gone", "warn"]) found[name] = read(name);
  return found;
}

// A canvas of so many CSS pixels, sharp on every screen; returns its context.
function sized(canvas, width, height) {
  const ratio = Math.min(3, devicePixelRatio || 1), w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; canvas.style.height = `${height}px`; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Fills a rectangle and marks what it is: reduces have a bar along them, backups are hatched, failures edged and crossed.
function paintBox(context, colour, x, y, width, height, look) {
  const main = look.isReduce ? colour.reduce : colour.map, soft = look.isReduce ? colour["reduce-soft"] : colour["map-soft"];
  context.fillStyle = look.isRunning || look.isBackup || look.hasNoResult ? soft : main;
  context.fillRect(x, y, width, height);
  if (look.isReduce && height >= 6 && width >= 3) {
    context.fillStyle = look.isRunning ? main : colour.card;
    context.fillRect(x, y + height - 3, width, 1.5);
  }
  if (look.isBackup && width >= 3) {
    context.save();
    context.beginPath(); context.rect(x, y, width, height); context.clip();
    context.strokeStyle = main; context.lineWidth = 1.5;
    context.beginPath();
    for (let at = x - height; at < x + width; at += 5) { context.moveTo(at, y + height); context.lineTo(at + height, y); }
    context.stroke();
    context.restore();
  }
  if (look.isRunning && width >= 2) {
    context.fillStyle = main;
    context.fillRect(x + width - 2, y, 2, height);
  }
  if (look.hasFailed || look.hasNoResult) {
    context.strokeStyle = look.hasFailed ? colour.bad : colour.quiet; context.lineWidth = 2;
    context.setLineDash(look.hasFailed ? [] : [3, 3]);
    context.strokeRect(x + 1, y + 1, Math.max(1, width - 2), Math.max(1, height - 2));
    context.setLineDash([]);
    if (look.hasFailed && width >= 12 && height >= 9) {
      const cx = x + width - 8, cy = y + height / 2, r = Math.min(3.5, height / 2 - 2);
      context.beginPath();
      context.moveTo(cx - r, cy - r); context.lineTo(cx + r, cy + r); context.moveTo(cx + r, cy - r); context.lineTo(cx - r, cy + r);
      context.stroke();
    }
  }
}
