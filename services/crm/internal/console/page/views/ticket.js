// One ticket: its facts, the steps that are possible now, its conversation.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { focusOn, useActions } from "../keys.js";
import { Button } from "../parts/button.js";
import { Priority, Status } from "../parts/chip.js";
import { announce, notify } from "../parts/notice.js";
import { Loaded, Skeleton } from "../parts/states.js";
import { Time } from "../parts/time.js";
import { go } from "../router.js";
import { markSeen } from "../seen.js";
import { staff, user } from "../session.js";
import { inLists, useData, useRead } from "../store.js";
import { onEvent } from "../stream.js";
import { act, Conflict, stepNames, stepsOf } from "../tickets.js";
import { eventWords } from "../words.js";
import { Composer } from "./composer.js";
import { ConflictDialog } from "./conflict.js";
import { Facts } from "./facts.js";
import { StepDialog } from "./steps.js";
import { Description, Title } from "./ticket-text.js";
import { readTimelineAhead, Timeline } from "./timeline.js";

/** @typedef {import("../tickets.js").Ticket} Ticket */

/** @param {{number: string, back: string}} props */
export function TicketPane({ number, back }) {
  const listed = useMemo(() => inLists("tickets ", (t) => String(t.number) === number), [number]);
  const data = useData(`ticket ${number}`, () => call("GET", `/v1/tickets/${number}`), Boolean(listed));
  useRead(() => readTimelineAhead(number), [number], Boolean(listed));
  const title = data.value?.title;
  useEffect(() => {
    if (!title) return;
    document.title = `#${number} ${title} · Fixdesk`;
    announce(`Ticket #${number}: ${title}`);
  }, [number, title]);
  return html`<article class="ticket" tabindex="-1" aria-label=${`Ticket ${number}`} aria-busy=${data.value ? undefined : "true"}>
    <a class="back" href=${back}>← Back to the list</a>
    ${listed && !data.value && !data.problem ? html`<${Listed} ticket=${listed} />` : html`<${Loaded} data=${data} lines=${8}>${(/** @type {Ticket} */ ticket) => html`<${Ticket} key=${ticket.id} ticket=${ticket} />`}<//>`}
  </article>`;
}

/** Number and state. @param {{ticket: import("../../types/api").ListedTicket | Ticket}} props */
const State = ({ ticket: t }) => html`<p class="quiet"><span class="number">#${t.number}</span> <${Status} of=${t.status} />${t.status === "blocked" && t.waiting_for === "customer" && html` <span>· waits for the customer</span>`}</p>`;

/** What a list has of a ticket, while the ticket is read. @param {{ticket: import("../../types/api").ListedTicket}} props */
const Listed = ({ ticket: t }) => html`
  <header class="ticket-head"><${State} ticket=${t} /><h1>${t.title}</h1></header>
  <div class="ticket-body">
    <div class="conversation"><${Skeleton} lines=${6} /></div>
    <aside class="facts" aria-label="Facts"><dl>
      <dt>Priority</dt><dd><${Priority} of=${t.priority} /></dd>
      ${staff.value && html`<dt>Customer</dt><dd>${t.reporter.name}</dd>`}
      <dt>Engineer</dt><dd>${t.assignee?.name ?? "Nobody yet"}</dd>
      <dt>Changed</dt><dd><${Time} of=${t.updated_at} /></dd>
    </dl></aside>
  </div>`;

/** Says what somebody else does while the ticket is open. @param {Ticket} t */
function useChangesOfOthers(t) {
  useEffect(() => onEvent((event) => {
    if (event.ticket_id !== t.id || !event.actor || event.actor.id === user.value?.id) return;
    notify(`${event.actor.name} ${eventWords(event)}`);
  }), [t.id]);
}

/** @param {{ticket: Ticket}} props */
function Ticket({ ticket: t }) {
  const me = /** @type {NonNullable<typeof user.value>} */ (user.value);
  const [step, setStep] = useState(/** @type {import("../tickets.js").Step | ""} */ (""));
  const [conflict, setConflict] = useState(/** @type {Conflict | undefined} */ (undefined));
  const steps = stepsOf(t, me);
  useEffect(() => markSeen(t), [t.updated_at]);
  useChangesOfOthers(t);
  const fail = (/** @type {any} */ e) => (e instanceof Conflict ? setConflict(e) : notify(e.message));
  const take = (/** @type {import("../tickets.js").Step} */ s) => {
    if (s === "accept") act(t, "accept").then(() => notify(`#${t.number} is yours.`), fail);
    else setStep(s);
  };
  const keys = { accept: "a", decline: "d", block: "b", resume: "u", resolve: "r", close: "", reopen: "", assign: "e" };
  useActions([
    ...steps.map((s) => ({ keys: keys[s] || undefined, label: `${stepNames[s]} this ticket`, run: () => take(s) })),
    { keys: "c", label: "Comment", run: () => focusOn("[data-comment]") },
    { keys: "Escape", label: "Back to the list", run: () => go(/** @type {HTMLAnchorElement} */ (document.querySelector("a.back")).href), hidden: true },
  ], [t.version, steps.join()]);
  return html`
    <header class="ticket-head">
      <${State} ticket=${t} />
      <${Title} ticket=${t} onConflict=${fail} />
      <div class="steps" role="group" aria-label="Next steps">
        ${steps.map((s, i) => html`<${Button} key=${s} kind=${i === 0 ? "primary" : ""} hint=${keys[s] || undefined} onClick=${() => take(s)}>${stepNames[s]}<//>`)}
      </div>
    </header>
    <div class="ticket-body">
      <div class="conversation">
        <${Description} ticket=${t} onConflict=${fail} />
        <${Timeline} ticket=${t} />
        ${t.resolution && html`<section class="resolution" aria-label="Resolution"><h2>Resolution</h2><p class="text">${t.resolution}</p></section>`}
        <${Composer} ticket=${t} />
      </div>
      <${Facts} ticket=${t} onConflict=${fail} />
    </div>
    ${step && html`<${StepDialog} ticket=${t} step=${step} onClose=${() => setStep("")} onConflict=${setConflict} />`}
    ${conflict && html`<${ConflictDialog} conflict=${conflict} onClose=${() => setConflict(undefined)} onConflict=${setConflict} />`}
  `;
}
