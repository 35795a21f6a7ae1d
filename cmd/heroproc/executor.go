package main

import (
	"context"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/jobs/executor"
)

// executorCommand is what a daemon starts when no executor runs. Nobody types
// it, so it is hidden; its flags are part of the line that the daemon's client
// of the executor writes.
func (c *cli) executorCommand() *cobra.Command {
	config := executor.Config{Version: version}
	cmd := &cobra.Command{
		Use:    "executor",
		Short:  "Own the processes of a home, on behalf of its daemon",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := c.home()
			if err != nil {
				return err
			}
			config.Home = home.Path
			config.Logger = slog.New(slog.NewTextHandler(c.stderr, nil))
			// Signals are the executor's own matter: its children depend on it.
			return executor.Run(context.WithoutCancel(cmd.Context()), config)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&config.AfterEpoch, "after-epoch", 0, "highest epoch that the daemon has heard of")
	flags.IntVar(&config.ReadyFD, "ready-fd", -1, "descriptor to write to when it listens")
	flags.Int64Var(&config.LogBudget, "log-total-budget", 0, "bytes of output kept altogether (default 10 GiB)")
	return cmd
}

// executorLine is the command line that starts an executor: this binary again.
// It knows no configuration, so what it needs of it comes along.
func executorLine(settings Settings) []string {
	path, err := os.Executable()
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		// The file was replaced or removed since this process began, but the kernel
		// still has it.
		path = "/proc/self/exe"
	}
	return []string{path, "executor", "--log-total-budget", strconv.FormatInt(settings.Log.TotalBudget, 10)}
}
