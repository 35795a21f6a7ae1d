package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what this source is, after Semantic Versioning.
const version = "0.1.0"

// versionInfo says which heroproc this is.
type versionInfo struct {
	Version string `json:"version"`
	// Commit is the revision it was built from; empty when the build knew none.
	Commit string `json:"commit,omitempty"`
	Go     string `json:"go"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
}

func thisVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range build.Settings {
			if setting.Key == "vcs.revision" {
				v.Commit = setting.Value
			}
		}
	}
	return v
}

func (v versionInfo) String() string {
	text := fmt.Sprintf("heroproc %s (%s %s/%s", v.Version, v.Go, v.OS, v.Arch)
	if v.Commit != "" {
		text += " " + v.Commit[:min(12, len(v.Commit))]
	}
	return text + ")"
}

func (c *cli) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show which heroproc this is",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return c.printJSON(thisVersion())
			}
			_, err := fmt.Fprintln(c.stdout, thisVersion())
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
