// One person: what an admin may change, and where they are signed in.
import { useState } from "preact/hooks";
import { call, readAll } from "../api.js";
import { html } from "../html.js";
import { Avatar } from "../parts/avatar.js";
import { Button } from "../parts/button.js";
import { Confirm } from "../parts/confirm.js";
import { Select, TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { notify } from "../parts/notice.js";
import { Loaded } from "../parts/states.js";
import { go } from "../router.js";
import { user as me } from "../session.js";
import { invalidate, put, useData } from "../store.js";
import { day, plural, roles, userStatuses } from "../words.js";
import { Sessions } from "./sessions.js";
import { UserMail } from "./user-mail.js";

/** @param {{id: string}} props */
export function User({ id }) {
  const data = useData(`user ${id}`, () => call("GET", `/v1/users/${id}`));
  return html`<div class="narrow-page"><a class="back" href="/admin/users">← Everybody</a>
    <${Loaded} data=${data}>${(/** @type {import("../../types/api").User} */ u) => html`<${Person} key=${u.id} person=${u} etag=${data.etag} />`}<//>
  </div>`;
}

/** @param {{person: import("../../types/api").User, etag: string}} props */
function Person({ person: u, etag }) {
  const [asking, setAsking] = useState("");
  const [fields, setFields] = useState({ name: u.name, email: u.email, role: u.role, status: u.status });
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setFields({ ...fields, [name]: value });
  const form = useForm(async () => {
    const body = Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== /** @type {any} */ (u)[name]));
    if (Object.keys(body).length === 0) return;
    const answer = await call("PATCH", `/v1/users/${u.id}`, { body, etag });
    put(`user ${u.id}`, answer.data, answer.etag);
    invalidate("users *", "engineers");
    notify("Saved. It holds from the very next request.");
  });
  const questions = {
    sessions: {
      title: `Sign ${u.name} out everywhere`, action: "Sign out everywhere", text: "Every session of this person ends at once.",
      run: async () => (await call("DELETE", `/v1/users/${u.id}/sessions`), invalidate(`sessions ${u.id} *`)),
    },
    erase: {
      title: `Erase ${u.name}`, action: "Erase", danger: true, text: "Name, address and sessions are removed for good. Their tickets stay, by “Erased user”.",
      run: async () => (await call("DELETE", `/v1/users/${u.id}`), invalidate("users *"), go("/admin/users")),
    },
  };
  const question = questions[/** @type {"erase"} */ (asking)];
  const self = u.id === me.value?.id;
  return html`<header class="list-head"><${Avatar} name=${u.name} /><h1>${u.name}</h1><span class="quiet">since ${day(u.created_at)}</span></header>
    <${UserMail} user=${u.id} email=${u.email} />
    <section class="panel" aria-label="Account"><${Form} form=${form} label="Account">
      <${TextField} label="Name" value=${fields.name} onValue=${set("name")} error=${form.wrong("name")} />
      <${TextField} label="Email" type="email" value=${fields.email} onValue=${set("email")} error=${form.wrong("email")} help=${u.email_verified_at ? "Verified." : "Not verified yet."} />
      <${Select} label="Role" value=${fields.role} onValue=${set("role")} options=${roles} error=${form.wrong("role")} />
      <${Select} label="Status" value=${fields.status} onValue=${set("status")} options=${userStatuses} error=${form.wrong("status")} />
      <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>Save<//></div>
    <//></section>
    ${u.role === "engineer" && html`<${Work} person=${u} />`}
    <section class="panel" aria-label="Sessions"><h2>Sessions</h2><${Sessions} path=${`/v1/users/${u.id}/sessions`} name=${`sessions ${u.id}`} />
      <div><${Button} onClick=${() => setAsking("sessions")}>Sign out everywhere<//></div></section>
    <section class="panel" aria-label="Tickets and data"><h2>Tickets and data</h2>
      <ul><li><a href=${`/tickets?reporter=${u.id}`}>Tickets of ${u.name}</a></li>
        <li><a href=${`/admin/audit?actor=${u.id}`}>What ${u.name} did</a></li>
        <li><a href=${`/admin/audit?object=${u.id}`}>What was done about ${u.name}</a></li></ul>
      ${!self && html`<div><${Button} kind="danger" onClick=${() => setAsking("erase")}>Erase this person<//></div>`}</section>
    ${question && html`<${Confirm} ...${question} onClose=${() => setAsking("")}><p>${question.text}</p><//>`}`;
}

/** @param {{person: import("../../types/api").User}} props */
function Work({ person: u }) {
  const engineers = useData("engineers", () => readAll("/v1/engineers"));
  const e = (engineers.value ?? []).find((/** @type {import("../../types/api").Engineer} */ x) => x.id === u.id);
  const form = useForm(async () => {
    await call("PATCH", `/v1/users/${u.id}`, { body: { available: !e.available } });
    invalidate("engineers", `user ${u.id}`);
  });
  return e && html`<section class="panel" aria-label="Work"><h2>Work</h2><${Form} form=${form} label="Availability" class="row">
    <p>${e.available ? "Available" : "Away"}, <a href=${`/tickets?assignee=${u.id}&active=true`}>${plural(e.active_tickets, "active ticket")}</a></p>
    <${Button} type="submit" busy=${form.busy}>${e.available ? "Set away" : "Set available"}<//>
  <//></section>`;
}
