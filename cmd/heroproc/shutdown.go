package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func (c *cli) shutdownCommand() *cobra.Command {
	var leaveRunning bool
	cmd := &cobra.Command{
		Use:   "shutdown",
		Short: "Stop what runs, then the daemon, and wait until it is gone",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.shutdown(cmd.Context(), leaveRunning)
		},
	}
	cmd.Flags().BoolVar(&leaveRunning, "leave-running", false,
		"leave what runs to the executor; the next daemon takes it over")
	return cmd
}

func (c *cli) shutdown(ctx context.Context, leaveRunning bool) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	info, err := api.Info(ctx)
	if err != nil {
		return err
	}
	// The process is held before it is told to end: afterwards its pid could
	// belong to somebody else.
	daemon, err := unix.PidfdOpen(info.Daemon.PID, 0)
	if err != nil {
		return fmt.Errorf("cannot watch the daemon (pid %d): %w", info.Daemon.PID, err)
	}
	defer unix.Close(daemon)
	answer, err := api.Shutdown(ctx, leaveRunning)
	if err != nil {
		return err
	}
	if answer.PID != info.Daemon.PID {
		return fmt.Errorf("the daemon was replaced meanwhile: pid %d is stopping, it was pid %d before", answer.PID, info.Daemon.PID)
	}
	return awaitExit(ctx, daemon)
}

// awaitExit waits until the process of a pidfd has ended, whoever's child it
// is.
func awaitExit(ctx context.Context, pidfd int) error {
	ended := make(chan error, 1)
	go func() {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, -1)
			if !errors.Is(err, unix.EINTR) {
				ended <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: the daemon goes on stopping", ctx.Err())
	}
}
