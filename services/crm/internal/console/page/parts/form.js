// A form that calls the API: it is busy meanwhile, shows what is wrong where it is
// wrong, and keeps what was typed.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api.js";
import { html } from "../html.js";
import { sendOnCtrlEnter } from "../keys.js";

/**
 * The state of a form that submits with send.
 * @param {() => Promise<any>} send
 */
export function useForm(send) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {Problem | undefined} */ (undefined));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    try {
      await send();
    } catch (e) {
      setProblem(e instanceof Problem ? e : new Problem(0, { detail: String(e) }));
      if (!(e instanceof Problem)) console.error(e);
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, submit, setProblem, wrong: (/** @type {string} */ field) => problem?.fields[field] };
}

/** It puts the focus at the first field that is wrong. @param {{form: ReturnType<typeof useForm>, label?: string, class?: string, children?: any}} props */
export function Form({ form, label, class: more = "", children }) {
  const ref = useRef(/** @type {HTMLFormElement | null} */ (null));
  useEffect(() => /** @type {HTMLElement | null | undefined} */ (form.problem && ref.current?.querySelector("[aria-invalid=true]"))?.focus(), [form.problem]);
  return html`<form ref=${ref} class=${`form ${more}`} aria-label=${label} onSubmit=${form.submit} onKeyDown=${sendOnCtrlEnter} novalidate>
    ${children}
    <${Trouble} problem=${form.problem} />
  </form>`;
}

/** What went wrong, said at once to a screen reader. @param {{problem?: Problem, retry?: () => void}} props */
export function Trouble({ problem, retry }) {
  return html`<div role="alert">
    ${problem &&
    html`<div class="trouble">
      <p>${problem.message}</p>
      ${Object.entries(problem.fields).filter(([name]) => name.startsWith("query.")).map(([name, words]) => html`<p key=${name}>Filter “${name.slice(6)}”: ${words}</p>`)}
      ${problem.retryAfter > 1 && html`<p>Try again in ${problem.retryAfter} seconds.</p>`}
      ${problem.status >= 500 && problem.requestId && html`<p class="quiet">Reference for support: ${problem.requestId}</p>`}
      ${retry && html`<button type="button" class="button" onClick=${retry}>Try again</button>`}
    </div>`}
  </div>`;
}
