// Addresses that are mailed no more.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Confirm } from "../parts/confirm.js";
import { Dialog } from "../parts/dialog.js";
import { TextField } from "../parts/field.js";
import { filtersOf, FilterText } from "../parts/filters.js";
import { Form, useForm } from "../parts/form.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { invalidate } from "../store.js";
import { suppressionSources } from "../words.js";
import { mailAgain } from "./user-mail.js";

/** @typedef {import("../../types/api").Suppression} Suppression */

const path = "/v1/operations/suppressions";

export function Suppressions() {
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState(/** @type {Suppression | undefined} */ (undefined));
  const query = filtersOf("q");
  const columns = [
    { title: "Email", cell: (/** @type {Suppression} */ s) => html`<a href=${`/admin/users?${new URLSearchParams({ q: s.email })}`}>${s.email}</a>` },
    { title: "Why", cell: (/** @type {Suppression} */ s) => suppressionSources[s.source] ?? s.source },
    { title: "In words", cell: (/** @type {Suppression} */ s) => html`<span class="quiet">${s.reason}</span>` },
    { title: "Since", cell: (/** @type {Suppression} */ s) => html`<${Time} of=${s.created_at} />` },
    { title: "", cell: (/** @type {Suppression} */ s) => html`<${Button} class="small" aria-label=${`Mail ${s.email} again`} onClick=${() => setRemoving(s)}>Mail again<//>` },
  ];
  return html`<header class="list-head"><h1>Suppressions</h1><${Button} kind="primary" onClick=${() => setAdding(true)}>Suppress an address<//></header>
    <p class="quiet">No mail goes to these addresses, save that links to sign in are tried once.</p>
    <div class="filters"><${FilterText} label="Address" name="q" /></div>
    <${Table} name="suppressions" path=${path} query=${query} columns=${columns} caption="Suppressions" empty=${query.q
      ? html`<${Empty} title="No address matches"><p>Try fewer letters.</p><//>`
      : html`<${Empty} title="Every address is mailed"><p>An address appears here when mails to it come back for good, or its owner complains.</p><//>`} />
    ${adding && html`<${Add} onClose=${() => setAdding(false)} />`}
    ${removing && html`<${Confirm} title=${`Mail ${removing.email} again`} action="Mail again" onClose=${() => setRemoving(undefined)} run=${() => mailAgain(removing.email)}>
      <p>New mails go to it from now on. If they come back again, it returns to this list.</p><//>`}`;
}

/** @param {{onClose: () => void}} props */
function Add({ onClose }) {
  const [fields, setFields] = useState({ email: "", reason: "" });
  const form = useForm(async () => {
    await call("POST", path, { body: { email: fields.email.trim(), reason: fields.reason.trim() } });
    invalidate("suppressions *", "user mail *");
    onClose();
  });
  return html`<${Dialog} title="Suppress an address" onClose=${onClose}><${Form} form=${form} label="Suppress an address">
    <${TextField} label="Email" type="email" value=${fields.email} onValue=${(/** @type {string} */ email) => setFields({ ...fields, email })} error=${form.wrong("email")} autofocus />
    <${TextField} label="Reason" value=${fields.reason} onValue=${(/** @type {string} */ reason) => setFields({ ...fields, reason })} error=${form.wrong("reason")} help="For the other admins." maxlength="500" />
    <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>Suppress<//><${Button} onClick=${onClose}>Cancel<//></div>
  <//><//>`;
}
