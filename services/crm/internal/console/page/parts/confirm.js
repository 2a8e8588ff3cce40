// A question before something that can't be undone, with an optional reason.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";
import { TextArea } from "./field.js";
import { Form, useForm } from "./form.js";

/**
 * @param {{title: string, action: string, children: any, reason?: string, danger?: boolean, onClose: () => void, run: (reason: string) => Promise<any>}} props
 *   reason is the help of a field for one; without it there is none
 */
export function Confirm({ title, action, children, reason, danger, onClose, run }) {
  const [text, setText] = useState("");
  const form = useForm(async () => {
    await run(text.trim());
    onClose();
  });
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <${Form} form=${form} label=${title}>
      ${children}
      ${reason !== undefined && html`<${TextArea} label="Reason" rows=${3} value=${text} onValue=${setText} help=${reason} error=${form.wrong("reason")} autofocus />`}
      <div class="row"><${Button} kind=${danger ? "danger" : "primary"} type="submit" busy=${form.busy}>${action}<//><${Button} onClick=${onClose}>Cancel<//></div>
    <//>
  <//>`;
}
