import { api, expect, newPerson, newTicket, test, windowOf } from "./people.js";

test("somebody chooses which mails come, and when", async ({ browser }) => {
  const cora = await newPerson("Cora Mails", "customer");
  const page = await windowOf(browser, cora, "/me");
  const mails = page.getByRole("region", { name: "Mails" });
  await expect(mails.getByRole("checkbox")).toHaveCount(3); // the others are for staff
  await mails.getByRole("checkbox", { name: "Somebody commented on a ticket of mine" }).uncheck();
  await mails.getByRole("combobox", { name: "When" }).selectOption("daily");
  await mails.getByRole("combobox", { name: "At" }).selectOption("07:00");
  await expect(mails.getByLabel("Time zone")).toHaveValue("Europe/Berlin");
  await mails.getByLabel("Time zone").fill("Nowhere");
  await mails.getByRole("button", { name: "Save" }).click();
  await expect(mails.getByText(/time zone such as/).first()).toBeVisible();
  await mails.getByLabel("Time zone").fill("Europe/Rome");
  await mails.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Your choice holds from now on.")).toBeVisible();
  await page.reload();
  await expect(mails.getByRole("checkbox", { name: "Somebody commented on a ticket of mine" })).not.toBeChecked();
  await expect(mails.getByRole("checkbox", { name: "The receipt of a ticket that I raised" })).toBeChecked();
  const { events, digest, digest_hour, time_zone } = await api("GET", "/v1/me/preferences", cora.token);
  expect({ commented: events.ticket_commented, digest, digest_hour, time_zone }).toEqual({ commented: "none", digest: "daily", digest_hour: 7, time_zone: "Europe/Rome" });
});

test("an engineer makes somebody a follower of a ticket, and ends it", async ({ browser }) => {
  const eve = await newPerson("Eve Follow", "engineer");
  const cora = await newPerson("Cora Follow", "customer");
  const ticket = await newTicket(cora, "Somebody follows");
  const page = await windowOf(browser, eve, `/tickets/${ticket.number}`);
  const facts = page.getByRole("complementary", { name: "Facts" });
  await facts.getByText(/^Followers/).click();
  await facts.getByLabel("Add a follower").fill(`jonas.${ticket.number}@example.com`);
  await facts.getByRole("button", { name: "Add" }).click();
  await expect(facts.getByText("Followers (1)")).toBeVisible();
  await expect(page.getByRole("list", { name: "Timeline" }).getByText("added a follower")).toBeVisible();
  await facts.getByRole("button", { name: /^Remove follower/ }).click();
  await expect(facts.getByText("Followers (0)")).toBeVisible();
});
