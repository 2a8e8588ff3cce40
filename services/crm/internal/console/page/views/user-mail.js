// Whether mails to somebody are sent, where the person stands.
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { attempt, notify } from "../parts/notice.js";
import { Time } from "../parts/time.js";
import { admin } from "../session.js";
import { invalidate, useData } from "../store.js";
import { suppressionSources } from "../words.js";

/** Takes an address from the suppression list. @param {string} email */
export async function mailAgain(email) {
  await call("DELETE", `/v1/operations/suppressions/${encodeURIComponent(email)}`);
  invalidate("suppressions *", "user mail *");
  notify(`${email} is mailed again.`);
}

/** Nothing for an address that is mailed. @param {{user: string, email?: string}} props */
export function UserMail({ user, email }) {
  const mail = useData(`user mail ${user}`, () => call("GET", `/v1/users/${user}/mail`));
  const m = /** @type {import("../../types/api").UserMail | undefined} */ (mail.value);
  return m?.suppressed && html`<div class="trouble" role="note" aria-label="Mails are not sent">
    <p><strong>Mails to this address are not sent:</strong> ${m.source && suppressionSources[m.source].toLowerCase()} ${m.since && html`<${Time} of=${m.since} />`}.</p>
    <p class="quiet">${m.reason}</p>
    ${admin.value && email && html`<${Button} class="small" onClick=${() => attempt(() => mailAgain(email))}>Mail again<//>`}
  </div>`;
}
