// Charts as SVG: bars for each day, and lines. Each stands beside a table with its
// numbers, so that the picture itself is hidden from screen readers.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { count } from "../words.js";

const height = 200;
const bottom = 20;
const left = 44;

/** A round number at or above the largest value. @param {number} n */
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 5, 10].map((f) => f * power).find((f) => f >= n) ?? n;
}

/**
 * A chart is drawn as wide as there is space for, so that its words stay readable.
 * @returns {[number, {current: any}]}
 */
function useWidth() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(720);
  useLayoutEffect(() => {
    const figure = /** @type {HTMLElement} */ (ref.current);
    const measure = () => setWidth(Math.max(240, figure.clientWidth));
    const observer = new ResizeObserver(measure);
    measure();
    observer.observe(figure);
    return () => observer.disconnect();
  }, []);
  return [width, ref];
}

/** @param {{width: number, top: number, format?: (n: number) => string, labels: string[], children: any, title: string}} props */
function Frame({ width, top, format = count, labels, children, title }) {
  const step = Math.max(1, Math.ceil(labels.length / (width / 100)));
  return html`<svg class="chart" viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${title}>
    ${[0, 0.5, 1].map((part) => {
      const y = (height - bottom) * (1 - part) + 8 * part;
      return html`<g key=${part}><line x1=${left} x2=${width} y1=${y} y2=${y} class="grid" /><text x=${left - 8} y=${y + 4} text-anchor="end">${format(top * part)}</text></g>`;
    })}
    ${labels.map((l, i) => i % step === 0 && html`<text key=${i} x=${x(i, labels.length, width)} y=${height - 4} text-anchor="middle">${l}</text>`)}
    ${children}
  </svg>`;
}

/** @param {number} i @param {number} n @param {number} width */
const x = (i, n, width) => left + ((width - left) * (i + 0.5)) / n;

/** @param {number} value @param {number} top */
const y = (value, top) => height - bottom - ((height - bottom - 8) * value) / top;

/** @param {{title: string, labels: string[], series: {name: string, values: number[]}[]}} props */
export function Bars({ title, labels, series }) {
  const [width, ref] = useWidth();
  const top = ceiling(Math.max(...series.flatMap((s) => s.values), 1));
  const slot = (width - left) / Math.max(labels.length, 1);
  const bar = Math.min(28, Math.max(1, (slot * 0.7) / series.length));
  return html`<figure ref=${ref}><figcaption><h2>${title}</h2><${Legend} series=${series} /></figcaption>
    <${Frame} width=${width} top=${top} labels=${labels} title=${title}>
      ${series.map((s, k) => s.values.map((v, i) => html`<rect key=${`${k}-${i}`} class=${`series-${k}`} x=${x(i, labels.length, width) - (bar * series.length) / 2 + k * bar} width=${bar} y=${y(v, top)} height=${Math.max(0, height - bottom - y(v, top))}><title>${labels[i]}: ${count(v)} ${s.name}</title></rect>`))}
    <//></figure>`;
}

/** Lines; null is a gap. @param {{title: string, labels: string[], series: {name: string, values: (number | null)[]}[], format: (n: number) => string}} props */
export function Lines({ title, labels, series, format }) {
  const [width, ref] = useWidth();
  const top = ceiling(Math.max(...series.flatMap((s) => s.values.map((v) => v ?? 0)), 1));
  return html`<figure ref=${ref}><figcaption><h2>${title}</h2><${Legend} series=${series} lines /></figcaption>
    <${Frame} width=${width} top=${top} labels=${labels} format=${format} title=${title}>
      ${series.map((s, k) => html`<path key=${k} class=${`line series-${k}`} d=${path(s.values, top, width)} fill="none" />
        ${s.values.map((v, i) => v !== null && html`<circle key=${i} class=${`series-${k}`} cx=${x(i, labels.length, width)} cy=${y(v, top)} r="2.5"><title>${labels[i]}: ${format(v)} ${s.name}</title></circle>`)}`)}
    <//></figure>`;
}

/** @param {(number | null)[]} values @param {number} top @param {number} width */
function path(values, top, width) {
  let pen = "M";
  return values.map((v, i) => {
    if (v === null) return (pen = "M"), "";
    const at = `${pen}${x(i, values.length, width).toFixed(1)} ${y(v, top).toFixed(1)}`;
    pen = "L";
    return at;
  }).join("");
}

/** @param {{series: {name: string}[], lines?: boolean}} props */
const Legend = ({ series, lines }) => html`<p class="legend">${series.map((s, k) => html`<span key=${k}><span class=${`swatch ${lines ? "of-line" : ""} series-${k}`} aria-hidden="true"></span>${s.name}</span>`)}</p>`;
