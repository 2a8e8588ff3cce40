import { api, expect, newPerson, newTicket, test } from "./people.js";

/** The mails that the catcher has for an address. @param {string} to */
async function mailsTo(to) {
  const console = new URL(/** @type {string} */ (test.info().project.use.baseURL));
  const catcher = process.env.CONSOLE_MAIL_URL ?? `http://${console.hostname}:${Number(console.port) + 5}`;
  const { items } = await (await fetch(`${catcher}/api/messages?limit=100&to=${encodeURIComponent(to)}`)).json();
  return Promise.all(items.map(async (/** @type {any} */ m) => (await fetch(`${catcher}/api/messages/${m.id}`)).json()));
}

test("a link in a mail shows what it ends, and its button ends it", async ({ page }) => {
  const cora = await newPerson("Cora Stops", "customer");
  await newTicket(cora, "Too many mails");
  await expect.poll(async () => (await mailsTo(cora.email)).length).toBe(1);
  const [mail] = await mailsTo(cora.email);
  const link = /https?:\S+\/unsubscribe\?token=\S+/.exec(mail.text)?.[0] ?? "";
  await page.goto(new URL(link).pathname + new URL(link).search);
  await expect(page.getByText("Stop getting mails about tickets that you raised?")).toBeVisible();
  expect((await api("GET", "/v1/me/preferences", cora.token)).events.ticket_received).toBe("mail");
  await page.getByRole("button", { name: "Stop these mails" }).click();
  await expect(page.getByText("You get no more mails about tickets that you raised.")).toBeVisible();
  expect((await api("GET", "/v1/me/preferences", cora.token)).events).toMatchObject({ ticket_received: "none", ticket_commented: "mail" });
  await page.reload();
  await expect(page.getByText("You get no more mails about tickets that you raised.")).toBeVisible();
});

test("a link that is not complete says so", async ({ page }) => {
  for (const query of ["", "?token=AAAA"]) {
    await page.goto("/unsubscribe" + query);
    await expect(page.getByText("This link is not complete.")).toBeVisible();
    await expect(page.getByRole("button", { name: "Stop these mails" })).toHaveCount(0);
  }
});
