package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

func (c *cli) jobCommand() *cobra.Command {
	return group("job", "Look at jobs, their attempts and their output",
		c.jobListCommand(),
		c.jobShowCommand(),
		c.jobLogsCommand(),
	)
}

func (c *cli) jobListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List jobs, newest first"}
	return aPage(c, cmd, (*client.Client).Jobs, func(list rpc.JobList) (int64, error) {
		now := time.Now()
		rows := make([][]cell, 0, len(list.Jobs))
		for _, job := range list.Jobs {
			rows = append(rows, []cell{
				text(job.ID), text(job.RunID), text(job.Name), state(job.State), number(job.Attempt),
				ending(job.ExitCode, job.Signal), span(job.StartedAt, job.FinishedAt, now), text(job.Reason.Text),
			})
		}
		return list.Next, c.printTable([]string{"ID", "RUN", "NAME", "STATE", "ATTEMPT", "EXIT", "TOOK", "REASON"}, rows)
	})
}

func (c *cli) jobShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a job with its attempts"}
	return aboutID(c, cmd, (*client.Client).Job, c.printJob)
}

func (c *cli) printJob(job rpc.JobDetail) error {
	now := time.Now()
	facts := [][]cell{
		{{"job", bold}, text(fmt.Sprintf("%d %s", job.ID, job.Name))},
		{{"run", bold}, text(job.RunID)},
		{{"state", bold}, state(job.State)},
		{{"reason", bold}, text(job.Reason.Text)},
		{{"needs", bold}, text(strings.Join(job.Needs, ", "))},
		{{"command", bold}, text(strings.Join(job.Action.Command, " "))},
		{{"script", bold}, text(job.Action.Script)},
		{{"dir", bold}, text(job.Action.Dir)},
		{{"created", bold}, moment(&job.CreatedAt)},
		{{"not before", bold}, moment(job.NotBeforeAt)},
		{{"finished", bold}, moment(job.FinishedAt)},
		{{"took", bold}, span(job.StartedAt, job.FinishedAt, now)},
	}
	if err := c.printFacts(facts); err != nil {
		return err
	}
	rows := make([][]cell, 0, len(job.Attempts))
	for _, attempt := range job.Attempts {
		rows = append(rows, []cell{
			text(attempt.Number), number(attempt.PID), moment(attempt.StartedAt),
			span(attempt.StartedAt, attempt.FinishedAt, now), ending(attempt.ExitCode, attempt.Signal),
			milliseconds(attempt.CPUUserMs + attempt.CPUSystemMs), bytes(attempt.MaxRSSBytes), bytes(attempt.LogBytes),
			text(attempt.Reason.Text),
		})
	}
	fmt.Fprintln(c.stdout)
	return c.printTable([]string{"ATTEMPT", "PID", "STARTED", "TOOK", "EXIT", "CPU", "MEMORY", "OUTPUT", "REASON"}, rows)
}

func (c *cli) jobLogsCommand() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "logs ID",
		Short: "Print the output of a job",
		Args:  idArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(cmd, args[0])
			if err != nil {
				return err
			}
			o.job = id
			return c.printOutput(cmd, o)
		},
	}
	o.add(cmd)
	cmd.Flags().Int64Var(&o.attempt, "attempt", 0, "only the attempt of this number (default: all)")
	return cmd
}
