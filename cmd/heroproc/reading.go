package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// aboutID makes cmd a command about the one thing its argument names: it asks,
// and prints the answer, as it is with --json.
func aboutID[A any](
	c *cli, cmd *cobra.Command, ask func(*client.Client, context.Context, int64) (A, error), show func(A) error,
) *cobra.Command {
	var asJSON bool
	jsonFlag(cmd, &asJSON)
	cmd.Args = idArg
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseID(cmd, args[0])
		if err != nil {
			return err
		}
		api, err := c.client()
		if err != nil {
			return err
		}
		answer, err := ask(api, cmd.Context(), id)
		if err != nil {
			return err
		}
		if asJSON {
			return c.printJSON(answer)
		}
		return show(answer)
	}
	return cmd
}

// aPage makes cmd a command that lists: newest first and by pages, each with its
// rows in a table, or as it is with --json. show answers where the next page
// begins, 0 after the last.
func aPage[A any](
	c *cli, cmd *cobra.Command, ask func(*client.Client, context.Context, rpc.ListParams) (A, error), show func(A) (next int64, err error),
) *cobra.Command {
	var page rpc.ListParams
	var asJSON bool
	cmd.Flags().IntVar(&page.Limit, "limit", 50, "at most this many, up to 1000")
	cmd.Flags().Int64Var(&page.Before, "before", 0, "only those before this id")
	jsonFlag(cmd, &asJSON)
	cmd.Args = noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := c.client()
		if err != nil {
			return err
		}
		answer, err := ask(api, cmd.Context(), page)
		if err != nil {
			return err
		}
		if asJSON {
			return c.printJSON(answer)
		}
		next, err := show(answer)
		if err == nil && next != 0 {
			fmt.Fprintf(c.stderr, "there are more: %s --limit %d --before %d\n", c.line(cmd.CommandPath()), page.Limit, next)
		}
		return err
	}
	return cmd
}
