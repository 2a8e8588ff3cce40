// Figures over time: four numbers, charts, and the tables behind them.
import { call } from "../api.js";
import { html } from "../html.js";
import { Bars, Lines } from "../parts/chart.js";
import { download } from "../parts/download.js";
import { Loaded } from "../parts/states.js";
import { filter, place } from "../router.js";
import { useData } from "../store.js";
import { count, dayOfMonth, duration } from "../words.js";

const periods = { 7: "7 days", 30: "30 days", 90: "90 days", 365: "A year" };

/** The date so many days ago. @param {number} days */
const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);

export function Reports() {
  const days = Number(place.value.query.get("days")) || 30;
  const from = daysAgo(days - 1);
  const data = useData(`report ${from}`, () => call("GET", "/v1/reports/tickets", { query: { from } }));
  return html`<header class="list-head"><h1>Reports</h1>
      <nav class="tabs" aria-label="Period">${Object.entries(periods).map(([n, text]) => html`<a key=${n} href=${`/admin/reports?days=${n}`} aria-current=${Number(n) === days ? "page" : undefined}
        onClick=${(/** @type {Event} */ e) => (e.preventDefault(), filter({ days: n }))}>${text}</a>`)}</nav></header>
    <${Loaded} data=${data}>${(/** @type {any} */ report) => html`<${Report} report=${report} />`}<//>`;
}

/** @param {{report: import("../../types/api").TicketReport}} props */
function Report({ report: { total, days, engineers, from, to } }) {
  const labels = days.map((/** @type {any} */ d) => dayOfMonth(d.date));
  const column = (/** @type {string} */ name) => days.map((/** @type {any} */ d) => d[name]);
  const hours = (/** @type {string} */ what, /** @type {string} */ which) => days.map((/** @type {any} */ d) => (d[what][which] === null ? null : d[what][which] / 3600));
  const rows = [["Day", "Raised", "Accepted", "Resolved", "Reopened", "Until accepted, median s", "Until resolved, median s"],
    ...days.map((/** @type {any} */ d) => [d.date, d.created, d.accepted, d.resolved, d.reopened, d.time_to_accept.median_seconds ?? "", d.time_to_resolve.median_seconds ?? ""])];
  return html`<dl class="numbers">
      <div><dt>Raised</dt><dd>${count(total.created)}</dd></div>
      <div><dt>Resolved</dt><dd>${count(total.resolved)}</dd></div>
      <div><dt>Until accepted, median</dt><dd>${duration(total.time_to_accept.median_seconds)}</dd></div>
      <div><dt>Until resolved, median</dt><dd>${duration(total.time_to_resolve.median_seconds)}</dd></div>
    </dl>
    <${Bars} title="Raised and resolved" labels=${labels} series=${[{ name: "raised", values: column("created") }, { name: "resolved", values: column("resolved") }]} />
    <${Lines} title="Hours until resolved" labels=${labels} format=${(/** @type {number} */ n) => `${n.toFixed(n < 10 && n % 1 ? 1 : 0)} h`}
      series=${[{ name: "median", values: hours("time_to_resolve", "median_seconds") }, { name: "90th percentile", values: hours("time_to_resolve", "p90_seconds") }]} />
    <section aria-label="Engineers"><h2>Engineers</h2><${Figures} caption="Figures of each engineer" head=${["Engineer", "Accepted", "Resolved", "Reopened", "Until accepted", "Until resolved"]}
      rows=${engineers.map((/** @type {any} */ e) => [e.engineer.name, count(e.accepted), count(e.resolved), count(e.reopened), duration(e.time_to_accept.median_seconds), duration(e.time_to_resolve.median_seconds)])} /></section>
    <details class="panel"><summary>Table of days</summary><${Figures} caption="Figures of each day" head=${["Day", "Raised", "Accepted", "Resolved", "Reopened", "Until accepted", "Until resolved"]}
      rows=${days.map((/** @type {any} */ d) => [dayOfMonth(d.date), count(d.created), count(d.accepted), count(d.resolved), count(d.reopened), duration(d.time_to_accept.median_seconds), duration(d.time_to_resolve.median_seconds)])} /></details>
    <p><button type="button" class="button" onClick=${() => download(csv(rows), "text/csv", `report-${from}-${to}.csv`)}>Download as CSV</button></p>`;
}

/** @param {{caption: string, head: string[], rows: string[][]}} props */
const Figures = ({ caption, head, rows }) => html`<div class="table-wrap"><table class="figures"><caption class="visually-hidden">${caption}</caption>
  <thead><tr>${head.map((t) => html`<th key=${t} scope="col">${t}</th>`)}</tr></thead>
  <tbody>${rows.map((r, n) => html`<tr key=${n}>${r.map((v, i) => html`<td key=${i} data-title=${head[i]}>${v}</td>`)}</tr>`)}</tbody>
</table></div>`;

/** Rows of numbers and dates as CSV (RFC 4180). @param {any[][]} rows */
const csv = (rows) => rows.map((r) => r.map((v) => (String(v).includes(",") ? `"${v}"` : v)).join(",")).join("\r\n") + "\r\n";
