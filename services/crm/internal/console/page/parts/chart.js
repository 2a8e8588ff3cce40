// Charts as SVG: bars for each day, and lines. Each stands beside a table with its
// numbers, so that the picture itself is hidden from screen readers.
import { signal } from "@preact/signals";
import { html } from "../html.js";
import { count } from "../words.js";

// A chart is drawn as wide as there is space for, so that its words stay readable.
const phone = matchMedia("(max-width: 760px)");
const width = signal(phone.matches ? 320 : 720);
phone.addEventListener("change", (e) => (width.value = e.matches ? 320 : 720));

const height = 180;
const bottom = 20;
const left = 44;

/** A round number at or above the largest value. @param {number} n */
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 5, 10].map((f) => f * power).find((f) => f >= n) ?? n;
}

/** @param {{top: number, format?: (n: number) => string, labels: string[], children: any, title: string}} props */
function Frame({ top, format = count, labels, children, title }) {
  const step = Math.max(1, Math.ceil(labels.length / (width.value / 120)));
  return html`<svg class="chart" viewBox=${`0 0 ${width.value} ${height}`} role="img" aria-label=${title}>
    ${[0, 0.5, 1].map((part) => {
      const y = (height - bottom) * (1 - part) + 8 * part;
      return html`<g key=${part}><line x1=${left} x2=${width.value} y1=${y} y2=${y} class="grid" /><text x=${left - 6} y=${y + 4} text-anchor="end">${format(top * part)}</text></g>`;
    })}
    ${labels.map((l, i) => i % step === 0 && html`<text key=${i} x=${x(i, labels.length)} y=${height - 4} text-anchor="middle">${l}</text>`)}
    ${children}
  </svg>`;
}

/** @param {number} i @param {number} n */
const x = (i, n) => left + ((width.value - left) * (i + 0.5)) / n;

/** @param {number} value @param {number} top */
const y = (value, top) => height - bottom - ((height - bottom - 8) * value) / top;

/** @param {{title: string, labels: string[], series: {name: string, values: number[]}[]}} props */
export function Bars({ title, labels, series }) {
  const top = ceiling(Math.max(...series.flatMap((s) => s.values), 1));
  const slot = (width.value - left) / Math.max(labels.length, 1);
  const bar = Math.max(1, (slot * 0.7) / series.length);
  return html`<figure><figcaption><h2>${title}</h2><${Legend} series=${series} /></figcaption>
    <${Frame} top=${top} labels=${labels} title=${title}>
      ${series.map((s, k) => s.values.map((v, i) => html`<rect key=${`${k}-${i}`} class=${`series-${k}`} x=${x(i, labels.length) - (bar * series.length) / 2 + k * bar} width=${bar} y=${y(v, top)} height=${Math.max(0, height - bottom - y(v, top))}><title>${labels[i]}: ${count(v)} ${s.name}</title></rect>`))}
    <//></figure>`;
}

/** Lines; null is a gap. @param {{title: string, labels: string[], series: {name: string, values: (number | null)[]}[], format: (n: number) => string}} props */
export function Lines({ title, labels, series, format }) {
  const top = ceiling(Math.max(...series.flatMap((s) => s.values.map((v) => v ?? 0)), 1));
  return html`<figure><figcaption><h2>${title}</h2><${Legend} series=${series} lines /></figcaption>
    <${Frame} top=${top} labels=${labels} format=${format} title=${title}>
      ${series.map((s, k) => html`<path key=${k} class=${`line series-${k}`} d=${path(s.values, top)} fill="none" />
        ${s.values.map((v, i) => v !== null && html`<circle key=${i} class=${`series-${k}`} cx=${x(i, labels.length)} cy=${y(v, top)} r="2.5"><title>${labels[i]}: ${format(v)} ${s.name}</title></circle>`)}`)}
    <//></figure>`;
}

/** @param {(number | null)[]} values @param {number} top */
function path(values, top) {
  let pen = "M";
  return values.map((v, i) => {
    if (v === null) return (pen = "M"), "";
    const at = `${pen}${x(i, values.length).toFixed(1)} ${y(v, top).toFixed(1)}`;
    pen = "L";
    return at;
  }).join("");
}

/** @param {{series: {name: string}[], lines?: boolean}} props */
const Legend = ({ series, lines }) => html`<p class="legend">${series.map((s, k) => html`<span key=${k}><span class=${`swatch ${lines ? "of-line" : ""} series-${k}`} aria-hidden="true"></span>${s.name}</span>`)}</p>`;
