// What is still to be posted to the notification service, and what it refused.
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { filtersOf, FilterSelect } from "../parts/filters.js";
import { attempt, notify } from "../parts/notice.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { usePolling } from "../polling.js";
import { invalidate } from "../store.js";

async function retry(/** @type {import("../../types/api").OutboxEntry} */ entry) {
  await attempt(async () => {
    await call("POST", `/v1/outbox/${entry.id}/retry`);
    notify("It is posted again.");
  });
  invalidate("outbox *");
}

const columns = [
  { title: "Kind", cell: (/** @type {import("../../types/api").OutboxEntry} */ e) => e.kind.replaceAll("_", " ") },
  { title: "Since", cell: (/** @type {import("../../types/api").OutboxEntry} */ e) => html`<${Time} of=${e.created_at} />` },
  { title: "Attempts", cell: (/** @type {import("../../types/api").OutboxEntry} */ e) => e.attempts },
  { title: "Last error", cell: (/** @type {import("../../types/api").OutboxEntry} */ e) => html`<span class="quiet">${e.last_error ?? "–"}</span>` },
  { title: "Next attempt", cell: (/** @type {import("../../types/api").OutboxEntry} */ e) => (e.state === "dead" ? "none" : html`<${Time} of=${e.next_attempt_at} />`) },
  { title: "", cell: (/** @type {import("../../types/api").OutboxEntry} */ e) => e.state === "dead" && html`<${Button} class="small" onClick=${() => retry(e)}>Retry<//>` },
];

export function Outbox() {
  usePolling("outbox *");
  const state = filtersOf("state").state || "pending";
  return html`<h1>Outbox</h1>
    <p class="quiet">Notices on their way to the notification service. An entry is dead when the service refused it for good.</p>
    <div class="filters"><${FilterSelect} label="Show" name="state" options=${{ "": "Pending", dead: "Dead" }} /></div>
    <${Table} name="outbox" path="/v1/outbox" query=${{ state }} columns=${columns} caption="Outbox"
      empty=${html`<${Empty} title=${state === "dead" ? "No dead entries" : "Everything is posted"}><p>${state === "dead" ? "Nothing was refused." : "New notices pass through here in an instant."}</p><//>`} />`;
}
