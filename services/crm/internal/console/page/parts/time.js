// A time, relative to now, with the exact one on hover.
import { signal } from "@preact/signals";
import { html } from "../html.js";
import { ago, exact } from "../words.js";

const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 30_000);

/** @param {{of: string}} props */
export const Time = ({ of }) => html`<time datetime=${of} title=${exact(of)}>${ago(of, now.value)}</time>`;
