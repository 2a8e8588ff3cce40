// The templates of every part and view: html`<p>…</p>` makes elements, never a
// string of HTML.
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
