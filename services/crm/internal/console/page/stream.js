// The event stream: it keeps what is on the page up to date, and resumes where a break
// left it. A page that is hidden has none, since a browser opens six connections to a
// host for all of its tabs; when it is seen again it reads what came meanwhile.
import { signal } from "@preact/signals";
import { problemOf, send } from "./api.js";
import { invalidate, invalidateSoon } from "./store.js";

/**
 * live: changes arrive; connecting: the first connection is made; behind: the
 * connection broke, so the page may show what is no longer so.
 */
export const state = signal(/** @type {"off" | "connecting" | "live" | "behind"} */ ("off"));

/** @typedef {import("../types/api").Event} TicketEvent */

/** @type {Set<(event: TicketEvent) => void>} */
const listeners = new Set();

/**
 * Calls a function for each event; it returns how to stop that.
 * @param {(event: TicketEvent) => void} listener
 */
export function onEvent(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

let wanted = false;
let position = "";
/** @type {AbortController | undefined} */
let connection;

// A stream that sends nothing for longer than its heartbeat of 15 s is broken.
const silence = 40_000;

/** @param {string} after a position; what happens after it is published */
export function start(after) {
  position = after;
  wanted = true;
  connectIfSeen();
}

export function stop() {
  wanted = false;
  position = "";
  disconnect();
}

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connectIfSeen()));

function connectIfSeen() {
  if (!wanted || document.hidden || connection) return;
  connection = new AbortController();
  state.value = "connecting";
  run(connection.signal);
}

function disconnect() {
  connection?.abort();
  connection = undefined;
  state.value = "off";
}

/** @param {AbortSignal} signal */
async function run(signal) {
  for (let failures = 0; !signal.aborted; ) {
    try {
      await connect(signal, () => (failures = 0));
    } catch {
      // The next attempt finds out whether the cause is gone.
    }
    if (signal.aborted) return;
    state.value = "behind";
    failures++;
    await wait(Math.min(500 * 2 ** failures, 15_000) * (0.5 + Math.random() / 2), signal);
  }
}

/**
 * Reads one connection until it ends.
 * @param {AbortSignal} signal
 * @param {() => void} opened
 */
async function connect(signal, opened) {
  const broken = new AbortController();
  const stopped = () => broken.abort();
  signal.addEventListener("abort", stopped);
  let timer = setTimeout(stopped, silence);
  try {
    const headers = { Accept: "text/event-stream", ...(position && { "Last-Event-ID": position }) };
    const response = await send("GET", "/v1/events", { signal: broken.signal }, headers);
    if (!response.ok || !response.body) {
      if (response.status === 400) position = ""; // unknown to the server, for example after a restore
      throw problemOf(response, await response.text());
    }
    opened();
    if (!position) invalidate("*"); // what was read before may have changed meanwhile
    state.value = "live";
    const read = reader();
    for await (const chunk of chunks(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(stopped, silence);
      read(chunk);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stopped);
  }
}

/** @param {ReadableStream<Uint8Array>} body */
async function* chunks(body) {
  const source = /** @type {ReadableStream<any>} */ (body).pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await source.read();
    if (done) return;
    yield value;
  }
}

/** Reads server-sent events (WHATWG HTML, section 9.2.6) from pieces of text. */
function reader() {
  let rest = "";
  let id = "";
  let data = "";
  return (/** @type {string} */ text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (line === "") {
        if (data) publish(JSON.parse(data));
        if (id) position = id;
        data = "";
      } else if (field === "id") id = value;
      else if (field === "data") data += value;
    }
  };
}

/** @param {TicketEvent} event */
function publish(event) {
  const ticket = event.ticket_number;
  invalidate(`ticket ${ticket}`, `comments ${ticket}`, `events ${ticket}`, `notifications ${ticket}`);
  invalidateSoon("tickets *", "counts *", "engineers");
  for (const listener of listeners) listener(event);
}

/** @param {number} milliseconds @param {AbortSignal} signal */
function wait(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const now = () => {
      clearTimeout(timer);
      resolve(undefined);
    };
    signal.addEventListener("abort", now, { once: true });
    addEventListener("online", now, { once: true });
  });
}
