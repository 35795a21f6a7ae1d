package main

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
)

// newLogger makes the daemon's own log, on standard error.
func newLogger(out io.Writer, settings Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: settings.Log.Level}
	switch {
	case settings.Log.Format == "json":
		return slog.New(slog.NewJSONHandler(out, options))
	case settings.Log.Format == "auto" && isTerminal(out):
		return slog.New(tint.NewTextHandler(out, &tint.Options{
			Level: settings.Log.Level, TimeFormat: time.TimeOnly, NoColor: !hasColours(out),
		}))
	default:
		return slog.New(slog.NewTextHandler(out, options))
	}
}

// ignoreBrokenPipes keeps the daemon alive when whoever read its log is gone. A
// handler instead of SIG_IGN, because that would be inherited by every job.
func ignoreBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
