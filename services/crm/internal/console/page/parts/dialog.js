// Something that has to be answered before the page goes on.
import { useLayoutEffect, useRef } from "preact/hooks";
import { html } from "../html.js";

/** @param {{title: string, onClose: () => void, children: any, class?: string}} props */
export function Dialog({ title, onClose, children, class: more = "" }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  // Before the page is painted, so that the next key is typed into the dialog. Closing
  // it gives the focus back.
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    if (!dialog?.querySelector("[autofocus]")) /** @type {HTMLElement | null | undefined} */ (dialog?.querySelector("header ~ * :is(input, select, textarea)"))?.focus();
    return () => dialog?.close();
  }, []);
  return html`<dialog ref=${ref} class=${more} aria-label=${title} onCancel=${(/** @type {Event} */ e) => (e.preventDefault(), onClose())}
    onClick=${(/** @type {Event} */ e) => e.target === ref.current && onClose()}>
    <div class="dialog">
      <header><h2>${title}</h2><button type="button" class="button quiet" aria-label="Cancel" onClick=${onClose}>×</button></header>
      ${children}
    </div>
  </dialog>`;
}
