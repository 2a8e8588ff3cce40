// The people of the tests, and how they come to a page.
import { test as base, expect } from "@playwright/test";
import { admin } from "../playwright.config.js";

export { expect };

const password = "long enough for a test";
let number = Date.now();

/** @typedef {{name: string, email: string, password: string, token: string}} Person */

/** Calls the API. @param {string} method @param {string} path @param {string} token @param {any} [body] */
export async function api(method, path, token, body) {
  const response = await fetch(url() + path, {
    method,
    headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(body !== undefined && { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

const url = () => /** @type {string} */ (test.info().project.use.baseURL);

/** @param {string} email @param {string} secret */
const login = async (email, secret) => (await api("POST", "/v1/auth/login", "", { email, password: secret })).access_token;

/** A new account; an engineer's is approved. @param {string} name @param {"customer" | "engineer"} role @returns {Promise<Person>} */
export async function newPerson(name, role) {
  const email = `person.${number++}@example.com`;
  const user = await api("POST", "/v1/auth/register", "", { name, email, password, role });
  if (role === "engineer") await api("POST", `/v1/registrations/${user.id}/approve`, await login(admin.email, admin.password));
  return { name, email, password, token: await login(email, password) };
}

/** @returns {Promise<Person>} */
export const theAdmin = async () => ({ name: "Admin", ...admin, token: await login(admin.email, admin.password) });

/** Opens a window of somebody who is signed in. @param {import("@playwright/test").Browser} browser @param {Person} person @param {string} [path] @param {any} [options] */
export async function windowOf(browser, person, path = "/", options = {}) {
  const { viewport, locale, timezoneId, baseURL } = test.info().project.use;
  const context = await browser.newContext({ viewport, locale, timezoneId, baseURL, ...options });
  const page = await context.newPage();
  watch(page);
  await page.goto("/");
  await signIn(page, person);
  await expect(page.getByRole("banner")).toBeVisible();
  await expect(page.locator(".live[title=Live]")).toBeVisible();
  if (path !== "/") await page.goto(path);
  return page;
}

/** @param {import("@playwright/test").Page} page @param {{email: string, password: string}} person */
export async function signIn(page, { email, password: secret }) {
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** @type {string[]} */
let errors = [];

/** Fails the test on errors of the page's own code and on violations of its policy. @param {import("@playwright/test").Page} page */
export function watch(page) {
  page.on("pageerror", (e) => errors.push(e.message));
  page.on("console", (m) => m.type() === "error" && /Content Security Policy|Refused to/.test(m.text()) && errors.push(m.text()));
}

export const test = base.extend({
  page: async ({ page }, use) => {
    watch(page);
    await use(page);
  },
});

test.beforeEach(() => void (errors = []));
test.afterEach(() => expect(errors).toEqual([]));

/** Raises a ticket. @param {Person} person @param {string} title */
export const newTicket = (person, title) => api("POST", "/v1/tickets", person.token, { title, description: "It stopped this morning." });
