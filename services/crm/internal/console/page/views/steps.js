// The steps that need a word: decline, block, resolve, close, reopen, assign.
import { call, readAll } from "../api.js";
import { useDraft } from "../drafts.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Dialog } from "../parts/dialog.js";
import { Select, TextArea } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { notify } from "../parts/notice.js";
import { admin } from "../session.js";
import { useData } from "../store.js";
import { act, change, comment, Conflict, stepNames } from "../tickets.js";

/** @typedef {import("../tickets.js").Ticket} Ticket */
/** @typedef {{reason: string, resolution: string, waiting_for: string, engineer_id: string}} Fields */

/** @type {Record<string, {title: string, done: string, take: (t: Ticket, f: Fields) => Promise<any>}>} */
const steps = {
  decline: { title: "Decline this ticket", done: "You declined it; another engineer gets it.", take: (t, f) => act(t, "decline", { reason: f.reason }) },
  block: {
    title: "Block this ticket", done: "It is blocked.",
    take: (t, f) => change(t, { status: "blocked", waiting_for: f.waiting_for, ...(f.reason && { blocked_reason: f.reason }) }),
  },
  resume: { title: "Resume work", done: "Work goes on.", take: (t) => change(t, { status: "in_progress" }) },
  resolve: { title: "Resolve this ticket", done: "It is resolved; the customer gets a mail.", take: (t, f) => change(t, { status: "resolved", resolution: f.resolution }) },
  close: {
    title: "Close this ticket", done: "It is closed.",
    take: async (t, f) => {
      if (!f.reason) return change(t, { status: "closed" });
      await comment(t, f.reason);
      const now = (await call("GET", `/v1/tickets/${t.id}`)).data;
      return change(now, { status: "closed" }, `"${now.version}"`);
    },
  },
  reopen: {
    title: "Reopen this ticket", done: "It is open again.",
    take: async (t, f) => {
      const open = await change(t, { status: "open" });
      if (f.reason) await comment(open, f.reason);
    },
  },
  assign: { title: "Assign an engineer", done: "It is assigned.", take: (t, f) => act(t, "assign", { engineer_id: f.engineer_id || null }) },
};

/** @param {{ticket: Ticket, step: string, onClose: () => void, onConflict: (e: Conflict) => void}} props */
export function StepDialog({ ticket: t, step, onClose, onConflict }) {
  const draft = useDraft(`${step} ${t.number}`, { reason: "", resolution: "", waiting_for: "customer", engineer_id: "" });
  const { title, done, take } = steps[step];
  const form = useForm(async () => {
    try {
      await take(t, /** @type {Fields} */ (draft.fields));
      draft.clear();
      notify(done);
      onClose();
    } catch (e) {
      if (!(e instanceof Conflict)) throw e;
      onClose();
      onConflict(e);
    }
  });
  const field = (/** @type {string} */ name) => ({
    value: draft.fields[name], onValue: (/** @type {string} */ v) => draft.set({ [name]: v }), error: form.wrong(name),
  });
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <${Form} form=${form} label=${title}>
      ${step === "decline" && html`<${TextArea} label="Reason" ...${field("reason")} help="Your team can read it; the customer can’t." autofocus required />`}
      ${step === "block" && html`<${Select} label="Waiting for" ...${field("waiting_for")} options=${{ customer: "the customer’s answer", other: "something else" }} />
        <${TextArea} label="Reason" ...${field("reason")} rows=${3} help="The customer can read it." />`}
      ${step === "resume" && html`<p>The ticket goes back to “In progress”.</p>`}
      ${step === "resolve" && html`<${TextArea} label="Resolution" ...${field("resolution")} help="What was done, for the customer." autofocus required />`}
      ${step === "close" && html`<${TextArea} label="Reason" ...${field("reason")} rows=${3} help="If you like; it becomes a comment." />`}
      ${step === "reopen" && html`<${TextArea} label="Reason" ...${field("reason")} rows=${3} help="What is still wrong? It becomes a comment." autofocus />`}
      ${step === "assign" && html`<${EngineerField} reporter=${t.reporter.id} ...${field("engineer_id")} />`}
      <div class="row"><${Button} kind="primary" type="submit" busy=${form.busy}>${stepNames[/** @type {import("../tickets.js").Step} */ (step)]}<//><${Button} onClick=${onClose}>Cancel<//></div>
    <//>
  <//>`;
}

/** @param {{reporter?: string, value: string, onValue: (id: string) => void, error?: string}} props reporter is who can't get the ticket */
export function EngineerField({ reporter, ...field }) {
  const engineers = useData("engineers", () => readAll("/v1/engineers"));
  const options = { "": admin.value ? "Nobody" : "Choose…" };
  for (const e of engineers.value ?? []) {
    if (e.id === reporter) continue;
    options[/** @type {""} */ (e.id)] = `${e.name} (${e.active_tickets} active${e.available ? "" : ", away"})`;
  }
  return html`<${Select} label="Engineer" ...${field} options=${options} />`;
}
