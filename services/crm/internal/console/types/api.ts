// The types of the API, for the checker alone: generated from the OpenAPI document with
// the TypeScript client.
import type { components } from "../../../../../deploy/client/typescript/src/crm.gen";

type Schemas = components["schemas"];

export type Attachment = Schemas["Attachment"];
export type AuditEvent = Schemas["AuditEvent"];
export type Comment = Schemas["Comment"];
export type Delivery = Schemas["Delivery"];
export type DeliveryAttempt = Schemas["DeliveryAttempt"];
export type DeliveryRecipient = Schemas["DeliveryRecipient"];
export type Engineer = Schemas["Engineer"];
export type Event = Schemas["Event"];
export type Follower = Schemas["Follower"];
export type Key = Schemas["Key"];
export type ListedTicket = Schemas["ListedTicket"];
export type Mail = Schemas["Mail"];
export type Me = Schemas["Me"];
export type Original = Schemas["Original"];
export type OutboxEntry = Schemas["OutboxEntry"];
export type Preferences = Schemas["Preferences"];
export type Registration = Schemas["Registration"];
export type Session = Schemas["Session"];
export type Subscription = Schemas["Subscription"];
export type Suppression = Schemas["Suppression"];
export type Ticket = Schemas["Ticket"];
export type TicketMail = Schemas["TicketMail"];
export type TicketReport = Schemas["TicketReport"];
export type User = Schemas["User"];
export type UserMail = Schemas["UserMail"];
