import createClient, { type Client, type Middleware } from "openapi-fetch";

import type * as crm from "./crm.gen.js";
import type * as notification from "./notification.gen.js";

/** What a client needs besides the service's address. */
export interface Config {
  /** The service's address, for example http://localhost:8080. */
  url: string;
  /** The bearer token of each request, or a function that gets it; none is sent without. */
  token?: string | (() => Promise<string>);
  /** Sends the requests; the global fetch by default. */
  fetch?: (request: Request) => Promise<Response>;
}

export type Crm = Client<crm.paths>;
export type Notifications = Client<notification.paths>;

/** createCrm returns a client of the CRM: its paths, parameters and answers have types. */
export function createCrm(config: Config): Crm {
  const client = createClient<crm.paths>(options(config));
  client.use(bearer(config));
  return client;
}

/** createNotifications returns a client of the notification service. */
export function createNotifications(config: Config): Notifications {
  const client = createClient<notification.paths>(options(config));
  client.use(bearer(config));
  return client;
}

/** Lists of several values are sent as the documents say: status=open,blocked. */
function options({ url, fetch }: Config) {
  return { baseUrl: url, fetch, querySerializer: { array: { style: "form", explode: false } } } as const;
}

function bearer({ token }: Config): Middleware {
  return {
    async onRequest({ request }) {
      const value = typeof token === "function" ? await token() : token;
      if (value) request.headers.set("Authorization", `Bearer ${value}`);
      return request;
    },
  };
}
