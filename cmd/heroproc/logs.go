package main

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// outputFlags say whose output to print, and how.
type outputFlags struct {
	run, job, attempt  int64
	tail               int
	follow, timestamps bool
	json               bool
}

// add adds the flags that say how.
func (o *outputFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on until everything has ended")
	flags.IntVarP(&o.tail, "tail", "n", 0, "only the last `N` lines of each attempt (default: all)")
	flags.BoolVar(&o.timestamps, "timestamps", false, "begin each line with its time and stream")
	jsonFlag(cmd, &o.json)
}

func (c *cli) logsCommand() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "logs --run ID | --job ID",
		Short: "Print the output of a run or a job",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("run") == cmd.Flags().Changed("job") {
				return usage(cmd, "say whose output: --run ID or --job ID")
			}
			if o.run < 0 || o.job < 0 || o.run+o.job == 0 {
				return usage(cmd, "an id is a positive whole number such as 12")
			}
			return c.printOutput(cmd, o)
		},
	}
	cmd.Flags().Int64Var(&o.run, "run", 0, "print the output of all jobs of the run `ID`")
	cmd.Flags().Int64Var(&o.job, "job", 0, "print the output of the job `ID`")
	o.add(cmd)
	return cmd
}

// printOutput prints lines as they were written; the daemon streams them.
func (c *cli) printOutput(cmd *cobra.Command, o outputFlags) error {
	if o.tail < 0 {
		return usage(cmd, "-n must not be negative, got %d", o.tail)
	}
	if o.json && (o.follow || o.timestamps) {
		return usage(cmd, "--json prints one document with the times in it: leave out --follow and --timestamps")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	if o.json {
		return c.printOutputJSON(cmd.Context(), api, o)
	}
	return api.Output(cmd.Context(), rpc.OutputQuery{
		Run: o.run, Job: o.job, Attempt: o.attempt, Tail: o.tail, Follow: o.follow, Timestamps: o.timestamps,
	}, c.stdout)
}

// loggedLine is a line of `logs --json`: it says whose it is.
type loggedLine struct {
	JobID   int64  `json:"job_id"`
	Job     string `json:"job"`
	Attempt int64  `json:"attempt"`
	rpc.LogLine
}

// printOutputJSON prints {"lines":[...]}, fetched page by page and written as it
// comes, so that a long log needs no more memory than a short one.
func (c *cli) printOutputJSON(ctx context.Context, api *client.Client, o outputFlags) error {
	jobs, err := outputJobs(ctx, api, o)
	if err != nil {
		return err
	}
	document := &lineDocument{out: c.stdout, asked: time.Now()}
	for _, job := range jobs {
		for _, attempt := range job.Attempts {
			if o.attempt != 0 && o.attempt != attempt.Number {
				continue
			}
			if err := document.addAttempt(ctx, api, job.Job, attempt, o.tail); err != nil {
				return err
			}
		}
	}
	return document.end()
}

// outputJobs answers the job, or every job of the run.
func outputJobs(ctx context.Context, api *client.Client, o outputFlags) ([]rpc.JobDetail, error) {
	if o.job != 0 {
		job, err := api.Job(ctx, o.job)
		return []rpc.JobDetail{job}, err
	}
	run, err := api.Run(ctx, o.run)
	return run.Jobs, err
}

// lineDocument writes {"lines":[...]} line by line.
type lineDocument struct {
	out   io.Writer
	asked time.Time
	lines int
}

// addAttempt adds what an attempt has written. One that still writes ends the
// document with what was there when it was asked for: it may write faster than
// anybody reads.
func (d *lineDocument) addAttempt(ctx context.Context, api *client.Client, job rpc.Job, attempt rpc.Attempt, tail int) error {
	page := rpc.LogsParams{ID: job.ID, Attempt: attempt.Number, Tail: tail}
	for {
		result, err := api.Logs(ctx, page)
		if err != nil {
			return err
		}
		for _, line := range result.Lines {
			if err := d.add(loggedLine{JobID: job.ID, Job: job.Name, Attempt: attempt.Number, LogLine: line}); err != nil {
				return err
			}
		}
		n := len(result.Lines)
		if result.Next == "" || n == 0 || attempt.FinishedAt == nil && result.Lines[n-1].At.After(d.asked) {
			return nil
		}
		page.Tail, page.After = 0, result.Next
	}
}

func (d *lineDocument) add(line loggedLine) error {
	encoded, err := json.Marshal(line)
	if err != nil {
		return err
	}
	before := ",\n  "
	if d.lines == 0 {
		before = "{\"lines\": [\n  "
	}
	d.lines++
	_, err = io.WriteString(d.out, before+string(encoded))
	return err
}

func (d *lineDocument) end() error {
	text := "\n]}\n"
	if d.lines == 0 {
		text = "{\"lines\": []}\n"
	}
	_, err := io.WriteString(d.out, text)
	return err
}
