// Who decided what about whom, newest first.
import { call } from "../api.js";
import { html } from "../html.js";
import { FilterChip } from "../parts/chip.js";
import { filtersOf, FilterSelect } from "../parts/filters.js";
import { Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { filter } from "../router.js";
import { useData } from "../store.js";

/** @typedef {import("../../types/api").AuditEvent} Event */

/** What each kind of event is called. @type {Record<string, string>} */
const kinds = {
  login_succeeded: "Signed in",
  login_failed: "Sign-in failed",
  login_refused: "Sign-in refused: not approved",
  logged_out: "Signed out",
  session_ended: "Session ended",
  sessions_ended: "All sessions ended",
  refresh_reused: "Session ended: its token was used twice",
  registered: "Registered",
  registration_approved: "Registration approved",
  registration_rejected: "Registration rejected",
  user_invited: "Invited",
  user_changed: "Account changed",
  user_exported: "Data exported",
  user_erased: "Erased",
  admin_created: "First admin made",
  email_verified: "Address verified",
  password_changed: "Password changed",
  password_reset_requested: "Password forgotten",
  password_reset: "Password set anew",
  access_refused: "Access refused",
  comment_removed: "Comment removed",
  key_created: "API key made",
  key_rotated: "API key replaced",
  key_revoked: "API key revoked",
  key_refused: "API key refused",
};

/** @param {{id: string | null, name: string | null}} props */
const Person = ({ id, name }) => html`<span>${id && name ? html`<a href=${`/admin/users/${id}`}>${name}</a>` : "–"}</span>`;

/** @param {any} value */
const say = (value) => (value === undefined || value === null || value === "" ? "none" : Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value));

/** The facts that are new or different, for example "role: customer → engineer". @param {Event} event */
function changes({ before, after, object_name: known }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter((n) => JSON.stringify(before?.[n]) !== JSON.stringify(after?.[n]));
  return names.filter((n) => n !== "name" || before || after?.name !== known)
    .map((n) => `${n.replaceAll("_", " ")}: ${before && after ? `${say(before[n])} → ${say(after[n])}` : say((after ?? before)?.[n])}`).join(", ");
}

const columns = [
  { title: "When", cell: (/** @type {Event} */ e) => html`<${Time} of=${e.created_at} />` },
  { title: "Who", cell: (/** @type {Event} */ e) => html`<${Person} id=${e.actor_id} name=${e.actor_name} />` },
  { title: "What", cell: (/** @type {Event} */ e) => kinds[e.kind] ?? e.kind.replaceAll("_", " ") },
  { title: "Whom", cell: (/** @type {Event} */ e) => html`<${Person} id=${e.object_id} name=${e.object_name} />` },
  { title: "Change", cell: (/** @type {Event} */ e) => html`<span class="quiet">${changes(e)}</span>` },
  { title: "From", cell: (/** @type {Event} */ e) => e.address ?? "–" },
];

/** A person to whom the list is narrowed. @param {{id: string, name: "actor" | "object"}} props */
function PersonChip({ id, name }) {
  const person = useData(`user ${id}`, () => call("GET", `/v1/users/${id}`));
  const words = `${name === "actor" ? "By" : "About"} ${person.value?.name ?? "one person"}`;
  return html`<${FilterChip} label=${words} onRemove=${() => filter({ [name]: "" })}>${words}<//>`;
}

export function Audit() {
  const query = filtersOf("kind", "actor", "object");
  return html`<h1>Audit</h1>
    <div class="filters">
      ${query.actor && html`<${PersonChip} key="actor" id=${query.actor} name="actor" />`}
      ${query.object && html`<${PersonChip} key="object" id=${query.object} name="object" />`}
      <${FilterSelect} label="What" name="kind" options=${{ "": "Everything", ...kinds }} />
    </div>
    <${Table} name="audit" path="/v1/audit" query=${query} columns=${columns} caption="Audit" empty=${html`<${Empty} title="Nothing matches"><p><a href="/admin/audit">See everything</a></p><//>`} />`;
}
