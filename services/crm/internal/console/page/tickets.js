// What can be done with a ticket: who may take which step now, and how it is done. The
// server decides; this only avoids buttons that it would refuse.
import { call, newKey, Problem } from "./api.js";
import { invalidate, peek, put } from "./store.js";
import { activeStatuses } from "./words.js";

/** @typedef {import("../types/api").Ticket} Ticket */

/** @typedef {"accept" | "decline" | "block" | "resume" | "resolve" | "close" | "reopen" | "assign"} Step */

export const stepNames = {
  accept: "Accept", decline: "Decline", block: "Block", resume: "Resume", resolve: "Resolve", close: "Close", reopen: "Reopen", assign: "Assign",
};

/**
 * The steps that somebody may take now, the most likely first.
 * @param {Ticket} t
 * @param {{id: string, role: string}} me
 * @returns {Step[]}
 */
export function stepsOf(t, me) {
  const isAdmin = me.role === "admin";
  const mine = t.assignee?.id === me.id;
  const works = mine || isAdmin;
  const owns = t.reporter.id === me.id || isAdmin;
  const active = activeStatuses.includes(t.status);
  /** @type {[Step, boolean][]} */
  const all = [
    ["accept", me.role === "engineer" && t.status === "open" && (mine || !t.assignee) && t.reporter.id !== me.id],
    ["resolve", works && (t.status === "in_progress" || t.status === "blocked")],
    ["resume", works && (t.status === "blocked" || t.status === "resolved")],
    ["block", works && t.status === "in_progress"],
    ["decline", mine && active],
    ["assign", isAdmin || (mine && active)],
    ["reopen", owns && (t.status === "resolved" || t.status === "closed")],
    ["close", owns && t.status !== "closed"],
  ];
  return all.filter(([, may]) => may).map(([step]) => step);
}

/** @param {Ticket} t @param {{id: string, role: string}} me */
export const mayEditText = (t, me) => activeStatuses.includes(t.status) && (t.reporter.id === me.id || t.assignee?.id === me.id || me.role === "admin");

/** @param {Ticket} t @param {{id: string, role: string}} me */
export const mayEditPriority = (t, me) => t.assignee?.id === me.id || me.role === "admin" || (t.reporter.id === me.id && t.status === "open" && !t.accepted_at);

/** @param {number} number */
const keyOf = (number) => `ticket ${number}`;

/** Somebody else changed the ticket meanwhile; theirs is what it is now. */
export class Conflict extends Error {
  /** @param {Ticket} theirs @param {string} etag @param {Record<string, any>} mine @param {Ticket} before */
  constructor(theirs, etag, mine, before) {
    super("This ticket changed while you were writing.");
    this.theirs = theirs;
    this.etag = etag;
    this.mine = mine;
    this.before = before;
  }
}

/**
 * Changes a ticket as it was read. The page shows the change at once, and takes it back
 * when the server refuses it.
 * @param {Ticket} t
 * @param {Record<string, any>} changes
 * @param {string} [etag] of the version that is changed; that which the page shows unless given
 */
export async function change(t, changes, etag = peek(keyOf(t.number))?.etag ?? `"${t.version}"`) {
  put(keyOf(t.number), { ...t, ...changes }, etag);
  try {
    const answer = await call("PATCH", `/v1/tickets/${t.id}`, { body: changes, etag });
    put(keyOf(t.number), answer.data, answer.etag);
    invalidate(`events ${t.number}`, "tickets *", "counts *");
    return answer.data;
  } catch (e) {
    put(keyOf(t.number), t, etag);
    if (!(e instanceof Problem) || e.status !== 412) {
      invalidate(keyOf(t.number)); // a read that was under way was dropped for what was expected
      throw e;
    }
    const now = await call("GET", `/v1/tickets/${t.id}`);
    put(keyOf(t.number), now.data, now.etag);
    throw new Conflict(now.data, now.etag, changes, t);
  }
}

/**
 * @param {Ticket} t
 * @param {"accept" | "decline" | "assign"} action
 * @param {any} [body]
 */
export async function act(t, action, body) {
  try {
    const answer = await call("POST", `/v1/tickets/${t.id}/${action}`, { body });
    put(keyOf(t.number), answer.data, answer.etag);
  } finally {
    invalidate(keyOf(t.number), `events ${t.number}`, "tickets *", "counts *", "engineers");
  }
}

/**
 * @param {Ticket} t
 * @param {string} body
 * @param {{internal?: boolean, key?: string, files?: string[]}} [options]
 */
export async function comment(t, body, { internal = false, key = newKey(), files = [] } = {}) {
  await call("POST", `/v1/tickets/${t.id}/comments`, { body: { body, internal, ...(files.length > 0 && { attachment_ids: files }) }, key });
  invalidate(keyOf(t.number), `comments ${t.number}`, `events ${t.number}`, "tickets *", "counts *");
}
