// What can be done with the selected tickets of a list, and how it went.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { useActions } from "../keys.js";
import { Button } from "../parts/button.js";
import { Dialog } from "../parts/dialog.js";
import { Select } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { announce, notify } from "../parts/notice.js";
import { chosen, clearSelection, doWithEach, selected } from "../selection.js";
import { user } from "../session.js";
import { mayEditPriority, stepsOf } from "../tickets.js";
import { plural, priorities } from "../words.js";
import { EngineerField } from "./steps.js";

/** @typedef {import("../tickets.js").Ticket} Ticket */
/** @typedef {"accept" | "assign" | "priority" | "close"} BulkAction */

/** @type {Record<BulkAction, {label: string, keys: string, title: string, verb: string, doing: string, done: string}>} */
const bulk = {
  accept: { label: "Accept", keys: "s a", title: "Accept the selected tickets", verb: "Accept", doing: "Accepting", done: "accepted" },
  assign: { label: "Assign to…", keys: "s e", title: "Assign the selected tickets", verb: "Assign", doing: "Assigning", done: "assigned" },
  priority: { label: "Priority…", keys: "s p", title: "Set the priority of the selected tickets", verb: "Set the priority", doing: "Changing", done: "changed" },
  close: { label: "Close", keys: "s c", title: "Close the selected tickets", verb: "Close", doing: "Closing", done: "closed" },
};

/** What is possible with at least one of the tickets. @param {Ticket[]} tickets @returns {BulkAction[]} */
function possible(tickets) {
  const me = /** @type {NonNullable<typeof user.value>} */ (user.value);
  const steps = new Set(tickets.flatMap((t) => stepsOf(t, me)));
  return /** @type {BulkAction[]} */ (Object.keys(bulk)).filter((a) => (a === "priority" ? tickets.some((t) => mayEditPriority(t, me)) : steps.has(a)));
}

/** Stands over a list while tickets are selected, and until the last action is over. */
export function Selection() {
  const [begun, begin] = useState(/** @type {{action: BulkAction, tickets: Ticket[]} | undefined} */ (undefined));
  useEffect(() => clearSelection, []);
  return html`${selected.value.size > 0 && html`<${Bar} onAction=${(/** @type {BulkAction} */ action) => begin({ action, tickets: chosen() })} />`}
    ${begun && html`<${BulkDialog} ...${begun} onClose=${() => begin(undefined)} />`}`;
}

/** @param {{onAction: (action: BulkAction) => void}} props */
function Bar({ onAction }) {
  const can = possible(chosen());
  const words = `${plural(selected.value.size, "ticket")} selected`;
  useEffect(() => announce(words), [words]);
  useActions([
    ...can.map((a) => ({ keys: bulk[a].keys, label: bulk[a].title, run: () => onAction(a) })),
    { keys: "Escape", label: "Select nothing", run: clearSelection, first: true },
  ], [can.join()]);
  return html`<div class="selection" role="group" aria-label="Selected tickets">
    <p>${words}</p>
    ${can.map((a) => html`<${Button} key=${a} class="small" title=${`Shortcut: ${bulk[a].keys}`} onClick=${() => onAction(a)}>${bulk[a].label}<//>`)}
    <${Button} class="small" kind="quiet" hint="Escape" onClick=${clearSelection}>Clear<//>
  </div>`;
}

/** @param {{action: BulkAction, tickets: Ticket[], onClose: () => void}} props */
function BulkDialog({ action, tickets, onClose }) {
  const { title, verb, doing, done } = bulk[action];
  const [left, setLeft] = useState(tickets);
  const [value, setValue] = useState(action === "priority" ? "normal" : "");
  const [at, setAt] = useState(-1); // which ticket is being done
  const [failures, setFailures] = useState(/** @type {import("../selection.js").Failure[]} */ ([]));
  const stopped = useRef(false);
  const form = useForm(async () => {
    stopped.current = false;
    setFailures([]);
    const failed = await doWithEach(left, action, value, { progress: setAt, stopped: () => stopped.current }).finally(() => setAt(-1));
    if (left.length > failed.length) notify(`${plural(left.length - failed.length, "ticket")} ${done}.`);
    if (failed.length === 0) return onClose();
    setFailures(failed);
    setLeft(failed.map((f) => f.ticket));
  });
  const close = () => ((stopped.current = true), onClose());
  return html`<${Dialog} title=${title} onClose=${close}><${Form} form=${form} label=${title}>
    ${at < 0 && failures.length === 0 && html`<p>${plural(left.length, "ticket")}: ${left.map((t) => `#${t.number}`).join(", ")}</p>`}
    ${at < 0 && action === "assign" && html`<${EngineerField} value=${value} onValue=${setValue} />`}
    ${at < 0 && action === "priority" && html`<${Select} label="Priority" value=${value} onValue=${setValue} options=${priorities} />`}
    <div role="status">${at >= 0 && html`<p>${doing} #${left[at]?.number}, ${at + 1} of ${left.length}</p>`}</div>
    ${at >= 0 && html`<progress aria-label="Progress" max=${left.length} value=${at}></progress>`}
    <${Failures} failures=${failures} done=${done} />
    <div class="row">${at >= 0
      ? html`<${Button} onClick=${() => (stopped.current = true)}>Stop<//>`
      : html`<${Button} kind="primary" type="submit">${failures.length > 0 ? "Try again" : verb}<//><${Button} onClick=${close}>${failures.length > 0 ? "Done" : "Cancel"}<//>`}</div>
  <//><//>`;
}

/** @param {{failures: import("../selection.js").Failure[], done: string}} props */
const Failures = ({ failures, done }) => html`<div role="alert">${failures.length > 0 && html`<div class="trouble"><p>${plural(failures.length, "ticket was", "tickets were")} not ${done}:</p>
  <ul class="failures">${failures.map(({ ticket: t, words }) => html`<li key=${t.id}><a href=${`/tickets/${t.number}`}>#${t.number} ${t.title}</a> ${words}</li>`)}</ul></div>`}</div>`;
