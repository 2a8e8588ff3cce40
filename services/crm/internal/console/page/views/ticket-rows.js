// The rows of a list of tickets. Staff can select them; customers see the last answer.
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { useActions } from "../keys.js";
import { Priority, Status } from "../parts/chip.js";
import { Time } from "../parts/time.js";
import { filter, go } from "../router.js";
import { isUnread } from "../seen.js";
import { extendTo, hide, selected, show, toggle, toggleAll } from "../selection.js";
import { staff, user } from "../session.js";

/** @typedef {import("../../types/api").ListedTicket} Ticket */

const rows = () => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll("[data-row]")]);
const order = () => rows().map((row) => row.dataset.row ?? "");

/** The row with the focus. */
const current = () => /** @type {HTMLAnchorElement | null | undefined} */ (document.activeElement?.closest("tr")?.querySelector("[data-row]"));

/** The row with the focus, or the first. */
export const focusedRow = () => current() ?? rows()[0];

/** Moves the focus by some rows, from the open ticket's if none has it. @param {number} step @returns the row that has it then */
export function focusRow(step) {
  const all = rows();
  const from = current() ?? /** @type {HTMLAnchorElement | null} */ (document.querySelector("tr.open [data-row]"));
  const next = all[Math.max(0, Math.min(all.length - 1, from ? all.indexOf(from) + step : 0))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return next;
}

/** @param {number} step */
function extend(step) {
  const from = current()?.dataset.row;
  const to = focusRow(step)?.dataset.row;
  if (to) extendTo(to, order(), from);
}

/** The keys by which staff select tickets. */
export function useSelectionKeys() {
  useActions(staff.value ? [
    { keys: "x", label: "Select the ticket", run: () => focusedRow() && toggle(focusedRow().dataset.row ?? "") },
    { keys: "Shift+j", label: "Select down to the next ticket", run: () => extend(1) },
    { keys: "Shift+k", label: "Select up to the previous ticket", run: () => extend(-1) },
  ] : [], [staff.value]);
}

/** The head of a column by which the list can be sorted. @param {{by: string, title: string, sort: string, plain: boolean}} props */
function SortHead({ by, title, sort, plain }) {
  if (plain) return html`<th scope="col">${title}</th>`;
  const direction = sort === by ? "ascending" : sort === `-${by}` ? "descending" : undefined;
  const next = direction === "descending" ? by : `-${by}`;
  return html`<th scope="col" aria-sort=${direction}><button type="button" class="sort" onClick=${() => filter({ sort: next })}>${title}${direction && html`<span aria-hidden="true">${direction === "descending" ? " ↓" : " ↑"}</span>`}</button></th>`;
}

/** The box that selects all tickets on the page. */
function SelectAll() {
  const n = selected.value.size;
  const all = n > 0 && n === order().length;
  return html`<input type="checkbox" aria-label="Select all that are shown" checked=${all} indeterminate=${n > 0 && !all} onClick=${() => toggleAll(order())} />`;
}

/** @param {{tickets: Ticket[], open?: string, head?: boolean, sort: string}} props */
export function Rows({ tickets, open, head, sort }) {
  return html`<table class=${`tickets ${staff.value ? "of-staff" : "of-customer"}`}>
    <colgroup>${staff.value && html`<col class="of-check" />`}<col class="of-number" /><col /><col class="of-status" /><col class="of-priority" />${staff.value && html`<col class="of-person" />`}<col class="of-person" /><col class="of-when" /></colgroup>
    <thead class=${head ? "" : "visually-hidden"}><tr>
      ${staff.value && html`<th scope="col">${head ? html`<${SelectAll} />` : html`<span class="visually-hidden">Selected</span>`}</th>`}
      <${SortHead} by="created_at" title="Number" sort=${sort} plain=${!head} /><th scope="col">Title</th><th scope="col">Status</th><${SortHead} by="priority" title="Priority" sort=${sort} plain=${!head} />
      ${staff.value && html`<th scope="col">Customer</th>`}<th scope="col">Engineer</th><${SortHead} by="updated_at" title="Changed" sort=${sort} plain=${!head} />
    </tr></thead>
    <tbody>${tickets.map((t) => html`<${Row} key=${t.id} ticket=${t} open=${String(t.number) === open} />`)}</tbody>
  </table>`;
}

/** A click on a row opens it; with Shift it selects up to there, with Ctrl that one alone. @param {MouseEvent} e @param {Ticket} t */
function press(e, t) {
  const onLink = /** @type {Element} */ (e.target).closest("a");
  if (staff.value && e.shiftKey) {
    e.preventDefault();
    extendTo(t.id, order());
  } else if (staff.value && (e.ctrlKey || e.metaKey) && !onLink) toggle(t.id);
  else if (!onLink) go(`/tickets/${t.number}`);
}

/** @param {{ticket: Ticket, open: boolean}} props */
function Row({ ticket: t, open }) {
  const unread = isUnread(t, user.value?.id) && (!staff.value || t.assignee?.id === user.value?.id);
  const chosen = selected.value.has(t.id);
  useEffect(() => show(t), [t]);
  useEffect(() => () => hide(t.id), [t.id]);
  return html`<tr class=${`${open ? "open" : ""} ${unread ? "unread" : ""} ${chosen ? "selected" : ""}`} onMouseDown=${(/** @type {MouseEvent} */ e) => e.shiftKey && staff.value && e.preventDefault()}
    onClick=${(/** @type {MouseEvent} */ e) => press(e, t)}>
    ${staff.value && html`<td class="check" onClick=${(/** @type {MouseEvent} */ e) => (e.stopPropagation(), e.shiftKey ? extendTo(t.id, order()) : toggle(t.id))}>
      <input type="checkbox" aria-label=${`Select #${t.number}`} checked=${chosen} /></td>`}
    <td class="number">#${t.number}</td>
    <td class="title"><a href=${`/tickets/${t.number}`} data-row=${t.id}>${t.title}</a>${unread && html`<span class="visually-hidden"> (unread)</span>`}${!staff.value && html`<${LastAnswer} ticket=${t} />`}</td>
    <td><${Status} of=${t.status} /></td>
    <td><${Priority} of=${t.priority} /></td>
    ${staff.value && html`<td class="person">${t.reporter.name}</td>`}
    <td class="person">${t.assignee?.name ?? html`<span class="quiet">nobody yet</span>`}</td>
    <td class="when"><${Time} of=${t.updated_at} /></td>
  </tr>`;
}

/** Who wrote last, when, and how it begins. @param {{ticket: Ticket}} props */
function LastAnswer({ ticket: { last_comment: c } }) {
  if (!c) return html`<p class="last"><span class="quiet">No answer yet</span></p>`;
  return html`<p class="last"><span class="quiet">${c.author.id === user.value?.id ? "You" : c.author.name}, <${Time} of=${c.created_at} />:</span> ${c.excerpt}</p>`;
}
