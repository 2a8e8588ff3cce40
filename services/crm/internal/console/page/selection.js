// Which tickets of a list are selected, and how the same is done with each of them.
import { signal } from "@preact/signals";
import { call, Problem } from "./api.js";
import { invalidate } from "./store.js";

/** @typedef {import("./tickets.js").Ticket} Ticket */

/** The tickets of the rows that are on the page, by id. @type {Map<string, Ticket>} */
const shown = new Map();

/** The ids of the selected tickets, all of which are on the page. */
export const selected = signal(/** @type {ReadonlySet<string>} */ (new Set()));

let anchor = ""; // the id at which a range begins
/** @type {ReadonlySet<string>} what was selected before the range */
let before = new Set();

/** Notes the ticket of a row that is on the page. @param {Ticket} ticket */
export const show = (ticket) => void shown.set(ticket.id, ticket);

/** A row has left the page; what isn't seen is not selected. @param {string} id */
export function hide(id) {
  shown.delete(id);
  if (selected.peek().has(id)) selected.value = new Set([...selected.peek()].filter((other) => other !== id));
}

/** The selected tickets as they are now. */
export const chosen = () => /** @type {Ticket[]} */ ([...selected.value].map((id) => shown.get(id)).filter(Boolean));

export function clearSelection() {
  anchor = "";
  before = new Set();
  if (selected.peek().size > 0) selected.value = new Set();
}

/** Selects a ticket or takes it out, and begins a range there. @param {string} id */
export function toggle(id) {
  const ids = new Set(selected.peek());
  if (!ids.delete(id)) ids.add(id);
  selected.value = before = ids;
  anchor = id;
}

/** Selects these tickets, or nothing when all of them are selected. @param {string[]} ids */
export function toggleAll(ids) {
  const all = ids.every((id) => selected.peek().has(id));
  clearSelection();
  if (!all) selected.value = new Set(ids);
}

/**
 * Selects the rows from where the range begins to a ticket, and no longer those that
 * only an earlier end of the range had selected.
 * @param {string} id
 * @param {string[]} order the ids of all rows as they stand
 * @param {string} [from] where the range begins when none has begun
 */
export function extendTo(id, order, from = id) {
  if (!order.includes(anchor) || !selected.peek().has(anchor)) {
    anchor = from;
    before = selected.peek();
  }
  const [a, b] = [order.indexOf(anchor), order.indexOf(id)].sort((x, y) => x - y);
  selected.value = new Set([...before, ...order.slice(a, b + 1)]);
}

/** @typedef {{ticket: Ticket, words: string}} Failure */

/** @type {Record<string, (t: Ticket, value: string) => Promise<any>>} */
const calls = {
  accept: (t) => call("POST", `/v1/tickets/${t.id}/accept`),
  assign: (t, engineer) => call("POST", `/v1/tickets/${t.id}/assign`, { body: { engineer_id: engineer || null } }),
  priority: (t, priority) => call("PATCH", `/v1/tickets/${t.id}`, { body: { priority }, etag: `"${t.version}"` }),
  close: (t) => call("PATCH", `/v1/tickets/${t.id}`, { body: { status: "closed" }, etag: `"${t.version}"` }),
};

/**
 * Does the same with one ticket after the other, and returns those with which it
 * failed and why.
 * @param {Ticket[]} tickets
 * @param {string} action a name of calls
 * @param {string} value the engineer's id or the priority
 * @param {{progress: (done: number) => void, stopped: () => boolean}} watch
 * @returns {Promise<Failure[]>}
 */
export async function doWithEach(tickets, action, value, { progress, stopped }) {
  /** @type {Failure[]} */
  const failures = [];
  for (const [i, ticket] of tickets.entries()) {
    if (stopped()) {
      failures.push(...tickets.slice(i).map((t) => ({ ticket: t, words: "It was not tried." })));
      break;
    }
    progress(i);
    try {
      await calls[action](ticket, value);
    } catch (e) {
      failures.push({ ticket, words: wordsOf(e) });
    }
  }
  invalidate(...tickets.flatMap((t) => [`ticket ${t.number}`, `events ${t.number}`]), "tickets *", "counts *", "engineers");
  return failures;
}

/** @param {any} e */
function wordsOf(e) {
  if (!(e instanceof Problem)) throw e;
  return e.status === 412 ? "It changed meanwhile. Look at it and try again." : e.message;
}
