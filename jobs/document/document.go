package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// MaxBytes bounds the text of a document that is read from a file or a pipe.
	// 10,000 jobs, the most a run may have, take about 1 MiB.
	MaxBytes = 4 << 20
	// MaxDepth bounds how deep values lie inside one another. The deepest document
	// heroproc knows needs 8.
	MaxDepth = 64
)

// Document is a text that has been understood as far as its format goes.
type Document struct {
	// File is the name that problems are reported under.
	File string
	// Root is the whole document as a value.
	Root Value
}

// Open reads the file at path. A file that cannot be read is the operating
// system's error with the path; one that cannot be understood is Problems.
func Open(path string) (*Document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	defer func() { _ = file.Close() }()
	return Read(file, path)
}

// Read reads a document that is called name, to its end. The extension of name
// tells the format: .yaml, .yml, .json or .toml. A name without an extension, as
// standard input has, leaves it to the first line that says something: JSON
// begins with a brace, TOML with a table or a key and an equals sign, all else is
// YAML.
func Read(r io.Reader, name string) (*Document, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, cannotRead(name, err)
	}
	return Parse(name, text)
}

// Parse understands text as a document that is called name; see Read.
func Parse(name string, text []byte) (*Document, error) {
	parse, problem := format(name, text)
	if problem == nil {
		problem = checkText(text)
	}
	var root Value
	if problem == nil {
		// An UTF-8 byte order mark is harmless and invisible; editors leave it.
		root, problem = parse(bytes.TrimPrefix(text, []byte("\uFEFF")))
	}
	if problem != nil {
		problem.File = name
		return nil, Problems{*problem}
	}
	return &Document{File: name, Root: root}, nil
}

// JSON fills into, which is a pointer, from the JSON text of a call's
// parameters. Problems have paths and no lines. It knows no size limit: the
// caller has read the text and has one.
func JSON(text []byte, into any) error {
	if !utf8.Valid(text) {
		return Problems{{Text: "is not valid UTF-8"}}
	}
	root, problem := parseJSON(text, nil)
	if problem != nil {
		return Problems{*problem}
	}
	return root.Decode(into)
}

// Decode fills into, which is a pointer, and reports every problem with its
// place as Problems in the order of the text. What could be read is filled in
// even then, so that the result can still be checked; see [Join].
func (d *Document) Decode(into any) error {
	problems := decode(&d.Root, into)
	for i := range problems {
		problems[i].File = d.File
	}
	problems.sort()
	return problems.Err()
}

// Locate gives the document's name to Problems that have none, and the line of
// their path to those that have no line: of the path itself where the document
// has it, of what surrounds it otherwise. Other errors are returned as they are.
func (d *Document) Locate(err error) error {
	var problems Problems
	if !errors.As(err, &problems) {
		return err
	}
	places := map[Path]place{}
	d.Root.places("", places)
	for i := range problems {
		p := &problems[i]
		p.File = d.File
		for path, ok := p.Path, true; p.Line == 0 && ok; path, ok = path.parent() {
			at := places[path]
			p.Line, p.Column = int(at.line), int(at.column)
		}
	}
	problems.sort()
	return problems
}

// places collects where everything below v begins. A member begins with its
// name.
func (v *Value) places(path Path, into map[Path]place) {
	if _, ok := into[path]; !ok {
		into[path] = v.place
	}
	for i := range v.items {
		v.items[i].places(path.Index(i), into)
	}
	for i := range v.members {
		m := &v.members[i]
		path := path.Key(m.name)
		if _, ok := into[path]; !ok {
			into[path] = m.place
		}
		m.value.places(path, into)
	}
}

// format finds the parser by the document's name, or by its text where the name
// has no extension.
func format(name string, text []byte) (func([]byte) (Value, *Problem), *Problem) {
	switch extension := strings.ToLower(filepath.Ext(name)); extension {
	case ".json":
		return parseJSONFile, nil
	case ".toml":
		return parseTOML, nil
	case ".yaml", ".yml":
		return parseYAML, nil
	case "":
		return sniff(text), nil
	default:
		return nil, &Problem{Text: fmt.Sprintf("the extension %s names no known format; use .yaml, .yml, .toml or .json", clip(extension))}
	}
}

// tomlLine is a line that begins a TOML document and no YAML mapping: a table,
// or a key and an equals sign.
var tomlLine = regexp.MustCompile(`^(\[|[A-Za-z0-9_."' -]+=)`)

// sniff finds the parser by the first line that says something.
func sniff(text []byte) func([]byte) (Value, *Problem) {
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\uFEFF"))) {
		switch line = bytes.TrimSpace(line); {
		case len(line) == 0 || line[0] == '#':
		case line[0] == '{':
			return parseJSONFile
		case tomlLine.Match(line):
			return parseTOML
		default:
			return parseYAML
		}
	}
	return parseYAML
}

// checkText refuses what is no document in any format, before a parser is
// puzzled by it.
func checkText(text []byte) *Problem {
	if len(text) > MaxBytes {
		return &Problem{Text: fmt.Sprintf("is larger than %d MiB, the most a document may have", MaxBytes>>20)}
	}
	if bytes.HasPrefix(text, []byte{0xFF, 0xFE}) || bytes.HasPrefix(text, []byte{0xFE, 0xFF}) {
		return &Problem{Line: 1, Column: 1, Text: "is UTF-16; save it as UTF-8"}
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return problemAt(newLines(text).place(i), "is not text: it has a zero byte here")
	}
	if !utf8.Valid(text) {
		i := 0 // the first byte that begins no character
		for {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		return problemAt(newLines(text).place(i), fmt.Sprintf("is not UTF-8: it has the byte 0x%02X here; save it as UTF-8", text[i]))
	}
	return nil
}

// cannotRead wraps an error of the operating system without saying "open" and
// the path twice.
func cannotRead(name string, err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("cannot read %s: %w", name, err)
}

func problemAt(at place, text string) *Problem {
	return &Problem{Line: int(at.line), Column: int(at.column), Text: text}
}
