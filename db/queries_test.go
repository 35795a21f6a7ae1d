package db_test

import (
	"context"
	"database/sql"
	"errors"
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/db/dbtest"
)

// generatedQueries answers the SQL of every generated query by its name.
func generatedQueries(t *testing.T) map[string]string {
	t.Helper()
	queries := map[string]string{}
	for _, file := range generated(t) {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				text, err := strconv.Unquote(spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				name := regexp.MustCompile(`^-- name: (\w+)`).FindStringSubmatch(text)
				if name == nil {
					t.Fatalf("a query without a name:\n%s", text)
				}
				queries[name[1]] = text
			}
		}
	}
	return queries
}

// plans names, for each query, the index of every table it looks into, in
// SQLite's own words. A query without steps only inserts. What is scanned or
// sorted is small by its nature: the positions of a few executors, the jobs that
// are queued now, the edges of one run.
var plans = map[string][]string{
	"AttemptGetByNumber": {"SEARCH attempts USING INDEX attempts_job (job_id=? AND number=?)"},
	"AttemptGetWithJob": {
		"SEARCH attempts USING INTEGER PRIMARY KEY (rowid=?)",
		"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
		"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)",
	},
	"AttemptInsert":    {},
	"AttemptListByJob": {"SEARCH attempts USING INDEX attempts_job (job_id=?)"},
	"AttemptListByRun": {
		"SEARCH jobs USING COVERING INDEX jobs_run (run_id=?)",
		"SEARCH attempts USING INDEX attempts_job (job_id=?)",
	},
	"AttemptSetEnded":        {"SEARCH attempts USING INTEGER PRIMARY KEY (rowid=?)"},
	"AttemptSetOrdered":      {"SEARCH attempts USING INTEGER PRIMARY KEY (rowid=?)"},
	"AttemptSetStarted":      {"SEARCH attempts USING INTEGER PRIMARY KEY (rowid=?)"},
	"EventInsert":            {},
	"EventListAfter":         {"SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"},
	"ExecutorPositionDelete": {"SEARCH executor_positions USING INTEGER PRIMARY KEY (rowid=?)"},
	"ExecutorPositionList":   {"SCAN executor_positions"},
	"ExecutorPositionSet":    {},
	"JobActive": {
		"SEARCH jobs USING INDEX jobs_active (id>?)",
		"SEARCH attempts USING INDEX attempts_job (job_id=? AND number=?)",
		"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)",
	},
	"JobCandidate": {
		"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
		"SEARCH attempts USING INDEX attempts_job (job_id=? AND number=?)",
		"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)",
	},
	"JobDelayedFrom":      {"SEARCH jobs USING INDEX jobs_delayed (not_before_at>?)"},
	"JobDependencyInsert": {},
	"JobDependencyListByRun": {
		"SEARCH jobs USING COVERING INDEX jobs_run (run_id=?)",
		"SEARCH job_dependencies USING PRIMARY KEY (job_id=?)",
		"USE TEMP B-TREE FOR ORDER BY",
	},
	"JobFirstInState": {"SEARCH jobs USING INDEX jobs_run (run_id=?)"},
	"JobGet":          {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobInsert":       {},
	"JobListBefore":   {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid<?)"},
	"JobListByRun":    {"SEARCH jobs USING INDEX jobs_run (run_id=?)"},
	"JobOpenByRun":    {"SEARCH jobs USING INDEX jobs_run (run_id=?)"},
	"JobQueuedAfter": {
		"SEARCH jobs USING INDEX jobs_queued (id>?)",
		"SEARCH attempts USING INDEX attempts_job (job_id=? AND number=?)",
		"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)",
	},
	"JobRequestCancel": {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobSetFinal":      {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobSetQueued":     {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobSetReason":     {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobSetRetry":      {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobSetRunning":    {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobSetStarting":   {"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"},
	"JobUnblockedBy": {
		"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
		"SEARCH d USING COVERING INDEX job_dependencies_needs (needs_id=?)",
		"SEARCH o USING PRIMARY KEY (job_id=?)",
		"SEARCH n USING INTEGER PRIMARY KEY (rowid=?)",
	},
	"JobWaitingOn": {
		"SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
		"SEARCH d USING COVERING INDEX job_dependencies_needs (needs_id=?)",
	},
	"MetaGet":          {"SEARCH meta USING INDEX sqlite_autoindex_meta_1 (key=?)"},
	"MetaSet":          {},
	"RunDeadlinesFrom": {"SEARCH runs USING COVERING INDEX runs_deadline (deadline_at>?)"},
	"RunGet":           {"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"},
	"RunGetByKey":      {"SEARCH runs USING INDEX runs_key (context=? AND key=?)"},
	"RunHasOpenJobs":   {"SEARCH jobs USING INDEX jobs_open (run_id=?)"},
	"RunInsert":        {},
	"RunListBefore":    {"SEARCH runs USING INTEGER PRIMARY KEY (rowid<?)"},
	"RunSetFinal":      {"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"},
	"RunSetStarted":    {"SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"},
}

// TestQueryPlans prepares every query on a real file with the real schema and
// holds its plan against the table.
func TestQueryPlans(t *testing.T) {
	t.Parallel()
	handle := migratedFile(t)
	queries := generatedQueries(t)
	for name, query := range queries {
		t.Run(name, func(t *testing.T) {
			got, err := queryPlan(t.Context(), handle, query)
			if err != nil {
				t.Fatalf("cannot prepare it: %v\n%s", err, query)
			}
			want, listed := plans[name]
			if !listed {
				t.Fatalf("it is not in the table; its plan is %q", got)
			}
			equal(t, got, want)
		})
	}
	for name := range plans {
		if _, ok := queries[name]; !ok {
			t.Errorf("the table has %s, which is no query", name)
		}
	}
}

// TestForeignKeysAreIndexed keeps deletions from scanning the tables that refer
// to what is deleted.
func TestForeignKeysAreIndexed(t *testing.T) {
	t.Parallel()
	equal(t, texts(t, `SELECT m.name || '.' || f."from" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' AND NOT EXISTS (
			SELECT 1 FROM pragma_index_list(m.name) l, pragma_index_info(l.name) i
			WHERE i.seqno = 0 AND i.name = f."from" AND l.partial = 0)`), []string{})
}

// TestTablesAreStrict keeps SQLite from storing text where a number belongs.
func TestTablesAreStrict(t *testing.T) {
	t.Parallel()
	equal(t, texts(t, `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict
		AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version'`), []string{})
}

// texts answers the one column of a query on a migrated file.
func texts(t *testing.T, query string) []string {
	t.Helper()
	rows, err := migratedFile(t).QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	found := []string{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		found = append(found, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// migratedFile answers a handle to a real database file with the real schema.
func migratedFile(t *testing.T) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heroproc.db")
	dbtest.Open(t, db.Options{Path: path})
	handle, err := sql.Open("sqlite3", "file:"+path+"?_query_only=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Close(); err != nil {
			t.Error(err)
		}
	})
	return handle
}

// frame matches the steps of a plan that look into no table.
var frame = regexp.MustCompile(`^SCAN CONSTANT ROW$|SUBQUERY \d+$`)

// queryPlan answers the steps of a query's plan that look into tables. Preparing
// it is part of that.
func queryPlan(ctx context.Context, handle *sql.DB, query string) (plan []string, err error) {
	plan = []string{}
	params := map[string]bool{}
	for _, param := range regexp.MustCompile(`\?\d+`).FindAllString(query, -1) {
		params[param] = true
	}
	rows, err := handle.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, make([]any, len(params))...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		if !frame.MatchString(step) {
			plan = append(plan, step)
		}
	}
	return plan, rows.Err()
}
