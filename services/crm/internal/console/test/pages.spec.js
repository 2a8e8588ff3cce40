// Every page, light and dark, wide and narrow: accessible, without sideways scrolling,
// from this host alone. The screenshots are in test-results/screens.
import AxeBuilder from "@axe-core/playwright";
import { api, expect, newPerson, newTicket, signIn, test, theAdmin, windowOf } from "./people.js";

const outside = ["/", "/register", "/reset", "/verify", "/assets/parts.html"];
const forCustomers = ["/tickets", "/new", "/me", "/nowhere"];
const forAdmins = [
  "/tickets?active=true", "/queue", "/admin/registrations", "/admin/users", "/admin/reports", "/admin/audit", "/ops/notifications", "/ops/outbox", "/ops/suppressions", "/ops/inbound", "/ops/health",
];

/** @param {import("@playwright/test").Page} page @param {string} name */
async function check(page, name) {
  await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
  await page.waitForTimeout(300);
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" }); // nothing is half way between two colours
    const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
    expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), `${name}, ${colorScheme}`).toEqual([]);
    await page.screenshot({ path: `test-results/screens/${name}-${colorScheme}-1440.png` });
  }
  await page.setViewportSize({ width: 320, height: 640 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at 320 px`).toBeLessThanOrEqual(320);
  await page.screenshot({ path: `test-results/screens/${name}-dark-320.png` });
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path: `test-results/screens/${name}-light-320.png` });
  await page.setViewportSize({ width: 1440, height: 900 });
}

/** @param {string} path */
const fileName = (path) => path.replace(/\W+/g, "-").replace(/^-|-$/g, "") || "sign-in";

for (const path of outside) {
  test(`${path} of somebody who isn't signed in`, async ({ page }) => {
    await page.goto(path);
    await check(page, fileName(path));
  });
}

test("the pages of a customer", async ({ browser }) => {
  const cora = await newPerson("Cora Pages", "customer");
  const ticket = await newTicket(cora, "The coffee machine leaks again");
  const page = await windowOf(browser, cora);
  for (const path of [...forCustomers, `/tickets/${ticket.number}`]) {
    await page.goto(path);
    await check(page, `customer-${fileName(path)}`);
  }
});

test("the pages of an admin", async ({ browser }) => {
  test.slow();
  const cora = await newPerson("Cora Seen", "customer");
  const ticket = await newTicket(cora, "No light in the cellar");
  await newPerson("Eve Seen", "engineer");
  const page = await windowOf(browser, await theAdmin());
  for (const path of [...forAdmins, `/tickets/${ticket.number}`]) {
    await page.goto(path);
    await check(page, `admin-${fileName(path)}`);
  }
  await page.keyboard.press("?");
  await check(page, "shortcuts");
});

test("axe finds what is wrong", async ({ page }) => {
  await page.goto("/");
  await page.getByLabel("Email").evaluate((field) => field.removeAttribute("id"));
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map((v) => v.id)).toContain("label");
});

test("nothing comes from another host, and the whole first visit is small", async ({ page, baseURL }) => {
  /** @type {string[]} */
  const foreign = [];
  page.on("request", (r) => !r.url().startsWith(/** @type {string} */ (baseURL)) && foreign.push(r.url()));
  const cora = await newPerson("Cora Bytes", "customer");
  await page.goto("/");
  await signIn(page, cora);
  await expect(page.getByRole("heading", { name: "No tickets yet" })).toBeVisible();
  expect(foreign).toEqual([]);
  const bytes = await page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((sum, e) => sum + /** @type {any} */ (e).encodedBodySize, 0));
  expect(bytes).toBeLessThanOrEqual(100 * 1024);
  expect(bytes).toBeGreaterThan(20 * 1024); // the control: they were counted
});

test("a word that is longer than the page does not widen it", async ({ browser }) => {
  const cora = await newPerson(`C${"orawithalongname".repeat(6)}`, "customer");
  const eve = await newPerson("Eve Wide", "engineer");
  const { number } = await newTicket(cora, "wordwithoutspaces".repeat(11));
  await api("POST", `/v1/tickets/${number}/comments`, eve.token, { body: "An answer, so that the ticket is unread." });
  const { items } = await api("GET", `/v1/users?q=${cora.email}`, (await theAdmin()).token);
  const customer = await windowOf(browser, cora);
  const admin = await windowOf(browser, await theAdmin());
  for (const [page, path] of /** @type {const} */ ([[customer, "/tickets"], [customer, `/tickets/${number}`], [admin, `/tickets/${number}`], [admin, `/admin/users/${items[0].id}`]])) {
    for (const width of [320, 1440]) {
      await page.setViewportSize({ width, height: 800 });
      await page.goto(path);
      await expect(page.getByText(/wordwithoutspaces|orawithalongname/).first()).toBeVisible();
      await expect(page.getByText("Loading")).toHaveCount(0);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), `${path} at ${width} px`).toBeLessThanOrEqual(width);
    }
  }
});

/** Where the text of an element begins and ends on its first line, and the element itself. @param {import("@playwright/test").Locator} locator */
const lineOf = (locator) =>
  locator.evaluate((element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const [line] = range.getClientRects();
    const box = element.getBoundingClientRect();
    return { left: line.left - box.left, right: box.right - line.right };
  });

test("a text in a script that is written from right to left stands at the right", async ({ browser }) => {
  const cora = await newPerson("Cora Right", "customer");
  const { number } = await newTicket(cora, "המדפסת בוערת!");
  const page = await windowOf(browser, cora, `/tickets/${number}`);
  for (const body of ["היא מעלה עשן.", "It smokes."]) {
    await page.getByLabel("Comment").fill(body);
    await page.getByRole("button", { name: "Add comment" }).click();
  }
  const hebrew = await lineOf(page.getByText("היא מעלה עשן.").last());
  expect(hebrew.right, "Hebrew").toBeLessThan(hebrew.left);
  const english = await lineOf(page.getByText("It smokes.").last());
  expect(english.left, "English").toBeLessThan(english.right);
});
