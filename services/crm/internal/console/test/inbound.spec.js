import AxeBuilder from "@axe-core/playwright";
import { readFileSync } from "node:fs";
import { api, expect, newPerson, newTicket, test, theAdmin, windowOf } from "./people.js";
import { replyAddress, sendMail } from "./smtp.js";

const script = `<img src=x onerror="window.hacked=1">`;
// A picture of 2 by 2 pixels.
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg==", "base64");

/** The script is text everywhere on a page. @param {import("@playwright/test").Page} page */
async function isText(page) {
  await expect(page.locator("img[src=x]")).toHaveCount(0);
  expect(await page.evaluate(() => /** @type {any} */ (window).hacked)).toBeUndefined();
}

/** @param {import("@playwright/test").Page} page @param {string} name of the screenshots */
async function accessible(page, name) {
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" }); // nothing is half way between two colours
    const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
    expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), `${name}, ${colorScheme}`).toEqual([]);
    await page.screenshot({ path: `test-results/screens/${name}-${colorScheme}-1440.png`, fullPage: true });
  }
  await page.setViewportSize({ width: 320, height: 640 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at 320 px`).toBeLessThanOrEqual(320);
  await page.screenshot({ path: `test-results/screens/${name}-dark-320.png` });
  await page.setViewportSize({ width: 1440, height: 900 });
}

/** The row of a mail on the page of mails that came in, which reads them again and again. @param {import("@playwright/test").Page} page @param {string} words */
async function rowOf(page, words) {
  const row = page.getByRole("row").filter({ hasText: words });
  await expect(row).toBeVisible({ timeout: 120_000 }); // by itself
  return row;
}

test("a stranger's answer is held on its ticket, its original is shown, and one click lets it in", async ({ browser }) => {
  const cora = await newPerson("Cora Held", "customer");
  const ticket = await newTicket(cora, "The press stands still");
  const stranger = `stranger.${ticket.number}@example.com`;
  const to = await replyAddress(cora, ticket);
  const boss = await windowOf(browser, await theAdmin(), `/tickets/${ticket.number}`);
  const customer = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await sendMail({
    from: stranger, name: script, to, subject: `Re: ${script}`, file: { name: `${script}.png`, content: png },
    text: `It is the fuse. ${script}\n\nOn Mon, 12 Jan 2026 at 10:05, Fixdesk wrote:\n> It stopped this morning, as quoted.`,
  });

  const held = boss.getByRole("article", { name: /for staff alone$/ }).filter({ hasText: "It is the fuse." });
  await expect(held).toContainText("the customer can’t see this");
  await expect(held).toContainText("Held: its sender takes no part in the ticket.");
  await expect(held).toContainText(script);
  await expect(held).not.toContainText("as quoted");
  await expect(held.getByRole("img", { name: /onerror/ })).toBeVisible();
  await held.getByText("Original mail").click();
  await expect(held).toContainText("> It stopped this morning, as quoted.");
  await expect(held).toContainText(`Re: ${script}`);
  await expect(held).toContainText(`From ${script} ${stranger}`);
  const saved = boss.waitForEvent("download");
  await held.getByRole("button", { name: "Save the mail" }).click();
  expect(readFileSync(await (await saved).path(), "utf8")).toMatch(/^From: [^]*\r\nMessage-ID: [^]*--part--/m);
  await accessible(boss, "admin-held-comment");

  await customer.reload();
  await expect(customer.getByRole("heading", { name: "The press stands still" })).toBeVisible();
  await expect(customer.getByRole("list", { name: "Timeline" })).toBeAttached();
  await expect(customer.getByText("It is the fuse.")).toHaveCount(0);
  await held.getByRole("button", { name: "Let in" }).click();
  await expect(boss.getByRole("list", { name: "Timeline" }).getByText("let a held comment in")).toBeVisible();
  await expect(customer.getByText("It is the fuse.")).toBeVisible();
  await expect(customer.getByRole("list", { name: "Timeline" })).toContainText(script);
  await expect(customer.getByText("Original mail")).toHaveCount(0);
  for (const page of [boss, customer]) await isText(page);
  // The control: as HTML it would be an element. Its handler would be reported by the policy.
  expect(await boss.evaluate((text) => new DOMParser().parseFromString(text, "text/html").querySelectorAll("img[src=x]").length, script.replace(/ onerror=.*/, ">"))).toBe(1);
});

test("an admin reads the mails that came in, refuses one, and lets another in as a ticket", async ({ browser }) => {
  test.slow();
  const cora = await newPerson("Cora Refused", "customer");
  const ticket = await newTicket(cora, "The drill squeaks");
  const to = await replyAddress(cora, ticket);
  const word = `n${ticket.number}`;
  const admin = await theAdmin();
  const page = await windowOf(browser, admin, "/ops/inbound");
  await expect(page.getByRole("link", { name: "Mail in" })).toHaveAttribute("aria-current", "page");
  await sendMail({ from: `seller.${word}@example.com`, name: script, to, subject: `Cheap drills ${word} ${script}`, text: `Buy now. ${script}` });
  await sendMail({ from: `lost.${word}@example.com`, name: "Lou Lost", to: "sales@fixdesk.test", subject: `Who helps me ${word}`, text: "The lamp is broken." });

  const offer = await rowOf(page, `Cheap drills ${word}`);
  await expect(offer).toContainText(script);
  await expect(offer).toContainText("its sender takes no part in the ticket");
  await expect(offer.getByRole("link", { name: `#${ticket.number}` })).toHaveAttribute("href", `/tickets/${ticket.number}`);
  const lost = await rowOf(page, `Who helps me ${word}`);
  await expect(lost).toContainText("it is to no address of the help desk");
  await accessible(page, "admin-ops-inbound");
  await offer.getByRole("button", { name: /^Read/ }).click();
  await expect(page.getByRole("dialog")).toContainText(`Buy now. ${script}`);
  const saved = page.waitForEvent("download");
  await page.getByRole("dialog").getByRole("button", { name: "Save the mail" }).click();
  expect((await saved).suggestedFilename()).toBe("mail.eml");
  await isText(page);
  await accessible(page, "admin-ops-inbound-mail");
  await page.getByRole("dialog").getByRole("button", { name: "Refuse" }).click();
  await expect(offer).toHaveCount(0);
  await expect(page.getByRole("heading", { name: "Mail in" })).toBeFocused();

  await lost.getByRole("button", { name: /^Let in/ }).click();
  await expect(page.getByText(/It is let in, as ticket #\d+/)).toBeVisible();
  await expect(lost).toHaveCount(0);
  await page.getByRole("link", { name: "New tickets" }).click();
  const raised = page.getByRole("row").filter({ hasText: `Who helps me ${word}` });
  await expect(raised).toContainText("decided by");
  await page.getByRole("link", { name: "Refused" }).click();
  await expect(page.getByRole("row").filter({ hasText: `Cheap drills ${word}` })).toContainText("Refused");
  await isText(page);
  await page.getByRole("row").filter({ hasText: `Cheap drills ${word}` }).getByRole("link").click();
  await expect(page.getByText("It was refused, and stays internal.")).toBeVisible();
  const { items } = await api("GET", `/v1/tickets/${ticket.id}/comments`, cora.token);
  expect(items).toEqual([]);
});

test("a mail that another admin has decided about says so", async ({ browser }) => {
  const cora = await newPerson("Cora Twice", "customer");
  const ticket = await newTicket(cora, "Two admins at once");
  await sendMail({ from: `twice.${ticket.number}@example.com`, to: await replyAddress(cora, ticket), subject: `Twice ${ticket.number}`, text: "Me too." });
  const admin = await theAdmin();
  const page = await windowOf(browser, admin, "/ops/inbound");
  const row = await rowOf(page, `Twice ${ticket.number}`);
  /** @type {(value?: any) => void} */
  let answer = () => {};
  const wanted = new Promise((resolve) => (answer = resolve));
  await page.route(/\/v1\/inbound\?/, (route) => wanted.then(() => route.continue())); // the page shows what was
  const { items } = await api("GET", "/v1/inbound?outcome=held", admin.token);
  await api("POST", `/v1/inbound/${items.find((/** @type {any} */ m) => m.subject === `Twice ${ticket.number}`).id}/refuse`, admin.token);
  await row.getByRole("button", { name: /^Let in/ }).click();
  await expect(page.getByText("This mail is not held any more.")).toBeVisible();
  answer();
  await expect(row).toHaveCount(0);
});

test("somebody to whom a mail went too becomes a follower by one click, and is removed again", async ({ browser }) => {
  const cora = await newPerson("Cora Copies", "customer");
  const eve = await newPerson("Eve Copies", "engineer");
  const ticket = await newTicket(cora, "Two people wait for it");
  const page = await windowOf(browser, eve, `/tickets/${ticket.number}`);
  const jonas = `jonas.${ticket.number}@example.com`;
  await sendMail({ from: cora.email, to: await replyAddress(cora, ticket), cc: `Jonas Copied <${jonas}>`, subject: "Re: both of us", text: "Jonas waits for it as well." });
  const comment = page.getByRole("article", { name: "Cora Copies wrote" });
  await expect(comment).toContainText("Jonas waits for it as well.");
  await expect(comment.getByRole("list", { name: "Also to" })).toContainText(`Jonas Copied ${jonas}`);
  await comment.getByRole("button", { name: "Make Jonas Copied a follower" }).click();
  await expect(comment.getByRole("list", { name: "Also to" })).toContainText("follows this ticket");
  const facts = page.getByRole("complementary", { name: "Facts" });
  await facts.getByText("Followers (1)").click();
  await expect(facts).toContainText(jonas);
  await facts.getByRole("button", { name: "Remove follower Jonas Copied" }).click();
  await expect(facts.getByText("Followers (0)")).toBeVisible();
  await expect(comment.getByRole("button", { name: "Make Jonas Copied a follower" })).toBeVisible();
  const own = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await expect(own.getByText("Jonas waits for it as well.")).toBeVisible();
  await expect(own.getByText(jonas)).toHaveCount(0);
});
