import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Form, Trouble, useForm } from "../parts/form.js";
import { Outside } from "../parts/outside.js";
import { place } from "../router.js";
import { renew, user } from "../session.js";

export function Verify() {
  const token = new URLSearchParams(place.value.hash).get("token");
  const [done, setDone] = useState(false);
  const [problem, setProblem] = useState(/** @type {Problem | undefined} */ (undefined));
  const [sent, setSent] = useState(false);
  const resend = useForm(async () => {
    await call("POST", "/v1/auth/verify/resend");
    setSent(true);
  });
  useEffect(() => {
    if (!token) return;
    history.replaceState(null, "", "/verify"); // the token stays in no history
    call("POST", "/v1/auth/verify", { anonymous: true, body: { token } })
      .then(() => (setDone(true), user.value && renew()))
      .catch(setProblem);
  }, []);
  return html`<${Outside} title="Verify your address">
    ${token && !done && !problem && html`<p role="status">One moment…</p>`}
    ${done && html`<p role="status">Thank you: your address is verified. Mails about your tickets now have their whole text.</p>`}
    <${Trouble} problem=${problem} />
    ${!done && (problem || !token) && (user.value
      ? sent
        ? html`<p role="status">A mail is on its way to <strong>${user.value.email}</strong>. Open the link in it.</p>`
        : html`<${Form} form=${resend}><p>We send a mail with a link to <strong>${user.value.email}</strong>.</p><${Button} kind="primary" type="submit" busy=${resend.busy}>Send the mail<//><//>`
      : html`<p>Sign in to get another mail.</p>`)}
    <p class="beside"><a href="/">${user.value ? "To my tickets" : "Sign in"}</a></p>
  <//>`;
}
