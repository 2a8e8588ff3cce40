import { api, expect, newPerson, newTicket, signIn, test, windowOf } from "./people.js";

test("somebody new registers, raises a ticket and closes it", async ({ page }) => {
  await page.goto("/");
  await page.getByRole("link", { name: "Register" }).click();
  await page.getByLabel("Name").fill("Nora New");
  await page.getByLabel("Email").fill(`nora.${Date.now()}@example.com`);
  await page.getByLabel("Password").fill("short");
  await page.getByRole("button", { name: "Register" }).click();
  await expect(page.getByRole("alert").first()).toBeVisible();
  await expect(page.getByLabel("Name")).toHaveValue("Nora New");
  await page.getByLabel("Password").fill("long enough for a test");
  await page.getByRole("button", { name: "Register" }).click();
  await expect(page.getByRole("heading", { name: "No tickets yet" })).toBeVisible();
  await page.getByRole("link", { name: "New ticket" }).click();
  await page.getByLabel("Title").fill("The lamp in the hallway flickers");
  await page.getByLabel("Description").fill("Since Monday, all day long.");
  await page.getByRole("combobox", { name: "Priority" }).selectOption("high");
  await page.getByRole("button", { name: "Raise ticket" }).click();
  await expect(page.getByRole("heading", { name: "The lamp in the hallway flickers" })).toBeVisible();
  await page.getByLabel("Comment").fill("It is fine again.");
  await page.getByRole("button", { name: "Add comment" }).click();
  await expect(page.getByRole("article", { name: "Nora New wrote" })).toContainText("It is fine again.");
  await expect(page.getByLabel("Comment")).toHaveValue("");
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await expect(page.getByRole("button", { name: "Reopen" })).toBeVisible();
  await page.getByRole("button", { name: "Reopen" }).click();
  await page.getByLabel("Reason").fill("It flickers again.");
  await page.getByRole("dialog").getByRole("button", { name: "Reopen" }).click();
  await expect(page.getByRole("article", { name: "Nora New wrote" }).last()).toContainText("It flickers again.");
  await expect(page.getByText("reopened it")).toBeVisible();
});

test("an engineer who registers waits for approval", async ({ page }) => {
  const email = `wanda.${Date.now()}@example.com`;
  await page.goto("/register");
  await page.getByLabel("Name").fill("Wanda Waits");
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill("long enough for a test");
  await page.getByRole("combobox", { name: "Role" }).selectOption("engineer");
  await page.getByRole("button", { name: "Register" }).click();
  await expect(page.getByText("An admin has to approve your registration")).toBeVisible();
  await page.getByRole("link", { name: "Sign in" }).click();
  await signIn(page, { email, password: "long enough for a test" });
  await expect(page.getByRole("alert")).not.toBeEmpty();
});

test("while the title is typed, own tickets that look like it are shown", async ({ browser }) => {
  const cora = await newPerson("Cora Similar", "customer");
  const old = await newTicket(cora, "Scanner makes grey stripes");
  const page = await windowOf(browser, cora, "/new");
  await page.getByLabel("Title").fill("My scanner is grey");
  await expect(page.getByRole("link", { name: `#${old.number} Scanner makes grey stripes` })).toBeVisible();
});

test("what was typed survives a reload and is gone after it was sent", async ({ browser }) => {
  const cora = await newPerson("Cora Draft", "customer");
  const ticket = await newTicket(cora, "Drafts are kept");
  const page = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await page.getByLabel("Comment").fill("Half a senten");
  await page.reload();
  await expect(page.getByLabel("Comment")).toHaveValue("Half a senten");
  await page.getByLabel("Comment").fill("A whole sentence.");
  await page.keyboard.press("Control+Enter");
  await expect(page.getByRole("article", { name: /wrote$/ })).toHaveCount(1);
  await page.reload();
  await expect(page.getByRole("article", { name: /wrote$/ })).toHaveCount(1);
  await expect(page.getByLabel("Comment")).toHaveValue("");
});

test("a script in a title, a name or a comment stays text", async ({ browser }) => {
  const script = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`;
  const cora = await newPerson("Cora <b>Bold</b>", "customer");
  const ticket = await newTicket(cora, script);
  const page = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await expect(page.getByRole("heading", { level: 1 })).toContainText(script);
  await page.getByLabel("Comment").fill(script);
  await page.getByRole("button", { name: "Add comment" }).click();
  await expect(page.getByRole("article", { name: /wrote$/ })).toContainText(script);
  await page.goto(`/tickets?q=${encodeURIComponent(script)}`);
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  expect(await page.evaluate(() => /** @type {any} */ (window).hacked)).toBeUndefined();
});

test("somebody else's ticket and the pages of others are not there", async ({ browser }) => {
  const cora = await newPerson("Cora Owner", "customer");
  const eve = await newPerson("Eve Other", "customer");
  const ticket = await newTicket(cora, "Nobody else reads this");
  const page = await windowOf(browser, eve, `/tickets/${ticket.number}`);
  await expect(page.getByRole("alert")).toContainText("nothing here");
  await page.goto("/admin/users");
  await expect(page.getByRole("heading", { name: "There is no such page" })).toBeVisible();
  const own = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await expect(own.getByRole("heading", { name: "Nobody else reads this" })).toBeVisible(); // the control
});

test("an API key is shown once, works, and is refused after it was revoked", async ({ browser, baseURL }) => {
  const cora = await newPerson("Cora Key", "customer");
  const page = await windowOf(browser, cora, "/me");
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("Weekly report");
  await page.getByRole("button", { name: "Create" }).click();
  const key = await page.getByRole("dialog", { name: "Your new key" }).getByRole("code").textContent();
  const status = async () => (await fetch(`${baseURL}/v1/tickets`, { headers: { Authorization: `Bearer ${key}` } })).status;
  expect(await status()).toBe(200);
  await page.getByRole("button", { name: "Done" }).click();
  await expect(page.getByText(/** @type {string} */ (key))).toHaveCount(0);
  await page.getByRole("button", { name: "Revoke Weekly report" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByText("You have no keys.")).toBeVisible();
  expect(await status()).toBe(401);
});

test("somebody who follows a ticket finds it, reads and answers it, and can't change it", async ({ browser }) => {
  const cora = await newPerson("Cora Followed", "customer");
  const fred = await newPerson("Fred Follows", "customer");
  const eve = await newPerson("Eve Follows", "engineer");
  const ticket = await newTicket(cora, "Both of us wait for the lift");
  const path = `/v1/tickets/${ticket.id}`;
  await api("POST", `${path}/followers`, eve.token, { email: fred.email });
  const page = await windowOf(browser, fred, "/");
  await page.getByRole("link", { name: "Followed tickets" }).click();
  await page.getByRole("link", { name: "Both of us wait for the lift" }).click();
  await expect(page.getByRole("heading", { name: "Both of us wait for the lift" })).toBeVisible();
  await api("POST", `${path}/comments`, eve.token, { body: "Only between us.", internal: true });
  await api("POST", `${path}/comments`, eve.token, { body: "It moves again on Monday." });
  await expect(page.getByText("It moves again on Monday.")).toBeVisible();
  await expect(page.getByText("Only between us.")).toHaveCount(0);
  for (const name of ["Close", "Reopen", "Accept"]) await expect(page.getByRole("button", { name, exact: true })).toHaveCount(0);
  await page.getByLabel("Comment").fill("Thank you.");
  await page.getByRole("button", { name: "Add comment" }).click();
  await expect(page.getByRole("article", { name: "Fred Follows wrote" })).toContainText("Thank you.");
});
