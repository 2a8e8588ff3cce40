import type { Crm } from "./client.js";
import type { Event as TicketEvent } from "./crm.gen.js";
import { ok, ProblemError } from "./problem.js";

/** One change of a ticket, with its place in the stream. */
export interface StreamEvent {
  /** What stream() begins after. Keep it to go on where this program stopped. */
  id: string;
  event: TicketEvent;
}

/** How a stream is read; times are in milliseconds. */
export interface StreamOptions {
  /** The id of the last event that was received; without it the stream begins now. */
  after?: string;
  /** Ends the stream. */
  signal?: AbortSignal;
  /** A connection without a line for so long is given up: 45 s. The server sends one every 15 s. */
  silence?: number;
  /** The longest wait between two connections: 30 s. */
  longest?: number;
}

/** stream yields the changes of all tickets that the caller may see. When the
 * connection is lost or silent it connects again, after the last event received, so
 * that each event is yielded once. It waits between tries as long as the server asks
 * for, twice as long after each failure, and a random part of that. It ends when the
 * signal is aborted, and throws a ProblemError that another try can't mend. */
export async function* stream(crm: Crm, options: StreamOptions = {}): AsyncGenerator<StreamEvent, void, undefined> {
  const { signal, silence = 45_000, longest = 30_000 } = options;
  let after = options.after;
  let retry = 2_000;
  let failures = 0;
  while (!signal?.aborted) {
    let least = 0;
    try {
      for await (const frame of connection(crm, after, silence, signal)) {
        failures = 0;
        retry = frame.retry ?? retry;
        after = frame.id ?? after;
        if (frame.data !== undefined && frame.id !== undefined) {
          const event: TicketEvent = JSON.parse(frame.data);
          yield { id: frame.id, event };
        }
      }
    } catch (error) {
      if (isFinal(error)) throw error;
      least = error instanceof ProblemError ? error.retryAfter : 0;
    }
    const wait = Math.min(retry * 2 ** failures++, longest);
    await sleep(Math.max(wait / 2 + (Math.random() * wait) / 2, least), signal);
  }
}

/** isFinal reports whether another try gives the same error. */
function isFinal(error: unknown): boolean {
  if (error instanceof SyntaxError) return true; // the event is no JSON
  return error instanceof ProblemError && error.status < 500 && error.status !== 429 && error.status !== 408;
}

/** What was read of the stream up to an empty line. */
interface Frame {
  id?: string;
  data?: string;
  retry?: number;
}

/** connection yields the frames of one connection. */
async function* connection(crm: Crm, after: string | undefined, silence: number, signal: AbortSignal | undefined): AsyncGenerator<Frame, void, undefined> {
  const ended = new AbortController();
  const end = () => ended.abort();
  signal?.addEventListener("abort", end);
  let silent = setTimeout(end, silence);
  try {
    const { data } = await ok(crm.GET("/v1/events", {
      params: { header: { "Last-Event-ID": after } }, parseAs: "stream", signal: ended.signal,
    }));
    if (!data) return;
    let frame: Frame = {};
    for await (const line of lines(data)) {
      clearTimeout(silent);
      silent = setTimeout(end, silence);
      if (line !== "") {
        read(frame, line);
        continue;
      }
      yield frame;
      frame = {};
    }
  } finally {
    clearTimeout(silent);
    signal?.removeEventListener("abort", end);
    end();
  }
}

/** read adds one line to a frame; see "Interpreting an event stream" in WHATWG HTML. */
function read(frame: Frame, line: string): void {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "id") frame.id = value;
  if (name === "data") frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
  if (name === "retry" && /^[0-9]+$/.test(value)) frame.retry = Number(value);
}

/** lines yields complete lines; one that the connection cuts off is dropped. */
async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const all = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = all.pop() ?? "";
    for (const line of all) yield line.replace(/\r$/, "");
  }
}

/** sleep waits, or until the signal is aborted. */
function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
