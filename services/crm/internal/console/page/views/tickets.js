// Lists of tickets, and on a wide screen the chosen ticket beside its list.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { call, queryString } from "../api.js";
import { html } from "../html.js";
import { useActions } from "../keys.js";
import { FilterChip, Priority, Status } from "../parts/chip.js";
import { Empty, Loaded } from "../parts/states.js";
import { Time } from "../parts/time.js";
import { filter, go, place } from "../router.js";
import { isUnread } from "../seen.js";
import { staff, user } from "../session.js";
import { useData } from "../store.js";
import { count, priorities, statuses } from "../words.js";
import { TicketPane } from "./ticket.js";

const wideScreen = matchMedia("(min-width: 1100px)");
const wide = signal(wideScreen.matches);
wideScreen.addEventListener("change", (e) => (wide.value = e.matches));

/** The address of the list that was shown last. */
const lastList = signal("/tickets");

/** @typedef {{path: string, query: URLSearchParams}} Place */

/** @type {Record<string, {label: string, query: Record<string, string>}>} */
const queues = {
  offered: { label: "Offered to me", query: { assignee: "me", status: "open", sort: "-priority" } },
  mine: { label: "My work", query: { assignee: "me", status: "in_progress,blocked", sort: "-priority" } },
  unassigned: { label: "Unassigned", query: { assignee: "none", active: "true", sort: "-priority" } },
  all: { label: "All active", query: { active: "true", sort: "-priority" } },
};

/** The API's filters of a list's address. @param {Place} at @returns {Record<string, string>} */
function filtersOf({ path, query }) {
  const own = Object.fromEntries([...query].filter(([name]) => name !== "tab"));
  if (path !== "/queue") return own;
  return { ...queues[query.get("tab") ?? "offered"]?.query, ...own };
}

/** @param {{number?: string}} props */
export function Tickets({ number }) {
  const here = place.value;
  useEffect(() => {
    if (!number) lastList.value = here.path + here.query.toString().replace(/^(?=.)/, "?");
  }, [here, number]);
  const list = number ? new URL(lastList.value, location.origin) : undefined;
  const at = list ? { path: list.pathname, query: list.searchParams } : here;
  useActions([
    { keys: "j", label: "Next ticket", run: () => moveFocus(1), hidden: true },
    { keys: "k", label: "Previous ticket", run: () => moveFocus(-1), hidden: true },
    { keys: "o", label: "Open the ticket", run: () => openFocused(), hidden: true },
  ], []);
  if (number && (!wide.value || !staff.value)) return html`<${TicketPane} number=${number} back=${lastList.value} />`;
  return html`<div class=${number ? "split" : "single"}>
    <${List} at=${at} open=${number} />
    ${number && html`<${TicketPane} number=${number} back=${lastList.value} key=${number} />`}
  </div>`;
}

const rows = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);

/** @param {number} step */
function moveFocus(step) {
  const all = rows();
  const current = document.activeElement?.closest("tr")?.querySelector("[data-row]") ?? document.querySelector("tr.open [data-row]");
  const next = all[Math.max(0, Math.min(all.length - 1, current ? all.indexOf(/** @type {HTMLElement} */ (current)) + step : 0))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function openFocused() {
  const row = document.activeElement?.closest("tr")?.querySelector("[data-row]") ?? rows()[0];
  if (row) go(/** @type {HTMLAnchorElement} */ (row).pathname);
}

/** @param {{at: Place, open?: string}} props */
function List({ at, open }) {
  const filters = filtersOf(at);
  const title = at.path === "/queue" ? "Queue" : filters.reporter === "me" || !staff.value ? "My tickets" : "Tickets";
  return html`<section class="list" aria-label=${title}>
    <header class="list-head"><h1>${title}</h1><${Total} filters=${filters} />${!staff.value && html`<a class="button primary" href="/new">Raise a ticket</a>`}</header>
    ${at.path === "/queue" ? html`<${Tabs} at=${at} />` : html`<${Filters} filters=${filters} at=${at} />`}
    <${Page} key=${JSON.stringify(filters)} filters=${filters} open=${open} first queue=${at.path === "/queue"} />
  </section>`;
}

/** @param {{filters: Record<string, string>}} props */
function Total({ filters }) {
  const { sort, ...query } = filters;
  const totals = useData(`counts ${queryString(query)}`, () => call("GET", "/v1/tickets/counts", { query }));
  return html`<span class="quiet" role="status">${totals.value && `${totals.value.complete === false ? "more than " : ""}${count(totals.value.total)}`}</span>`;
}

/** @param {{at: Place}} props */
const Tabs = ({ at }) => html`<nav class="tabs" aria-label="Queues">
  ${Object.entries(queues).map(([name, { label, query }]) => html`<a key=${name} href=${`/queue?tab=${name}`}
    aria-current=${(at.query.get("tab") ?? "offered") === name ? "page" : undefined}>${label}<${Total} filters=${query} /></a>`)}
</nav>`;

const sorts = { "-created_at": "Newest first", created_at: "Oldest first", "-updated_at": "Last changed", "-priority": "Most urgent" };

/** @param {{filters: Record<string, string>, at: Place}} props */
function Filters({ filters, at }) {
  const set = (/** @type {string} */ name, /** @type {string} */ value) =>
    at.path === place.value.path ? filter({ [name]: value }) : go(`${at.path}?${new URLSearchParams({ ...filters, [name]: value })}`);
  const names = { status: statuses, priority: priorities, active: { true: "Active", false: "Not active" }, assignee: { me: "Mine", none: "Nobody’s" }, reporter: { me: "Raised by me" } };
  const chips = Object.entries(filters).filter(([name]) => name !== "sort");
  const words = (/** @type {string} */ name, /** @type {string} */ value) => {
    const known = /** @type {Record<string, Record<string, string>>} */ (names)[name];
    return known ? value.split(",").map((v) => known[v] ?? "one person").join(" or ") : name === "q" ? `“${value}”` : `${name.replaceAll("_", " ")} ${value}`;
  };
  return html`<div class="filters">
    ${chips.map(([name, value]) => html`<${FilterChip} key=${name} label=${words(name, value)} onRemove=${() => set(name, "")}>${words(name, value)}<//>`)}
    <${AddFilter} filters=${filters} set=${set} />
    <${Order} value=${filters.sort ?? "-created_at"} options=${{ ...sorts, ...(filters.q && { relevance: "Best match" }) }} onChoose=${(/** @type {string} */ v) => set("sort", v)} />
  </div>`;
}

/** @param {string | undefined} list @param {string} value */
const add = (list, value) => [...new Set([...(list ? list.split(",") : []), value])].join(",");

/** @param {{value: string, options: Record<string, string>, onChoose: (value: string) => void}} props */
const Order = ({ value, options, onChoose }) => html`<select aria-label="Order" onChange=${(/** @type {any} */ e) => onChoose(e.currentTarget.value)}>
  ${Object.entries(options).map(([v, text]) => html`<option key=${v} value=${v} selected=${v === value}>${text}</option>`)}
</select>`;

/** @param {{filters: Record<string, string>, set: (name: string, value: string) => void}} props */
function AddFilter({ filters, set }) {
  /** @type {[string, string, Record<string, string>][]} */
  const groups = [["status", "Status", statuses], ["priority", "Priority", priorities]];
  if (staff.value) groups.push(["assignee", "Engineer", { me: "Mine", none: "Nobody’s" }]);
  const choose = (/** @type {any} */ event) => {
    const [name, value] = event.currentTarget.value.split(" ");
    event.currentTarget.value = "";
    set(name, name === "assignee" ? value : add(filters[name], value));
  };
  return html`<select aria-label="Add a filter" onChange=${choose}>
    <option value="">Filter…</option>
    ${groups.map(([name, label, options]) => html`<optgroup key=${name} label=${label}>${Object.entries(options).map(([v, text]) => html`<option key=${v} value=${`${name} ${v}`}>${text}</option>`)}</optgroup>`)}
  </select>`;
}

/**
 * One page of a list and, as one scrolls, those after it.
 * @param {{filters: Record<string, string>, open?: string, cursor?: string, first?: boolean, queue?: boolean}} props
 */
function Page({ filters, open, cursor, first, queue }) {
  const query = { ...filters, limit: 50, cursor };
  const data = useData(`tickets ${queryString(query)}`, () => call("GET", "/v1/tickets", { query }));
  return html`<${Loaded} data=${data} lines=${12}>${(/** @type {{items: import("../../types/api").Ticket[], next_cursor?: string}} */ page) => html`
    ${first && page.items.length === 0 ? html`<${Nothing} filtered=${Object.keys(filters).some((f) => f !== "sort")} queue=${queue} />` : html`<${Rows} tickets=${page.items} open=${open} head=${first} sort=${filters.sort ?? "-created_at"} />`}
    ${page.next_cursor && html`<${More} key=${page.next_cursor}><${Page} filters=${filters} open=${open} cursor=${page.next_cursor} /><//>`}
  `}<//>`;
}

/** Shows its children when it is scrolled to. @param {{children: any}} props */
function More({ children }) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  const shown = useRef(signal(false)).current;
  useEffect(() => {
    if (!ref.current) return;
    const observer = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && (shown.value = true), { rootMargin: "600px" });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return shown.value ? children : html`<div ref=${ref} class="more" aria-hidden="true"></div>`;
}

/** @param {{filtered: boolean, queue?: boolean}} props */
function Nothing({ filtered, queue }) {
  if (queue) return html`<${Empty} title="Nothing is waiting here"><p>New tickets appear by themselves as soon as they are offered to you.</p><//>`;
  if (filtered && staff.value) return html`<${Empty} title="No ticket matches"><p>Remove a filter, or <a href="/tickets">see all tickets</a>.</p><//>`;
  if (filtered) return html`<${Empty} title="No ticket matches"><p><a href="/tickets">See all my tickets</a></p><//>`;
  return html`<${Empty} title="No tickets yet"><p>Tell us what is wrong, and you see here how it goes on.</p><//>`;
}

/** The head of a column by which the list can be sorted. @param {{by: string, title: string, sort: string, plain: boolean}} props */
function SortHead({ by, title, sort, plain }) {
  if (plain) return html`<th scope="col">${title}</th>`;
  const direction = sort === by ? "ascending" : sort === `-${by}` ? "descending" : undefined;
  const next = direction === "descending" ? by : `-${by}`;
  return html`<th scope="col" aria-sort=${direction}><button type="button" class="sort" onClick=${() => filter({ sort: next })}>${title}${direction && html`<span aria-hidden="true">${direction === "descending" ? " ↓" : " ↑"}</span>`}</button></th>`;
}

/** @param {{tickets: import("../../types/api").Ticket[], open?: string, head?: boolean, sort: string}} props */
function Rows({ tickets, open, head, sort }) {
  return html`<table class="tickets">
    <thead class=${head ? "" : "visually-hidden"}><tr>
      <${SortHead} by="created_at" title="Number" sort=${sort} plain=${!head} /><th scope="col">Title</th><th scope="col">Status</th><${SortHead} by="priority" title="Priority" sort=${sort} plain=${!head} />
      ${staff.value && html`<th scope="col">Customer</th>`}<th scope="col">Engineer</th><${SortHead} by="updated_at" title="Changed" sort=${sort} plain=${!head} />
    </tr></thead>
    <tbody>${tickets.map((t) => html`<${Row} key=${t.id} ticket=${t} open=${String(t.number) === open} />`)}</tbody>
  </table>`;
}

/** @param {{ticket: import("../../types/api").Ticket, open: boolean}} props */
function Row({ ticket: t, open }) {
  const unread = isUnread(t) && (!staff.value || t.assignee?.id === user.value?.id);
  const address = `/tickets/${t.number}`;
  return html`<tr class=${`${open ? "open" : ""} ${unread ? "unread" : ""}`} onClick=${(/** @type {MouseEvent} */ e) => !(/** @type {Element} */ (e.target).closest("a")) && go(address)}>
    <td class="number">#${t.number}</td>
    <td class="title"><a href=${address} data-row>${t.title}</a>${unread && html`<span class="visually-hidden"> (unread)</span>`}</td>
    <td><${Status} of=${t.status} /></td>
    <td><${Priority} of=${t.priority} /></td>
    ${staff.value && html`<td class="person">${t.reporter.name}</td>`}
    <td class="person">${t.assignee?.name ?? html`<span class="quiet">nobody yet</span>`}</td>
    <td class="when"><${Time} of=${t.updated_at} /></td>
  </tr>`;
}
