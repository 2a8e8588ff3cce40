// Mails that came in, and what became of each. Held ones wait for a decision here.
import { useEffect, useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { focusOn } from "../keys.js";
import { Button } from "../parts/button.js";
import { Dialog } from "../parts/dialog.js";
import { Email } from "../parts/email.js";
import { filtersOf } from "../parts/filters.js";
import { attempt, notify } from "../parts/notice.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { usePolling } from "../polling.js";
import { invalidate } from "../store.js";
import { heldReasons } from "./by-mail.js";
import { Original } from "./original.js";

/** @typedef {import("../../types/api").Mail} Mail */

/** @type {Record<string, string>} */
const tabs = { held: "Held", ticket: "New tickets", comment: "Comments", ignored: "Ignored", refused: "Refused", duplicate: "Copies", all: "All" };

/** @type {Record<string, string>} */
const reasons = {
  ...heldReasons,
  address: "it is to no address of the help desk",
  no_sender: "it has no sender that can be read",
  unreadable: "it can’t be taken apart",
  failed: "something went wrong with it",
  automatic: "a program sent it",
  own: "the help desk itself sent it",
};

/** @type {Record<string, string>} */
const outcomes = { ticket: "New ticket", comment: "Comment on", held: "Held", refused: "Refused", ignored: "Ignored", duplicate: "Copy of another mail" };

/** @param {{mail: Mail}} props */
const Outcome = ({ mail: m }) => html`<div>${outcomes[m.outcome] ?? m.outcome}${m.ticket_number && html` <a href=${`/tickets/${m.ticket_number}`}>#${m.ticket_number}</a>`}
  ${m.reason && html`<br /><span class="quiet">${m.decided_by ? "It was held: " : ""}${reasons[m.reason] ?? m.reason}</span>`}
  ${m.decided_by && html`<br /><span class="quiet">decided by ${m.decided_by.name}</span>`}
</div>`;

/** What a mail is called by a screen reader. @param {Mail} m */
const nameOf = (m) => `${m.subject || "the mail without a subject"} from ${m.from.name || m.from.email || "nobody"}`;

/** The two decisions about a mail that has no effect yet. @param {{mail: Mail, named?: boolean, onDone: () => void}} props */
function Decision({ mail: m, named, onDone }) {
  const [busy, setBusy] = useState("");
  const decide = async (/** @type {"release" | "refuse"} */ verb) => {
    setBusy(verb);
    await attempt(async () => {
      try {
        const { data } = await call("POST", `/v1/inbound/${m.id}/${verb}`);
        notify(verb === "refuse" ? "It is refused." : `It is let in, as ${data.outcome === "ticket" ? "ticket" : "a comment on"} #${data.ticket_number}.`);
        onDone();
      } catch (e) {
        if (/** @type {any} */ (e).code === "already_decided") onDone();
        throw e;
      } finally {
        const n = m.ticket_number;
        invalidate("inbound *", `comments ${n}`, `events ${n}`, `ticket ${n}`);
      }
    });
    setBusy("");
  };
  const button = (/** @type {"release" | "refuse"} */ verb, /** @type {string} */ words) => html`<${Button} class="small" busy=${busy === verb}
    aria-label=${named ? `${words}: ${nameOf(m)}` : undefined} onClick=${() => busy || decide(verb)}>${words}<//>`;
  const possible = !["own", "no_sender"].includes(m.reason ?? "");
  return html`${["held", "ignored"].includes(m.outcome) && possible && button("release", "Let in")}${m.outcome === "held" && button("refuse", "Refuse")}`;
}

/** @param {string} outcome */
const Nothing = (outcome) => outcome === "held"
  ? html`<${Empty} title="No mail is held"><p>A mail waits here when its sender takes no part in its ticket, or when it can’t be trusted by itself.</p><//>`
  : outcome === "all"
    ? html`<${Empty} title="No mail came in yet"><p>Mails to the help desk’s address appear here, with what became of each.</p><//>`
    : html`<${Empty} title="No mail of this kind"><p>Mails that come in are listed for as long as what became of them, others for 90 days.</p><//>`;

export function Inbound() {
  usePolling("inbound *");
  const [reading, read] = useState(/** @type {Mail | undefined} */ (undefined));
  const [decided, setDecided] = useState(0);
  const outcome = filtersOf("outcome").outcome || "held";
  const done = () => (read(undefined), setDecided(decided + 1));
  useEffect(() => {
    if (decided) focusOn("#mail-in"); // the row with the button is gone
  }, [decided]);
  const columns = [
    { title: "From", cell: (/** @type {Mail} */ m) => html`<div>${m.from.name}${m.from.name && m.from.email && html`<br />`}${m.from.email ? html`<span class=${m.from.name ? "quiet" : ""}><${Email} of=${m.from.email} /></span>` : !m.from.name && "(no sender)"}</div>` },
    { title: "Subject", cell: (/** @type {Mail} */ m) => html`<span>${m.subject || "(no subject)"}</span>` },
    { title: "Came in", cell: (/** @type {Mail} */ m) => html`<${Time} of=${m.received_at} />` },
    { title: "Result", cell: (/** @type {Mail} */ m) => html`<${Outcome} mail=${m} />` },
    {
      title: "", class: "one-line", cell: (/** @type {Mail} */ m) => html`<div class="row">
        <${Button} class="small" aria-label=${`Read ${nameOf(m)}`} onClick=${() => read(m)}>Read<//><${Decision} mail=${m} named onDone=${done} /></div>`,
    },
  ];
  return html`<h1 id="mail-in" tabindex="-1">Mail in</h1>
    <nav class="tabs" aria-label="What became of it">${Object.entries(tabs).map(([name, words]) => html`<a key=${name}
      href=${name === "held" ? "/ops/inbound" : `/ops/inbound?outcome=${name}`} aria-current=${name === outcome ? "page" : undefined}>${words}</a>`)}</nav>
    <${Table} key=${outcome} name="inbound" path="/v1/inbound" query=${{ outcome: outcome === "all" ? "" : outcome }} columns=${columns} caption="Mails that came in" empty=${Nothing(outcome)} />
    ${reading && html`<${Dialog} title="Mail" onClose=${() => read(undefined)}>
      <${Original} path=${`/v1/inbound/${reading.id}`} />
      <div class="row"><${Decision} mail=${reading} onDone=${done} /></div><//>`}`;
}
