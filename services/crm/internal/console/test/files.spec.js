import { api, expect, newPerson, newTicket, test, theAdmin, windowOf } from "./people.js";
import AxeBuilder from "@axe-core/playwright";

// A picture of 2 by 2 pixels.
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg==", "base64");
const script = `<img src=x onerror="window.hacked=1">.png`;

/** Does with a file what a drop or a paste does. @param {import("@playwright/test").Locator} place @param {"drop" | "paste"} kind @param {string} name */
const give = (place, kind, name) => place.evaluate((element, { kind, name }) => {
  const data = new DataTransfer();
  data.items.add(new File(["some words"], name, { type: "text/plain" }));
  element.dispatchEvent(kind === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }) : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}, { kind, name });

test("files are attached by button, drop and paste, kept in the draft, and shown with what was written", async ({ browser }) => {
  const cora = await newPerson("Cora Files", "customer");
  const ticket = await newTicket(cora, "The picture says it");
  const page = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  const attached = page.getByRole("list", { name: "Attached files" });
  await page.getByLabel("Attach files").setInputFiles({ name: script, mimeType: "image/png", buffer: png });
  await expect(attached).toContainText("img src=x onerror=");
  await give(page.getByLabel("Comment"), "drop", "dropped.txt");
  await give(page.getByLabel("Comment"), "paste", "pasted.txt");
  await expect(attached.getByRole("button", { name: /^Remove/ })).toHaveCount(3);
  await expect(page.getByText("All files are uploaded")).toBeAttached();
  await page.getByLabel("Comment").fill("See for yourself.");
  await page.reload();
  await expect(attached.getByRole("button", { name: /^Remove/ })).toHaveCount(3);
  await page.getByRole("button", { name: "Remove pasted.txt" }).click();
  await page.getByRole("button", { name: "Add comment" }).click();
  const comment = page.getByRole("article", { name: "Cora Files wrote" });
  const picture = comment.getByRole("img", { name: /onerror/ });
  await expect.poll(() => picture.evaluate((img) => /** @type {HTMLImageElement} */ (img).naturalWidth)).toBe(2);
  await expect(comment.getByRole("link", { name: "dropped.txt" })).toBeVisible();
  await expect(comment.getByText("pasted.txt")).toHaveCount(0);
  await expect(attached).toHaveCount(0);
  const saved = page.waitForEvent("download");
  await comment.getByRole("link", { name: "dropped.txt" }).click();
  const download = await saved;
  expect(download.suggestedFilename()).toBe("dropped.txt");
  expect((await import("node:fs")).readFileSync(await download.path(), "utf8")).toBe("some words");
  expect(await page.evaluate(() => /** @type {any} */ (window).hacked)).toBeUndefined();
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" }); // nothing is half way between two colours
    const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
    expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`)).toEqual([]);
    await page.screenshot({ path: `test-results/screens/files-${colorScheme}-1440.png`, fullPage: true });
  }
});

test("a new ticket takes files with it, and one that is too large says so", async ({ browser }) => {
  const cora = await newPerson("Cora Large", "customer");
  const page = await windowOf(browser, cora, "/new");
  await page.getByLabel("Title").fill("With a file");
  await page.getByLabel("Description").fill("It is in the picture.");
  await page.getByLabel("Attach files").setInputFiles([{ name: "small.png", mimeType: "image/png", buffer: png }, { name: "large.bin", mimeType: "application/octet-stream", buffer: Buffer.alloc(26 * 1024 * 1024) }]);
  await expect(page.getByRole("button", { name: "Remove small.png" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Try large.bin again" })).toBeVisible();
  await page.getByRole("button", { name: "Raise ticket" }).click();
  await expect(page.getByRole("alert").filter({ hasText: "not uploaded yet" })).toBeVisible();
  await page.getByRole("button", { name: "Remove large.bin" }).click();
  await page.getByRole("button", { name: "Raise ticket" }).click();
  await expect(page.getByRole("heading", { name: "With a file" })).toBeVisible();
  await expect(page.getByRole("list", { name: "Files" }).getByRole("link", { name: "small.png" }).last()).toBeVisible();
});

test("an address that is suppressed is seen where the person stands, and mailed again", async ({ browser }) => {
  const cora = await newPerson("Cora Bounced", "customer");
  const ticket = await newTicket(cora, "No mail arrives");
  const page = await windowOf(browser, await theAdmin(), "/ops/suppressions");
  await page.getByRole("button", { name: "Suppress an address" }).click();
  await page.getByRole("dialog").getByLabel("Email").fill(cora.email);
  await page.getByRole("dialog").getByLabel("Reason").fill("The mailbox is full.");
  await page.getByRole("dialog").getByRole("button", { name: "Suppress" }).click();
  await expect(page.getByRole("row").filter({ hasText: cora.email })).toContainText("The mailbox is full.");
  await page.goto(`/tickets/${ticket.number}`);
  await expect(page.getByRole("note", { name: "Mails are not sent" })).toContainText("The mailbox is full.");
  await page.getByRole("note").getByRole("button", { name: "Mail again" }).click();
  await expect(page.getByRole("note")).toHaveCount(0);
  const { id } = await api("GET", "/v1/me", cora.token);
  expect((await api("GET", `/v1/users/${id}/mail`, (await theAdmin()).token)).suppressed).toBe(false);
  const own = await windowOf(browser, cora, `/tickets/${ticket.number}`);
  await expect(own.getByRole("heading", { name: "No mail arrives" })).toBeVisible();
  await expect(own.getByRole("note")).toHaveCount(0);
});
