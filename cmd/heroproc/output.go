package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// jsonFlag adds --json, which every reading command has.
func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print one JSON document instead of a table")
}

// printJSON prints one document, indented for people who look at it.
func (c *cli) printJSON(v any) error {
	encoder := json.NewEncoder(c.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// style is how a cell looks on a terminal: the parameter of an SGR sequence.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// cell is a piece of text in a table.
type cell struct {
	text  string
	style style
}

// text makes a plain cell of any value.
func text(v any) cell { return cell{text: fmt.Sprint(v)} }

// number makes a cell of an integer, empty for 0.
func number(n int64) cell {
	if n == 0 {
		return cell{}
	}
	return text(n)
}

// state makes a cell of a state, coloured by what it means.
func state(name string) cell {
	styles := map[string]style{
		"succeeded": green, "failed": red, "cancelled": yellow, "skipped": yellow,
		"running": cyan, "starting": cyan, "waiting": faint, "queued": faint,
	}
	return cell{name, styles[name]}
}

// printTable prints rows below their titles, the columns aligned. Padding is
// counted before colours are added, because a terminal does not show them.
func (c *cli) printTable(titles []string, rows [][]cell) error {
	header := make([]cell, len(titles))
	for i, title := range titles {
		header[i] = cell{title, bold}
	}
	return c.printAligned(append([][]cell{header}, rows...))
}

// printFacts prints names and values, leaving out what has no value.
func (c *cli) printFacts(facts [][]cell) error {
	var known [][]cell
	for _, fact := range facts {
		if fact[1].text != "" {
			known = append(known, fact)
		}
	}
	return c.printAligned(known)
}

// printAligned prints rows with their columns aligned.
func (c *cli) printAligned(rows [][]cell) error {
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i].text = printable(row[i].text)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	colours := hasColours(c.stdout)
	var out strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(paint(cell, colours))
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.text)))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(c.stdout, out.String())
	return err
}

func paint(c cell, colours bool) string {
	if !colours || c.style == plain || c.text == "" {
		return c.text
	}
	return "\x1b[" + string(c.style) + "m" + c.text + "\x1b[0m"
}

// printable keeps a cell on its line and the terminal as it is: control
// characters in names and commands are shown, not obeyed.
func printable(text string) string {
	if !strings.ContainsFunc(text, isUnprintable) {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

// hasColours says whether out is a terminal whose user has nothing against
// colours (https://no-color.org).
func hasColours(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// moment shows a time in the zone of the reader.
func moment(t *rpc.Time) cell {
	if t == nil {
		return cell{}
	}
	return text(t.Local().Format(time.DateTime))
}

// span shows how long something took or, with no end, takes by now.
func span(from, to *rpc.Time, now time.Time) cell {
	if from == nil {
		return cell{}
	}
	if to != nil {
		now = to.Time
	}
	return text(rounded(now.Sub(from.Time)))
}

// rounded drops the digits of a duration that nobody reads.
func rounded(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Second)
	}
}

// ending shows the exit code or the signal of a process; empty while neither is
// known.
func ending(code, signal *int64) cell {
	switch {
	case signal != nil && *signal != 0:
		return cell{signalName(*signal), red}
	case code == nil:
		return cell{}
	case *code == 0:
		return text(0)
	default:
		return cell{strconv.FormatInt(*code, 10), red}
	}
}

func signalName(signal int64) string {
	if name := unix.SignalName(syscall.Signal(signal)); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", signal)
}

// milliseconds shows a time spent, empty for none.
func milliseconds(ms int64) cell {
	if ms == 0 {
		return cell{}
	}
	return text(rounded(time.Duration(ms) * time.Millisecond))
}

// bytes shows a size in the largest unit of which there is at least one, empty
// for none.
func bytes(n int64) cell {
	const units = "KMGTPE"
	switch {
	case n <= 0:
		return cell{}
	case n < 1024:
		return text(fmt.Sprintf("%d B", n))
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return text(fmt.Sprintf("%.1f %ciB", value, units[unit]))
}
