import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Select, TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { Outside } from "../parts/outside.js";
import { go } from "../router.js";
import { signIn } from "../session.js";

const choices = { customer: "I need help (customer)", engineer: "I help (engineer)", admin: "I manage the desk (admin)" };

export function Register() {
  const [fields, setFields] = useState({ name: "", email: "", password: "", role: "customer" });
  const [waiting, setWaiting] = useState(false);
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setFields({ ...fields, [name]: value });
  const form = useForm(async () => {
    const body = { ...fields, email: fields.email.trim() };
    await call("POST", "/v1/auth/register", { anonymous: true, body });
    if (fields.role !== "customer") return setWaiting(true);
    await signIn(body.email, body.password);
    go("/tickets");
  });
  if (waiting) {
    return html`<${Outside} title="Thank you">
      <p>An admin has to approve your registration. You get a mail at <strong>${fields.email}</strong> as soon as that is decided.</p>
      <p><a href="/">Sign in</a></p>
    <//>`;
  }
  return html`<${Outside} title="Register">
    <${Form} form=${form} label="Register">
      <${TextField} label="Name" autocomplete="name" value=${fields.name} onValue=${set("name")} error=${form.wrong("name")} required />
      <${TextField} label="Email" type="email" autocomplete="email" value=${fields.email} onValue=${set("email")} error=${form.wrong("email")} required />
      <${TextField} label="Password" type="password" autocomplete="new-password" help="8 characters or more; a few words are better than tricks." value=${fields.password} onValue=${set("password")} error=${form.wrong("password")} required />
      <${Select} label="Role" value=${fields.role} onValue=${set("role")} options=${choices}
        help=${fields.role === "customer" ? "You can raise a ticket at once." : "An admin approves engineers and admins first; you get a mail."} />
      <${Button} kind="primary" type="submit" busy=${form.busy}>Register<//>
    <//>
    <p class="beside"><a href="/">I have an account</a></p>
  <//>`;
}
