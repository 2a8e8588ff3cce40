// All actions that are possible now, found by typing.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { actions, overlay } from "../keys.js";
import { Dialog } from "./dialog.js";

export function Palette() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const words = text.toLowerCase().split(/\s+/);
  const found = actions().filter((a) => !a.hidden && words.every((w) => a.label.toLowerCase().includes(w)));
  const close = () => (overlay.value = "");
  const run = (/** @type {import("../keys.js").Action | undefined} */ action) => {
    close();
    setTimeout(() => action?.run()); // after the focus is back on the page
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) {
      event.preventDefault();
      setAt((at + step + found.length) % (found.length || 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(found[at]);
    }
  };
  return html`<${Dialog} title="Actions" class="palette" onClose=${close}>
    <input type="text" role="combobox" aria-label="Action" aria-expanded="true" aria-controls="palette-list" autofocus
      aria-activedescendant=${found[at] && `palette-${at}`} placeholder="What do you want to do?" value=${text} onKeyDown=${onKeyDown}
      onInput=${(/** @type {any} */ e) => (setText(e.currentTarget.value), setAt(0))} />
    <ul id="palette-list" role="listbox" aria-label="Actions">
      ${found.map((a, i) => html`<li key=${a.label} id=${`palette-${i}`} role="option" aria-selected=${i === at} onClick=${() => run(a)}>
        <span>${a.label}</span>${a.keys && html`<kbd>${a.keys}</kbd>`}
      </li>`)}
    </ul>
    ${found.length === 0 && html`<p class="quiet">There is no such action here.</p>`}
  <//>`;
}
