package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/supervisor/api"
)

const (
	// serverStopTimeout is how long answers that are under way may take to leave
	// when the daemon ends; they are in memory by then.
	serverStopTimeout = 5 * time.Second
	// databaseStopTimeout is how long the last writes may take: far more than the
	// longest commit seen, and less than the 90 s after which systemd kills.
	databaseStopTimeout = 30 * time.Second
)

func (c *cli) daemonCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground, until SIGTERM, Ctrl-C or "heroproc shutdown".

Its settings are the daemon: block of the files, then the environment's
` + environmentPrefix + `..., such as ` + environmentPrefix + `QUEUE_SLOTS, then the flags.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := LoadSettings(files, os.Environ(), cmd.Flags())
			if err != nil {
				return err
			}
			home, err := c.home()
			if err != nil {
				return err
			}
			return c.runDaemon(cmd.Context(), home, settings)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "configuration `FILE|DIR` (repeatable)")
	addSettingFlags(cmd.Flags())
	return cmd
}

// daemon is the brain: every part of it, in the order in which they are built.
type daemon struct {
	home   Home
	logger *slog.Logger
	lock   io.Closer
	db     *db.DB
	runner *jobs.Runner
	server *api.Server
	// serving is the goroutine in which the server answers.
	serving sync.WaitGroup
	// stop takes the wish to end, from whoever has it first.
	stop chan stopRequest
}

// stopRequest says who wants the daemon to end, and how.
type stopRequest struct {
	because      string
	leaveRunning bool
	// failure is set when a part of the daemon itself gave up.
	failure error
}

// runDaemon builds the daemon, runs it until somebody wants it to end, and
// closes it.
func (c *cli) runDaemon(ctx context.Context, home Home, settings Settings) error {
	ignoreBrokenPipes()
	d := &daemon{home: home, logger: newLogger(c.stderr, settings), stop: make(chan stopRequest, 1)}
	if err := d.open(context.WithoutCancel(ctx), settings); err != nil {
		return errors.Join(err, d.close(context.WithoutCancel(ctx), true))
	}
	request := d.awaitStop(ctx, c.stdout)
	d.logger.Info("stopping", "because", request.because, "leave_running", request.leaveRunning)

	hurry, done := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
	defer done()
	defer context.AfterFunc(hurry, func() {
		d.logger.Warn("told twice: waiting for nobody any more; what is still being ended is left to the executor")
	})()
	err := errors.Join(request.failure, d.close(hurry, request.leaveRunning))
	switch {
	case err == nil:
		d.logger.Info("stopped")
		return nil
	case hurry.Err() != nil:
		// It was not the command that was interrupted, but the stop.
		return errors.New("stopped in a hurry: " + err.Error())
	default:
		return err
	}
}

// open builds the parts from the ground up.
func (d *daemon) open(ctx context.Context, settings Settings) (err error) {
	if err = d.home.Prepare(); err != nil {
		return err
	}
	if d.lock, err = d.home.Lock(); err != nil {
		return err
	}
	d.db, err = db.Open(ctx, db.Options{Path: d.home.Database(), Backups: d.home.Backups(), Logger: d.logger})
	if err != nil {
		return err
	}
	instance, err := instance(ctx, d.db)
	if err != nil {
		return err
	}
	d.runner, err = jobs.New(jobs.Config{
		DB:        d.db,
		Home:      d.home.Path,
		Slots:     settings.Queue.Slots,
		LogBudget: settings.Log.AttemptBudget,
		Executor:  executorLine(settings),
		Logger:    d.logger,
	})
	if err != nil {
		return err
	}
	d.server, err = api.Listen(api.Config{
		Socket:   d.home.Socket(),
		Runs:     d.runner,
		DB:       d.db,
		Info:     d.info(instance, time.Now()),
		Shutdown: d.shutdown,
		Logger:   d.logger,
	})
	if err != nil {
		return err
	}
	d.runner.Start()
	d.serving.Go(func() {
		if err := d.server.Serve(); err != nil {
			d.request(stopRequest{because: "the API failed", leaveRunning: true, failure: err})
		}
	})
	return nil
}

// close ends the parts from the top down, those that were built. The runner
// comes before the server, so that people can watch what is being ended and
// those who wait for a run hear of its end.
func (d *daemon) close(ctx context.Context, leaveRunning bool) error {
	var errs []error
	if d.server != nil {
		d.server.Stopping()
		// The runner was started as soon as there was a server.
		errs = append(errs, d.runner.Stop(ctx, leaveRunning))
		serverCtx, cancel := context.WithTimeout(ctx, serverStopTimeout)
		defer cancel()
		errs = append(errs, d.server.Shutdown(serverCtx))
		d.serving.Wait()
	}
	if d.runner != nil {
		errs = append(errs, d.runner.Close())
	}
	if d.db != nil {
		// Not even somebody in a hurry wants to lose what was written last.
		dbCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseStopTimeout)
		defer cancel()
		errs = append(errs, d.db.Close(dbCtx))
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// awaitStop returns when somebody wants the daemon to end. Until then it only
// prints one line, when the daemon has recovered and is ready: whoever has
// started it need not ask.
func (d *daemon) awaitStop(ctx context.Context, out io.Writer) stopRequest {
	select {
	case <-d.runner.Recovered():
		fmt.Fprintf(out, "heroproc %s is ready: home %s, pid %d\n", version, d.home.Path, os.Getpid())
	case request := <-d.stop:
		return request
	case <-ctx.Done():
	}
	select {
	case request := <-d.stop:
		return request
	case <-ctx.Done():
		return stopRequest{because: context.Cause(ctx).Error()}
	}
}

// request asks the daemon to end. Only the first to ask is heard.
func (d *daemon) request(r stopRequest) {
	select {
	case d.stop <- r:
	default:
	}
}

// shutdown is what system.shutdown does.
func (d *daemon) shutdown(leaveRunning bool) {
	d.request(stopRequest{because: "asked by system.shutdown", leaveRunning: leaveRunning})
}
