// Figures over time: four numbers, charts, and the tables behind them.
import { call } from "../api.js";
import { html } from "../html.js";
import { Bars, Lines } from "../parts/chart.js";
import { download } from "../parts/download.js";
import { Loaded } from "../parts/states.js";
import { filter, place } from "../router.js";
import { useData } from "../store.js";
import { count, duration } from "../words.js";

const periods = { 7: "7 days", 30: "30 days", 90: "90 days", 365: "A year" };

/** The date so many days ago. @param {number} days */
const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);

export function Reports() {
  const days = Number(place.value.query.get("days") ?? 30);
  const from = daysAgo(days - 1);
  const data = useData(`report ${from}`, () => call("GET", "/v1/reports/tickets", { query: { from } }));
  return html`<header class="list-head"><h1>Reports</h1>
      <nav class="tabs" aria-label="Period">${Object.entries(periods).map(([n, text]) => html`<a key=${n} href=${`/admin/reports?days=${n}`} aria-current=${Number(n) === days ? "page" : undefined}
        onClick=${(/** @type {Event} */ e) => (e.preventDefault(), filter({ days: n }))}>${text}</a>`)}</nav></header>
    <${Loaded} data=${data}>${(/** @type {any} */ report) => html`<${Report} report=${report} />`}<//>`;
}

/** @param {{report: import("../../types/api").TicketReport}} props */
function Report({ report: { total, days, engineers, from, to } }) {
  const labels = days.map((/** @type {any} */ d) => d.date.slice(5));
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
    <${Lines} title="Hours until resolved" labels=${labels} format=${(/** @type {number} */ n) => `${n.toFixed(n < 10 ? 1 : 0)} h`}
      series=${[{ name: "median", values: hours("time_to_resolve", "median_seconds") }, { name: "90th percentile", values: hours("time_to_resolve", "p90_seconds") }]} />
    <section aria-label="Engineers"><h2>Engineers</h2><div class="table-wrap"><table><caption class="visually-hidden">Figures of each engineer</caption>
      <thead><tr><th scope="col">Engineer</th><th scope="col">Accepted</th><th scope="col">Resolved</th><th scope="col">Reopened</th><th scope="col">Until accepted</th><th scope="col">Until resolved</th></tr></thead>
      <tbody>${engineers.map((/** @type {any} */ e) => html`<tr key=${e.engineer.id}><td>${e.engineer.name}</td><td>${count(e.accepted)}</td><td>${count(e.resolved)}</td><td>${count(e.reopened)}</td><td>${duration(e.time_to_accept.median_seconds)}</td><td>${duration(e.time_to_resolve.median_seconds)}</td></tr>`)}</tbody>
    </table></div></section>
    <details class="panel"><summary>Table of days</summary><div class="table-wrap"><table><caption class="visually-hidden">Figures of each day</caption>
      <thead><tr>${rows[0].map((/** @type {string} */ t) => html`<th key=${t} scope="col">${t}</th>`)}</tr></thead>
      <tbody>${rows.slice(1).map((/** @type {any[]} */ r) => html`<tr key=${r[0]}>${r.map((v, i) => html`<td key=${i}>${v}</td>`)}</tr>`)}</tbody>
    </table></div></details>
    <p><button type="button" class="button" onClick=${() => download(csv(rows), "text/csv", `report-${from}-${to}.csv`)}>Download as CSV</button></p>`;
}

/** Rows of numbers and dates as CSV (RFC 4180). @param {any[][]} rows */
const csv = (rows) => rows.map((r) => r.map((v) => (String(v).includes(",") ? `"${v}"` : v)).join(",")).join("\r\n") + "\r\n";
