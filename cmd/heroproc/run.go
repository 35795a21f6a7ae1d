package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

func (c *cli) runCommand() *cobra.Command {
	return group("run", "Look at runs, wait for them, cancel them",
		c.runListCommand(),
		c.runShowCommand(),
		c.runWaitCommand(),
		c.runCancelCommand(),
	)
}

func (c *cli) runListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List runs, newest first"}
	return aPage(c, cmd, (*client.Client).Runs, func(list rpc.RunList) (int64, error) {
		now := time.Now()
		rows := make([][]cell, 0, len(list.Runs))
		for _, run := range list.Runs {
			rows = append(rows, []cell{
				text(run.ID), text(run.Name), state(run.State), moment(&run.CreatedAt),
				span(run.StartedAt, run.FinishedAt, now), text(strings.Join(run.Tags, ",")), text(run.Reason.Text),
			})
		}
		return list.Next, c.printTable([]string{"ID", "NAME", "STATE", "CREATED", "TOOK", "TAGS", "REASON"}, rows)
	})
}

func (c *cli) runShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a run with its jobs and their attempts"}
	return aboutID(c, cmd, (*client.Client).Run, c.printRun)
}

func (c *cli) printRun(run rpc.RunDetail) error {
	now := time.Now()
	facts := [][]cell{
		{{"run", bold}, text(fmt.Sprintf("%d %s", run.ID, run.Name))},
		{{"state", bold}, state(run.State)},
		{{"reason", bold}, text(run.Reason.Text)},
		{{"context", bold}, text(run.Context)},
		{{"tags", bold}, text(strings.Join(run.Tags, ", "))},
		{{"key", bold}, text(run.Key)},
		{{"created", bold}, moment(&run.CreatedAt)},
		{{"finished", bold}, moment(run.FinishedAt)},
		{{"took", bold}, span(run.StartedAt, run.FinishedAt, now)},
	}
	if err := c.printFacts(facts); err != nil {
		return err
	}
	rows := make([][]cell, 0, len(run.Jobs))
	for _, job := range run.Jobs {
		rows = append(rows, []cell{
			text(job.ID), text(job.Name), state(job.State), number(job.Attempt), ending(job.ExitCode, job.Signal),
			span(job.StartedAt, job.FinishedAt, now), text(strings.Join(job.Needs, ",")), text(job.Reason.Text),
		})
	}
	fmt.Fprintln(c.stdout)
	return c.printTable([]string{"JOB", "NAME", "STATE", "ATTEMPT", "EXIT", "TOOK", "NEEDS", "REASON"}, rows)
}

func (c *cli) runWaitCommand() *cobra.Command {
	var timeout time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "wait ID",
		Short: "Wait for the end of a run and exit with its code",
		Args:  idArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(cmd, args[0])
			if err != nil {
				return err
			}
			if timeout < 0 {
				return usage(cmd, "--timeout must not be negative, got %s", timeout)
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, errWaitedTooLong)
				defer cancel()
			}
			err = c.awaitRun(ctx, api, id, asJSON)
			if errors.Is(err, errWaitedTooLong) {
				return fmt.Errorf("%w: run %d is not final after %s; it goes on", errWaitedTooLong, id, timeout)
			}
			return c.stillRuns(err, id)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "wait no longer than this (default: until the end), and exit 124")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (c *cli) runCancelCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ID", Short: "Cancel a run: end what runs of it, and start nothing more"}
	return aboutID(c, cmd, (*client.Client).Cancel, func(cancelled rpc.CancelResult) error {
		_, err := fmt.Fprintf(c.stdout, "run %d: %s cancelled, %s being ended\n",
			cancelled.ID, count(cancelled.Cancelled, "job"), count(cancelled.Stopping, "process"))
		return err
	})
}

// count says how many there are of something.
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}
