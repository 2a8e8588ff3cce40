// The only place that calls the server.
import { signal } from "@preact/signals";

/** Whether the last call reached the server. */
export const reachable = signal(true);

/** @param {{location: string}} error */
const ofBody = ({ location }) => location.startsWith("body.");

/** An answer that is no success, in words for people (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {{code?: string, detail?: string, errors?: {location: string, message: string}[], request_id?: string}} body
   * @param {number} retryAfter seconds
   */
  constructor(status, body, retryAfter = 0) {
    super(body.code === "validation_failed" && body.errors?.some(ofBody) ? "Something is missing or not right where it is marked." : (body.detail ?? "Something went wrong."));
    this.status = status;
    this.code = body.code ?? "internal";
    this.requestId = body.request_id ?? "";
    this.retryAfter = retryAfter;
    /** @type {Record<string, string>} what is wrong with each field of the body */
    this.fields = {};
    for (const e of body.errors ?? []) this.fields[e.location.replace(/^body\./, "")] = e.message.replace("must have at least 1 characters", "must not be empty");
  }
}

/** @type {{token: () => Promise<string>, renew: () => Promise<string>}} */
let credentials = { token: async () => "", renew: async () => "" };

/**
 * Sets where the access token comes from.
 * @param {typeof credentials} source
 */
export function setCredentials(source) {
  credentials = source;
}

/**
 * @typedef {object} Options
 * @property {Record<string, any>} [query] undefined and empty values are left out
 * @property {any} [body] sent as JSON
 * @property {string} [etag] sent as If-Match
 * @property {string} [key] sent as Idempotency-Key, so that the call may be repeated
 * @property {boolean} [anonymous] without the access token
 * @property {AbortSignal} [signal]
 */

/**
 * Calls the API and returns the body of its answer with its entity tag. It renews the
 * session once, and repeats a call that is safe to repeat when the server is busy or
 * can't be reached. Everything else is thrown as a Problem.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<{data: any, etag: string}>}
 */
export async function call(method, path, options = {}) {
  const repeatable = method === "GET" || method === "PUT" || method === "DELETE" || Boolean(options.key);
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await send(method, path, options);
      return await read(response);
    } catch (e) {
      const problem = /** @type {Problem} */ (e);
      const passing = problem.status === 0 || problem.status === 503 || problem.code === "idempotency_in_flight";
      if (!(problem instanceof Problem) || !passing || !repeatable || attempt === 4) throw e;
      await pause(Math.max(problem.retryAfter, 0.3 * 2 ** attempt * Math.random()), options.signal);
    }
  }
}

/** Reads all pages of a list. @param {string} path */
export async function readAll(path) {
  /** @type {any[]} */
  const items = [];
  let cursor = "";
  do {
    const { data } = await call("GET", path, { query: { limit: 100, cursor } });
    items.push(...data.items);
    cursor = data.next_cursor ?? "";
  } while (cursor);
  return { data: items };
}

/**
 * Sends a request with the access token, and once more with a new one when the
 * server refuses that.
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 * @param {Record<string, string>} [more] headers
 */
export async function send(method, path, options = {}, more = {}) {
  const address = path + queryString(options.query ?? {});
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...more };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.etag) headers["If-Match"] = options.etag;
  if (options.key) headers["Idempotency-Key"] = options.key;
  if (!options.anonymous) headers["Authorization"] = "Bearer " + (await credentials.token());
  const init = { method, headers, signal: options.signal, body: options.body === undefined ? undefined : JSON.stringify(options.body) };
  let response = await reach(address, init);
  if (response.status === 401 && !options.anonymous) {
    headers["Authorization"] = "Bearer " + (await credentials.renew());
    response = await reach(address, init);
  }
  return response;
}

const unreachable = () => new Problem(0, { code: "unreachable", detail: "The server can't be reached. Nothing that you typed is lost; try again in a moment." });

/**
 * Uploads a file and returns what the server has stored. It is no fetch, since that
 * doesn't say how far it is.
 * @param {File} file
 * @param {(part: number) => void} progress gets how much is sent, from 0 to 1
 * @param {AbortSignal} signal
 * @returns {Promise<import("../types/api").Attachment>}
 */
export async function upload(file, progress, signal) {
  let answer = await post(file, await credentials.token(), progress, signal);
  if (answer.status === 401) answer = await post(file, await credentials.renew(), progress, signal);
  if (answer.status === 201) return JSON.parse(answer.responseText);
  const headers = new Headers({ "Retry-After": answer.getResponseHeader("Retry-After") ?? "0" });
  throw problemOf(new Response(null, { status: answer.status, headers }), answer.responseText);
}

/** @param {File} file @param {string} token @param {(part: number) => void} progress @param {AbortSignal} signal @returns {Promise<XMLHttpRequest>} */
function post(file, token, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/attachments");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Authorization", "Bearer " + token);
    request.upload.onprogress = (e) => e.lengthComputable && progress(e.loaded / e.total);
    request.onload = () => (request.status === 0 ? reject(unreachable()) : resolve(request));
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    const body = new FormData();
    body.append("file", file);
    request.send(body);
  });
}

/** @param {string} address @param {RequestInit} init */
async function reach(address, init) {
  try {
    const response = await fetch(address, { ...init, cache: "no-store" });
    reachable.value = true;
    return response;
  } catch (e) {
    if (/** @type {Error} */ (e).name === "AbortError") throw e;
    reachable.value = false;
    throw unreachable();
  }
}

/** @param {Response} response */
async function read(response) {
  const etag = response.headers.get("ETag") ?? "";
  const text = await response.text();
  if (response.ok) return { data: text === "" ? undefined : JSON.parse(text), etag };
  throw problemOf(response, text);
}

/** @param {Response} response @param {string} text */
export function problemOf(response, text) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    body = { detail: `The server answered ${response.status}. Try again in a moment.` };
  }
  return new Problem(response.status, body, Number(response.headers.get("Retry-After") ?? 0));
}

/** @param {Record<string, any>} query */
export function queryString(query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text && "?" + text;
}

/** @param {number} seconds @param {AbortSignal} [signal] */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** A new Idempotency-Key. */
export const newKey = () => crypto.randomUUID();
