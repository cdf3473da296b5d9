// Numbers as people read them. Pure.

function sizeText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes, unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 99.5 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

function durationText(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 0.0995) return `${(s * 1000).toFixed(s < 0.00995 ? 1 : 0)} ms`;
  if (s < 9.95) return `${s.toFixed(s < 1 ? 2 : 1)} s`;
  const whole = Math.round(s), two = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${two(Math.floor((whole % 86400) / 3600))}h`;
}

function countText(count) { return Math.round(count).toLocaleString("en-US"); }

function plural(count, noun) { return `${countText(count)} ${noun}${count === 1 ? "" : "s"}`; }

function clockText(at) { return at ? new Date(at * 1000).toLocaleTimeString() : "–"; }

// A round step for an axis of `span` seconds with about `count` marks.
function axisStep(span, count) {
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 14400, 43200, 86400, 172800, 604800];
  const wanted = span / Math.max(1, count);
  return steps.find((step) => step >= wanted) || steps[steps.length - 1];
}

function axisText(seconds, step) {
  if (step < 1) return `${seconds.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : 1)} s`;
  return seconds < 60 ? `${Math.round(seconds)} s` : durationText(seconds).replace(/m00s$/, "m");
}

// What all names begin with, up to a dash, if it is long: names of pods differ at their end only.
function commonBeginning(names) {
  if (names.length < 2) return "";
  let length = Math.min(...names.map((name) => name.length - 1));
  while (length > 0 && names.some((name) => name.slice(0, length) !== names[0].slice(0, length))) length -= 1;
  const beginning = names[0].slice(0, names[0].slice(0, length).lastIndexOf("-") + 1);
  return beginning.length > 10 ? beginning : "";
}
