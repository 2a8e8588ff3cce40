// The sessions of a person.
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { attempt, notify } from "../parts/notice.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { invalidate } from "../store.js";

/** A browser's name from its User-Agent, roughly. @param {string} agent */
function browser(agent) {
  const name = /(Edg|Firefox|OPR|Chrome|Safari|curl)[a-zA-Z]*\/(\d+)/.exec(agent);
  const system = /(Windows|Android|iPhone|iPad|Mac OS|Linux)/.exec(agent);
  if (!name) return agent || "Unknown";
  const known = /** @type {Record<string, string>} */ ({ Edg: "Edge", OPR: "Opera" });
  return `${known[name[1]] ?? name[1]} ${name[2]}${system ? ` on ${system[1]}` : ""}`;
}

/** @param {{path: string, name: string}} props own sessions can be ended one by one */
export function Sessions({ path, name }) {
  const own = path === "/v1/me/sessions";
  const end = (/** @type {string} */ id) => attempt(async () => {
    await call("DELETE", `${path}/${id}`);
    invalidate(`${name} *`);
    notify("That session is signed out.");
  });
  const columns = [
    { title: "Browser", cell: (/** @type {import("../../types/api").Session} */ s) => html`<span title=${s.user_agent}>${browser(s.user_agent)}</span>${s.current && html` <strong>this one</strong>`}` },
    { title: "Address", cell: (/** @type {import("../../types/api").Session} */ s) => s.address || "–" },
    { title: "Signed in", cell: (/** @type {import("../../types/api").Session} */ s) => html`<${Time} of=${s.created_at} />` },
    { title: "Last used", cell: (/** @type {import("../../types/api").Session} */ s) => html`<${Time} of=${s.used_at} />` },
    ...(own ? [{ title: "", cell: (/** @type {import("../../types/api").Session} */ s) => !s.current && html`<${Button} class="small" aria-label=${`Sign out there: ${browser(s.user_agent)}`} onClick=${() => end(s.id)}>Sign out there<//>` }] : []),
  ];
  return html`<${Table} name=${name} path=${path} columns=${columns} caption="Sessions" empty="Not signed in anywhere." />`;
}
