import { html } from "../html.js";

/**
 * A button. While busy it can't be pressed and says so.
 * @param {{kind?: "primary" | "quiet" | "danger" | "", busy?: boolean, type?: string, hint?: string, [more: string]: any}} props
 */
export function Button({ kind = "", busy = false, type = "button", hint, children, class: more = "", ...rest }) {
  return html`<button type=${type} class=${`button ${kind} ${more}`} aria-disabled=${busy || undefined} aria-keyshortcuts=${hint}
    title=${hint && `Shortcut: ${hint}`} ...${rest} onClick=${busy ? (/** @type {Event} */ e) => e.preventDefault() : rest.onClick}>
    ${busy && html`<span class="spinner" aria-hidden="true"></span>`}${children}
  </button>`;
}
