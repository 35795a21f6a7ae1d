-- The spine: what was asked for (runs, jobs, dependencies), what happened
-- (attempts, events) and how far the executor's journal has been applied.
--
-- Conventions: times are unix milliseconds and end in _at, durations end in
-- _ms, sizes in _bytes. Ids are AUTOINCREMENT, so that a number which was once
-- shown to somebody never names another thing, not even after a deletion.

-- +goose Up

CREATE TABLE runs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    uid         TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    context     TEXT    NOT NULL,
    tags        TEXT    NOT NULL CHECK (json_valid(tags)),
    -- What the submitter calls this run: the same key in the same context
    -- answers the same run. The fingerprint tells the same request from another.
    key         TEXT,
    fingerprint TEXT,
    state       TEXT    NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    reason_code TEXT    NOT NULL,
    reason_text TEXT    NOT NULL,
    timeout_ms  INTEGER,
    created_at  INTEGER NOT NULL,
    started_at  INTEGER,
    deadline_at INTEGER,
    finished_at INTEGER
) STRICT;

CREATE UNIQUE INDEX runs_key ON runs (context, key) WHERE key IS NOT NULL;
CREATE INDEX runs_deadline ON runs (deadline_at) WHERE state = 'running' AND deadline_at IS NOT NULL;

CREATE TABLE jobs (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id              INTEGER NOT NULL REFERENCES runs (id),
    -- Place in the graph's order: a job comes after everything it needs.
    position            INTEGER NOT NULL,
    name                TEXT    NOT NULL,
    state               TEXT    NOT NULL CHECK (state IN ('waiting', 'queued', 'starting', 'running',
                                                          'succeeded', 'failed', 'cancelled', 'skipped')),
    reason_code         TEXT    NOT NULL,
    reason_text         TEXT    NOT NULL,
    -- Number of the current attempt, from 1; its row in attempts always exists.
    attempt             INTEGER NOT NULL,
    -- Attempts that counted against the retry policy; lost ones do not.
    failures            INTEGER NOT NULL DEFAULT 0,
    action              TEXT    NOT NULL CHECK (json_valid(action)),
    created_at          INTEGER NOT NULL,
    not_before_at       INTEGER,
    started_at          INTEGER,
    finished_at         INTEGER,
    cancel_requested_at INTEGER,
    exit_code           INTEGER,
    signal              INTEGER
) STRICT;

CREATE UNIQUE INDEX jobs_run ON jobs (run_id, position);
-- Small sets of rows that change beside a large history that does not.
CREATE INDEX jobs_queued ON jobs (id) WHERE state = 'queued';
CREATE INDEX jobs_delayed ON jobs (not_before_at) WHERE state = 'waiting' AND not_before_at IS NOT NULL;
CREATE INDEX jobs_active ON jobs (id) WHERE state IN ('starting', 'running');
CREATE INDEX jobs_open ON jobs (run_id) WHERE state IN ('waiting', 'queued', 'starting', 'running');

CREATE TABLE job_dependencies (
    job_id   INTEGER NOT NULL REFERENCES jobs (id),
    needs_id INTEGER NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (job_id, needs_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_dependencies_needs ON job_dependencies (needs_id);

CREATE TABLE attempts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        INTEGER NOT NULL REFERENCES jobs (id),
    number        INTEGER NOT NULL,
    -- Random; written by the transaction that makes the attempt possible, so
    -- that a start never waits for a commit of its own.
    token         TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    -- Identity of the process: pid, its kernel start time and the boot. The
    -- boot is written when the start is ordered.
    boot_id       TEXT,
    pid           INTEGER,
    start_ticks   INTEGER,
    cgroup        TEXT,
    started_at    INTEGER,
    finished_at   INTEGER,
    reason_code   TEXT    NOT NULL,
    reason_text   TEXT    NOT NULL,
    exit_code     INTEGER,
    signal        INTEGER,
    cpu_user_ms   INTEGER,
    cpu_system_ms INTEGER,
    max_rss_bytes INTEGER,
    -- Where its output is: see jobs/logs.Place.
    log_place     TEXT,
    log_bytes     INTEGER,
    dropped_bytes INTEGER,
    -- The last of a failed attempt's stderr, at most 4 KiB.
    stderr_tail   BLOB,
    -- What the job wrote to HEROPROC_OUTPUT.
    output        BLOB
) STRICT;

CREATE UNIQUE INDEX attempts_job ON attempts (job_id, number);

-- One numbered fact a row. No foreign keys: facts outlive what they speak of.
CREATE TABLE events (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    run_id      INTEGER NOT NULL,
    job_id      INTEGER,
    attempt     INTEGER,
    from_state  TEXT,
    to_state    TEXT    NOT NULL,
    reason_code TEXT    NOT NULL,
    reason_text TEXT    NOT NULL
) STRICT;

-- The last event of each executor journal that has been applied, written by the
-- transaction that applied it: replay after a crash is exactly-once.
CREATE TABLE executor_positions (
    epoch  INTEGER PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
