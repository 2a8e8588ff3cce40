// The files that are attached to what somebody writes, and the button for more.
import { useId } from "preact/hooks";
import { html } from "../html.js";
import { size } from "../words.js";
import { Button } from "./button.js";
import { scanWords } from "./files.js";

/** @typedef {ReturnType<typeof import("../uploads.js").useUploads>} Uploads */

/** @param {{uploads: Uploads}} props */
export function AttachButton({ uploads }) {
  const id = useId();
  const choose = (/** @type {any} */ e) => {
    uploads.add([...e.currentTarget.files]);
    e.currentTarget.value = "";
  };
  return html`<span class="attach"><input type="file" multiple id=${id} class="visually-hidden" onChange=${choose} /><label for=${id} class="button">Attach files</label></span>`;
}

/** @param {{uploads: Uploads, problem?: import("../api.js").Problem}} props */
export function Attached({ uploads: u, problem }) {
  const wrong = Object.entries(problem?.fields ?? {}).filter(([field]) => field.startsWith("attachment_ids"));
  return html`${u.over && html`<p class="drop-here" aria-hidden="true">Drop the files here</p>`}
    ${wrong.map(([field, words]) => html`<p key=${field} class="wrong">Files: ${words}. Remove the file and attach it again.</p>`)}
    ${(u.files.length > 0 || u.uploads.length > 0) && html`<ul class="attached" aria-label="Attached files">
      ${u.files.map((f) => html`<li key=${f.id}><span class="file-name">${f.filename}</span> <span class="quiet">${size(f.size)}${scanWords(f) && ` · ${scanWords(f)}`}</span>
        <${Button} kind="quiet" class="small" aria-label=${`Remove ${f.filename}`} onClick=${() => u.remove(f.id)}>Remove<//></li>`)}
      ${u.uploads.map((one) => html`<li key=${one.id}><span class="file-name">${one.file.name}</span>
        ${one.failed ? html`<span class="wrong">${one.failed}</span>` : html`<progress aria-label=${`Uploading ${one.file.name}`} max="1" value=${one.part}></progress>`}
        ${one.failed && html`<${Button} kind="quiet" class="small" aria-label=${`Try ${one.file.name} again`} onClick=${() => u.again(one)}>Try again<//>`}
        <${Button} kind="quiet" class="small" aria-label=${`${one.failed ? "Remove" : "Cancel"} ${one.file.name}`} onClick=${() => u.cancel(one)}>${one.failed ? "Remove" : "Cancel"}<//></li>`)}
    </ul>`}
    <p class="visually-hidden" role="status">${u.uploads.some((one) => !one.failed) ? "Uploading files" : u.files.length > 0 ? "All files are uploaded" : ""}</p>`;
}
