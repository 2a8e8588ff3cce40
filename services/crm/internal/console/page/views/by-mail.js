// What staff see of a comment that came by mail: its original, who else got it and may
// follow the ticket, and the decision about a held one.
import { useState } from "preact/hooks";
import { call, readAll } from "../api.js";
import { html } from "../html.js";
import { later } from "../later.js";
import { Button } from "../parts/button.js";
import { attempt, notify } from "../parts/notice.js";
import { admin, user } from "../session.js";
import { invalidate, useData } from "../store.js";

const Original = later(() => import("./original.js"), "Original");

/** @typedef {{comment: import("../../types/api").Comment, ticket: import("../tickets.js").Ticket}} Props */

/** Why a mail is held, after a colon. @type {Record<string, string>} */
export const heldReasons = {
  sender: "its sender takes no part in the ticket",
  authentication: "the domain of its sender says that it is not theirs",
  audience: "it is from an address of staff, and answers a mail to customers",
  account: "the account of its sender is not approved",
  limit: "its sender wrote more than allowed in an hour",
};

/** @param {Props} props */
export function ByMail({ comment: c, ticket: t }) {
  return html`<div class="by-mail">
    ${c.held && html`<${Held} comment=${c} ticket=${t} />`}
    ${c.cc && c.cc.length > 0 && html`<${AlsoTo} people=${c.cc} ticket=${t} />`}
    <${OriginalMail} comment=${c} ticket=${t} />
  </div>`;
}

/**
 * Who else got a mail. One click makes somebody of them a follower.
 * @param {{people: {name: string, email: string}[], ticket: import("../tickets.js").Ticket}} props
 */
function AlsoTo({ people, ticket: t }) {
  const [busy, setBusy] = useState("");
  const key = `followers ${t.number}`;
  const path = `/v1/tickets/${t.id}/followers`;
  const followers = useData(key, () => readAll(path));
  const add = async (/** @type {{name: string, email: string}} */ { name, email }) => {
    setBusy(email);
    await attempt(async () => {
      await call("POST", path, { body: { email, ...(name && { name }) } });
      notify(`${name || email} follows this ticket now.`);
      invalidate(key, `events ${t.number}`);
    });
    setBusy("");
  };
  /** @type {string[]} */
  const taking = [t.reporter.email, ...(followers.value ?? []).map((/** @type {any} */ f) => f.email)];
  return html`<div class="quiet">Also to<ul class="also-to" aria-label="Also to">${people.map((p) => html`<li key=${p.email}>${p.name} ${p.email}
    ${followers.value && (taking.includes(p.email) ? html`<span>· ${p.email === t.reporter.email ? "raised this ticket" : "follows this ticket"}</span>`
      : html`<${Button} class="small" busy=${busy === p.email} aria-label=${`Make ${p.name || p.email} a follower`} onClick=${() => add(p)}>Make a follower<//>`)}
  </li>`)}</ul></div>`;
}

/** One click lets a held comment in, or refuses it. @param {Props} props */
function Held({ comment: c, ticket: t }) {
  const held = /** @type {NonNullable<typeof c.held>} */ (c.held);
  const decide = (/** @type {"release" | "refuse"} */ verb, /** @type {string} */ done) => attempt(async () => {
    try {
      await call("POST", `/v1/tickets/${t.id}/comments/${c.id}/${verb}`);
      notify(done);
    } finally {
      invalidate(`comments ${t.number}`, `events ${t.number}`, `ticket ${t.number}`);
    }
  });
  if (held.status !== "waiting") return html`<p class="quiet">${held.status === "released" ? "It was held, and then let in." : "It was refused, and stays internal."}</p>`;
  return html`<p><strong>Held</strong>: ${heldReasons[held.reason] ?? "it can’t be trusted by itself"}.</p>
    ${(admin.value || t.assignee?.id === user.value?.id) && html`<div class="row">
      <${Button} class="small" onClick=${() => decide("release", "It is let in: the customer can see it.")}>Let in<//>
      <${Button} class="small" onClick=${() => decide("refuse", "It stays internal.")}>Refuse<//>
    </div>`}`;
}

/** @param {Props} props */
function OriginalMail({ comment, ticket }) {
  const [open, setOpen] = useState(false);
  return html`<details class="mails original" onToggle=${(/** @type {any} */ e) => setOpen(e.currentTarget.open)}>
    <summary>Original mail</summary>
    ${open && html`<${Original} path=${`/v1/tickets/${ticket.id}/comments/${comment.id}/original`} />`}
  </details>`;
}
