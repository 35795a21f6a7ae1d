package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/heroproc/heroproc/jobs/document"
)

// Settings is what can be chosen about the daemon itself. Each comes from the
// last of these that names it: its default, the `daemon:` block of the
// configuration files in their order, the environment, a flag.
type Settings struct {
	Queue struct {
		// Slots is how many jobs run at once.
		Slots int `json:"slots"`
	} `json:"queue"`
	Log struct {
		// Level is the least urgent thing the daemon logs of itself.
		Level slog.Level `json:"level"`
		// Format is how it logs: auto, text or json.
		Format string `json:"format"`
		// AttemptBudget is how many bytes of one attempt's output are kept.
		AttemptBudget int64 `json:"attempt_budget"`
		// TotalBudget is how many bytes all output may take together. An executor
		// takes it when it starts, and outlives the daemon that chose it.
		TotalBudget int64 `json:"total_budget"`
	} `json:"log"`
}

// settingsFile is the shape of a configuration file: what a person writes,
// before it is read as a setting.
type settingsFile struct {
	Daemon struct {
		Queue struct {
			Slots int `json:"slots"`
		} `json:"queue"`
		Log struct {
			Level         string `json:"level"`
			Format        string `json:"format"`
			AttemptBudget string `json:"attempt_budget" hint:"write \"64MiB\""`
			TotalBudget   string `json:"total_budget" hint:"write \"10GiB\""`
		} `json:"log"`
	} `json:"daemon"`
}

// setting is one of the Settings, wherever it is written: as queue.slots in a
// file, HEROPROC_DAEMON_QUEUE_SLOTS in the environment, --queue-slots as a flag.
type setting struct {
	path, help, standard string
	// read turns what was written into the setting's value, or says what would be
	// right.
	read func(text string) (any, error)
}

// settingsTable is all there is to set. Everything that reads, checks or
// explains a setting goes by it.
func settingsTable() []setting {
	return []setting{
		{"queue.slots", "how many jobs run at once (default: the number of CPUs)", strconv.Itoa(runtime.GOMAXPROCS(0)), readSlots},
		{"log.level", "least urgent thing to log: debug, info, warn or error", "info", readLevel},
		{"log.format", "how to log: text, json, or auto (coloured on a terminal, else text)", "auto", readFormat},
		{"log.attempt_budget", "bytes of output kept of one attempt, such as 64MiB", "64MiB", readSize},
		{"log.total_budget", "bytes of output kept altogether, such as 10GiB", "10GiB", readSize},
	}
}

func (s setting) variable() string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

func (s setting) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.path)
}

const (
	environmentPrefix = "HEROPROC_DAEMON_"
	// maxSlots bounds the processes of jobs at once; beyond some thousands the
	// kernel's limits are met first.
	maxSlots = 10_000
	// minBudget is the least output worth keeping: below it an attempt would have
	// hardly more than the notice of what was dropped.
	minBudget = 1 << 20
	// pathDelimiter joins the names of a path. No setting has a dot in its name,
	// and files with other names were refused before they get here.
	pathDelimiter = "."
)

func readSlots(text string) (any, error) {
	slots, err := strconv.Atoi(text)
	if err != nil || slots < 1 || slots > maxSlots {
		return nil, fmt.Errorf("expected a whole number from 1 to %d, got %q", maxSlots, text)
	}
	return slots, nil
}

func readLevel(text string) (any, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, known := levels[text]
	if !known {
		return nil, fmt.Errorf("expected debug, info, warn or error, got %q", text)
	}
	return level, nil
}

func readFormat(text string) (any, error) {
	if !slices.Contains([]string{"auto", "text", "json"}, text) {
		return nil, fmt.Errorf("expected auto, text or json, got %q", text)
	}
	return text, nil
}

// readSize reads a number of bytes with a binary unit, such as 64MiB.
func readSize(text string) (any, error) {
	digits := strings.TrimRight(text, "KMGTiB")
	units := map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
	shift, known := units[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 1 || n > 1<<62>>shift {
		return nil, fmt.Errorf("expected a size such as 64MiB or 10GiB, got %q", text)
	}
	if n<<shift < minBudget {
		return nil, fmt.Errorf("expected at least 1MiB, got %q", text)
	}
	return n << shift, nil
}

// addSettingFlags adds a flag for every setting.
func addSettingFlags(flags *pflag.FlagSet) {
	for _, s := range settingsTable() {
		flags.String(s.flag(), "", s.help)
	}
}

// LoadSettings reads the settings from everywhere they may be written. What is
// wrong with files is told all at once.
func LoadSettings(files []string, environ []string, flags *pflag.FlagSet) (Settings, error) {
	var settings Settings
	layers := koanf.New(pathDelimiter)
	for _, load := range []func() (map[string]any, error){
		readDefaults,
		func() (map[string]any, error) { return readFiles(files) },
		func() (map[string]any, error) { return readEnvironment(environ) },
		func() (map[string]any, error) { return readFlags(flags) },
	} {
		values, err := load()
		if err != nil {
			return settings, err
		}
		if err := layers.Load(confmap.Provider(values, pathDelimiter), nil); err != nil {
			return settings, fmt.Errorf("cannot merge settings: %w", err)
		}
	}
	// Every value has its type by now: nothing is converted, nothing is guessed.
	err := layers.UnmarshalWithConf("", &settings, koanf.UnmarshalConf{
		DecoderConfig: &mapstructure.DecoderConfig{TagName: "json", ErrorUnused: true, ErrorUnset: true},
	})
	return settings, err
}

func readDefaults() (map[string]any, error) {
	values := map[string]any{}
	for _, s := range settingsTable() {
		value, err := s.read(s.standard)
		if err != nil {
			return nil, fmt.Errorf("the default of %s: %w", s.path, err)
		}
		values[s.path] = value
	}
	return values, nil
}

// readFiles reads the `daemon:` blocks of files and directories; a later file
// wins.
func readFiles(names []string) (map[string]any, error) {
	values := map[string]any{}
	var problems document.Problems
	for _, name := range names {
		paths, err := configurationFiles(name)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			found, err := readFile(path, values)
			if err != nil {
				return nil, err
			}
			problems = append(problems, found...)
		}
	}
	return values, problems.Err()
}

// configurationFiles answers the file itself, or the files of a directory in
// the order of their names.
func configurationFiles(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, badInput("cannot read the configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, badInput("cannot read the configuration: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if !entry.IsDir() && parserFor(entry.Name()) != nil {
			paths = append(paths, filepath.Join(name, entry.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, badInput("cannot read the configuration: no .yaml, .yml, .toml or .json file is in %s", name)
	}
	return paths, nil
}

func parserFor(path string) koanf.Parser {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return yaml.Parser()
	case ".toml":
		return toml.Parser()
	case ".json":
		return json.Parser()
	default:
		return nil
	}
}

// readFile adds the settings of one file to values and answers what is wrong
// with it.
func readFile(path string, values map[string]any) (document.Problems, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, badInput("cannot read the configuration: %w", err)
	}
	parser := parserFor(path)
	if parser == nil {
		return nil, badInput("cannot read the configuration %s: its name must end in .yaml, .yml, .toml or .json", path)
	}
	parsed, err := document.Parse(path, text)
	var problems document.Problems
	if errors.As(err, &problems) {
		return problems, nil
	}
	file := koanf.New(pathDelimiter)
	if err := file.Load(rawbytes.Provider(text), parser); err != nil {
		return nil, badInput("cannot read the configuration %s: %w", path, err)
	}
	var wrong document.Problems
	for _, s := range settingsTable() {
		full := "daemon" + pathDelimiter + s.path
		if !file.Exists(full) {
			continue
		}
		value, err := s.read(file.String(full))
		if err != nil {
			wrong.Add(document.Problem{Path: document.Path(full), Text: err.Error()})
			continue
		}
		values[s.path] = value
	}
	shape := parsed.Decode(new(settingsFile))
	errors.As(parsed.Locate(document.Join(shape, wrong.Err())), &problems)
	return problems, nil
}

// readEnvironment reads HEROPROC_DAEMON_…; a name that is no setting is refused
// like an unknown key of a file.
func readEnvironment(environ []string) (map[string]any, error) {
	values := map[string]any{}
	for _, assignment := range environ {
		name, text, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, environmentPrefix) {
			continue
		}
		table := settingsTable()
		i := slices.IndexFunc(table, func(s setting) bool { return s.variable() == name })
		if i < 0 {
			return nil, badInput("the environment has %s, which is no setting of the daemon", name)
		}
		value, err := table[i].read(text)
		if err != nil {
			return nil, badInput("the environment's %s: %w", name, err)
		}
		values[table[i].path] = value
	}
	return values, nil
}

func readFlags(flags *pflag.FlagSet) (map[string]any, error) {
	values := map[string]any{}
	for _, s := range settingsTable() {
		flag := flags.Lookup(s.flag())
		if !flag.Changed {
			continue
		}
		value, err := s.read(flag.Value.String())
		if err != nil {
			return nil, badInput("--%s: %w", s.flag(), err)
		}
		values[s.path] = value
	}
	return values, nil
}
