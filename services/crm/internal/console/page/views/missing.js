import { html } from "../html.js";
import { Empty } from "../parts/states.js";

export const Missing = () => html`<${Empty} title="There is no such page">
  <p>It may have moved, or it is not for you. <a href="/">To the start</a></p>
<//>`;
