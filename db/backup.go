package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A backup's name says which schema it has and when it was made, and sorts by
// both: heroproc-v0007-20261123T150405.000Z.db.
const (
	backupPrefix = "heroproc-v"
	backupTime   = "20060102T150405.000Z"
)

// backUp writes a verified copy of the database and answers its path. A copy
// that is there under its name is whole and on disk.
func backUp(ctx context.Context, handle *sql.DB, o Options, version int64) (path string, err error) {
	if err := os.MkdirAll(o.Backups, 0o700); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s%04d-%s.db", backupPrefix, version, time.Now().UTC().Format(backupTime))
	path = filepath.Join(o.Backups, name)
	unverified := path + ".tmp"
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(unverified))
		}
	}()
	// VACUUM INTO takes an empty file, which this way has the right mode.
	if err := createPrivate(unverified); err != nil {
		return "", err
	}
	if _, err := handle.ExecContext(ctx, "VACUUM INTO ?", unverified); err != nil {
		return "", err
	}
	if err := quickCheck(ctx, o, unverified); err != nil {
		return "", err
	}
	if err := syncFile(unverified); err != nil {
		return "", err
	}
	if err := os.Rename(unverified, path); err != nil {
		return "", err
	}
	return path, syncFile(o.Backups)
}

// quickCheck reads a whole database file and has SQLite judge it.
func quickCheck(ctx context.Context, o Options, path string) (err error) {
	handle := openHandle(o.Driver, path, url.Values{"mode": {"ro"}}, 1)
	defer func() { err = errors.Join(err, handle.Close()) }()
	var verdict string
	if err := handle.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%s is damaged: %s", path, verdict)
	}
	return nil
}

// newestBackup answers the newest backup whose schema is at most the given one,
// or nothing.
func newestBackup(dir string, version int64) (path string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	newest := ""
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), backupPrefix)
		rest, whole := strings.CutSuffix(rest, ".db")
		number, made, _ := strings.Cut(rest, "-")
		v, err := strconv.ParseInt(number, 10, 64)
		if ours && whole && err == nil && v <= version && made > newest {
			newest, path = made, filepath.Join(dir, entry.Name())
		}
	}
	return path
}

// syncFile brings a file, or a directory's entries, to the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
