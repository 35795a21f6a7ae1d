package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// submission is what the flags of `heroproc submit` say.
type submission struct {
	file               string
	name, context, key string
	env, tags          []string
	dir                string
	timeout            time.Duration
	retries            int
	wait, follow, json bool
}

func (c *cli) submitCommand() *cobra.Command {
	var s submission
	cmd := &cobra.Command{
		Use:   "submit [flags] -- COMMAND [ARG...]\n  heroproc submit [flags] -f FILE",
		Short: "Submit a run: one command, or a graph of jobs from a file",
		Long: `Submit a run: one command, or a graph of jobs from a YAML, TOML or JSON file.

The run's id is printed once the run is on disk. With --wait or --follow the exit
code is the run's: 0, or that of its first failed job (its exit code, 128+signal,
124 on timeout), 130 when it was cancelled.`,
		Example: `  heroproc submit --follow -- make test
  heroproc submit --retries 2 --timeout 5m --tag nightly -- ./backup.sh
  heroproc submit -f pipeline.yaml --wait`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.submit(cmd, args, s) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&s.file, "file", "f", "", "run file to submit; - reads standard input")
	flags.StringVar(&s.name, "name", "", "name of the run (default: that of its only job, or \"run\")")
	flags.StringVar(&s.context, "context", "", "namespace of the run (default \"core\")")
	flags.StringVar(&s.key, "key", "", "idempotency key: the same key answers the run that it made the first time")
	flags.StringArrayVar(&s.env, "env", nil, "`K=V` for the environment; K alone passes the present value on (repeatable)")
	flags.StringArrayVar(&s.tags, "tag", nil, "word to find the run by (repeatable)")
	flags.StringVar(&s.dir, "dir", "", "working directory (default: the present one)")
	flags.DurationVar(&s.timeout, "timeout", 0, "time limit of each attempt, such as 5m")
	flags.IntVar(&s.retries, "retries", 0, "further attempts after a failed one")
	flags.BoolVar(&s.wait, "wait", false, "wait for the end of the run and exit with its code")
	flags.BoolVar(&s.follow, "follow", false, "print the output as it comes; implies --wait")
	jsonFlag(cmd, &s.json)
	return cmd
}

func (c *cli) submit(cmd *cobra.Command, args []string, s submission) error {
	run, err := c.submittedRun(cmd, args, s)
	if err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	submitted, err := api.Submit(cmd.Context(), run)
	if err != nil {
		return err
	}
	switch {
	case s.follow:
		// Standard output is the run's own now.
		fmt.Fprintf(c.stderr, "heroproc: run %d\n", submitted.ID)
		err = api.Output(cmd.Context(), rpc.OutputQuery{Run: submitted.ID, Follow: true}, c.stdout)
	case s.json && !s.wait:
		return c.printJSON(submitted)
	case !s.json:
		fmt.Fprintln(c.stdout, submitted.ID)
	}
	if err == nil && (s.wait || s.follow) {
		err = c.awaitRun(cmd.Context(), api, submitted.ID, s.json)
	}
	return c.stillRuns(err, submitted.ID)
}

// submittedRun makes a run of the flags, and of the command or the file.
func (c *cli) submittedRun(cmd *cobra.Command, args []string, s submission) (spec.Run, error) {
	if s.follow && s.json {
		return spec.Run{}, usage(cmd, "--follow prints the run's output, --json a document: use --wait --json")
	}
	env, err := environment(cmd, s.env)
	if err != nil {
		return spec.Run{}, err
	}
	var run spec.Run
	if s.file != "" {
		run, err = c.runOfFile(cmd, args, s)
	} else {
		run, err = runOfCommand(cmd, args, s)
	}
	if err != nil {
		return spec.Run{}, err
	}
	if s.name != "" {
		run.Name = s.name
	}
	if s.context != "" {
		run.Context = s.context
	}
	if s.key != "" {
		run.Key = s.key
	}
	run.Tags = append(run.Tags, s.tags...)
	for name, value := range env {
		if run.Env == nil {
			run.Env = map[string]string{}
		}
		run.Env[name] = value
	}
	// The daemon looks again, but what is not UTF-8 would not reach it as it was
	// typed: JSON puts something else in its place.
	return run, run.Validate()
}

// runOfFile loads a run file. What belongs to a single job cannot be said by a
// flag, because a file may have many.
func (c *cli) runOfFile(cmd *cobra.Command, args []string, s submission) (spec.Run, error) {
	if len(args) > 0 {
		return spec.Run{}, usage(cmd, "give either -f FILE or a command, not both")
	}
	for _, name := range []string{"dir", "timeout", "retries"} {
		if cmd.Flags().Changed(name) {
			return spec.Run{}, usage(cmd, "--%s belongs to one job: with -f write it into the file", name)
		}
	}
	var run spec.Run
	var err error
	if s.file == "-" {
		var dir string
		if dir, err = os.Getwd(); err == nil {
			run, err = spec.Read(c.stdin, "standard input", dir)
		}
	} else {
		run, err = spec.Load(s.file)
	}
	if err != nil {
		// A file that cannot be read is as much the caller's mistake as one that
		// cannot be understood.
		return spec.Run{}, &usageError{err: err}
	}
	return run, nil
}

// runOfCommand makes a run of one job, in the caller's directory.
func runOfCommand(cmd *cobra.Command, args []string, s submission) (spec.Run, error) {
	if len(args) == 0 {
		return spec.Run{}, usage(cmd, "say what to run: heroproc submit -- COMMAND [ARG...], or -f FILE")
	}
	if cmd.ArgsLenAtDash() != 0 {
		return spec.Run{}, usage(cmd, "put -- before the command: heroproc submit -- %s", strings.Join(args, " "))
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return spec.Run{}, fmt.Errorf("cannot tell the working directory: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return spec.Run{}, usage(cmd, "cannot use --dir: %w", err)
	} else if !info.IsDir() {
		return spec.Run{}, usage(cmd, "cannot use --dir: %s is not a directory", dir)
	}
	job := spec.Job{Action: spec.Action{Command: args, Dir: dir}}
	if cmd.Flags().Changed("timeout") {
		if s.timeout <= 0 {
			return spec.Run{}, usage(cmd, "--timeout must be more than 0, got %s", s.timeout)
		}
		job.Timeout = spec.Duration(s.timeout)
	}
	if s.retries < 0 {
		return spec.Run{}, usage(cmd, "--retries must not be negative, got %d", s.retries)
	}
	if s.retries > 0 {
		job.Retry = spec.NewRetry(s.retries + 1)
	}
	return spec.Run{Jobs: map[string]spec.Job{jobName(args[0]): job}}, nil
}

// jobName names a job after its program, so that a list of runs reads well; a
// program with an odd name is called "main".
func jobName(program string) string {
	name := filepath.Base(program)
	odd := func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r)
	}
	if len(name) > 64 || strings.Trim(name, ".") == "" || strings.ContainsFunc(name, odd) {
		return "main"
	}
	return name
}

// environment reads the values of --env.
func environment(cmd *cobra.Command, assignments []string) (map[string]string, error) {
	env := map[string]string{}
	for _, assignment := range assignments {
		name, value, given := strings.Cut(assignment, "=")
		if !given {
			if value, given = os.LookupEnv(name); !given {
				return nil, usage(cmd, "cannot pass on --env %s: it is not set here; give a value with %[1]s=...", name)
			}
		}
		if name == "" {
			return nil, usage(cmd, "--env takes K=V or K, got %q", assignment)
		}
		env[name] = value
	}
	return env, nil
}
