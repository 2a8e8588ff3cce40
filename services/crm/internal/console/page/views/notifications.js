// What the notification service does with mails: notifications, their recipients, and
// every attempt with the mail server's own words.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Email } from "../parts/email.js";
import { filtersOf, FilterSelect } from "../parts/filters.js";
import { notify } from "../parts/notice.js";
import { Empty, Loaded } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { usePolling } from "../polling.js";
import { invalidate, put, useData } from "../store.js";
import { count, plural } from "../words.js";

const base = "/v1/operations/notifications";

const statuses = { queued: "Queued", processing: "Processing", completed: "Completed", partially_failed: "Partially failed", failed: "Failed", canceled: "Canceled" };
const recipientStatuses = { queued: "queued", sending: "sending", delayed: "delayed", sent: "sent", failed: "failed", canceled: "canceled", uncertain: "uncertain", expired: "expired", bounced: "came back", suppressed: "not sent: the address is suppressed" };

/** How many recipients are in each state. @param {Record<string, number>} counts */
const summary = ({ total, ...counts }) => Object.entries(counts).filter(([, n]) => n > 0).map(([name, n]) => `${count(n)} ${name}`).join(", ") || "none";

/** @param {{of: string}} props */
const State = ({ of }) => html`<span class=${`mail ${of}`}>${/** @type {any} */ (statuses)[of] ?? of}</span>`;

const columns = [
  { title: "Subject", cell: (/** @type {import("../../types/api").Delivery} */ n) => html`<a href=${`/ops/notifications/${n.id}`}>${n.subject}</a>` },
  { title: "Status", cell: (/** @type {import("../../types/api").Delivery} */ n) => html`<${State} of=${n.status} />` },
  { title: "Recipients", cell: (/** @type {import("../../types/api").Delivery} */ n) => summary(n.counts) },
  { title: "Created", cell: (/** @type {import("../../types/api").Delivery} */ n) => html`<${Time} of=${n.created_at} />` },
];

export function Notifications() {
  usePolling("mails *");
  return html`<h1>Notifications</h1>
    <div class="filters"><${FilterSelect} label="Show" name="status" options=${{ "": "Every status", ...statuses }} /></div>
    <${Table} name="mails" path=${base} query=${filtersOf("status", "reference")} columns=${columns} caption="Notifications" empty=${html`<${Empty} title="No mails"><p>Every mail that Fixdesk sends appears here with its result.</p><//>`} />`;
}

/** @param {{id: string}} props */
export function Notification({ id }) {
  usePolling(`mail ${id}`, `recipients ${id} *`);
  const data = useData(`mail ${id}`, () => call("GET", `${base}/${id}`));
  return html`<div class="narrow-page"><a class="back" href="/ops/notifications">← Back to the list</a>
    <${Loaded} data=${data}>${(/** @type {import("../../types/api").Delivery} */ n) => html`<${Details} notification=${n} />`}<//>
  </div>`;
}

/** @param {{notification: import("../../types/api").Delivery}} props */
function Details({ notification: n }) {
  const [busy, setBusy] = useState("");
  const act = async (/** @type {"retry" | "cancel"} */ action, /** @type {string} */ done) => {
    setBusy(action);
    try {
      const answer = await call("POST", `${base}/${n.id}/${action}`);
      put(`mail ${n.id}`, answer.data);
      invalidate("mails *", `recipients ${n.id} *`);
      notify(done);
    } catch (e) {
      notify(/** @type {Error} */ (e).message);
    } finally {
      setBusy("");
    }
  };
  const open = n.counts.queued + n.counts.delayed + n.counts.sending;
  const bad = n.counts.failed + n.counts.uncertain + n.counts.bounced + n.counts.suppressed;
  const recipients = [
    { title: "Address", cell: (/** @type {import("../../types/api").DeliveryRecipient} */ r) => html`<${Email} of=${r.email} />` },
    { title: "Status", cell: (/** @type {import("../../types/api").DeliveryRecipient} */ r) => html`<span class=${`mail ${r.status}`}>${/** @type {any} */ (recipientStatuses)[r.status] ?? r.status}</span>` },
    { title: "Last error", cell: (/** @type {import("../../types/api").DeliveryRecipient} */ r) => html`<span class="quiet">${r.last_error ?? "–"}</span>` },
    { title: "Sent", cell: (/** @type {import("../../types/api").DeliveryRecipient} */ r) => (r.sent_at ? html`<${Time} of=${r.sent_at} />` : r.next_attempt_at ? html`next attempt <${Time} of=${r.next_attempt_at} />` : "–") },
    { title: "Attempts", cell: (/** @type {import("../../types/api").DeliveryRecipient} */ r) => html`<${Attempts} notification=${n.id} recipient=${r} />` },
  ];
  return html`<h1>${n.subject}</h1>
    <p><${State} of=${n.status} /> · ${summary(n.counts)} · created <${Time} of=${n.created_at} />${n.completed_at && html` · done <${Time} of=${n.completed_at} />`}</p>
    <p class="quiet">Requested by ${n.requester}${n.reference && html`, about <${About} reference=${n.reference} />`}</p>
    <div class="row">
      ${bad > 0 && !n.sensitive && html`<${Button} kind="primary" busy=${busy === "retry"} onClick=${() => act("retry", "What failed, is uncertain or may be mailed again is queued.")}>Retry<//>`}
      ${open > 0 && html`<${Button} busy=${busy === "cancel"} onClick=${() => act("cancel", "What was not sent yet is canceled.")}>Cancel sending<//>`}
    </div>
    <${Table} name=${`recipients ${n.id}`} path=${`${base}/${n.id}/recipients`} columns=${recipients} caption="Recipients" empty="No recipients." />`;
}

/** What a mail is about: a ticket, or what its requester calls it. @param {{reference: string}} props */
function About({ reference }) {
  const ticket = useData(`ticket of ${reference}`, () => call("GET", `/v1/tickets/${encodeURIComponent(reference)}`));
  return ticket.value ? html`<a href=${`/tickets/${ticket.value.number}`}>#${ticket.value.number} ${ticket.value.title}</a>` : html`<code>${reference}</code>`;
}

/** @param {{notification: string, recipient: import("../../types/api").DeliveryRecipient}} props */
function Attempts({ notification, recipient: r }) {
  const [shown, show] = useState(false);
  if (r.attempts === 0) return "none";
  if (!shown) return html`<${Button} class="small" aria-label=${`${plural(r.attempts, "attempt")} for ${r.email}`} onClick=${() => show(true)}>${plural(r.attempts, "attempt")}<//>`;
  return html`<${AttemptList} path=${`${base}/${notification}/recipients/${r.id}/attempts`} />`;
}

/** @param {{path: string}} props */
function AttemptList({ path }) {
  const data = useData(path, () => call("GET", path, { query: { limit: 100 } }));
  return html`<${Loaded} data=${data} lines=${1}>${(/** @type {any} */ page) => html`<ol class="attempts">${page.items.map((/** @type {import("../../types/api").DeliveryAttempt} */ a) => html`<li key=${a.number}>
    <strong>${a.outcome}</strong> <span class="quiet"><${Time} of=${a.at} /> at ${a.server}</span><br /><code>${a.code ?? ""} ${a.reply}</code></li>`)}</ol>`}<//>`;
}
