import { api, expect, newPerson, newTicket, signIn, test, windowOf } from "./people.js";

test("a session that ends while one types asks for the password and keeps the text", async ({ browser }) => {
  const cora = await newPerson("Cora Ends", "customer");
  const ticket = await newTicket(cora, "The session ends");
  const page = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await page.getByLabel("Comment").fill("What I was about to say");
  const { items } = await api("GET", "/v1/me/sessions", cora.token);
  for (const s of items.filter((/** @type {any} */ s) => !s.current)) await api("DELETE", `/v1/me/sessions/${s.id}`, cora.token);
  await page.getByRole("button", { name: "Add comment" }).click();
  const dialog = page.getByRole("dialog", { name: "Sign in to go on" });
  await dialog.getByLabel("Email").fill(cora.email);
  await dialog.getByLabel("Password").fill(cora.password);
  await dialog.getByRole("button", { name: "Sign in" }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByLabel("Comment")).toHaveValue("What I was about to say");
  await page.getByRole("button", { name: "Add comment" }).click();
  await expect(page.getByRole("article", { name: /wrote$/ })).toContainText("What I was about to say");
});

test("a reload keeps one signed in, and a sign-out ends it in every tab", async ({ browser }) => {
  const cora = await newPerson("Cora Tabs", "customer");
  const one = await windowOf(browser, cora, "/tickets");
  const two = await one.context().newPage();
  await two.goto("/me");
  await expect(two.getByRole("heading", { name: "My profile" })).toBeVisible();
  await one.reload();
  await expect(one.getByRole("heading", { name: "My tickets" })).toBeVisible();
  expect(await one.evaluate(() => document.cookie + JSON.stringify(Object.values(localStorage)))).not.toMatch(/eyJ|fixdesk_session/);
  await one.getByRole("group").locator("summary", { hasText: "Cora Tabs" }).or(one.locator("details.account summary")).first().click();
  await one.getByRole("button", { name: "Sign out" }).click();
  await expect(one.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(two.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await two.reload();
  await expect(two.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

test("a wrong password is said where it was typed", async ({ page }) => {
  const cora = await newPerson("Cora Wrong", "customer");
  await page.goto("/tickets");
  await signIn(page, { email: cora.email, password: "not the right one" });
  await expect(page.getByRole("alert")).not.toBeEmpty();
  await signIn(page, cora);
  await expect(page.getByRole("heading", { name: "My tickets" })).toBeVisible();
});
