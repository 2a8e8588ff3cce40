// Lists of tickets, and on a wide screen the chosen ticket beside its list.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { call, queryString } from "../api.js";
import { html } from "../html.js";
import { useActions } from "../keys.js";
import { filtersOf, pageOf, queues } from "../lists.js";
import { FilterChip } from "../parts/chip.js";
import { Empty, Loaded } from "../parts/states.js";
import { filter, go, lastList, place } from "../router.js";
import { staff } from "../session.js";
import { useData } from "../store.js";
import { count, priorities, statuses } from "../words.js";
import { Selection } from "./selection.js";
import { TicketPane } from "./ticket.js";
import { focusRow, focusedRow, Rows, useSelectionKeys } from "./ticket-rows.js";

const wideScreen = matchMedia("(min-width: 1100px)");
const wide = signal(wideScreen.matches);
wideScreen.addEventListener("change", (e) => (wide.value = e.matches));

/** @typedef {import("../lists.js").Place} Place */

/** @param {{number?: string}} props */
export function Tickets({ number }) {
  const here = place.value;
  useEffect(() => {
    if (!number) lastList.value = here.path + here.query.toString().replace(/^(?=.)/, "?");
  }, [here, number]);
  const list = number ? new URL(lastList.value, location.origin) : undefined;
  const at = list ? { path: list.pathname, query: list.searchParams } : here;
  useActions([
    { keys: "j", label: "Next ticket", run: () => void focusRow(1), hidden: true },
    { keys: "k", label: "Previous ticket", run: () => void focusRow(-1), hidden: true },
    { keys: "o", label: "Open the ticket", run: openFocused, hidden: true },
  ], []);
  if (number && (!wide.value || !staff.value)) return html`<${TicketPane} number=${number} back=${lastList.value} />`;
  return html`<div class=${number ? "split" : "single"}>
    <${List} at=${at} open=${number} />
    ${number && html`<${TicketPane} number=${number} back=${lastList.value} key=${number} />`}
  </div>`;
}

function openFocused() {
  const row = focusedRow();
  if (row) go(row.pathname);
}

/** @param {{at: Place, open?: string}} props */
function List({ at, open }) {
  const filters = filtersOf(at);
  useSelectionKeys();
  const title = at.path === "/queue" ? "Queue" : filters.follower === "me" ? "Followed tickets" : filters.reporter === "me" || !staff.value ? "My tickets" : "Tickets";
  return html`<section class="list" aria-label=${title}>
    <header class="list-head"><h1>${title}</h1><${Total} filters=${filters} />${!staff.value && html`<a class="button primary" href="/new">Raise a ticket</a>`}</header>
    ${at.path === "/queue" ? html`<${Tabs} at=${at} />` : html`<${Filters} filters=${filters} at=${at} />`}
    ${staff.value && html`<${Selection} key=${JSON.stringify(filters)} />`}
    <${Page} key=${JSON.stringify(filters)} filters=${filters} open=${open} first queue=${at.path === "/queue"} />
  </section>`;
}

/** How many tickets match. @param {{filters: Record<string, string>}} props */
function Total({ filters }) {
  const { sort, ...query } = filters;
  const totals = useData(`counts ${queryString(query)}`, () => call("GET", "/v1/tickets/counts", { query }));
  return totals.value && html`<span class="quiet">${totals.value.complete === false ? "more than " : ""}${count(totals.value.total)}<span class="visually-hidden"> tickets</span></span>`;
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
  const names = { status: statuses, priority: priorities, active: { true: "Active", false: "Not active" }, assignee: { me: "Mine", none: "Nobody’s" }, reporter: { me: "Raised by me" }, follower: { me: "Followed by me" } };
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
  const data = useData(...pageOf(filters, cursor));
  return html`<${Loaded} data=${data} lines=${12}>${(/** @type {{items: import("../../types/api").ListedTicket[], next_cursor?: string}} */ page) => html`
    ${first && page.items.length === 0 ? html`<${Nothing} filtered=${Object.keys(filters).some((f) => f !== "sort")} followed=${filters.follower === "me"} queue=${queue} />` : html`<${Rows} tickets=${page.items} open=${open} head=${first} sort=${filters.sort ?? "-created_at"} />`}
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

/** @param {{filtered: boolean, followed: boolean, queue?: boolean}} props */
function Nothing({ filtered, followed, queue }) {
  if (queue) return html`<${Empty} title="Nothing is waiting here"><p>New tickets appear by themselves as soon as they are offered to you.</p><//>`;
  if (followed) return html`<${Empty} title="No followed tickets"><p>When an engineer adds you to somebody’s ticket, you get its mails, and find it here.</p><//>`;
  if (filtered && staff.value) return html`<${Empty} title="No ticket matches"><p>Remove a filter, or <a href="/tickets">see all tickets</a>.</p><//>`;
  if (filtered) return html`<${Empty} title="No ticket matches"><p><a href="/tickets">See all my tickets</a></p><//>`;
  return html`<${Empty} title="No tickets yet"><p>Tell us what is wrong, and you see here how it goes on.</p><//>`;
}
