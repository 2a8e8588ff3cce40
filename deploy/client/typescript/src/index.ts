export { type Config, createCrm, createNotifications, type Crm, type Notifications } from "./client.js";
export { items } from "./lists.js";
export { ok, ProblemError } from "./problem.js";
export { stream, type StreamEvent, type StreamOptions } from "./stream.js";
export type * as crm from "./crm.gen.js";
export type * as notification from "./notification.gen.js";
