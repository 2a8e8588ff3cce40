// The lists of tickets: which filters each address means, and how they are read.
import { call, queryString } from "./api.js";

/** @typedef {{path: string, query: URLSearchParams}} Place */

/** @type {Record<string, {label: string, query: Record<string, string>}>} */
export const queues = {
  offered: { label: "Offered to me", query: { assignee: "me", status: "open", sort: "-priority" } },
  mine: { label: "My work", query: { assignee: "me", status: "in_progress,blocked", sort: "-priority" } },
  unassigned: { label: "Unassigned", query: { assignee: "none", active: "true", sort: "-priority" } },
  all: { label: "All active", query: { active: "true", sort: "-priority" } },
};

/** The API's filters of a list's address. @param {Place} at @returns {Record<string, string>} */
export function filtersOf({ path, query }) {
  const own = Object.fromEntries([...query].filter(([name]) => name !== "tab"));
  if (path !== "/queue") return own;
  return { ...queues[query.get("tab") ?? "offered"]?.query, ...own };
}

/**
 * A page of a list, for useData and readAhead.
 * @param {Record<string, string>} filters
 * @param {string} [cursor]
 * @returns {[string, () => Promise<any>]}
 */
export function pageOf(filters, cursor) {
  const query = { ...filters, limit: 50, cursor };
  return [`tickets ${queryString(query)}`, () => call("GET", "/v1/tickets", { query })];
}
