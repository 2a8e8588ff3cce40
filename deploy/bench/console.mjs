// Measures the console in Chromium, as somebody who works by keyboard. Started by
// console.go with one argument, a JSON object of
//   package   the folder whose node_modules has Playwright
//   chromium  the browser's program
//   url       the CRM
//   email, password
//   repeat    how often each is measured, after two times that don't count
// It prints a JSON object: bytes of the first visit, and the milliseconds of each
// measurement by its name.
import { createRequire } from "node:module";

const o = JSON.parse(process.argv[2]);
const { chromium } = createRequire(`${o.package}/package.json`)("playwright-core");
const browser = await chromium.launch({ executablePath: o.chromium, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, baseURL: o.url });
await context.addInitScript(prepare);
const page = await context.newPage();
/** @type {Record<string, number[]>} */
const took = {};
const warmUps = 2;

try {
  console.log(JSON.stringify({ bytes: await firstVisit(), took: await measure() }));
} finally {
  await browser.close();
}

// Runs in the page, before its own scripts.
function prepare() {
  const bench = {
    input: 0, // when the last key or click came
    rows: () => document.querySelectorAll("[data-row]").length >= 50,
    /** @type {Promise<number> | undefined} */
    wait: undefined,
    // The time after the first frame with what is waited for was painted.
    painted: (/** @type {() => any} */ seen) => new Promise((resolve) => {
      const look = () => requestAnimationFrame(() => {
        if (!seen()) return look();
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve(performance.now());
        port2.postMessage(0);
      });
      look();
    }),
  };
  for (const type of ["keydown", "click"]) addEventListener(type, (e) => (bench.input = e.timeStamp), true);
  Object.assign(window, { bench });
  bench.wait = bench.painted(bench.rows);
}

async function firstVisit() {
  await page.goto("/");
  await page.getByLabel("Email").fill(o.email);
  await page.getByLabel("Password").fill(o.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("[data-row]").first().waitFor();
  return page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((sum, e) => sum + e.encodedBodySize, 0));
}

async function measure() {
  for (let n = 0; n < o.repeat + warmUps; n++) {
    await opened("the list of all by its address", "/tickets");
    await opened("the queue by its address", "/queue?tab=all");
    await page.goto("/me");
    await page.getByRole("heading", { name: "Sessions" }).waitFor();
    await after("the list of all by a click", () => page.getByRole("link", { name: "All tickets" }).click(), "bench.rows()");
    await keys(n);
    await page.getByRole("searchbox", { name: "Search" }).fill("printer");
    await after("a search for a common word", () => page.keyboard.press("Enter"), `document.querySelector("h1") && bench.rows() && location.search === "?q=printer"`);
  }
  for (const times of Object.values(took)) times.splice(0, warmUps);
  return took;
}

/** Opens a ticket of the list by keyboard. @param {number} n another one each time */
async function keys(n) {
  const moved = "document.activeElement !== bench.before && document.activeElement.matches('[data-row]')";
  for (let i = 0; i <= n % 10; i++) await page.keyboard.press("j");
  await after("j", () => page.keyboard.press("j"), moved);
  await after("k", () => page.keyboard.press("k"), moved);
  await after("o", () => page.keyboard.press("o"), "document.querySelector('article.ticket h1')", [
    "a ticket by o", "document.querySelector('article.ticket h1') && document.querySelector('article.ticket .timeline') && document.querySelector('[data-comment]')",
  ]);
  await after("c", () => page.keyboard.press("c"), "document.activeElement.matches('[data-comment]')");
  await page.getByRole("heading", { level: 1 }).last().click();
  await after("j beside a ticket", () => page.keyboard.press("j"), moved);
  const next = await page.evaluate(() => document.activeElement?.getAttribute("href")?.split("/").pop());
  await after("the next ticket by o", () => page.keyboard.press("o"), `document.querySelector('article.ticket[aria-label="Ticket ${next}"] .timeline')`);
  await after("the palette", () => page.keyboard.press("Control+k"), "document.querySelector('dialog[open]')");
  await page.keyboard.press("Escape");
}

/** @param {string} name @param {string} address */
async function opened(name, address) {
  await page.goto(address, { waitUntil: "commit" });
  note(name, await page.evaluate(() => bench.wait));
  await page.locator(".live[title=Live]").waitFor();
}

/**
 * Measures from a key or click until what it leads to is painted.
 * @param {string} name
 * @param {() => Promise<void>} act
 * @param {string} seen an expression, evaluated in the page
 * @param {[string, string]} [later] the same for what comes later
 */
async function after(name, act, seen, later) {
  // As a string: the page's policy allows no eval of its own.
  await page.evaluate(`bench.before = document.activeElement;
    bench.wait = Promise.all([${[seen, later?.[1]].filter(Boolean).map((s) => `bench.painted(() => (${s}))`)}]); undefined`);
  await act();
  const times = await page.evaluate(async () => (await bench.wait).map((t) => t - bench.input));
  note(name, times[0]);
  if (later) note(later[0], times[1]);
}

/** @param {string} name @param {number} milliseconds */
function note(name, milliseconds) {
  (took[name] ??= []).push(milliseconds);
}
