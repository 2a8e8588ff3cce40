// Package db has the SQL of both services: the migrations, which each binary
// embeds, and the queries, which only sqlc reads. It has no Go logic.
package db

import "embed"

// CRM holds the CRM's migrations in crm/migrations.
//
//go:embed crm/migrations/*.sql
var CRM embed.FS

// ServingRole grants a role what a service needs to serve with it; see its first lines.
//
//go:embed serving-role.sql
var ServingRole string

// Notification holds the notification service's migrations in
// notification/migrations.
//
//go:embed notification/migrations/*.sql
var Notification embed.FS
