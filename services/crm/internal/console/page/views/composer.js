// Where an answer is written. It is kept as a draft until it was sent.
import { useDraft } from "../drafts.js";
import { html } from "../html.js";
import { useActions, focusOn } from "../keys.js";
import { Button } from "../parts/button.js";
import { Checkbox, TextArea } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { announce } from "../parts/notice.js";
import { AttachButton, Attached } from "../parts/upload.js";
import { staff, user } from "../session.js";
import { comment } from "../tickets.js";
import { useUploads } from "../uploads.js";

/** What an answer does besides being read. @param {import("../tickets.js").Ticket} t */
function effect(t) {
  if (t.reporter.id !== user.value?.id) return "";
  if (t.status === "blocked" && t.waiting_for === "customer") return "We wait for your answer; with it, the work goes on.";
  if (t.status === "resolved" || t.status === "closed") return "Your answer reopens this ticket.";
  return "";
}

/** @param {{ticket: import("../tickets.js").Ticket}} props */
export function Composer({ ticket: t }) {
  const draft = useDraft(`comment ${t.number}`, { body: "", internal: false, files: [] });
  const { body, internal } = draft.fields;
  const uploads = useUploads(draft);
  const form = useForm(async () => {
    if (!body.trim()) return focusOn("[data-comment]");
    await comment(t, body.trim(), { internal: staff.value && internal, key: draft.key, files: uploads.ids() });
    draft.clear();
    announce("Your comment was added.");
  });
  useActions(staff.value ? [{ keys: "i", label: "Internal comment", run: () => (draft.set({ internal: true }), focusOn("[data-comment]")) }] : [], [t.number, staff.value]);
  return html`<section class=${`composer ${internal && staff.value ? "internal" : ""} ${uploads.over ? "dropping" : ""}`} aria-label="Answer" ...${uploads.zone}>
    <${Form} form=${form} label="Answer">
      <${TextArea} label="Comment" rows=${4} data-comment value=${body} onValue=${(/** @type {string} */ v) => draft.set({ body: v })} error=${form.wrong("body")}
        help=${internal && staff.value ? "Internal – the customer can’t see this." : effect(t)} placeholder="Write an answer…" maxlength="20000" />
      <${Attached} uploads=${uploads} problem=${form.problem} />
      <div class="row">
        <${Button} kind="primary" type="submit" busy=${form.busy} hint="Control+Enter">Add comment<//>
        <${AttachButton} uploads=${uploads} />
        ${staff.value && html`<${Checkbox} label="Internal" value=${internal} onValue=${(/** @type {boolean} */ v) => draft.set({ internal: v })} />`}
        ${draft.used && html`<span class="quiet">Draft kept</span>`}
      </div>
    <//>
  </section>`;
}
