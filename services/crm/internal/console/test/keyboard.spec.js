import { expect, newPerson, newTicket, test, windowOf } from "./people.js";

test("an engineer clears a queue without the mouse", async ({ browser }) => {
  const tickets = Number(process.env.CONSOLE_QUEUE ?? 4);
  test.setTimeout(120_000 + tickets * 20_000);
  const eve = await newPerson("Eve Keys", "engineer");
  const cora = await newPerson("Cora Keys", "customer");
  const { api, theAdmin } = await import("./people.js");
  const boss = await theAdmin();
  const me = await api("PATCH", "/v1/me", eve.token, { available: false });
  for (const t of (await api("GET", "/v1/tickets?assignee=me&limit=100", eve.token)).items) { // waited for an engineer
    await api("POST", `/v1/tickets/${t.id}/assign`, boss.token, { engineer_id: null });
  }
  for (let i = 0; i < tickets; i++) {
    const t = await newTicket(cora, `Keys ${i}`);
    await api("POST", `/v1/tickets/${t.id}/assign`, boss.token, { engineer_id: me.id });
  }
  const page = await windowOf(browser, eve, "/queue");
  const press = (/** @type {string} */ keys) => page.keyboard.press(keys);
  for (let left = tickets; left > 0; left--) {
    await expect(page.locator("[data-row]")).toHaveCount(left);
    await press("j");
    const title = await page.locator("[data-row]:focus").innerText();
    await press("o");
    await expect(page.getByRole("button", { name: "Accept" })).toBeVisible();
    await expect(page.locator("article.ticket")).toBeFocused();
    await expect(page).toHaveTitle(new RegExp(`^#\\d+ ${title} · `));
    await press("a");
    await expect(page.getByRole("button", { name: "Resolve" })).toBeVisible();
    await press("r");
    await expect(page.getByLabel("Resolution")).toBeFocused();
    await page.keyboard.type("Switched off and on.");
    await press("Control+Enter");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(page.getByRole("region", { name: "Resolution" })).toBeVisible();
    await press("g");
    await press("q");
  }
  await expect(page.getByRole("heading", { name: "Nothing is waiting here" })).toBeVisible();
});

test("Escape leaves a field and then a ticket, whose row has the focus afterwards", async ({ browser }) => {
  const cora = await newPerson("Cora Escape", "customer");
  await newTicket(cora, "The first of two");
  await newTicket(cora, "The second of two");
  const page = await windowOf(browser, cora, "/tickets");
  const first = page.getByRole("link", { name: "The first of two" });
  await first.click();
  await expect(page.getByRole("heading", { name: "The first of two" })).toBeVisible();
  await page.keyboard.press("c");
  await page.keyboard.type("g n");
  await page.keyboard.press("Escape");
  await expect(page.locator("article.ticket")).toBeFocused();
  await expect(page.getByLabel("Comment")).toHaveValue("g n");
  await page.keyboard.press("Escape");
  await expect(first).toBeFocused();
  await page.keyboard.press("k");
  await expect(page.getByRole("link", { name: "The second of two" })).toBeFocused();
});

test("shortcuts are listed, searched and never fire while one types", async ({ browser }) => {
  const cora = await newPerson("Cora Shortcut", "customer");
  const page = await windowOf(browser, cora, "/tickets");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Shortcuts" })).toContainText("New ticket");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.getByRole("link", { name: "New ticket" }).focus();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Shortcuts" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("link", { name: "New ticket" })).toBeFocused();
  await page.keyboard.press("/");
  await expect(page.getByRole("searchbox", { name: "Search" })).toBeFocused();
  await page.keyboard.type("g n ? j");
  await expect(page.getByRole("searchbox", { name: "Search" })).toHaveValue("g n ? j");
  await expect(page).toHaveURL(/\/tickets$/);
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("combobox", { name: "Action" })).toBeFocused();
  await page.keyboard.type("new tick");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "New ticket" })).toBeVisible();
});
