import { html } from "../html.js";

export const Missing = () => html`<div class="empty"><h1>There is no such page</h1>
  <p>It may have moved, or it is not for you. <a href="/">To the start</a></p>
</div>`;
