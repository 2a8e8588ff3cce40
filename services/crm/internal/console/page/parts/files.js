// The files of a ticket or comment: pictures are shown, the others can be downloaded.
import { useEffect } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { useData } from "../store.js";
import { size } from "../words.js";
import { attempt } from "./notice.js";

/** @typedef {import("../../types/api").Attachment} Attachment */

const pictures = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];

// A signed link holds for five minutes.
const fresh = 4 * 60_000;

/** What the scanner for malware said, when somebody should know. @param {{scan: string}} file */
export const scanWords = ({ scan }) => (scan === "pending" ? "being checked for malware" : scan === "infected" ? "malware was found, it can’t be opened" : "");

/** @param {{files?: Attachment[]}} props */
export const Files = ({ files = [] }) => files.length > 0 && html`<ul class="files" aria-label="Files">${files.map((f) => html`<li key=${f.id}>
  ${scanWords(f) ? html`<span class="file-name">${f.filename}</span> <span class=${f.scan === "infected" ? "wrong" : "quiet"}>${size(f.size)} · ${scanWords(f)}</span>` : html`<${File} file=${f} />`}
</li>`)}</ul>`;

/** @param {{file: Attachment}} props */
function File({ file: f }) {
  const read = async () => ({ data: { url: (await call("GET", `/v1/attachments/${f.id}`)).data.download_url, at: Date.now() } });
  const link = useData(`file ${f.id}`, read);
  const old = () => !link.value || Date.now() - link.value.at > fresh;
  useEffect(() => {
    if (link.value && old()) link.reload();
  }, []);
  const renew = (/** @type {MouseEvent} */ e) => {
    if (!old()) return;
    e.preventDefault();
    attempt(async () => open((await read()).data.url));
  };
  const url = link.value?.url ?? `/v1/attachments/${f.id}/content`;
  return html`${pictures.includes(f.media_type) && link.value && html`<a class="picture" href=${url} target="_blank" rel="noopener" onClick=${renew}><img src=${url} alt=${f.filename} loading="lazy" /></a>`}
    <a class="file-name" href=${url} download=${f.filename} onClick=${renew}>${f.filename}</a> <span class="quiet">${size(f.size)}</span>
    ${link.problem && html`<span class="wrong">${link.problem.message}</span>`}`;
}
