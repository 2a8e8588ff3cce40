import { api, expect, newPerson, newTicket, test, theAdmin, windowOf } from "./people.js";

/** @param {import("@playwright/test").Page} page */
const selected = (page) => page.getByRole("group", { name: "Selected tickets" });

test("an admin selects tickets by click and by keyboard", async ({ browser }) => {
  const word = `range${Date.now()}`;
  const cora = await newPerson("Cora Range", "customer");
  for (const n of [1, 2, 3, 4, 5]) await newTicket(cora, `${word} ${n}`);
  const page = await windowOf(browser, await theAdmin(), `/tickets?q=${word}`);
  const boxes = page.getByRole("checkbox", { name: /^Select #/ });
  const checked = () => boxes.evaluateAll((all) => all.map((box) => Number(/** @type {HTMLInputElement} */ (box).checked)).join(""));
  await expect(boxes).toHaveCount(5);
  await boxes.nth(1).click();
  await boxes.nth(3).click({ modifiers: ["Shift"] });
  expect(await checked()).toBe("01110");
  await expect(selected(page)).toContainText("3 tickets selected");
  await page.getByRole("row").filter({ hasText: `${word} 4` }).getByRole("cell").nth(3).click({ modifiers: ["Shift"] });
  expect(await checked()).toBe("01000");
  await page.getByRole("checkbox", { name: "Select all that are shown" }).click();
  expect(await checked()).toBe("11111");
  await page.getByRole("button", { name: "Clear" }).click();
  await expect(selected(page)).toHaveCount(0);

  await page.locator("h1").click();
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  expect(await checked()).toBe("10000");
  await page.keyboard.press("Shift+j");
  await page.keyboard.press("Shift+j");
  expect(await checked()).toBe("11100");
  await page.keyboard.press("Shift+k");
  expect(await checked()).toBe("11000");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Shortcuts" })).toContainText("Close the selected tickets");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(await checked()).toBe("11000");
  await page.keyboard.press("Escape");
  expect(await checked()).toBe("00000");
  expect(new URL(page.url()).searchParams.get("q")).toBe(word);
});

test("the same is done with each selected ticket, and what fails is said in words", async ({ browser }) => {
  const word = `bulk${Date.now()}`;
  const cora = await newPerson("Cora Bulk", "customer");
  const eve = await newPerson("Eve Bulk", "engineer");
  const boss = await theAdmin();
  const tickets = [await newTicket(cora, `${word} one`), await newTicket(eve, `${word} two`), await newTicket(cora, `${word} three`)];
  const now = async () => Promise.all(tickets.map((t) => api("GET", `/v1/tickets/${t.id}`, boss.token)));
  const page = await windowOf(browser, boss, `/tickets?q=${word}`);
  await expect(page.locator("[data-row]")).toHaveCount(3);
  await page.getByRole("checkbox", { name: "Select all that are shown" }).click();
  await page.getByRole("button", { name: "Assign to…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "Engineer" }).selectOption({ label: /** @type {any} */ (await page.getByRole("option", { name: /^Eve Bulk/ }).textContent()) });
  await dialog.getByRole("button", { name: "Assign" }).click();
  await expect(dialog.getByRole("alert").filter({ hasText: "was not assigned" })).toContainText(`#${tickets[1].number} ${word} two`);
  await expect(dialog.getByRole("button", { name: "Try again" })).toBeVisible();
  await dialog.getByRole("button", { name: "Done" }).click();
  expect((await now()).map((t) => t.assignee?.name === "Eve Bulk")).toEqual([true, false, true]);

  await page.keyboard.press("s");
  await page.keyboard.press("p");
  await dialog.getByRole("combobox", { name: "Priority" }).selectOption("urgent");
  await dialog.getByRole("button", { name: "Set the priority" }).click();
  await expect(dialog).toHaveCount(0);
  expect((await now()).map((t) => t.priority)).toEqual(["urgent", "urgent", "urgent"]);
  await expect(page.locator(".tickets .priority.urgent")).toHaveCount(3);

  await page.keyboard.press("Control+k");
  await page.keyboard.type("close the selected");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Close" }).click();
  await expect(page.getByText("3 tickets closed.")).toBeVisible();
  expect((await now()).map((t) => t.status)).toEqual(["closed", "closed", "closed"]);
});

test("a customer's list has the last answer and marks what is unread, by one request", async ({ browser }) => {
  const cora = await newPerson("Cora Listed", "customer");
  const boss = await theAdmin();
  const ticket = await newTicket(cora, "The list answers");
  for (const title of ["Silent one", "Silent two"]) await newTicket(cora, title);
  const page = await windowOf(browser, cora, "/tickets");
  const row = page.getByRole("row").filter({ hasText: "The list answers" });
  await expect(row).toContainText("No answer yet");
  await api("POST", `/v1/tickets/${ticket.id}/comments`, boss.token, { body: "Have you tried\n\nthe other lamp?" });
  await expect(row).toContainText("Admin, just now: Have you tried the other lamp?");
  await expect(row).toContainText("(unread)");
  await api("POST", `/v1/tickets/${ticket.id}/comments`, boss.token, { body: "The customer is odd.", internal: true });
  await api("POST", `/v1/tickets/${ticket.id}/comments`, cora.token, { body: "Yes, I have." });
  await expect(row).toContainText("You, just now: Yes, I have.");
  await expect(row).not.toContainText("(unread)"); // one's own words are nothing new
  await expect(page.getByText("is odd")).toHaveCount(0);
  await expect(page.getByRole("checkbox")).toHaveCount(0);
  /** @type {string[]} */
  const calls = [];
  page.on("request", (r) => calls.push(new URL(r.url()).pathname));
  await page.reload();
  await expect(row).toContainText("You, just now: Yes, I have.");
  expect(calls.filter((path) => path.startsWith("/v1/tickets/") && path !== "/v1/tickets/counts")).toEqual([]);
  expect(calls).toContain("/v1/tickets"); // the control
});

test("a ticket that is opened shows at once what its list has of it", async ({ browser }) => {
  const word = `atonce${Date.now()}`;
  const cora = await newPerson("Cora Atonce", "customer");
  const ticket = await newTicket(cora, `${word} printer`);
  const page = await windowOf(browser, await theAdmin(), `/tickets?q=${word}`);
  await expect(page.locator("[data-row]")).toHaveCount(1);
  let answer = () => {};
  const waits = new Promise((resolve) => (answer = () => resolve(undefined)));
  await page.route(`**/v1/tickets/${ticket.number}`, async (route) => {
    await waits;
    await route.continue();
  });
  await page.keyboard.press("j");
  await page.keyboard.press("o");
  const pane = page.getByRole("article", { name: `Ticket ${ticket.number}` });
  await expect(pane.getByRole("heading", { level: 1 })).toHaveText(`${word} printer`);
  await expect(pane.getByRole("complementary", { name: "Facts" })).toContainText("Cora Atonce");
  await expect(pane).toHaveAttribute("aria-busy", "true");
  await expect(pane.getByRole("textbox", { name: "Comment" })).toHaveCount(0);
  answer();
  await expect(pane.getByRole("textbox", { name: "Comment" })).toBeVisible();
  await expect(pane).not.toHaveAttribute("aria-busy");
  await expect(pane.getByRole("heading", { level: 1 })).toHaveCount(1);

  // The control: without a list nothing is known before the ticket is read.
  const wait = new Promise((resolve) => (answer = () => resolve(undefined)));
  await page.unroute(`**/v1/tickets/${ticket.number}`);
  await page.route(`**/v1/tickets/${ticket.number}`, async (route) => {
    await wait;
    await route.continue();
  });
  await page.goto(`/tickets/${ticket.number}`);
  await expect(pane).toHaveAttribute("aria-busy", "true");
  await expect(pane.getByRole("heading", { level: 1 })).toHaveCount(0);
  answer();
  await expect(pane.getByRole("textbox", { name: "Comment" })).toBeVisible();
});
