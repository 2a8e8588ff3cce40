// How both services are, in a few numbers.
import { call } from "../api.js";
import { html } from "../html.js";
import { Trouble } from "../parts/form.js";
import { usePolling } from "../polling.js";
import { useData } from "../store.js";
import { state } from "../stream.js";
import { count, duration } from "../words.js";

/** Whether the CRM can do its work. */
async function readiness() {
  const response = await fetch("/readyz", { cache: "no-store" });
  return { data: response.ok };
}

/** @param {{title: string, value: any, good?: boolean}} props */
const Number = ({ title, value, good }) => html`<div class=${good === false ? "bad" : ""}><dt>${title}</dt><dd>${value}</dd></div>`;

export function Health() {
  const crm = useData("ready", readiness);
  const queue = useData("mail queue", () => call("GET", "/v1/operations/queue"));
  const dead = useData("outbox dead", () => call("GET", "/v1/outbox", { query: { state: "dead", limit: 100 } }));
  const pending = useData("outbox pending", () => call("GET", "/v1/outbox", { query: { state: "pending", limit: 100 } }));
  usePolling("ready", "mail queue", "outbox *");
  const many = (/** @type {any} */ d) => d.value && (d.value.next_cursor ? "more than 100" : count(d.value.items.length));
  const r = queue.value?.recipients;
  return html`<h1>Health</h1><p class="quiet">Read every five seconds.</p>
    <section aria-label="CRM"><h2>CRM</h2><dl class="numbers">
      <${Number} title="Ready" value=${crm.value === undefined ? "…" : crm.value ? "Yes" : "No"} good=${crm.value} />
      <${Number} title="Changes arrive live" value=${state.value === "live" ? "Yes" : "No"} good=${state.value === "live"} />
      <${Number} title="Notices waiting" value=${many(pending) ?? "…"} />
      <${Number} title="Dead notices" value=${html`<a href="/ops/outbox?state=dead">${many(dead) ?? "…"}</a>`} good=${!dead.value?.items.length} />
    </dl></section>
    <section aria-label="Notification service"><h2>Notification service</h2>
      <${Trouble} problem=${queue.problem} />
      ${r && html`<dl class="numbers">
        <${Number} title="Answers" value=${queue.problem ? "No" : "Yes"} good=${!queue.problem} />
        <${Number} title="Sent in the last minute" value=${count(queue.value.sent_per_minute)} />
        <${Number} title="Oldest mail waits" value=${duration(queue.value.oldest_due_age_seconds)} good=${queue.value.oldest_due_age_seconds < 60} />
        <${Number} title="Queued" value=${count(r.queued + r.sending)} />
        <${Number} title="Delayed" value=${count(r.delayed)} />
        <${Number} title="Sent" value=${count(r.sent)} />
        <${Number} title="Failed" value=${html`<a href="/ops/notifications?status=failed">${count(r.failed)}</a>`} />
        <${Number} title="Uncertain" value=${count(r.uncertain)} />
        <${Number} title="Came back" value=${count(r.bounced)} />
        <${Number} title="Suppressed" value=${count(r.suppressed)} />
      </dl>`}
    </section>`;
}
