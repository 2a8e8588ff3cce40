// The helpers, against a server that misbehaves as a test says.
import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { test } from "node:test";

import { type Crm, createCrm, items, ok, ProblemError, stream } from "../src/index.js";

/** serve answers with one listener after the other; the last answers all that follow.
 * fn gets a client of it. */
async function serve(listeners: RequestListener[], fn: (crm: Crm) => Promise<void>): Promise<void> {
  let requests = 0;
  const server = createServer((request, response) => listeners[Math.min(requests++, listeners.length - 1)]?.(request, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  assert.ok(typeof address === "object" && address);
  try {
    await fn(createCrm({ url: `http://127.0.0.1:${address.port}`, token: "token" }));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

function frames(after: (string | undefined)[], text: string, end = true): RequestListener {
  return (request, response) => {
    after.push(request.headers["last-event-id"]?.toString());
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(text);
    if (end) response.end();
  };
}

const event = (id: number) => `id: ${id}\nevent: created\ndata: {"kind":"created","ticket_number":${id}}\n\n`;

function refuse(status: number, code: string, headers = {}): RequestListener {
  return (_, response) => {
    response.writeHead(status, { "Content-Type": "application/problem+json", ...headers });
    response.end(JSON.stringify({ type: "t", title: "t", status, detail: "d", code, request_id: "r" }));
  };
}

async function read(crm: Crm, silence?: number): Promise<{ ids: string[]; error: unknown }> {
  const ids: string[] = [];
  try {
    for await (const { id } of stream(crm, { silence, longest: 5 })) ids.push(id);
    return { ids, error: undefined };
  } catch (error) {
    return { ids, error };
  }
}

test("a stream goes on after the last event over lost connections", async () => {
  const after: (string | undefined)[] = [];
  const first = `retry: 1\n\n: heartbeat\nid: 3\n\n${event(4)}${event(5)}id: 6\ndata: {"cut`;
  await serve([
    frames(after, first), refuse(503, "unavailable"), refuse(429, "rate_limited"),
    frames(after, `${event(6)}: heartbeat\nid: 9\n\n`), frames(after, ""), refuse(401, "invalid_token"),
  ], async (crm) => {
    const { ids, error } = await read(crm);
    assert.deepEqual(ids, ["4", "5", "6"]);
    assert.deepEqual(after, [undefined, "5", "9"]);
    assert.ok(error instanceof ProblemError && error.code === "invalid_token");
  });
});

test("a silent connection is replaced", async () => {
  const bySilence: RequestListener = (request, response) => {
    const after = request.headers["last-event-id"];
    if (after === "2") return refuse(403, "forbidden")(request, response);
    frames([], event(after === undefined ? 1 : 2), false)(request, response);
  };
  await serve([bySilence], async (crm) => assert.deepEqual((await read(crm, 200)).ids, ["1", "2"]));
});

test("a stream ends with its signal", async () => {
  await serve([frames([], event(1), false)], async (crm) => {
    const ended = new AbortController();
    let events = 0;
    for await (const _ of stream(crm, { signal: ended.signal })) {
      events++;
      ended.abort();
    }
    assert.equal(events, 1);
  });
});

test("an answer that is not success is thrown with its problem", async () => {
  await serve([refuse(429, "rate_limited", { "Retry-After": "7" }), (_, response) => response.writeHead(502).end("<html>")], async (crm) => {
    await assert.rejects(ok(crm.GET("/v1/me")), (error) =>
      error instanceof ProblemError && error.code === "rate_limited" && error.status === 429 && error.retryAfter === 7000);
    await assert.rejects(ok(crm.GET("/v1/me")), (error) =>
      error instanceof ProblemError && error.code === undefined && error.status === 502);
  });
});

test("a list is read page by page and only as far as needed", async () => {
  const asked: string[] = [];
  const list: RequestListener = (request, response) => {
    asked.push(request.url ?? "");
    const next = request.url?.includes("cursor=b") ? "" : ',"next_cursor":"b"';
    response.writeHead(200, { "Content-Type": "application/json" }).end(`{"items":[{"name":"1"},{"name":"2"}]${next}}`);
  };
  await serve([list], async (crm) => {
    const users = () => items((cursor) => crm.GET("/v1/users", { params: { query: { limit: 2, cursor } } }));
    const names: string[] = [];
    for await (const { name } of users()) names.push(name);
    assert.deepEqual(names, ["1", "2", "1", "2"]);
    assert.deepEqual(asked, ["/v1/users?limit=2", "/v1/users?limit=2&cursor=b"]);
    for await (const _ of users()) break;
    assert.equal(asked.length, 3);
  });
});
