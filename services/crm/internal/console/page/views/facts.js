// The facts of a ticket, beside its conversation.
import { useState } from "preact/hooks";
import { call, readAll } from "../api.js";
import { html } from "../html.js";
import { Priority } from "../parts/chip.js";
import { Email } from "../parts/email.js";
import { Select } from "../parts/field.js";
import { Time } from "../parts/time.js";
import { usePolling } from "../polling.js";
import { staff, user } from "../session.js";
import { useData } from "../store.js";
import { change, mayEditPriority } from "../tickets.js";
import { plural, priorities } from "../words.js";
import { UserMail } from "./user-mail.js";
import { Followers } from "./followers.js";

/** @typedef {import("../tickets.js").Ticket} Ticket */

/** @param {{ticket: Ticket, onConflict: (e: any) => void}} props */
export function Facts({ ticket: t, onConflict }) {
  const setPriority = (/** @type {string} */ priority) => change(t, { priority }).catch(onConflict);
  return html`<aside class="facts" aria-label="Facts">
    ${mayEditPriority(t, /** @type {any} */ (user.value))
      ? html`<${Select} label="Priority" value=${t.priority} options=${priorities} onValue=${setPriority} />`
      : html`<dl><dt>Priority</dt><dd><${Priority} of=${t.priority} /></dd></dl>`}
    <dl>
      ${staff.value && html`<dt>Customer</dt><dd>${t.reporter.name}${t.reporter.email && html`<br /><a href=${`mailto:${t.reporter.email}`}>${t.reporter.email}</a>`}<br /><${OtherTickets} reporter=${t.reporter.id} />${t.reporter.email && html`<${UserMail} user=${t.reporter.id} email=${t.reporter.email} />`}</dd>`}
      <dt>Engineer</dt><dd>${t.assignee?.name ?? "Nobody yet: the next free engineer gets it."}</dd>
      ${t.blocked_reason && html`<dt>Blocked</dt><dd>${t.blocked_reason}</dd>`}
      <dt>Raised</dt><dd><${Time} of=${t.created_at} /></dd>
      ${t.accepted_at && html`<dt>Accepted</dt><dd><${Time} of=${t.accepted_at} /></dd>`}
      <dt>Changed</dt><dd><${Time} of=${t.updated_at} /></dd>
    </dl>
    ${staff.value && html`<${Mails} ticket=${t} /><${Followers} key=${t.id} ticket=${t} />`}
  </aside>`;
}

/** @param {{reporter: string}} props */
function OtherTickets({ reporter }) {
  const totals = useData(`counts ?reporter=${reporter}`, () => call("GET", "/v1/tickets/counts", { query: { reporter } }));
  const n = (totals.value?.total ?? 1) - 1;
  return n > 0 && html`<a href=${`/tickets?reporter=${reporter}`}>${plural(n, "other ticket")}</a>`;
}

const mailStatuses = {
  pending: "about to be sent", dead: "could not be handed over", queued: "waits", sending: "is being sent", delayed: "will be tried again", sent: "sent",
  failed: "failed", canceled: "canceled", uncertain: "perhaps sent", bounced: "came back", suppressed: "not sent: the address is suppressed", expired: "expired",
};

/** Without the number of the ticket, which is known here. @param {{subject: string}} mail */
const subject = ({ subject: s }) => s.replace(/^\[[^\]]+ #\d+\] /, "");

/** What became of each mail. @param {{ticket: Ticket}} props */
function Mails({ ticket: t }) {
  const [open, setOpen] = useState(false);
  const key = `notifications ${t.number}`;
  const mails = useData(key, () => readAll(`/v1/tickets/${t.id}/notifications`));
  usePolling(...(open ? [key] : []));
  return html`<details class="mails" onToggle=${(/** @type {any} */ e) => setOpen(e.currentTarget.open)}><summary>Mails${mails.value && ` (${mails.value.length})`}</summary>
    ${mails.problem && html`<p class="wrong">${mails.problem.message}</p>`}
    <ul>${(mails.value ?? []).map((/** @type {import("../../types/api").TicketMail} */ m) => html`<li key=${m.id}>
      <span class="quiet">${subject(m) !== t.title && `${subject(m)} · `}<${Time} of=${m.created_at} /></span>
      <ul>${m.recipients.map((/** @type {any} */ r) => html`<li key=${r.email}><span class=${`mail ${r.status}`}><${Email} of=${r.email} />: ${/** @type {any} */ (mailStatuses)[r.status] ?? r.status}</span>${r.last_error && html`<br /><span class="quiet">${r.last_error}</span>`}</li>`)}</ul>
    </li>`)}</ul>
  </details>`;
}
