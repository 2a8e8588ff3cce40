// One's own API keys: made, shown once, replaced and revoked.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Confirm } from "../parts/confirm.js";
import { Dialog } from "../parts/dialog.js";
import { Checkbox, TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { attempt, notify } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { admin } from "../session.js";
import { invalidate } from "../store.js";
import { day } from "../words.js";

/** @typedef {import("../../types/api").Key} Key */

const scopes = {
  "tickets:read": "Read tickets", "tickets:write": "Raise and change tickets", "people:read": "Read people", "people:write": "Change my own profile",
};
const adminScopes = { admin: "Everything that admins do", "notifications:read": "Read mails and their results", "notifications:write": "Send mails", "notifications:manage": "Cancel and repeat mails" };

export function ApiKeys() {
  const [open, setOpen] = useState(/** @type {{step: "" | "new" | "revoke" | "shown", key?: Key, secret?: string}} */ ({ step: "" }));
  const close = () => setOpen({ step: "" });
  const show = (/** @type {any} */ issued) => (invalidate("keys *"), setOpen({ step: "shown", secret: issued.secret }));
  const rotate = (/** @type {Key} */ k) => attempt(async () => show((await call("POST", `/v1/keys/${k.id}/rotate`, { body: {} })).data));
  const columns = [
    { title: "Name", cell: (/** @type {Key} */ k) => html`<strong>${k.name}</strong><br /><code>${k.hint}…</code>` },
    { title: "May", cell: (/** @type {Key} */ k) => k.scopes.join(", ") },
    { title: "Last used", cell: (/** @type {Key} */ k) => (k.last_used_at ? html`<${Time} of=${k.last_used_at} />` : "never") },
    { title: "Ends", cell: (/** @type {Key} */ k) => day(k.expires_at) },
    {
      title: "", cell: (/** @type {Key} */ k) => html`<div class="row"><${Button} class="small" aria-label=${`Replace ${k.name}`} onClick=${() => rotate(k)}>Replace<//>
        <${Button} class="small" kind="danger" aria-label=${`Revoke ${k.name}`} onClick=${() => setOpen({ step: "revoke", key: k })}>Revoke<//></div>`,
    },
  ];
  return html`<section class="panel" aria-label="API keys"><h2>API keys</h2>
    <p class="quiet">With a key a program does what you may do, within what the key allows. <a href="/docs">API</a></p>
    <${Table} name="keys" path="/v1/keys" columns=${columns} caption="API keys" empty="You have no keys." />
    <div><${Button} onClick=${() => setOpen({ step: "new" })}>New key<//></div>
    ${open.step === "new" && html`<${NewKey} onClose=${close} onIssued=${show} />`}
    ${open.step === "shown" && html`<${Shown} secret=${open.secret} onClose=${close} />`}
    ${open.step === "revoke" && html`<${Confirm} title=${`Revoke ${open.key?.name}`} action="Revoke" danger onClose=${close}
      run=${async () => (await call("DELETE", `/v1/keys/${open.key?.id}`), invalidate("keys *"))}><p>It is refused from the very next request. That can’t be undone.</p><//>`}
  </section>`;
}

/** @param {{onClose: () => void, onIssued: (issued: any) => void}} props */
function NewKey({ onClose, onIssued }) {
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState(/** @type {string[]} */ (["tickets:read"]));
  const form = useForm(async () => onIssued((await call("POST", "/v1/keys", { body: { name: name.trim(), scopes: chosen } })).data));
  const toggle = (/** @type {string} */ scope) => (/** @type {boolean} */ on) => setChosen(on ? [...chosen, scope] : chosen.filter((s) => s !== scope));
  return html`<${Dialog} title="New API key" onClose=${onClose}><${Form} form=${form} label="New API key">
    <${TextField} label="Name" value=${name} onValue=${setName} error=${form.wrong("name")} help="What it is for. It ends after 90 days." maxlength="100" autofocus />
    <fieldset><legend>It may</legend>${Object.entries({ ...scopes, ...(admin.value && adminScopes) }).map(([scope, text]) => html`<${Checkbox} key=${scope} label=${text} value=${chosen.includes(scope)} onValue=${toggle(scope)} />`)}
      ${form.wrong("scopes") && html`<p class="wrong">${form.wrong("scopes")}</p>`}</fieldset>
    <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>Create<//><${Button} onClick=${onClose}>Cancel<//></div>
  <//><//>`;
}

/** @param {{secret?: string, onClose: () => void}} props */
const Shown = ({ secret, onClose }) => html`<${Dialog} title="Your new key" onClose=${onClose}>
  <p>Copy it now: it is not shown again.</p>
  <p><code class="secret">${secret}</code></p>
  <div class="row"><${Button} kind="primary" onClick=${() => navigator.clipboard.writeText(secret ?? "").then(() => notify("Copied."), () => notify("Select the key and copy it."))}>Copy<//><${Button} onClick=${onClose}>Done<//></div>
<//>`;
