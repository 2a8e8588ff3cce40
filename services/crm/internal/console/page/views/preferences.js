// Which mails somebody gets, and when.
import { useState } from "preact/hooks";
import { call } from "../api.js";
import { html } from "../html.js";
import { Button } from "../parts/button.js";
import { Checkbox, Select, TextField } from "../parts/field.js";
import { Form, useForm } from "../parts/form.js";
import { notify } from "../parts/notice.js";
import { Loaded } from "../parts/states.js";
import { admin, user } from "../session.js";
import { put, useData } from "../store.js";

/** @typedef {import("../../types/api").Preferences} Chosen */

/** @type {[keyof Chosen["events"], string, () => boolean][]} */
const kinds = [
  ["ticket_received", "The receipt of a ticket that I raised", () => true],
  ["ticket_commented", "Somebody commented on a ticket of mine", () => true],
  ["ticket_changed", "The status or another field of a ticket of mine changed", () => true],
  ["ticket_assigned", "A ticket was assigned to me", () => user.value?.role === "engineer"],
  ["ticket_unassigned", "A ticket is no longer assigned to me", () => user.value?.role === "engineer"],
  ["registration_waiting", "Somebody waits for approval", () => admin.value],
];

const digests = { never: "Each by itself, at once", hourly: "Gathered, once an hour", daily: "Gathered, once a day" };

const hours = Object.fromEntries(Array.from({ length: 24 }, (_, h) => [String(h), `${String(h).padStart(2, "0")}:00`]));

export function Preferences() {
  const data = useData("preferences", () => call("GET", "/v1/me/preferences"));
  return html`<section class="panel" aria-label="Mails"><h2>Mails</h2>
    <${Loaded} data=${data}>${(/** @type {Chosen} */ chosen) => html`<${Fields} chosen=${chosen} />`}<//>
  </section>`;
}

/** @param {{chosen: Chosen}} props */
function Fields({ chosen }) {
  const [changed, setChanged] = useState(/** @type {Partial<Chosen>} */ ({}));
  const now = { ...chosen, ...changed };
  const set = (/** @type {Partial<Chosen>} */ more) => setChanged({ ...changed, ...more });
  const form = useForm(async () => {
    const { data } = await call("PUT", "/v1/me/preferences", { body: now });
    put("preferences", data);
    setChanged({});
    notify("Your choice holds from now on.");
  });
  return html`<${Form} form=${form} label="Mails">
    <fieldset><legend>Mail me about</legend>
      ${kinds.filter(([, , shown]) => shown()).map(([kind, label]) => html`<${Checkbox} key=${kind} label=${label} value=${now.events[kind] !== "none"}
        onValue=${(/** @type {boolean} */ on) => set({ events: { ...now.events, [kind]: on ? "mail" : "none" } })} />`)}
    </fieldset>
    <p class="quiet">Mails about the security of your account always come.</p>
    <${Select} label="When" value=${now.digest} options=${digests} onValue=${(/** @type {Chosen["digest"]} */ digest) => set({ digest, ...(digest === "daily" && chosen.digest === "never" && { time_zone: here() }) })} />
    ${now.digest === "daily" && html`<div class="row">
      <${Select} label="At" value=${String(now.digest_hour)} options=${hours} onValue=${(/** @type {string} */ h) => set({ digest_hour: Number(h) })} />
      <${TextField} label="Time zone" value=${now.time_zone} onValue=${(/** @type {string} */ time_zone) => set({ time_zone })} error=${form.wrong("time_zone")} help="For example Europe/Berlin" />
    </div>`}
    <div><${Button} type="submit" busy=${form.busy}>Save<//></div>
  <//>`;
}

/** The reader's time zone. */
const here = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
