// The start of the console: which view belongs to which address.
import { restored } from "./first.js"; // before all others, which it doesn't need
import { render } from "preact";
import { useEffect, useLayoutEffect } from "preact/hooks";
import { html } from "./html.js";
import { focusOn } from "./keys.js";
import { later } from "./later.js";
import { Skeleton } from "./parts/states.js";
import { go, place } from "./router.js";
import { admin, beginning, staff, user } from "./session.js";
import { Shell } from "./shell.js";
import { clear } from "./store.js";
import * as stream from "./stream.js";
import { Missing } from "./views/missing.js";
import { New } from "./views/new.js";
import { SignIn } from "./views/sign-in.js";
import { Tickets } from "./views/tickets.js";

/**
 * @typedef {object} Route
 * @property {RegExp} path
 * @property {any} view gets the named groups of the path
 * @property {string} title
 * @property {"everybody" | "signed in" | "staff" | "admin"} [for] "signed in" unless given
 */

// Pages that few people open, or seldom, are fetched when they are opened: later.
/** @type {Route[]} */
const routes = [
  { path: /^\/assets\/parts\.html$/, view: later(() => import("./views/parts.js"), "Parts"), title: "Parts", for: "everybody" },
  { path: /^\/register$/, view: later(() => import("./views/register.js"), "Register"), title: "Register", for: "everybody" },
  { path: /^\/verify$/, view: later(() => import("./views/verify.js"), "Verify"), title: "Verify your address", for: "everybody" },
  { path: /^\/reset$/, view: later(() => import("./views/reset.js"), "Reset"), title: "Set a new password", for: "everybody" },
  { path: /^\/unsubscribe$/, view: later(() => import("./views/unsubscribe.js"), "Unsubscribe"), title: "Mails from Fixdesk", for: "everybody" },
  { path: /^\/tickets$/, view: Tickets, title: "Tickets" },
  { path: /^\/tickets\/(?<number>\d+)$/, view: Tickets, title: "Ticket" },
  { path: /^\/queue$/, view: Tickets, title: "Queue", for: "staff" },
  { path: /^\/new$/, view: New, title: "New ticket" },
  { path: /^\/me$/, view: later(() => import("./views/profile.js"), "Profile"), title: "My profile" },
  { path: /^\/admin\/registrations$/, view: later(() => import("./views/registrations.js"), "Registrations"), title: "Registrations", for: "admin" },
  { path: /^\/admin\/users$/, view: later(() => import("./views/users.js"), "Users"), title: "Users", for: "admin" },
  { path: /^\/admin\/users\/(?<id>[0-9a-f-]+)$/, view: later(() => import("./views/user.js"), "User"), title: "User", for: "admin" },
  { path: /^\/admin\/reports$/, view: later(() => import("./views/reports.js"), "Reports"), title: "Reports", for: "admin" },
  { path: /^\/admin\/audit$/, view: later(() => import("./views/audit.js"), "Audit"), title: "Audit", for: "admin" },
  { path: /^\/ops\/notifications$/, view: later(() => import("./views/notifications.js"), "Notifications"), title: "Notifications", for: "admin" },
  { path: /^\/ops\/notifications\/(?<id>[0-9a-f-]+)$/, view: later(() => import("./views/notifications.js"), "Notification"), title: "Notification", for: "admin" },
  { path: /^\/ops\/outbox$/, view: later(() => import("./views/outbox.js"), "Outbox"), title: "Outbox", for: "admin" },
  { path: /^\/ops\/suppressions$/, view: later(() => import("./views/suppressions.js"), "Suppressions"), title: "Suppressions", for: "admin" },
  { path: /^\/ops\/inbound$/, view: later(() => import("./views/inbound.js"), "Inbound"), title: "Mail in", for: "admin" },
  { path: /^\/ops\/health$/, view: later(() => import("./views/health.js"), "Health"), title: "Health", for: "admin" },
];

/** Where somebody begins. */
const home = () => (admin.value ? "/tickets?active=true" : staff.value ? "/queue" : "/tickets");

/** @param {Route | undefined} route */
const mayOpen = (route) => route && (route.for !== "staff" || staff.value) && (route.for !== "admin" || admin.value);

let shown = ""; // the path of the page before

/**
 * Puts the focus where reading begins: at the ticket, in a list at the ticket from which
 * one comes back, or at the beginning of the page.
 * @param {string} from the path of the page before
 */
function focusPage(from) {
  const place = document.querySelector("article.ticket") ?? document.querySelector(`[data-row][href="${CSS.escape(from)}"]`);
  if (place) return focusOn(place);
  document.querySelector("main")?.focus({ preventScroll: true });
}

function App() {
  const { path } = place.value;
  const route = routes.find((r) => r.path.test(path));
  useEffect(() => {
    if (user.value && path === "/") go(home(), { replace: true });
  }, [user.value, path]);
  useLayoutEffect(() => { // before the effects of a view, which may know a better one
    document.title = `${route && (user.value || route.for === "everybody") ? route.title : "Sign in"} · Fixdesk`;
  }, [path, !user.value]);
  useEffect(() => {
    focusPage(shown);
    shown = path;
  }, [path, !user.value]);
  if (user.value === undefined) return html`<${Skeleton} />`;
  const groups = route?.path.exec(path)?.groups ?? {};
  if (route?.for === "everybody") return html`<${route.view} ...${groups} />`;
  if (!user.value) return html`<${SignIn} />`;
  if (path === "/") return null;
  return html`<${Shell}>${mayOpen(route) ? html`<${route?.view} ...${groups} />` : html`<${Missing} />`}<//>`;
}

let signedIn = "";
user.subscribe((u) => {
  if (u && u.id !== signedIn) {
    signedIn = u.id;
    stream.start(beginning);
  } else if (u === null) {
    signedIn = "";
    stream.stop();
    clear();
  }
});

await restored;
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
