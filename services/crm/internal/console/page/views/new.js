// Raising a ticket, with the tickets of one's own that look like it.
import { useEffect, useState } from "preact/hooks";
import { call } from "../api.js";
import { useDraft } from "../drafts.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Status } from "../parts/chip.js";
import { Select, TextArea, TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { notify } from "../parts/notice.js";
import { AttachButton, Attached } from "../parts/upload.js";
import { go } from "../router.js";
import { staff, user } from "../session.js";
import { invalidate } from "../store.js";
import { useUploads } from "../uploads.js";
import { priorities } from "../words.js";

export function New() {
  const draft = useDraft("new ticket", { title: "", description: "", priority: "normal", reporter_email: "", reporter_name: "", files: [] });
  const f = draft.fields;
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => draft.set({ [name]: value });
  const uploads = useUploads(draft);
  const form = useForm(async () => {
    const files = uploads.ids();
    const body = { title: f.title.trim(), description: f.description.trim(), priority: f.priority, ...(files.length > 0 && { attachment_ids: files }) };
    if (staff.value && f.reporter_email.trim()) Object.assign(body, { reporter_email: f.reporter_email.trim(), ...(f.reporter_name.trim() && { reporter_name: f.reporter_name.trim() }) });
    const { data } = await call("POST", "/v1/tickets", { body, key: draft.key });
    draft.clear();
    invalidate("tickets *", "counts *");
    notify(`Ticket #${data.number} is raised. You get a mail about every step.`);
    go(`/tickets/${data.number}`);
  });
  return html`<div class=${`narrow-page ${uploads.over ? "dropping" : ""}`} ...${uploads.zone}><h1>New ticket</h1>
    <${Form} form=${form} label="New ticket">
      <div><${TextField} label="Title" value=${f.title} onValue=${set("title")} error=${form.wrong("title")} maxlength="200" placeholder="What is wrong, in a few words" autofocus required />
      <${Similar} title=${f.title} /></div>
      <${TextArea} label="Description" rows=${9} value=${f.description} onValue=${set("description")} error=${form.wrong("description")} maxlength="20000" help="What happens, since when, and what you have tried." required />
      <div class="attachments"><${Attached} uploads=${uploads} problem=${form.problem} /><div class="row"><${AttachButton} uploads=${uploads} /><span class="quiet">or drop or paste them here</span></div></div>
      <${Select} label="Priority" value=${f.priority} onValue=${set("priority")} options=${priorities} />
      ${staff.value && html`<fieldset><legend>On behalf of a customer (optional)</legend>
        <${TextField} label="Email" type="email" value=${f.reporter_email} onValue=${set("reporter_email")} error=${form.wrong("reporter_email")} help="They become the reporter and get the mails." />
        <${TextField} label="Name" value=${f.reporter_name} onValue=${set("reporter_name")} error=${form.wrong("reporter_name")} />
      </fieldset>`}
      <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>Raise ticket<//>${draft.used && html`<span class="quiet">Draft kept</span> <${Button} kind="quiet" onClick=${() => draft.clear()}>Start again<//>`}</div>
    <//>
  </div>`;
}

/** Own tickets that have the longest word of the title. @param {{title: string}} props */
function Similar({ title }) {
  const [found, setFound] = useState(/** @type {any[]} */ ([]));
  const word = title.split(/\s+/).reduce((a, b) => (b.length > a.length ? b : a), "");
  useEffect(() => {
    setFound([]);
    if (word.length < 4) return;
    const controller = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { data } = await call("GET", "/v1/tickets", { query: { q: word, reporter: "me", limit: 3 }, signal: controller.signal });
        setFound(data.items);
      } catch {
        // It is only a hint.
      }
    }, 300);
    return () => (clearTimeout(timer), controller.abort());
  }, [word, user.value?.id]);
  return html`<div role="status">${found.length > 0 && html`<div class="hint"><p>Is it one of these?</p>
    <ul>${found.map((t) => html`<li key=${t.id}><a href=${`/tickets/${t.number}`}>#${t.number} ${t.title}</a> <${Status} of=${t.status} /></li>`)}</ul></div>`}</div>`;
}
