// Drives a headless browser for tests: a JSON command a line on stdin, a JSON answer a line on stdout.
// Requests to anything but loopback are refused here and reported, so that no test depends on them by accident.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.env.MR_BROWSER_MODULES + "/");
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath: process.env.MR_BROWSER || "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--hide-scrollbars"],
});
let context = null, page = null, asked = [], strangers = [], said = [];

const commands = {
  async open({ url, scheme, width, height, scale }) {
    if (context) await context.close();
    asked = []; strangers = []; said = [];
    context = await browser.newContext({ colorScheme: scheme || "light", viewport: { width: width || 1280, height: height || 900 },
      deviceScaleFactor: scale || 1, reducedMotion: "reduce" });
    await context.route("**/*", (route) => {
      const target = new URL(route.request().url());
      if (["127.0.0.1", "localhost", "[::1]"].includes(target.hostname) || ["file:", "data:"].includes(target.protocol)) return route.continue();
      strangers.push(target.href);
      return route.abort();
    });
    page = await context.newPage();
    page.on("request", (request) => asked.push(`${request.method()} ${request.url()}`));
    page.on("console", (message) => { if (["error", "debug"].includes(message.type())) said.push(message.text()); });
    page.on("pageerror", (error) => said.push(String(error)));
    await page.goto(url);
    return null;
  },
  async evaluate({ code }) { return page.evaluate(code); },
  // Not waitForFunction: it evaluates text inside the page, which the page's own policy forbids.
  async wait({ code, seconds }) {
    const until = Date.now() + (seconds || 30) * 1000;
    while (!(await page.evaluate(code))) {
      if (Date.now() > until) throw new Error(`waited ${seconds} s; the page says: ${(await page.evaluate("document.body.innerText")).slice(0, 1500)}; ${said.join("; ")}`);
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
    return null;
  },
  async press({ keys }) { for (const key of keys) await page.keyboard.press(key); return null; },
  async click({ selector }) { await page.click(selector, { timeout: 10000 }); return null; },
  async fill({ selector, text }) { await page.fill(selector, text); return null; },
  async reload() { await page.reload(); return null; },
  async picture({ path, whole, selector }) {
    if (selector) await page.locator(selector).screenshot({ path });
    else await page.screenshot({ path, fullPage: Boolean(whole) });
    return null;
  },
  async network() { return { asked, strangers, said }; },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { name, ...parameters } = JSON.parse(line);
  let answer;
  try { answer = { value: (await commands[name](parameters)) ?? null }; } catch (error) { answer = { error: String(error.message || error) }; }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
