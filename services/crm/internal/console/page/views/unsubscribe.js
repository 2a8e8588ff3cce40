import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Form, Trouble, useForm } from "../parts/form.js";
import { Outside } from "../parts/outside.js";
import { place } from "../router.js";
import { mailKinds } from "../words.js";

/** The page of the link in a mail. Opening it changes nothing; the button does. */
export function Unsubscribe() {
  const token = place.value.query.get("token");
  const [subscription, setSubscription] = useState(/** @type {import("../../types/api").Subscription | undefined} */ (undefined));
  const [problem, setProblem] = useState(/** @type {Problem | undefined} */ (undefined));
  const [done, setDone] = useState(false);
  const form = useForm(async () => {
    await call("POST", "/v1/unsubscribe", { anonymous: true, query: { token: token ?? "" } });
    setDone(true);
  });
  useEffect(() => {
    if (!token) return;
    call("GET", "/v1/unsubscribe", { anonymous: true, query: { token } })
      .then(({ data }) => setSubscription(data))
      .catch(setProblem);
  }, [token]);
  const unknown = !token || problem?.status === 404;
  const kind = subscription && mailKinds[subscription.kind];
  return html`<${Outside} title="Mails from Fixdesk">
    ${unknown && html`<p role="status">This link is not complete. Open it from the mail again, or choose your mails in your profile.</p>`}
    ${!unknown && html`<${Trouble} problem=${problem} />`}
    ${kind && (done || !subscription.mailed
      ? html`<p role="status">You get no more mails about ${kind}.</p>`
      : html`<${Form} form=${form}>
          <p>Stop getting mails about ${kind}?</p>
          <${Button} kind="primary" type="submit" busy=${form.busy}>Stop these mails<//>
        <//>`)}
    <p class="beside"><a href="/me">Choose your mails</a></p>
  <//>`;
}
