// Who decided what about whom, newest first.
import { html } from "../html.js";
import { filtersOf, FilterText } from "../parts/filters.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { filter } from "../router.js";

/** @param {{id: string | null, name: "actor" | "object"}} props */
const Id = ({ id, name }) => id && html`<span class="row"><a href=${`/admin/users/${id}`} title=${id}><code>${id.slice(-6)}</code></a>
  <button type="button" class="button quiet small" aria-label=${`Only ${name} ${id.slice(-6)}`} onClick=${() => filter({ [name]: id })}>only</button></span>`;

/** @param {any} before @param {any} after */
function changes(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter((n) => JSON.stringify(before?.[n]) !== JSON.stringify(after?.[n]));
  return names.map((n) => `${n}: ${before?.[n] ?? "–"} → ${after?.[n] ?? "–"}`).join(", ");
}

const columns = [
  { title: "When", cell: (/** @type {import("../../types/api").AuditEvent} */ e) => html`<${Time} of=${e.created_at} />` },
  { title: "What", cell: (/** @type {import("../../types/api").AuditEvent} */ e) => e.kind.replaceAll("_", " ") },
  { title: "Who", cell: (/** @type {import("../../types/api").AuditEvent} */ e) => html`<${Id} id=${e.actor_id} name="actor" />` },
  { title: "Whom", cell: (/** @type {import("../../types/api").AuditEvent} */ e) => html`<${Id} id=${e.object_id} name="object" />` },
  { title: "Change", cell: (/** @type {import("../../types/api").AuditEvent} */ e) => html`<span class="quiet">${changes(e.before, e.after)}</span>` },
  { title: "From", cell: (/** @type {import("../../types/api").AuditEvent} */ e) => e.address ?? "–" },
];

export const Audit = () => html`<h1>Audit</h1>
  <div class="filters">
    <${FilterText} label="Kind" name="kind" placeholder="Kind, for example login_failed" />
    <${FilterText} label="Actor" name="actor" placeholder="Actor's id" />
    <${FilterText} label="Object" name="object" placeholder="Object's id" />
  </div>
  <${Table} name="audit" path="/v1/audit" query=${filtersOf("kind", "actor", "object")} columns=${columns} caption="Audit" empty=${html`<${Empty} title="Nothing matches"><p>Remove a filter.</p><//>`} />`;
