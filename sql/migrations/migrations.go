// Package migrations embeds the schema's numbered, forward-only migrations. The
// same files are sqlc's schema, so that the generated queries and the database
// of a running daemon can never disagree.
package migrations

import "embed"

// FS holds the migration files, named NNNN_subject.sql and applied in order.
//
//go:embed *.sql
var FS embed.FS
