// What staff see of a comment that came by mail: its original, who else got it, and the
// decision about a held one.
import { useState } from "preact/hooks";
import { call, send } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { download } from "../parts/download.js";
import { attempt, notify } from "../parts/notice.js";
import { Loaded } from "../parts/states.js";
import { Time } from "../parts/time.js";
import { admin, user } from "../session.js";
import { invalidate, useData } from "../store.js";

/** @typedef {{comment: import("../../types/api").Comment, ticket: import("../tickets.js").Ticket}} Props */

/** @type {Record<string, string>} */
const reasons = {
  sender: "its sender takes no part in this ticket",
  authentication: "the domain of its sender says that it is not theirs",
  audience: "it is from an address of staff, and answers a mail to customers",
  account: "the account of its sender is not approved",
  limit: "its sender wrote more than allowed in an hour",
};

/** @param {Props} props */
export function ByMail({ comment: c, ticket: t }) {
  return html`<div class="by-mail">
    ${c.held && html`<${Held} comment=${c} ticket=${t} />`}
    ${c.cc && c.cc.length > 0 && html`<p class="quiet">Also to ${c.cc.map((p) => p.name || p.email).join(", ")}</p>`}
    <${OriginalMail} comment=${c} ticket=${t} />
  </div>`;
}

/** One click lets a held comment in, or refuses it. @param {Props} props */
function Held({ comment: c, ticket: t }) {
  const held = /** @type {NonNullable<typeof c.held>} */ (c.held);
  const decide = (/** @type {"release" | "refuse"} */ verb, /** @type {string} */ done) => attempt(async () => {
    try {
      await call("POST", `/v1/tickets/${t.id}/comments/${c.id}/${verb}`);
      notify(done);
    } finally {
      invalidate(`comments ${t.number}`, `events ${t.number}`, `ticket ${t.number}`);
    }
  });
  if (held.status !== "waiting") return html`<p class="quiet">${held.status === "released" ? "It was held, and then let in." : "It was refused, and stays internal."}</p>`;
  return html`<p><strong>Held</strong>: ${reasons[held.reason] ?? "it can’t be trusted by itself"}.</p>
    ${(admin.value || t.assignee?.id === user.value?.id) && html`<div class="row">
      <${Button} class="small" onClick=${() => decide("release", "It is let in: the customer can see it.")}>Let in<//>
      <${Button} class="small" onClick=${() => decide("refuse", "It stays internal.")}>Refuse<//>
    </div>`}`;
}

/** @param {Props} props */
function OriginalMail({ comment, ticket }) {
  const [open, setOpen] = useState(false);
  return html`<details class="mails original" onToggle=${(/** @type {any} */ e) => setOpen(e.currentTarget.open)}>
    <summary>Original mail</summary>
    ${open && html`<${Whole} path=${`/v1/tickets/${ticket.id}/comments/${comment.id}/original`} />`}
  </details>`;
}

/** @param {{path: string}} props */
function Whole({ path }) {
  const data = useData(`original ${path}`, () => call("GET", path));
  const save = () => attempt(async () => {
    const response = await send("GET", `${path}/raw`, {}, { Accept: "message/rfc822" });
    if (!response.ok) throw new Error("The mail itself is no longer kept.");
    download(await response.text(), "message/rfc822", "mail.eml");
  });
  return html`<${Loaded} data=${data}>${(/** @type {import("../../types/api").Original} */ mail) => html`
    <p><strong>${mail.subject}</strong><br /><span class="quiet">From ${mail.from.name} ${mail.from.email} · <${Time} of=${mail.received_at} /></span></p>
    <p class="text">${mail.text}${mail.truncated && " …"}</p>
    <${Button} kind="quiet" class="small" onClick=${save}>Save the mail<//>
  `}<//>`;
}
