// Short words about what has happened, for the eye and for a screen reader.
import { signal } from "@preact/signals";
import { html } from "../html.js";

const current = signal(/** @type {{text: string, action?: {label: string, run: () => void}} | null} */ (null));
const spoken = signal("");
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Shows a notice for some seconds.
 * @param {string} text
 * @param {{label: string, run: () => void}} [action]
 */
export function notify(text, action) {
  current.value = { text, action };
  clearTimeout(timer);
  timer = setTimeout(() => (current.value = null), action ? 10_000 : 5_000);
}

/** Does something, and shows what goes wrong as a notice. @param {() => Promise<any>} run */
export async function attempt(run) {
  try {
    await run();
  } catch (e) {
    notify(/** @type {Error} */ (e).message);
  }
}

/** Says something to a screen reader alone. @param {string} text */
export const announce = (text) => void (spoken.value = text);

export const Notices = () => html`<div class="notices">
  <output aria-live="polite">${current.value && html`<div class="notice">${current.value.text}
    ${current.value.action && html`<button type="button" class="button quiet" onClick=${current.value.action.run}>${current.value.action.label}</button>`}
  </div>`}</output>
  <div class="visually-hidden" aria-live="polite">${spoken.value}</div>
</div>`;
