import { useEffect, useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { notify } from "../parts/notice.js";
import { Outside } from "../parts/outside.js";
import { go, place } from "../router.js";

function Ask() {
  const [email, setEmail] = useState("");
  const [sent, setSent] = useState(false);
  const form = useForm(async () => {
    await call("POST", "/v1/auth/password/forgot", { anonymous: true, body: { email: email.trim() } });
    setSent(true);
  });
  if (sent) return html`<p role="status">If there is an account with that address, a mail with a link is on its way. The link is good for ten minutes.</p>`;
  return html`<${Form} form=${form} label="Forgotten password">
    <p>We send you a mail with a link to set a new password.</p>
    <${TextField} label="Email" type="email" autocomplete="username" value=${email} onValue=${setEmail} error=${form.wrong("email")} required />
    <${Button} kind="primary" type="submit" busy=${form.busy}>Send the mail<//>
  <//>`;
}

/** @param {{token: string}} props */
function SetPassword({ token }) {
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    await call("POST", "/v1/auth/password/reset", { anonymous: true, body: { token, password } });
    notify("Your new password is set. Sign in with it.");
    go("/");
  });
  return html`<${Form} form=${form} label="New password">
    <${TextField} label="Password" type="password" autocomplete="new-password" help="8 characters or more. You are signed out everywhere else." value=${password} onValue=${setPassword} error=${form.wrong("password")} required />
    <${Button} kind="primary" type="submit" busy=${form.busy}>Set the password<//>
    ${form.problem?.code === "invalid_token" && html`<p><a href="/reset">Ask for another mail</a></p>`}
  <//>`;
}

export function Reset() {
  const [token, setToken] = useState("");
  useEffect(() => {
    setToken(new URLSearchParams(place.value.hash).get("token") ?? "");
    history.replaceState(null, "", "/reset"); // the token stays in no history
  }, [place.value]);
  return html`<${Outside} title="Set a new password">
    ${token ? html`<${SetPassword} token=${token} />` : html`<${Ask} />`}
    <p class="beside"><a href="/">Sign in</a></p>
  <//>`;
}
