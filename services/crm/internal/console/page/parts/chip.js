// Marks of status and priority: each status has a shape of its own beside its word, so
// that colour alone says nothing.
import { html } from "../html.js";
import { priorities, statuses } from "../words.js";

const shapes = {
  open: html`<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2" />`,
  in_progress: html`<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2" /><path d="M8 8V2.5A5.5 5.5 0 0 1 8 13.5z" fill="currentColor" />`,
  blocked: html`<rect x="2.5" y="2.5" width="11" height="11" rx="2" fill="none" stroke="currentColor" stroke-width="2" /><path d="M5.5 8h5" stroke="currentColor" stroke-width="2" />`,
  resolved: html`<circle cx="8" cy="8" r="6.5" fill="currentColor" /><path d="M5 8.2l2 2 4-4.4" fill="none" stroke="var(--surface-1)" stroke-width="1.8" />`,
  closed: html`<path d="M3.5 8.5l3 3 6-7" fill="none" stroke="currentColor" stroke-width="2" />`,
};

/** @param {{of: keyof typeof statuses}} props */
export const Status = ({ of }) => html`<span class=${`status ${of}`}><svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">${shapes[of]}</svg>${statuses[of]}</span>`;

/** @type {Record<string, any>} */
const triangles = {
  urgent: html`<path d="M8 2.5l6.5 11h-13z" fill="currentColor" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" />`,
  high: html`<path d="M8 3.5l5.5 9.5h-11z" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round" />`,
};

/** @param {{of: keyof typeof priorities}} props */
export const Priority = ({ of }) => html`<span class=${`priority ${of}`}>${triangles[of] && html`<svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">${triangles[of]}</svg>`}${priorities[of]}</span>`;

/** @param {{children: any, onRemove: () => void, label: string}} props */
export const FilterChip = ({ children, onRemove, label }) =>
  html`<span class="filter-chip">${children}<button type="button" aria-label=${`Remove filter ${label}`} onClick=${onRemove}>×</button></span>`;
