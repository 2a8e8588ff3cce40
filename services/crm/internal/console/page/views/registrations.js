// Engineers and admins who wait for approval.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Confirm } from "../parts/confirm.js";
import { Email } from "../parts/email.js";
import { filtersOf, FilterSelect } from "../parts/filters.js";
import { attempt, notify } from "../parts/notice.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { usePolling } from "../polling.js";
import { invalidate } from "../store.js";
import { roles, userStatuses } from "../words.js";

export function Registrations() {
  const [rejecting, setRejecting] = useState(/** @type {any} */ (undefined));
  const decide = async (/** @type {import("../../types/api").Registration} */ r, /** @type {"approve" | "reject"} */ decision, /** @type {string} */ reason = "") => {
    try {
      await call("POST", `/v1/registrations/${r.id}/${decision}`, { body: decision === "reject" ? { ...(reason && { reason }) } : undefined });
      notify(`${r.name} is ${decision === "approve" ? "approved" : "rejected"} and gets a mail.`);
    } finally {
      invalidate("registrations *", "users *");
    }
  };
  const approve = (/** @type {import("../../types/api").Registration} */ r) => attempt(() => decide(r, "approve"));
  const columns = [
    { title: "Name", cell: (/** @type {import("../../types/api").Registration} */ r) => html`<strong>${r.name}</strong>` },
    { title: "Email", cell: (/** @type {import("../../types/api").Registration} */ r) => html`<${Email} of=${r.email} />${!r.email_verified_at && html` <span class="quiet">(not verified)</span>`}` },
    { title: "Role", cell: (/** @type {import("../../types/api").Registration} */ r) => roles[/** @type {"admin"} */ (r.role)] },
    { title: "Registered", cell: (/** @type {import("../../types/api").Registration} */ r) => html`<${Time} of=${r.created_at} />` },
    { title: "Status", cell: (/** @type {import("../../types/api").Registration} */ r) => html`${userStatuses[/** @type {"pending"} */ (r.status)]}${r.reason && html`<br /><span class="quiet">${r.reason}</span>`}` },
    {
      title: "", cell: (/** @type {import("../../types/api").Registration} */ r) => r.status === "pending" && html`<div class="row">
        <${Button} kind="primary" aria-label=${`Approve ${r.name}`} onClick=${() => approve(r)}>Approve<//>
        <${Button} aria-label=${`Reject ${r.name}`} onClick=${() => setRejecting(r)}>Reject<//></div>`,
    },
  ];
  const query = filtersOf("status", "role");
  usePolling("registrations *");
  return html`<h1>Registrations</h1>
    <div class="filters">
      <${FilterSelect} label="Show" name="status" options=${{ "": "Waiting", approved: "Approved", rejected: "Rejected" }} />
      <${FilterSelect} label="Who" name="role" options=${{ "": "Every role", engineer: "Engineers", admin: "Admins" }} />
    </div>
    <${Table} name="registrations" path="/v1/registrations" query=${{ ...query, status: query.status || "pending" }} columns=${columns} caption="Registrations"
      empty=${html`<${Empty} title="Nobody is waiting"><p>Engineers and admins who register appear here, and you get a mail.</p><//>`} />
    ${rejecting && html`<${Confirm} title=${`Reject ${rejecting.name}`} action="Reject" reason="The person reads it in the mail; may stay empty." onClose=${() => setRejecting(undefined)}
      run=${(/** @type {string} */ reason) => decide(rejecting, "reject", reason)}><p>${rejecting.email} can’t sign in then.</p><//>`}`;
}
