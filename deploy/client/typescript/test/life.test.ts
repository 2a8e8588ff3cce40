// The life of a ticket at a running stack, whose addresses and accounts are in the
// environment; docs/clients.md shows the functions of this file.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { type Crm, createCrm, createNotifications, type crm, items, type Notifications, ok, ProblemError, stream } from "../src/index.js";

async function signIn(url: string, email: string, password: string): Promise<Crm> {
  const anyone = createCrm({ url });
  const { data: session } = await ok(anyone.POST("/v1/auth/login", { body: { email, password } }));
  return createCrm({ url, token: session.access_token });
}

async function register(url: string, email: string, password: string): Promise<void> {
  const anyone = createCrm({ url });
  await ok(anyone.POST("/v1/auth/register", { body: { name: "Eve", email, password, role: "engineer" } }));
  try {
    await signIn(url, email, password);
  } catch (error) {
    if (error instanceof ProblemError && error.code === "account_pending") return;
    throw error;
  }
  throw new Error("an engineer signed in before the approval");
}

async function approve(admin: Crm, email: string): Promise<void> {
  const pending = items((cursor) => admin.GET("/v1/registrations", { params: { query: { status: "pending", cursor } } }));
  for await (const registration of pending) {
    if (registration.email !== email) continue;
    await ok(admin.POST("/v1/registrations/{user_id}/approve", { params: { path: { user_id: registration.id } } }));
    return;
  }
  throw new Error(`no registration of ${email} waits`);
}

async function raise(customer: Crm, title: string): Promise<crm.Ticket> {
  const request = {
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: { title, description: "It smokes and smells." },
  };
  const { data: ticket } = await ok(customer.POST("/v1/tickets", request));
  // The same request again, as after a lost answer, gets the same ticket.
  const { data: again } = await ok(customer.POST("/v1/tickets", request));
  assert.equal(again.id, ticket.id);
  return ticket;
}

async function accept(engineer: Crm, id: string): Promise<void> {
  const params = { path: { id } };
  await ok(engineer.POST("/v1/tickets/{id}/accept", { params }));
  await ok(engineer.POST("/v1/tickets/{id}/comments", { params, body: { body: "Is it still smoking?" } }));
  await ok(engineer.PATCH("/v1/tickets/{id}", {
    params, body: { status: "blocked", waiting_for: "customer", blocked_reason: "The customer looks." },
  }));
}

async function edit(customer: Crm, id: string): Promise<void> {
  const { response } = await ok(customer.GET("/v1/tickets/{id}", { params: { path: { id } } }));
  const etag = response.headers.get("ETag") ?? "";
  const change = (title: string) =>
    ok(customer.PATCH("/v1/tickets/{id}", { params: { path: { id }, header: { "If-Match": etag } }, body: { title } }));
  await change("Printer on fire, second floor");
  try {
    await change("Printer on fire, third floor"); // the ticket has changed since it was read
  } catch (error) {
    if (error instanceof ProblemError && error.code === "version_mismatch") return;
    throw error;
  }
  throw new Error("a change of an older version was made");
}

async function finish(engineer: Crm, customer: Crm, id: string): Promise<crm.Ticket> {
  const params = { path: { id } };
  const move = (who: Crm, body: crm.UpdateTicketRequest) => ok(who.PATCH("/v1/tickets/{id}", { params, body }));
  // The answer takes the ticket, which waits for the customer, back to in_progress.
  await ok(customer.POST("/v1/tickets/{id}/comments", { params, body: { body: "No." } }));
  await move(engineer, { status: "resolved", resolution: "A new fuser." });
  await move(customer, { status: "open" });
  await ok(engineer.POST("/v1/tickets/{id}/accept", { params }));
  await move(engineer, { status: "resolved", resolution: "A new printer." });
  const { data: closed } = await move(customer, { status: "closed" });
  return closed;
}

async function numbers(customer: Crm): Promise<number[]> {
  const found: number[] = [];
  const tickets = items((cursor) => customer.GET("/v1/tickets", {
    params: { query: { status: ["open", "in_progress"], sort: "created_at", limit: 1, cursor } },
  }));
  for await (const ticket of tickets) found.push(ticket.number);
  return found;
}

async function follow(engineer: Crm, id: string, last: string, after?: string): Promise<{ kinds: string[]; position: string }> {
  const kinds: string[] = [];
  for await (const { id: position, event } of stream(engineer, { after })) {
    if (event.ticket_id !== id) continue;
    kinds.push(event.kind);
    if (event.kind === last) return { kinds, position };
  }
  throw new Error("the stream ended");
}

async function mails(engineer: Crm, notifications: Notifications, ticket: string): Promise<string[]> {
  const sent: string[] = [];
  for await (const mail of items((cursor) => engineer.GET("/v1/tickets/{id}/notifications", { params: { path: { id: ticket }, query: { cursor } } }))) {
    if (mail.status === "pending") continue; // not yet at the notification service
    const recipients = items((cursor) =>
      notifications.GET("/v1/notifications/{id}/recipients", { params: { path: { id: mail.id }, query: { status: "sent", cursor } } }));
    for await (const recipient of recipients) sent.push(recipient.email);
  }
  return sent;
}

const url = variable("CRM_URL");
const password = "correct horse battery staple 7";

function variable(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

/** until calls a function until it answers, for at most four minutes. */
async function until<T>(poll: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + 240_000; Date.now() < end; await new Promise((done) => setTimeout(done, 50))) {
    const found = await poll();
    if (found !== undefined) return found;
  }
  throw new Error("it did not happen in time");
}

test("the TypeScript client follows a ticket to its end", async () => {
  const [eve, carl] = [`eve-${randomUUID()}@example.com`, `carl-${randomUUID()}@example.com`];
  const admin = await signIn(url, variable("ADMIN_EMAIL"), variable("ADMIN_PASSWORD"));
  const notifications = createNotifications({ url: variable("NOTIFICATION_URL"), token: variable("NOTIFICATION_TOKEN") });
  await register(url, eve, password);
  await approve(admin, eve);
  await ok(createCrm({ url }).POST("/v1/auth/register", { body: { name: "Carl", email: carl, password } }));
  const [engineer, customer] = [await signIn(url, eve, password), await signIn(url, carl, password)];

  const ticket = await raise(customer, "Printer on fire");
  assert.equal(ticket.assignee?.name, "Eve");
  const others = [await raise(customer, "Printer on ice"), await raise(customer, "No printer")];
  await accept(engineer, ticket.id);
  await edit(customer, ticket.id);
  const closed = await finish(engineer, customer, ticket.id);
  assert.equal(closed.status, "closed");
  assert.equal(closed.resolution, "A new printer.");
  assert.deepEqual(await numbers(customer), others.map(({ number }) => number));

  // Position 0 is before the first event.
  const first = await follow(engineer, ticket.id, "commented", "0");
  assert.deepEqual(first.kinds, ["created", "assigned", "accepted", "commented"]);
  const rest = await follow(engineer, ticket.id, "reopened", first.position);
  const again = await follow(engineer, ticket.id, "accepted", rest.position);
  assert.deepEqual([rest.kinds.at(-1), again.kinds], ["reopened", ["accepted"]]);

  const sent = await until(async () => {
    const found = await mails(engineer, notifications, ticket.id);
    return found.includes(eve) && found.includes(carl) ? found : undefined;
  });
  assert.ok(sent.every((email) => email === eve || email === carl));
  await ok(admin.PATCH("/v1/users/{id}", { params: { path: { id: ticket.assignee?.id ?? "" } }, body: { status: "suspended" } }));
  await assert.rejects(ok(engineer.GET("/v1/me")), (error) => error instanceof ProblemError && error.status === 401);
});
