// Title and description, which are edited where they stand.
import { useState } from "preact/hooks";
import { useDraft } from "../drafts.js";
import { html } from "../html.js";
import { Avatar } from "../parts/avatar.js";
import { Button } from "../parts/button.js";
import { TextArea, TextField } from "../parts/field.js";
import { Files } from "../parts/files.js";
import { Form, useForm } from "../parts/form.js";
import { Time } from "../parts/time.js";
import { user } from "../session.js";
import { change, mayEditText } from "../tickets.js";

/** @typedef {import("../tickets.js").Ticket} Ticket */

/**
 * The state of a text that is edited in place: a draft while it is open.
 * @param {Ticket} t
 * @param {"title" | "description"} field
 * @param {(e: any) => void} onConflict
 */
function useEdit(t, field, onConflict) {
  const draft = useDraft(`edit ${field} ${t.number}`, { text: "", open: false });
  const [base, setBase] = useState(t);
  const open = draft.fields.open;
  const form = useForm(async () => {
    const text = draft.fields.text.trim();
    if (text !== t[field]) await change(base.version === t.version ? t : base, { [field]: text }, `"${base.version}"`).catch(onFail);
    draft.clear();
  });
  const onFail = (/** @type {any} */ e) => {
    if (e.name === "Error" && e.theirs) return onConflict(e);
    throw e;
  };
  return {
    open, form, draft,
    begin: () => (setBase(t), draft.set({ text: t[field], open: true })),
    cancel: () => draft.clear(),
  };
}

/** @param {{ticket: Ticket, onConflict: (e: any) => void}} props */
export function Title({ ticket: t, onConflict }) {
  const edit = useEdit(t, "title", onConflict);
  if (edit.open) {
    return html`<${Form} form=${edit.form} class="inline">
      <${TextField} label="Title" value=${edit.draft.fields.text} onValue=${(/** @type {string} */ text) => edit.draft.set({ text })} error=${edit.form.wrong("title")} autofocus maxlength="200" />
      <${Button} kind="primary" type="submit" busy=${edit.form.busy}>Save<//>
      <${Button} onClick=${edit.cancel}>Cancel<//>
    <//>`;
  }
  return html`<h1><bdi>${t.title}</bdi>${mayEditText(t, /** @type {any} */ (user.value)) && html` <${Button} kind="quiet" class="small" aria-label="Edit heading" onClick=${edit.begin}>Edit<//>`}</h1>`;
}

/** @param {{ticket: Ticket, onConflict: (e: any) => void}} props */
export function Description({ ticket: t, onConflict }) {
  const edit = useEdit(t, "description", onConflict);
  return html`<section class="card comment" aria-label=${`${t.reporter.name} raised this`}>
    <header><${Avatar} name=${t.reporter.name} /><p><strong>${t.reporter.name}</strong> <span class="quiet">raised this <${Time} of=${t.created_at} /></span></p>
      ${!edit.open && mayEditText(t, /** @type {any} */ (user.value)) && html`<${Button} kind="quiet" class="small" aria-label="Edit text" onClick=${edit.begin}>Edit<//>`}
    </header>
    ${edit.open
      ? html`<${Form} form=${edit.form}>
          <${TextArea} label="Description" rows=${8} value=${edit.draft.fields.text} onValue=${(/** @type {string} */ text) => edit.draft.set({ text })} error=${edit.form.wrong("description")} />
          <div class="row"><${Button} kind="primary" type="submit" busy=${edit.form.busy}>Save<//><${Button} onClick=${edit.cancel}>Cancel<//></div>
        <//>`
      : html`<p class="text">${t.description}</p>`}
    <${Files} files=${t.attachments} />
  </section>`;
}
