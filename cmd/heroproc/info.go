package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// info answers what system.info says.
func (d *daemon) info(instance string, started time.Time) func() rpc.Info {
	return func() rpc.Info {
		info := rpc.Info{
			Home:     d.home.Path,
			Instance: instance,
			Daemon:   rpc.Process{PID: os.Getpid(), Version: version, StartedAt: rpc.Time{Time: started}},
		}
		if executor, ok := d.runner.Executor(); ok {
			info.Executor = &rpc.Process{PID: executor.PID, Version: executor.Version, StartedAt: rpc.Millis(executor.StartedAtMillis)}
		}
		return info
	}
}

// instance answers the name of the home: made once, the same whichever daemon
// and wherever it is moved to.
func instance(ctx context.Context, database *db.DB) (string, error) {
	const key = "instance"
	var name string
	err := database.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if name, err = tx.MetaGet(ctx, key); !db.IsNotFound(err) {
			return err
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		name = id.String()
		return tx.MetaSet(ctx, db.MetaSetParams{Key: key, Value: name})
	})
	if err != nil {
		return "", fmt.Errorf("cannot name the home: %w", err)
	}
	return name, nil
}
