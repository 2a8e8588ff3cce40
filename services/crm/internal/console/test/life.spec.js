import { api, expect, newPerson, newTicket, test, theAdmin, windowOf } from "./people.js";

test("three people in three windows live through a ticket without reloading", async ({ browser }) => {
  const cora = await newPerson("Cora Life", "customer");
  const eve = await newPerson("Eve Life", "engineer");
  const customer = await windowOf(browser, cora, "/new");
  const boss = await windowOf(browser, await theAdmin(), "/tickets?active=true");
  await customer.getByLabel("Title").fill("The printer eats paper");
  await customer.getByLabel("Description").fill("Page after page.");
  await customer.getByRole("button", { name: "Raise ticket" }).click();
  await expect(customer).toHaveURL(/\/tickets\/\d+$/);
  const address = new URL(customer.url()).pathname;
  await expect(boss.getByRole("link", { name: "The printer eats paper" })).toBeVisible();

  await boss.getByRole("link", { name: "The printer eats paper" }).click();
  await boss.getByRole("button", { name: "Assign" }).click();
  await boss.getByRole("combobox", { name: "Engineer" }).selectOption({ label: /** @type {any} */ (await boss.getByRole("option", { name: /^Eve Life/ }).textContent()) });
  await boss.getByRole("dialog").getByRole("button", { name: "Assign" }).click();

  const engineer = await windowOf(browser, eve, "/queue");
  await engineer.getByRole("link", { name: "The printer eats paper" }).click();
  await engineer.getByRole("button", { name: "Accept" }).click();
  await expect(customer.getByText("In progress").first()).toBeVisible();
  await expect(customer.getByRole("list", { name: "Timeline" }).getByText("Eve Life accepted it")).toBeVisible();

  await engineer.getByRole("checkbox", { name: "Internal" }).check();
  await engineer.getByLabel("Comment").fill("The roller is worn out, I think.");
  await engineer.getByRole("button", { name: "Add comment" }).click();
  await expect(boss.getByRole("article", { name: "Eve Life wrote, for staff alone" })).toContainText("the customer can’t see this");

  await engineer.getByRole("button", { name: "Block" }).click();
  await engineer.getByLabel("Reason").fill("Which model is it?");
  await engineer.getByRole("dialog").getByRole("button", { name: "Block" }).click();
  await expect(customer.getByText("Which model is it?").first()).toBeVisible();
  await customer.getByLabel("Comment").fill("The big grey one.");
  await customer.getByRole("button", { name: "Add comment" }).click();
  await expect(engineer.getByText("The big grey one.")).toBeVisible();
  await expect(engineer.getByRole("button", { name: "Resolve" })).toBeVisible();
  await engineer.getByRole("button", { name: "Resolve" }).click();
  await engineer.getByLabel("Resolution").fill("A new roller.");
  await engineer.getByRole("dialog").getByRole("button", { name: "Resolve" }).click();
  await expect(customer.getByRole("region", { name: "Resolution" })).toContainText("A new roller.");
  await customer.getByRole("button", { name: "Close" }).click();
  await customer.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await expect(engineer.getByText("Closed").first()).toBeVisible();

  await expect(customer.getByText("worn out")).toHaveCount(0);
  await expect(boss.getByText("worn out")).toHaveCount(1); // the control
  expect(new URL(customer.url()).pathname).toBe(address);
});

test("of two who change the same title, the second sees both and loses nothing", async ({ browser }) => {
  const cora = await newPerson("Cora Both", "customer");
  const ticket = await newTicket(cora, "A title for two");
  const one = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  const other = await windowOf(browser, await theAdmin(), `/tickets/${ticket.number}`);
  await one.getByRole("button", { name: "Edit heading" }).click();
  await one.getByLabel("Title").fill("What the customer wants");
  await other.getByRole("button", { name: "Edit heading" }).click();
  await other.getByLabel("Title").fill("What the admin wants");
  await other.getByRole("button", { name: "Save" }).click();
  await expect(other.getByRole("heading", { name: "What the admin wants" })).toBeVisible();
  await expect(one.getByLabel("Title")).toHaveValue("What the customer wants"); // nothing moves while one types
  await one.getByRole("button", { name: "Save" }).click();
  const dialog = one.getByRole("dialog", { name: /changed while you were writing/ });
  await expect(dialog).toContainText("What the admin wants");
  await expect(dialog).toContainText("What the customer wants");
  await dialog.getByRole("button", { name: "Save mine over it" }).click();
  await expect(other.getByRole("heading", { name: "What the customer wants" })).toBeVisible();
});

test("after a break of the network nothing is missed, and the page says that it was behind", async ({ browser }) => {
  const cora = await newPerson("Cora Offline", "customer");
  const ticket = await newTicket(cora, "The network breaks");
  const page = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await expect(page.getByRole("heading", { name: "The network breaks" })).toBeVisible();
  await page.context().setOffline(true);
  await api("POST", `/v1/tickets/${ticket.id}/comments`, (await theAdmin()).token, { body: "While the network was down." });
  await expect(page.getByText(/reconnecting|can't be reached/).first()).toBeVisible();
  await page.context().setOffline(false);
  await expect(page.getByText("While the network was down.")).toBeVisible();
  await expect(page.locator(".live[title=Live]")).toBeVisible();
});

test("a list is filtered and sorted, and its address says how", async ({ browser }) => {
  const cora = await newPerson("Cora Lists", "customer");
  for (const [title, priority] of [["Low one", "low"], ["Urgent one", "urgent"], ["Normal one", "normal"]]) {
    await api("POST", "/v1/tickets", cora.token, { title, description: "It is so.", priority });
  }
  const page = await windowOf(browser, cora, "/tickets");
  const titles = () => page.locator("[data-row]").allTextContents();
  await expect.poll(titles).toEqual(["Normal one", "Urgent one", "Low one"]);
  await page.getByRole("columnheader", { name: "Priority" }).getByRole("button").click();
  await expect.poll(titles).toEqual(["Urgent one", "Normal one", "Low one"]);
  await expect(page).toHaveURL(/sort=-priority/);
  await page.getByRole("combobox", { name: "Add a filter" }).selectOption("priority low");
  await page.getByRole("combobox", { name: "Add a filter" }).selectOption("priority normal");
  await expect.poll(titles).toEqual(["Normal one", "Low one"]);
  await page.reload();
  await expect.poll(titles).toEqual(["Normal one", "Low one"]);
  await page.getByRole("button", { name: /^Remove filter/ }).click();
  await expect.poll(titles).toEqual(["Urgent one", "Normal one", "Low one"]);
});
