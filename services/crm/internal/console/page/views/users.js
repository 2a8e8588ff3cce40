// Everybody who has an account.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Dialog } from "../parts/dialog.js";
import { Email } from "../parts/email.js";
import { Select, TextField } from "../parts/field.js";
import { filtersOf, FilterSelect, FilterText } from "../parts/filters.js";
import { Form, useForm } from "../parts/form.js";
import { notify } from "../parts/notice.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { invalidate } from "../store.js";
import { roles, userStatuses } from "../words.js";

const columns = [
  { title: "Name", cell: (/** @type {import("../../types/api").User} */ u) => html`<a href=${`/admin/users/${u.id}`}>${u.name}</a>` },
  { title: "Email", cell: (/** @type {import("../../types/api").User} */ u) => html`<${Email} of=${u.email} />${!u.email_verified_at && html` <span class="quiet">(not verified)</span>`}` },
  { title: "Role", cell: (/** @type {import("../../types/api").User} */ u) => roles[/** @type {"admin"} */ (u.role)] },
  { title: "Status", cell: (/** @type {import("../../types/api").User} */ u) => userStatuses[/** @type {"pending"} */ (u.status)] },
  { title: "Since", cell: (/** @type {import("../../types/api").User} */ u) => html`<${Time} of=${u.created_at} />` },
];

export function Users() {
  const [inviting, setInviting] = useState(false);
  return html`<header class="list-head"><h1>Users</h1><${Button} kind="primary" onClick=${() => setInviting(true)}>Invite<//></header>
    <div class="filters">
      <${FilterText} label="Name or address" name="q" />
      <${FilterSelect} label="Show" name="role" options=${{ "": "Every role", ...roles }} />
      <${FilterSelect} label="In state" name="status" options=${{ "": "Every status", ...userStatuses }} />
    </div>
    <${Table} name="users" path="/v1/users" query=${filtersOf("q", "role", "status")} columns=${columns} caption="Users" empty=${html`<${Empty} title="Nobody matches"><p>Try fewer letters or another filter.</p><//>`} />
    ${inviting && html`<${Invite} onClose=${() => setInviting(false)} />`}`;
}

/** @param {{onClose: () => void}} props */
function Invite({ onClose }) {
  const [fields, setFields] = useState({ name: "", email: "", role: "engineer" });
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setFields({ ...fields, [name]: value });
  const form = useForm(async () => {
    await call("POST", "/v1/users", { body: { ...fields, email: fields.email.trim() } });
    invalidate("users *", "engineers");
    notify(`${fields.name} gets a mail with a link to set a password.`);
    onClose();
  });
  return html`<${Dialog} title="Invite somebody" onClose=${onClose}><${Form} form=${form} label="Invite somebody">
    <${TextField} label="Name" value=${fields.name} onValue=${set("name")} error=${form.wrong("name")} autofocus />
    <${TextField} label="Email" type="email" value=${fields.email} onValue=${set("email")} error=${form.wrong("email")} />
    <${Select} label="Role" value=${fields.role} onValue=${set("role")} options=${roles} help="An invited person needs no approval." />
    <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>Invite<//><${Button} onClick=${onClose}>Cancel<//></div>
  <//><//>`;
}
