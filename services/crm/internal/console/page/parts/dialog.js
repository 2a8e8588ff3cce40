// Something that has to be answered before the page goes on.
import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";

/** @param {{title: string, onClose: () => void, children: any, class?: string}} props */
export function Dialog({ title, onClose, children, class: more = "" }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    return () => /** @type {HTMLElement | null} */ (before)?.focus?.();
  }, []);
  return html`<dialog ref=${ref} class=${more} aria-label=${title} onCancel=${(/** @type {Event} */ e) => (e.preventDefault(), onClose())}
    onClick=${(/** @type {Event} */ e) => e.target === ref.current && onClose()}>
    <div class="dialog">
      <header><h2>${title}</h2><button type="button" class="button quiet" aria-label="Cancel" onClick=${onClose}>×</button></header>
      ${children}
    </div>
  </dialog>`;
}
