// What a list shows when it has nothing, and a view while it reads.
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { Trouble } from "./form.js";

/** @param {{title: string, children?: any}} props */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

/** Appears only when reading takes long enough to be noticed. @param {{lines?: number}} props */
export function Skeleton({ lines = 4 }) {
  const [shown, show] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => show(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return html`<div class="skeleton" role="status">${shown && html`<span class="visually-hidden">Reading…</span>${Array.from({ length: lines }, (_, i) => html`<div key=${i}></div>`)}`}</div>`;
}

/**
 * Shows data, or that it is being read, or why it can't be.
 * @param {{data: {value: any, problem?: any, reload: () => void}, lines?: number, children: (value: any) => any}} props
 */
export function Loaded({ data, lines, children }) {
  if (data.value !== undefined) return children(data.value);
  if (data.problem) return html`<${Trouble} problem=${data.problem} retry=${data.problem.status === 404 ? undefined : data.reload} />`;
  return html`<${Skeleton} lines=${lines} />`;
}
