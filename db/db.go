// Package db carries the SQL of both services: the migrations, embedded so
// that each binary brings its own schema, and (for sqlc alone) the queries.
// It holds no Go logic.
package db

import "embed"

// CRM holds the CRM's migrations in crm/migrations.
//
//go:embed crm/migrations/*.sql
var CRM embed.FS

// Notification holds the notification service's migrations in
// notification/migrations.
//
//go:embed notification/migrations/*.sql
var Notification embed.FS
