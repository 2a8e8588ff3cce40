// One's own name, password, availability and sessions.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { download } from "../parts/download.js";
import { Checkbox, TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { attempt, notify } from "../parts/notice.js";
import { Loaded } from "../parts/states.js";
import { renew, user } from "../session.js";
import { invalidate, useData } from "../store.js";
import { day, roles } from "../words.js";
import { ApiKeys } from "./api-keys.js";
import { Preferences } from "./preferences.js";
import { Sessions } from "./sessions.js";

export function Profile() {
  const me = useData("me", () => call("GET", "/v1/me"));
  return html`<div class="narrow-page"><h1>My profile</h1>
    <${Loaded} data=${me}>${(/** @type {import("../../types/api").Me} */ value) => html`
      <${About} me=${value} />
      ${value.role === "engineer" && html`<${Availability} me=${value} />`}
      <${Preferences} />
      <${Password} />
      <section class="panel" aria-label="Sessions"><h2>Sessions</h2><p class="quiet">Where you are signed in. A session ends by itself after a day.</p><${Sessions} path="/v1/me/sessions" name="my sessions" /></section>
      <${ApiKeys} />
      <section class="panel" aria-label="My data"><h2>My data</h2><p>Everything that is stored about you, as a file in JSON.</p><div><${Button} onClick=${saveMyData}>Download my data<//></div></section>
    `}<//>
  </div>`;
}

const saveMyData = () => attempt(async () => {
  const { data } = await call("GET", "/v1/me/export");
  download(JSON.stringify(data, null, 2), "application/json", "my-data.json");
});

/** @param {{me: import("../../types/api").Me}} props */
function About({ me }) {
  const [name, setName] = useState(me.name);
  const form = useForm(async () => {
    await call("PATCH", "/v1/me", { body: { name: name.trim() } });
    await renew();
    invalidate("me");
    notify("Your name is changed.");
  });
  return html`<section class="panel" aria-label="About me">
    <p>${me.email} · ${roles[/** @type {"admin"} */ (me.role)]} · since ${day(me.created_at)}${me.email_verified_at ? "" : html` · <a href="/verify">address not verified</a>`}</p>
    <${Form} form=${form} label="Name" class="inline">
      <${TextField} label="Name" autocomplete="name" value=${name} onValue=${setName} error=${form.wrong("name")} maxlength="200" />
      <${Button} type="submit" busy=${form.busy}>Save<//>
    <//>
  </section>`;
}

/** @param {{me: import("../../types/api").Me}} props */
function Availability({ me }) {
  const [handOver, setHandOver] = useState(false);
  const form = useForm(async () => {
    await call("PATCH", "/v1/me", { body: { available: !me.available, ...(me.available && handOver && { hand_over: true }) } });
    invalidate("me", "engineers", "tickets *");
    notify(me.available ? "You are away: no new tickets come to you." : "Welcome back: tickets come to you again.");
  });
  return html`<section class="panel" aria-label="Availability"><h2>${me.available ? "You are available" : "You are away"}</h2>
    <${Form} form=${form} label="Availability">
      <p>${me.available ? "New tickets are offered to you." : "No new tickets are offered to you."}</p>
      ${me.available && html`<${Checkbox} label="Hand my active tickets to others" value=${handOver} onValue=${setHandOver} />`}
      <div><${Button} type="submit" busy=${form.busy}>${me.available ? "I am away" : "I am back"}<//></div>
    <//>
  </section>`;
}

function Password() {
  const [fields, setFields] = useState({ current_password: "", new_password: "" });
  const form = useForm(async () => {
    await call("POST", "/v1/me/password", { body: fields });
    setFields({ current_password: "", new_password: "" });
    invalidate("my sessions *");
    notify("Your password is changed, and you are signed out everywhere else.");
  });
  return html`<section class="panel" aria-label="Change the password"><h2>Password</h2>
    <${Form} form=${form} label="Change the password">
      <input type="hidden" autocomplete="username" value=${user.value?.email} />
      <${TextField} label="Current password" type="password" autocomplete="current-password" value=${fields.current_password} error=${form.wrong("current_password")} onValue=${(/** @type {string} */ v) => setFields({ ...fields, current_password: v })} />
      <${TextField} label="New password" type="password" autocomplete="new-password" value=${fields.new_password} error=${form.wrong("new_password")} help="8 characters or more. You are signed out everywhere else." onValue=${(/** @type {string} */ v) => setFields({ ...fields, new_password: v })} />
      <div><${Button} type="submit" busy=${form.busy}>Change the password<//></div>
    <//>
  </section>`;
}
