package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

func (c *cli) rpcCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rpc METHOD [JSON]",
		Short:   "Make one raw call and print its result as JSON",
		Example: `  heroproc rpc run.list '{"limit": 5}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage(cmd, "takes a method and at most one JSON document, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var params any
			if len(args) == 2 {
				if !json.Valid([]byte(args[1])) {
					return usage(cmd, "the parameters are not JSON: %s", args[1])
				}
				params = json.RawMessage(args[1])
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			var result json.RawMessage
			if err := api.Call(cmd.Context(), args[0], params, &result); err != nil {
				return err
			}
			return c.printJSON(result)
		},
	}
}
