package spec

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/heroproc/heroproc/jobs/document"
)

// Load reads the run file at path, in the format its extension names. Relative
// directories in it are relative to its own directory, which is also the
// directory of jobs that name none. What is wrong with the file is reported all
// at once, as [document.Problems]; a file that cannot be read is the operating
// system's error.
func Load(path string) (Run, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return Run{}, fmt.Errorf("cannot tell where %s is: %w", path, err)
	}
	doc, err := document.Open(path)
	if err != nil {
		return Run{}, err
	}
	return load(doc, filepath.Dir(absolute))
}

// Read is Load for a document that is no file, such as standard input. The name
// is for messages; dir, which is absolute, takes the place of the run file's own
// directory.
func Read(r io.Reader, name, dir string) (Run, error) {
	doc, err := document.Read(r, name)
	if err != nil {
		return Run{}, err
	}
	return load(doc, dir)
}

func load(doc *document.Document, dir string) (Run, error) {
	var run Run
	err := doc.Decode(&run)
	run.resolve(dir)
	run.FillIn()
	if err := document.Join(err, run.Validate()); err != nil {
		return Run{}, doc.Locate(err)
	}
	return run, nil
}

// resolve makes the run's directories absolute, seen from dir.
func (r *Run) resolve(dir string) {
	r.Dir = within(dir, r.Dir)
	for name, job := range r.Jobs {
		if job.Dir != "" {
			job.Dir = within(dir, job.Dir)
			r.Jobs[name] = job
		}
	}
}

// within is path seen from dir. A path that begins with a tilde stays as it is,
// for Validate to refuse: only shells know what it means.
func within(dir, path string) string {
	if filepath.IsAbs(path) || len(path) > 0 && path[0] == '~' {
		return path
	}
	return filepath.Join(dir, path)
}
