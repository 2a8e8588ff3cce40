// Two people changed the same ticket: what the other did, what I did, field by field.
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Dialog } from "../parts/dialog.js";
import { Form, useForm } from "../parts/form.js";
import { change, Conflict } from "../tickets.js";
import { priorities, statuses } from "../words.js";

/** @type {Record<string, Record<string, string>>} */
const words = { status: statuses, priority: priorities };

/** @param {string} field @param {any} value */
const say = (field, value) => words[field]?.[value] ?? String(value ?? "–");

/** @param {{conflict: Conflict, onClose: () => void, onConflict: (e: Conflict) => void}} props */
export function ConflictDialog({ conflict: c, onClose, onConflict }) {
  const form = useForm(async () => {
    try {
      await change(c.theirs, c.mine, c.etag);
      onClose();
    } catch (e) {
      if (!(e instanceof Conflict)) throw e;
      onConflict(e);
    }
  });
  const fields = Object.keys(c.mine);
  const others = ["title", "description", "status", "priority"].filter((f) => !fields.includes(f) && /** @type {any} */ (c.theirs)[f] !== /** @type {any} */ (c.before)[f]);
  return html`<${Dialog} title="This ticket changed while you were writing" onClose=${onClose}>
    <${Form} form=${form} label="Conflict">
      <table class="compare">
        <thead><tr><th></th><th>Now</th><th>Yours</th></tr></thead>
        <tbody>
          ${fields.map((f) => html`<tr key=${f}><th scope="row">${f.replaceAll("_", " ")}</th><td>${say(f, /** @type {any} */ (c.theirs)[f])}</td><td><mark>${say(f, c.mine[f])}</mark></td></tr>`)}
          ${others.map((f) => html`<tr key=${f}><th scope="row">${f}</th><td><mark>${say(f, /** @type {any} */ (c.theirs)[f])}</mark></td><td class="quiet">not changed by you</td></tr>`)}
        </tbody>
      </table>
      <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>Save mine over it<//><${Button} onClick=${onClose}>Keep theirs<//></div>
    <//>
  <//>`;
}
