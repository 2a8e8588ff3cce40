// The start of the console: which view belongs to which address.
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { html } from "./html.js";
import { Skeleton } from "./parts/states.js";
import { go, place } from "./router.js";
import { admin, beginning, restore, staff, user } from "./session.js";
import { Shell } from "./shell.js";
import { clear } from "./store.js";
import * as stream from "./stream.js";
import { Audit } from "./views/audit.js";
import { Health } from "./views/health.js";
import { Missing } from "./views/missing.js";
import { New } from "./views/new.js";
import { Notification, Notifications } from "./views/notifications.js";
import { Outbox } from "./views/outbox.js";
import { Parts } from "./views/parts.js";
import { Profile } from "./views/profile.js";
import { Registrations } from "./views/registrations.js";
import { Register } from "./views/register.js";
import { Reports } from "./views/reports.js";
import { Reset } from "./views/reset.js";
import { SignIn } from "./views/sign-in.js";
import { Tickets } from "./views/tickets.js";
import { Unsubscribe } from "./views/unsubscribe.js";
import { User } from "./views/user.js";
import { Users } from "./views/users.js";
import { Verify } from "./views/verify.js";

/**
 * @typedef {object} Route
 * @property {RegExp} path
 * @property {any} view gets the named groups of the path
 * @property {string} title
 * @property {"everybody" | "signed in" | "staff" | "admin"} [for] "signed in" unless given
 */

/** @type {Route[]} */
const routes = [
  { path: /^\/assets\/parts\.html$/, view: Parts, title: "Parts", for: "everybody" },
  { path: /^\/register$/, view: Register, title: "Register", for: "everybody" },
  { path: /^\/verify$/, view: Verify, title: "Verify your address", for: "everybody" },
  { path: /^\/reset$/, view: Reset, title: "Set a new password", for: "everybody" },
  { path: /^\/unsubscribe$/, view: Unsubscribe, title: "Mails from Fixdesk", for: "everybody" },
  { path: /^\/tickets$/, view: Tickets, title: "Tickets" },
  { path: /^\/tickets\/(?<number>\d+)$/, view: Tickets, title: "Ticket" },
  { path: /^\/queue$/, view: Tickets, title: "Queue", for: "staff" },
  { path: /^\/new$/, view: New, title: "New ticket" },
  { path: /^\/me$/, view: Profile, title: "My profile" },
  { path: /^\/admin\/registrations$/, view: Registrations, title: "Registrations", for: "admin" },
  { path: /^\/admin\/users$/, view: Users, title: "Users", for: "admin" },
  { path: /^\/admin\/users\/(?<id>[0-9a-f-]+)$/, view: User, title: "User", for: "admin" },
  { path: /^\/admin\/reports$/, view: Reports, title: "Reports", for: "admin" },
  { path: /^\/admin\/audit$/, view: Audit, title: "Audit", for: "admin" },
  { path: /^\/ops\/notifications$/, view: Notifications, title: "Notifications", for: "admin" },
  { path: /^\/ops\/notifications\/(?<id>[0-9a-f-]+)$/, view: Notification, title: "Notification", for: "admin" },
  { path: /^\/ops\/outbox$/, view: Outbox, title: "Outbox", for: "admin" },
  { path: /^\/ops\/health$/, view: Health, title: "Health", for: "admin" },
];

/** Where somebody begins. */
const home = () => (admin.value ? "/tickets?active=true" : staff.value ? "/queue" : "/tickets");

/** @param {Route | undefined} route */
const mayOpen = (route) => route && (route.for !== "staff" || staff.value) && (route.for !== "admin" || admin.value);

function App() {
  const { path } = place.value;
  const route = routes.find((r) => r.path.test(path));
  useEffect(() => {
    if (user.value && path === "/") go(home(), { replace: true });
  }, [user.value, path]);
  useEffect(() => {
    document.title = `${route && (user.value || route.for === "everybody") ? route.title : "Sign in"} · Fixdesk`;
    document.querySelector("main")?.focus({ preventScroll: true });
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

await restore();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
