// Every part in every state, to look at while working on them. Served in development
// alone.
import { useState } from "preact/hooks";
import { Problem } from "../api.js";
import { html } from "../html.js";
import { Avatar } from "../parts/avatar.js";
import { Button } from "../parts/button.js";
import { Bars, Lines } from "../parts/chart.js";
import { FilterChip, Priority, Status } from "../parts/chip.js";
import { Confirm } from "../parts/confirm.js";
import { Checkbox, Select, TextArea, TextField } from "../parts/field.js";
import { Trouble } from "../parts/form.js";
import { Notices, notify } from "../parts/notice.js";
import { Empty, Skeleton } from "../parts/states.js";
import { Time } from "../parts/time.js";
import { priorities, statuses } from "../words.js";

const nothing = () => {};
const hour = 3_600_000;

/** @template {object} T @param {T} o */
const keysOf = (o) => /** @type {(keyof T)[]} */ (Object.keys(o));

/** @param {{title: string, children: any}} props */
const Group = ({ title, children }) => html`<section class="panel" aria-label=${title}><h2>${title}</h2><div class="row">${children}</div></section>`;

export function Parts() {
  const [text, setText] = useState("Text");
  const [asking, ask] = useState(false);
  const field = { value: text, onValue: setText };
  const failed = new Problem(500, { detail: "Something went wrong on our side.", request_id: "01a1f000-0000-7000-8000-000000000000" });
  return html`<main class="parts-page" tabindex="-1"><h1>Parts</h1>
    <${Group} title="Buttons">
      <${Button} kind="primary">Primary<//><${Button}>Usual<//><${Button} kind="quiet">Quiet<//><${Button} kind="danger">Danger<//><${Button} class="small">Small<//>
      <${Button} kind="primary" busy>Busy<//>
    <//>
    <${Group} title="Fields">
      <${TextField} label="Text field" ...${field} help="With help." /><${TextField} label="Wrong" ...${field} error="must not be this" />
      <${Select} label="Choice" value="normal" onValue=${nothing} options=${priorities} /><${Checkbox} label="Checkbox" value=${true} onValue=${nothing} />
      <${TextArea} label="Text area" ...${field} rows=${3} />
    <//>
    <${Group} title="Marks">
      ${keysOf(statuses).map((s) => html`<${Status} key=${s} of=${s} />`)} ${keysOf(priorities).map((p) => html`<${Priority} key=${p} of=${p} />`)}
      <${FilterChip} label="one" onRemove=${nothing}>Filter<//> ${["Ada Admin", "Cora Customer", "Eve Engineer", "Max", "山田 太郎"].map((n) => html`<${Avatar} key=${n} name=${n} />`)}
    <//>
    <${Group} title="Times">${[0, 0.3, 5, 50, 500, 20_000].map((h) => html`<${Time} key=${h} of=${new Date(Date.now() - h * hour).toISOString()} />`)}<//>
    <${Group} title="States"><${Trouble} problem=${failed} retry=${nothing} /><${Skeleton} /><${Empty} title="Nothing here"><p>What will be here.</p><//><//>
    <${Group} title="Over the page">
      <${Button} onClick=${() => notify("A notice", { label: "Undo", run: nothing })}>Notice<//><${Button} onClick=${() => ask(true)}>Question<//>
      ${asking && html`<${Confirm} title="A question" action="Do it" danger reason="Why?" onClose=${() => ask(false)} run=${async () => {}}><p>It can’t be undone.</p><//>`}
    <//>
    <${Group} title="Charts">
      <${Bars} title="Bars" labels=${["1", "2", "3", "4"]} series=${[{ name: "raised", values: [3, 9, 4, 7] }, { name: "resolved", values: [2, 5, 6, 8] }]} />
      <${Lines} title="Lines" labels=${["1", "2", "3", "4"]} format=${String} series=${[{ name: "median", values: [1, null, 3, 2] }, { name: "90th percentile", values: [4, 6, 5, 8] }]} />
    <//>
    <${Notices} />
  </main>`;
}
