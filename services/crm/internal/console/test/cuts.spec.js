// The event stream over a network that breaks.
import { createServer, connect } from "node:net";
import { api, expect, newPerson, newTicket, test, theAdmin, windowOf } from "./people.js";

/**
 * A network that can be cut: it passes bytes on to the service, and a cut breaks every
 * connection wherever it is, in the middle of an event too.
 * @param {string} target
 */
async function network(target) {
  const { hostname, port } = new URL(target);
  /** @type {Set<import("node:net").Socket>} */
  const open = new Set();
  const cut = () => open.forEach((socket) => socket.destroy());
  let broken = false;
  const server = createServer((near) => {
    if (broken) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const [from, to] of [[near, far], [far, near]]) {
      open.add(from);
      from.on("data", (bytes) => void to.write(bytes)).on("error", () => {}).on("close", () => (open.delete(from), to.destroy()));
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://localhost:${address.port}`,
    cut,
    /** @param {boolean} down */
    down: (down) => ((broken = down), cut()),
    close: () => (cut(), server.close()),
  };
}

/** Lists the ids of the events that the page gets from now on. @param {import("@playwright/test").Page} page */
const recordEvents = (page) => page.evaluate(async () => {
  const name = /** @type {string} */ (performance.getEntriesByType("resource").map((r) => r.name).find((n) => /\/assets\/stream\..*js$/.test(n)));
  const { onEvent } = await import(name);
  const seen = /** @type {string[]} */ ([]);
  onEvent((/** @type {any} */ e) => seen.push(e.id));
  Object.assign(window, { seen });
});

/** @param {import("@playwright/test").Page} page @returns {Promise<string[]>} */
const recorded = (page) => page.evaluate(() => /** @type {any} */ (window).seen);

test("connections that break anywhere lose no event and repeat none", async ({ browser, baseURL }) => {
  const cuts = Number(process.env.CONSOLE_CUTS ?? 5);
  test.setTimeout(120_000 + cuts * 3_000);
  const cora = await newPerson("Cora Cuts", "customer");
  await newPerson("Eve Cuts", "engineer"); // so that no ticket waits for another test's engineer
  const tickets = [];
  for (let i = 0; i < 20; i++) tickets.push(await newTicket(cora, `Broken connections ${i}`));
  const net = await network(/** @type {string} */ (baseURL));
  try {
    const page = await windowOf(browser, cora, `/tickets/${tickets[0].number}`, { baseURL: net.url });
    await expect(page.locator(".live[title=Live]")).toBeVisible();
    await recordEvents(page);
    await newPerson("Eve Down", "engineer"); // so that no ticket waits for another test's engineer
    let boss = await theAdmin();
    const changed = () => api("POST", `/v1/tickets/${tickets[made++ % tickets.length].id}/comments`, boss.token, { body: `Change ${made}.` });
    let made = 0;
    for (let i = 0; i < cuts; i++) {
      if (i % 50 === 49) boss = await theAdmin(); // a token holds for ten minutes
      // One change before the cut, one at the same time, and one while the page may not be back yet.
      await changed();
      const during = changed();
      if (i % 2) await expect.poll(async () => (await recorded(page)).length).toBeGreaterThanOrEqual(made - 2);
      net.cut();
      await Promise.all([during, changed()]);
    }
    await expect(page.locator(".live[title=Live]")).toBeVisible();
    const expected = new Set();
    for (const t of tickets) {
      for (let cursor = ""; cursor !== undefined; ) {
        const { items, next_cursor } = await api("GET", `/v1/tickets/${t.id}/events?limit=100&cursor=${cursor}`, boss.token);
        for (const e of items) if (e.kind === "commented") expected.add(e.id);
        cursor = next_cursor;
      }
    }
    expect(expected.size).toBe(3 * cuts);
    const own = (/** @type {string[]} */ ids) => ids.filter((id) => expected.has(id));
    await expect.poll(async () => new Set(own(await recorded(page))).size).toBe(expected.size);
    expect(own(await recorded(page))).toHaveLength(expected.size);
    await expect(page.getByRole("article", { name: "Admin wrote" })).toHaveCount(Math.ceil((3 * cuts) / tickets.length));
  } finally {
    net.close();
  }
});

for (const resumes of [true, false]) {
  test(`what happened while the network was down ${resumes ? "is seen afterwards" : "is missed by a page that forgets its position (the control)"}`, async ({ browser, baseURL }) => {
    const cora = await newPerson("Cora Down", "customer");
    const ticket = await newTicket(cora, "The network is down");
    await newPerson("Eve Down", "engineer"); // so that no ticket waits for another test's engineer
    const boss = await theAdmin();
    const changed = () => api("POST", `/v1/tickets/${ticket.id}/comments`, boss.token, { body: "A change." });
    const net = await network(/** @type {string} */ (baseURL));
    try {
      const page = await windowOf(browser, cora, "/tickets", { baseURL: net.url });
      if (!resumes) {
        await page.route("**/v1/events", (route) => {
          const { "last-event-id": _, ...headers } = route.request().headers();
          return route.continue({ headers });
        });
      }
      await expect(page.locator(".live[title=Live]")).toBeVisible();
      await recordEvents(page);
      net.down(true);
      await expect(page.locator(".live.behind")).toBeVisible();
      await changed();
      net.down(false);
      await expect(page.locator(".live[title=Live]")).toBeVisible();
      await changed();
      const { items } = await api("GET", `/v1/tickets/${ticket.id}/events?limit=100`, cora.token);
      const [missed, later] = items.filter((/** @type {any} */ e) => e.kind === "commented").map((/** @type {any} */ e) => e.id);
      await expect.poll(() => recorded(page)).toContain(later);
      expect((await recorded(page)).includes(missed)).toBe(resumes);
    } finally {
      net.close();
    }
  });
}

test("a hidden page holds no connection, and reads what came meanwhile when it is seen", async ({ browser }) => {
  const cora = await newPerson("Cora Hidden", "customer");
  const ticket = await newTicket(cora, "Seven tabs");
  await newPerson("Eve Hidden", "engineer"); // so that no ticket waits for another test's engineer
  const boss = await theAdmin();
  const first = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  const context = first.context();
  /** A browser shows one tab; the automated one shows all. @param {import("@playwright/test").Page} page @param {boolean} hidden */
  const hide = (page, hidden) => page.evaluate((h) => {
    Object.defineProperty(document, "hidden", { value: h, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(first, true);
  for (let i = 0; i < 7; i++) { // a browser opens six connections to a host
    const tab = await context.newPage();
    await tab.goto(`/tickets/${ticket.number}`);
    await expect(tab.getByRole("heading", { name: "Seven tabs" })).toBeVisible();
    await expect(tab.locator(".live[title=Live]")).toBeVisible();
    await hide(tab, true);
  }
  await api("POST", `/v1/tickets/${ticket.id}/comments`, boss.token, { body: "While nobody looked." });
  await expect(first.getByText("While nobody looked.")).toHaveCount(0);
  await hide(first, false);
  await expect(first.getByText("While nobody looked.")).toBeVisible();
});
