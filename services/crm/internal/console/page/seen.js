// Which version of each ticket this browser has shown, to mark the unread ones.
import { signal } from "@preact/signals";

const name = "fixdesk seen";
const most = 500;

/** @type {import("@preact/signals").Signal<Record<string, string>>} */
const seen = signal(read());

function read() {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "{}");
  } catch {
    return {};
  }
}

/** @param {{id: string, updated_at: string}} ticket */
export function markSeen({ id, updated_at }) {
  if (seen.peek()[id] === updated_at) return;
  const { [id]: _, ...others } = seen.peek();
  seen.value = Object.fromEntries([...Object.entries(others).slice(1 - most), [id, updated_at]]);
  localStorage.setItem(name, JSON.stringify(seen.value));
}

/**
 * Whether somebody else did something that this browser has not shown; of a ticket that
 * it never showed, whether somebody else has the last word.
 * @param {import("../types/api").ListedTicket} ticket
 * @param {string} [me]
 */
export function isUnread({ id, updated_at, reporter, last_comment: last }, me) {
  if (!seen.value[id]) return (last?.author ?? reporter).id !== me;
  return seen.value[id] < updated_at && !(last && last.author.id === me && last.created_at >= updated_at);
}
