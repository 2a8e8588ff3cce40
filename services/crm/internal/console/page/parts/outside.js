// The pages for people who aren't signed in.
import { html } from "../html.js";
import { Notices } from "./notice.js";

/** @param {{title: string, children: any}} props */
export const Outside = ({ title, children }) => html`<main class="outside" tabindex="-1">
  <a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="32" height="32" />Fixdesk</a>
  <div class="card"><h1>${title}</h1>${children}</div>
  <${Notices} />
</main>`;
