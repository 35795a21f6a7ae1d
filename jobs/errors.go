package jobs

import "errors"

// What callers act on; everything else is a fault of heroproc's own. Errors of
// the spec are document.Problems, a full pool is db.ErrBusy, and what the disk
// refused is told by db.IsStorage.
var (
	// ErrNotFound: no run, job or attempt has that id.
	ErrNotFound = errors.New("not found")
	// ErrConflict: what is asked for contradicts what is.
	ErrConflict = errors.New("conflict")
	// ErrStopping: the daemon takes no more work.
	ErrStopping = errors.New("shutting down")
)
