package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/supervisor/api/client"
)

// cli is what every command needs: where to read and write, and the flags that
// all of them share.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// homeFlag is --home as it was given; empty means the default.
	homeFlag string
}

// run parses and executes one command line and answers the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if message := errorMessage(err); message != "" {
		fmt.Fprintf(stderr, "heroproc: %s\n", message)
	}
	return exitCode(err)
}

// rootCommand is the tree of everything that can be typed. `heroproc help` and
// the completion are generated from it.
func (c *cli) rootCommand() *cobra.Command {
	root := group("heroproc", "Keeps services alive, runs jobs, remembers everything",
		c.daemonCommand(),
		c.executorCommand(),
		c.submitCommand(),
		c.runCommand(),
		c.jobCommand(),
		c.logsCommand(),
		c.shutdownCommand(),
		c.rpcCommand(),
		c.versionCommand(),
	)
	root.Long = `heroproc keeps services alive, runs jobs and remembers everything in one SQLite file.

Start the daemon with "heroproc daemon", then submit something to it:
  heroproc submit --follow -- echo hello`
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	root.PersistentFlags().StringVar(&c.homeFlag, "home", "",
		"home directory (default: that of $HEROPROC_SOCKET, $HEROPROC_HOME, "+rootHome+
			" for root, $XDG_STATE_HOME/heroproc, ~/.local/state/heroproc)")
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	for _, sub := range root.Commands() {
		if sub.Name() == "completion" {
			onlyHolds(sub)
		}
	}
	return root
}

// helpCommand explains a command. Unlike the one cobra brings it refuses what
// is none.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			explained, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(explained, rest[0])
			}
			explained.InitDefaultHelpFlag()
			return explained.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			explained, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names(explained), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	onlyHolds(cmd)
	cmd.AddCommand(commands...)
	return cmd
}

// onlyHolds makes cmd refuse words that are none of its commands. Cobra would
// answer them with the help text and success.
func onlyHolds(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		if cmd.HasParent() {
			return usage(cmd, "say which: %s", strings.Join(names(cmd), ", "))
		}
		return cmd.Help()
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usage(cmd, "there is no command %q; did you mean %s?", cmd.CommandPath()+" "+name, strings.Join(near, " or "))
	}
	return usage(cmd, "there is no command %q", cmd.CommandPath()+" "+name)
}

// names lists the commands of a group that a person may type.
func names(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	slices.Sort(names)
	return names
}

// noArgs refuses arguments, with a hint instead of a page of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, "takes no argument, got %q", args[0])
	}
	return nil
}

// idArg wants exactly one id, such as that of a run.
func idArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(cmd, "takes one id, got %d arguments", len(args))
	}
	_, err := parseID(cmd, args[0])
	return err
}

// parseID reads the id of a run or a job: a positive integer.
func parseID(cmd *cobra.Command, text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, usage(cmd, "an id is a positive whole number such as 12, got %q", text)
	}
	return id, nil
}

// client answers a client of the daemon of this home. It connects with the
// first call.
func (c *cli) client() (*client.Client, error) {
	home, err := c.home()
	if err != nil {
		return nil, err
	}
	return client.New(home.Socket()), nil
}

// line is a command line to be copied: it names the home where this one did.
func (c *cli) line(command string) string {
	if c.homeFlag == "" {
		return command
	}
	return "heroproc --home " + c.homeFlag + strings.TrimPrefix(command, "heroproc")
}

// home resolves where everything is.
func (c *cli) home() (Home, error) { return ResolveHome(c.homeFlag, os.Getenv, os.Geteuid()) }
