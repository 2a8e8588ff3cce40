// What stands around every page: navigation, search, who is signed in, and what is open
// over the page.
import { useEffect } from "preact/hooks";
import { reachable } from "./api.js";
import { html } from "./html.js";
import { actions, overlay } from "./keys.js";
import { Avatar } from "./parts/avatar.js";
import { Dialog } from "./parts/dialog.js";
import { attempt, Notices } from "./parts/notice.js";
import { Palette } from "./parts/palette.js";
import { go, lastList, place } from "./router.js";
import { admin, ended, forget, signOut, staff, user } from "./session.js";
import { state } from "./stream.js";
import { SignInForm } from "./views/sign-in.js";
import { roles } from "./words.js";

/** @returns {[string, [string, string][]][]} */
function groups() {
  /** @type {[string, [string, string][]][]} */
  const all = [["Tickets", [["/tickets", staff.value ? "All tickets" : "My tickets"]]]];
  if (staff.value) all[0][1] = [["/queue", "Queue"], ["/tickets?reporter=me", "My tickets"], ["/tickets", "All tickets"]];
  if (!staff.value) all[0][1].push(["/tickets?follower=me", "Followed tickets"]);
  all[0][1].push(["/new", "New ticket"]);
  if (admin.value) {
    all.push(["Admin", [["/admin/registrations", "Registrations"], ["/admin/users", "Users"], ["/admin/reports", "Reports"], ["/admin/audit", "Audit"]]]);
    all.push(["Operations", [["/ops/notifications", "Notifications"], ["/ops/outbox", "Outbox"], ["/ops/suppressions", "Suppressions"], ["/ops/inbound", "Mail in"], ["/ops/health", "Health"]]]);
  }
  return all;
}

/** Whether this page is meant; a ticket belongs to the list from which it was opened. @param {string} address */
function isHere(address) {
  const [path, query = ""] = address.split("?");
  const here = /^\/tickets\/./.test(place.value.path) ? new URL(lastList.value, location.origin) : undefined;
  const filters = here?.searchParams ?? place.value.query;
  return (here?.pathname ?? place.value.path) === path && (query ? filters.toString() === query : filters.get("reporter") !== "me" && filters.get("follower") !== "me");
}

const Navigation = () => html`<nav aria-label="Main">
  ${groups().map(([title, links]) => html`<div key=${title}>
    <h2>${title}</h2>
    <ul>${links.map(([address, text]) => html`<li key=${address}><a href=${address} aria-current=${isHere(address) ? "page" : undefined}>${text}</a></li>`)}</ul>
  </div>`)}
</nav>`;

function Search() {
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const q = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("q")).trim();
    const number = /^#(\d+)$/.exec(q);
    go(number ? `/tickets/${number[1]}` : q ? `/tickets?${new URLSearchParams({ q })}` : "/tickets");
  };
  return html`<form role="search" onSubmit=${submit}>
    <input type="search" name="q" aria-label="Search" placeholder="Search tickets, #number" data-search value=${place.value.query.get("q") ?? ""} />
  </form>`;
}

const liveWords = { off: "", connecting: "Connecting…", live: "Live", behind: "Not live: reconnecting. What you see may be out of date." };

function Account() {
  const me = /** @type {NonNullable<typeof user.value>} */ (user.value);
  const leave = () => attempt(() => signOut().then(() => go("/")));
  return html`<details class="account">
    <summary><${Avatar} name=${me.name} /><span class="account-name">${me.name}</span></summary>
    <div class="menu">
      <p><strong>${me.name}</strong><br /><span class="quiet">${me.email} · ${roles[me.role]}</span></p>
      <a href="/me">My profile</a>
      <button type="button" onClick=${() => (overlay.value = "help")}>Shortcuts</button>
      <a href="/docs">API</a>
      <button type="button" onClick=${leave}>Sign out</button>
    </div>
  </details>`;
}

const Top = () => html`<header class="top">
  <a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="24" height="24" />Fixdesk</a>
  <details class="narrow-nav"><summary aria-label="Menu">☰</summary><${Navigation} /></details>
  <${Search} />
  <span class=${`live ${state.value}`} title=${liveWords[state.value]}><span class="visually-hidden">${liveWords[state.value]}</span></span>
  <${Account} />
</header>`;

function Help() {
  const list = actions().filter((a) => a.keys);
  return html`<${Dialog} title="Shortcuts" onClose=${() => (overlay.value = "")}>
    <dl class="shortcuts">
      ${list.map((a) => html`<div key=${a.keys + a.label}><dt>${a.keys?.split(/[ +]/).map((k) => html`<kbd key=${k}>${k}</kbd> `)}</dt><dd>${a.label}</dd></div>`)}
      <div><dt><kbd>Ctrl</kbd> <kbd>K</kbd></dt><dd>Find an action</dd></div>
      <div><dt><kbd>Ctrl</kbd> <kbd>Enter</kbd></dt><dd>Send what I am writing</dd></div>
    </dl>
  <//>`;
}

/** Somebody whose session ended signs in again without leaving the page. */
const SignInAgain = () => html`<${Dialog} title="Sign in to go on" onClose=${() => (forget(), go("/"))}>
  <p>Your session has ended. What you typed is kept.</p>
  <${SignInForm} />
<//>`;

/** @param {{children: any}} props */
export function Shell({ children }) {
  useEffect(() => {
    for (const open of document.querySelectorAll("details.account[open], details.narrow-nav[open]")) open.removeAttribute("open");
  }, [place.value]);
  return html`<div class="shell">
    <a class="skip" href="#main">Skip to the content</a>
    <${Top} />
    <${Navigation} />
    <main id="main" tabindex="-1">
      ${!reachable.value && html`<p class="banner" role="status">The server can't be reached. What you type is kept here.</p>`}
      ${reachable.value && state.value === "behind" && html`<p class="banner" role="status">${liveWords.behind}</p>`}
      ${children}
    </main>
    <${Notices} />
    ${overlay.value === "help" && html`<${Help} />`}
    ${overlay.value === "palette" && html`<${Palette} />`}
    ${ended.value && html`<${SignInAgain} />`}
  </div>`;
}
