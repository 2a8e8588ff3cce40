import { api, expect, newPerson, newTicket, test, theAdmin, windowOf } from "./people.js";

test("an admin approves one registration and rejects another with a reason", async ({ browser }) => {
  const stamp = Date.now();
  for (const name of ["Adam Accepted", "Rita Rejected"]) {
    await api("POST", "/v1/auth/register", "", { name: `${name} ${stamp}`, email: `${name.split(" ")[0]}.${stamp}@example.com`, password: "long enough for a test", role: "engineer" });
  }
  const page = await windowOf(browser, await theAdmin(), "/admin/registrations");
  await page.getByRole("button", { name: `Approve Adam Accepted ${stamp}` }).click();
  await expect(page.getByRole("button", { name: `Approve Adam Accepted ${stamp}` })).toHaveCount(0);
  await page.getByRole("button", { name: `Reject Rita Rejected ${stamp}` }).click();
  await page.getByLabel("Reason").fill("We have enough engineers.");
  await page.getByRole("dialog").getByRole("button", { name: "Reject" }).click();
  await expect(page.getByRole("button", { name: `Reject Rita Rejected ${stamp}` })).toHaveCount(0);
  await page.getByRole("combobox", { name: "Show" }).selectOption("rejected");
  await expect(page.getByRole("row", { name: new RegExp(`Rita Rejected ${stamp}`) })).toContainText("We have enough engineers.");
});

test("an admin finds a person, suspends them and erases them", async ({ browser }) => {
  const sam = await newPerson("Sam Suspended", "customer");
  const page = await windowOf(browser, await theAdmin(), "/admin/users");
  await page.getByRole("searchbox", { name: "Name or address" }).fill(sam.email);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Sam Suspended" }).click();
  await page.getByRole("combobox", { name: "Status" }).selectOption("suspended");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("It holds from the very next request.")).toBeVisible();
  await expect(api("GET", "/v1/me", sam.token)).rejects.toThrow("401");
  await page.getByRole("button", { name: "Erase this person" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Erase" }).click();
  await expect(page.getByRole("heading", { name: "Users" })).toBeVisible();
  await page.goto(`/admin/users?q=${sam.email}`);
  await expect(page.getByRole("heading", { name: "Nobody matches" })).toBeVisible();
});

test("an admin sees what became of a mail, figures, and who did what", async ({ browser }) => {
  const cora = await newPerson("Cora Mailed", "customer");
  const ticket = await newTicket(cora, `Mailed about ${Date.now()}`);
  const page = await windowOf(browser, await theAdmin(), `/ops/notifications?reference=${ticket.id}`);
  await page.getByRole("link", { name: new RegExp(ticket.title) }).first().click();
  await page.getByRole("button", { name: /attempts? for/ }).click();
  await expect(page.getByText(/^250 /)).toBeVisible();
  await page.getByRole("link", { name: "Reports" }).click();
  await expect(page.getByRole("img", { name: "Raised and resolved" })).toBeVisible();
  await page.getByText("Table of days").click();
  await expect(page.getByRole("row")).not.toHaveCount(0);
  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("combobox", { name: "What" }).selectOption("Registered");
  await page.getByRole("row", { name: "Cora Mailed" }).getByRole("link", { name: "Cora Mailed" }).first().click();
  await page.getByRole("link", { name: "What Cora Mailed did" }).click();
  await expect(page.getByRole("row", { name: "Cora Mailed Signed in" }).first()).toBeVisible();
  await page.getByRole("button", { name: "Remove filter By Cora Mailed" }).click();
  await expect(page.getByRole("row", { name: /^\S.* Admin Signed in/ }).first()).toBeVisible();
  await page.getByRole("link", { name: "Outbox" }).click();
  await expect(page.getByRole("heading", { name: "Outbox" })).toBeVisible();
  await page.getByRole("link", { name: "Health" }).click();
  await expect(page.getByRole("region", { name: "Notification service" })).toContainText("Sent");
});
