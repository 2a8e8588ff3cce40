// A mail as it came in.
import { call, problemOf, send } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { download } from "../parts/download.js";
import { attempt } from "../parts/notice.js";
import { Loaded } from "../parts/states.js";
import { Time } from "../parts/time.js";
import { useData } from "../store.js";

/** @param {{name: string, email: string}} sender */
const senderWords = ({ name, email }) => [name, email].filter(Boolean).join(" ") || "nobody who can be read";

/** @param {string} path of the mail in the API */
const save = (path) => attempt(async () => {
  const response = await send("GET", `${path}/raw`, {}, { Accept: "message/rfc822" });
  if (response.status === 404) throw new Error("The mail itself is no longer kept.");
  if (!response.ok) throw problemOf(response, await response.text());
  download(await response.blob(), "message/rfc822", "mail.eml");
});

/** @param {{path: string}} props */
export function Original({ path }) {
  const data = useData(`original ${path}`, () => call("GET", path));
  return html`<${Loaded} data=${data}>${(/** @type {import("../../types/api").Original} */ mail) => html`<div class="original">
    <p><strong>${mail.subject || "(no subject)"}</strong><br /><span class="quiet">From ${senderWords(mail.from)} · <${Time} of=${mail.received_at} /></span></p>
    ${mail.text ? html`<p class="text">${mail.text}${mail.truncated && " …"}</p>` : html`<p class="quiet">Its text is not kept here. The mail itself may have it.</p>`}
    <${Button} class="small" onClick=${() => save(path)}>Save the mail<//>
  </div>`}<//>`;
}
