// How states, changes and times are said.

export const statuses = {
  open: "Open",
  in_progress: "In progress",
  blocked: "Blocked",
  resolved: "Resolved",
  closed: "Closed",
};

export const priorities = { urgent: "Urgent", high: "High", normal: "Normal", low: "Low" };

export const roles = { customer: "Customer", engineer: "Engineer", admin: "Admin" };

export const userStatuses = { pending: "Waiting", approved: "Approved", rejected: "Rejected", suspended: "Suspended" };

/** What mails are about, after "mails about". */
export const mailKinds = {
  ticket_received: "tickets that you raised",
  ticket_assigned: "tickets that are assigned to you",
  ticket_unassigned: "tickets that are no longer assigned to you",
  ticket_changed: "changes of tickets",
  ticket_commented: "comments on tickets",
  registration_waiting: "people who wait for approval",
  digest: "your tickets",
};

/** @type {Record<string, string>} */
export const suppressionSources = { bounce: "Mails came back", complaint: "Its owner complained", manual: "An admin added it" };

export const activeStatuses = ["open", "in_progress", "blocked"];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "long" });
const exactFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const units = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/**
 * A moment as seen from another, for example "3 hours ago".
 * @param {string} time
 * @param {number} now in milliseconds
 */
export function ago(time, now) {
  const seconds = (Date.parse(time) - now) / 1000;
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return "just now";
}

/** @param {string} time */
export const exact = (time) => exactFormat.format(new Date(time));

/** @param {string} time */
export const day = (time) => dayFormat.format(new Date(time));

const dayOfMonthFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

/** A day of a report, for example "3 Nov". @param {string} date */
export const dayOfMonth = (date) => dayOfMonthFormat.format(new Date(date));

const numberFormat = new Intl.NumberFormat();

/** @param {number} n */
export const count = (n) => numberFormat.format(n);

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

/** A size for people. @param {number} n bytes */
export function size(n) {
  if (n < 1000) return plural(n, "byte");
  if (n < 1_000_000) return `${count(Math.round(n / 1000))} kB`;
  return `${(n / 1_000_000).toFixed(1)} MB`;
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} days`;
}

/** @param {any} value */
const name = (value) => (value && typeof value === "object" ? value.name : value);

/** @type {Record<string, (change: {from: any, to: any}) => string>} */
const changed = {
  priority: ({ from, to }) => `priority from ${label(priorities, from)} to ${label(priorities, to)}`,
  title: ({ to }) => `the title to “${to}”`,
  description: () => "the description",
  assignee: ({ to }) => `the engineer to ${name(to) ?? "nobody"}`,
};

/** @param {Record<string, string>} words @param {any} value */
const label = (words, value) => (words[value] ?? String(value ?? "none")).toLowerCase();

/**
 * What an event of a ticket says, after the name of who did it.
 * @param {{kind: string, changes: Record<string, any>}} event
 */
export function eventWords({ kind, changes = {} }) {
  const status = changes.status?.to;
  switch (kind) {
    case "created":
      return "raised this ticket";
    case "assigned":
      return `assigned it to ${name(changes.assignee?.to) ?? "an engineer"}`;
    case "unassigned":
      return `took it from ${name(changes.assignee?.from) ?? "its engineer"}`;
    case "accepted":
      return "accepted it";
    case "declined":
      return `declined it${changes.reason?.to ? `: ${changes.reason.to}` : ""}`;
    case "reopened":
      return "reopened it";
    case "commented":
      return "commented";
    case "comment_removed":
      return "removed a comment";
    case "comment_released":
      return "let a held comment in";
    case "comment_refused":
      return "refused a held comment";
    case "follower_added":
      return "added a follower";
    case "follower_removed":
      return "removed a follower";
    case "status_changed":
      return statusWords(status, changes);
    case "updated":
      return updateWords(changes);
    default:
      return kind.replaceAll("_", " ");
  }
}

/** @param {string} status @param {Record<string, any>} changes */
function statusWords(status, changes) {
  switch (status) {
    case "blocked": {
      const reason = changes.blocked_reason?.to;
      const whom = changes.waiting_for?.to === "customer" ? " until the customer answers" : "";
      return `blocked it${whom}${reason ? `: ${reason}` : ""}`;
    }
    case "in_progress":
      return changes.status?.from === "blocked" ? "set it back to in progress" : "began to work on it";
    case "resolved":
      return "resolved it";
    case "closed":
      return "closed it";
    default:
      return `set it to ${label(statuses, status)}`;
  }
}

/** @param {Record<string, any>} changes */
function updateWords(changes) {
  const parts = Object.entries(changes).map(([field, change]) => changed[field]?.(change) ?? `the ${field.replaceAll("_", " ")}`);
  return parts.length ? `changed ${parts.join(" and ")}` : "changed it";
}
