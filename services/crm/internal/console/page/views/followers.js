// Who follows a ticket: they are mailed and read what its reporter is mailed and reads.
import { useState } from "preact/hooks";
import { call, readAll } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { attempt } from "../parts/notice.js";
import { invalidate, useData } from "../store.js";

/** @param {{ticket: import("../tickets.js").Ticket}} props */
export function Followers({ ticket: t }) {
  const key = `followers ${t.number}`;
  const path = `/v1/tickets/${t.id}/followers`;
  const followers = useData(key, () => readAll(path));
  const [email, setEmail] = useState("");
  const changed = () => invalidate(key, `events ${t.number}`);
  const form = useForm(async () => {
    await call("POST", path, { body: { email: email.trim() } });
    setEmail("");
    changed();
  });
  const remove = (/** @type {string} */ id) => attempt(() => call("DELETE", `${path}/${id}`).then(changed));
  /** @type {import("../../types/api").Follower[]} */
  const list = followers.value ?? [];
  return html`<details class="mails"><summary>Followers${followers.value && ` (${list.length})`}</summary>
    <ul>${list.map((f) => html`<li key=${f.id}>${f.name}<br /><span class="quiet">${f.email}</span>
      <${Button} kind="quiet" class="small" aria-label=${`Remove follower ${f.name}`} onClick=${() => remove(f.id)}>Remove<//></li>`)}</ul>
    <${Form} form=${form} label="Followers">
      <${TextField} label="Add a follower" type="email" value=${email} onValue=${setEmail} error=${form.wrong("email")} help="They get the mails that the customer gets, and read the ticket here." />
      <div><${Button} type="submit" class="small" busy=${form.busy}>Add<//></div>
    <//>
  </details>`;
}
