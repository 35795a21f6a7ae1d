package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrintTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &cli{stdout: &out}
	err := c.printTable([]string{"ID", "NAME", "STATE"}, [][]cell{
		{text(1), text("größer"), state("succeeded")},
		{text(20), text("a\x1b[2Jb\n"), {}},
	})
	const want = "ID  NAME         STATE\n" +
		"1   größer       succeeded\n" +
		"20  a\\x1b[2Jb\\n\n"
	if diff := cmp.Diff(want, out.String()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestPaint(t *testing.T) {
	t.Parallel()
	if got := paint(state("failed"), true); got != "\x1b[31mfailed\x1b[0m" {
		t.Errorf("with colours: got %q", got)
	}
	if got := paint(state("failed"), false); got != "failed" {
		t.Errorf("without: got %q", got)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 10 << 30: "10.0 GiB"} {
		if got := bytes(n).text; got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
