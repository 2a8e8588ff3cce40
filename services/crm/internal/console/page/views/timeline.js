// What happened to a ticket, oldest first: a line for each event, a card for each
// comment.
import { useState } from "preact/hooks";
import { call, readAll } from "../api.js";
import { html } from "../html.js";
import { Avatar } from "../parts/avatar.js";
import { Button } from "../parts/button.js";
import { Confirm } from "../parts/confirm.js";
import { Files } from "../parts/files.js";
import { Loaded } from "../parts/states.js";
import { Time } from "../parts/time.js";
import { admin, staff, user } from "../session.js";
import { invalidate, readAhead, useData } from "../store.js";
import { eventWords } from "../words.js";
import { ByMail } from "./by-mail.js";

/** @param {string | number} ticket its number @returns {[string, () => Promise<any>]} */
const commentsOf = (ticket) => [`comments ${ticket}`, () => readAll(`/v1/tickets/${ticket}/comments`)];

/** @param {string | number} ticket its number @returns {[string, () => Promise<any>]} */
const eventsOf = (ticket) => [`events ${ticket}`, () => readAll(`/v1/tickets/${ticket}/events`)];

/** Reads the timeline at the same time as the ticket. @param {string} number */
export function readTimelineAhead(number) {
  readAhead(...commentsOf(number));
  readAhead(...eventsOf(number));
}

/** @param {{ticket: import("../tickets.js").Ticket}} props */
export function Timeline({ ticket: t }) {
  const comments = useData(...commentsOf(t.number));
  const events = useData(...eventsOf(t.number));
  return html`<${Loaded} data=${comments}>${() => html`<${Loaded} data=${events}>${() => html`<ol class="timeline" aria-label="Timeline">
    ${merge(comments.value ?? [], events.value ?? []).map((item) => html`<li key=${item.id} class=${"body" in item ? "" : "event"}>
      ${"body" in item ? html`<${Comment} comment=${item} ticket=${t} />` : html`<${Event} event=${item} />`}
    </li>`)}
  </ol>`}<//>`}<//>`;
}

/** @param {import("../../types/api").Comment[]} comments @param {import("../../types/api").Event[]} events */
function merge(comments, events) {
  const shown = events.filter((e) => !["created", "commented", "comment_removed"].includes(e.kind));
  return [...comments, ...shown].sort((a, b) => (a.created_at < b.created_at ? -1 : a.created_at > b.created_at ? 1 : 0));
}

/** @param {{event: import("../../types/api").Event}} props */
const Event = ({ event }) => html`<p><span class="dot" aria-hidden="true"></span><strong>${event.actor ? (event.actor.id === user.value?.id ? "You" : event.actor.name) : "Fixdesk"}</strong> ${eventWords(event)} <span class="quiet">· <${Time} of=${event.created_at} /></span></p>`;

/** @param {{comment: import("../../types/api").Comment, ticket: import("../tickets.js").Ticket}} props */
function Comment({ comment: c, ticket: t }) {
  const [asking, ask] = useState(false);
  const remove = async () => {
    await call("DELETE", `/v1/tickets/${t.id}/comments/${c.id}`);
    invalidate(`comments ${t.number}`, `events ${t.number}`);
  };
  if (c.removed_at) return html`<p class="quiet removed">A comment by ${c.author.name} was removed <${Time} of=${c.removed_at} />.</p>`;
  return html`<article class=${`card comment ${c.internal ? "internal" : ""}`} aria-label=${`${c.author.name} wrote${c.internal ? ", for staff alone" : ""}`}>
    <header><${Avatar} name=${c.author.name} /><p><strong>${c.author.name}</strong> <span class="quiet"><${Time} of=${c.created_at} /></span></p>
      ${admin.value && html`<${Button} kind="quiet" class="small" aria-label="Remove what was written here" onClick=${() => ask(true)}>Remove<//>`}
    </header>
    ${c.internal && html`<p class="internal-mark"><svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true"><path d="M4 7V5a4 4 0 0 1 8 0v2h1v8H3V7zm2 0h4V5a2 2 0 0 0-4 0z" fill="currentColor" /></svg> Internal – the customer can’t see this</p>`}
    <p class="text">${c.body}</p>
    <${Files} files=${c.attachments} />
    ${c.by_mail && staff.value && html`<${ByMail} comment=${c} ticket=${t} />`}
    ${asking && html`<${Confirm} title="Remove what was written here" action="Remove" danger onClose=${() => ask(false)} run=${remove}><p>The text goes for everybody. That can’t be undone.</p><//>`}
  </article>`;
}
