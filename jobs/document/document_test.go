package document_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heroproc/heroproc/jobs/document"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// decode reads text as a file called name and returns the messages.
func decode(name, text string, into any) []string {
	doc, err := document.Parse(name, []byte(text))
	if err == nil {
		err = doc.Decode(into)
	}
	return messages(err)
}

func messages(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestRead(t *testing.T) {
	t.Parallel()

	t.Run("TellsTheFormatByTheText", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string]string{
			"\uFEFF \n{\"name\": \"json\",}": "-:2: is not JSON: invalid character '}' looking for beginning of object key string",
			"name: [":                        "-:1: is not YAML: did not find expected node content",
		} {
			_, err := document.Read(strings.NewReader(text), "-")
			if diff := cmp.Diff([]string{want}, messages(err)); diff != "" {
				t.Errorf("problems of %q (-want +got):\n%s", text, diff)
			}
		}
	})

	t.Run("LeavesTheByteOrderMarkOut", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"f.yaml", "f.json", "-"} {
			var got fleet
			if problems := decode(name, "\uFEFF{\"name\": \"x\"}", &got); problems != nil || got.Name != "x" {
				t.Errorf("%s: name %q, problems %q", name, got.Name, problems)
			}
		}
	})

	t.Run("ReadsNoMoreThanADocumentMayHave", func(t *testing.T) {
		t.Parallel()
		endless := iotest.OneByteReader(strings.NewReader(strings.Repeat("#", 64)))
		_, err := document.Read(io.MultiReader(endless, zeros{}), "-")
		if err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
			t.Errorf("error %v, want one about the size", err)
		}
	})

	t.Run("TellsWhyItCannotRead", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("pulled out")
		_, err := document.Read(iotest.ErrReader(broken), "-")
		if !errors.Is(err, broken) || err.Error() != "cannot read -: pulled out" {
			t.Errorf("error %q, want one that wraps %q", err, broken)
		}
	})
}

// zeros is an endless source.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestOpen(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	path := filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(path, []byte("port: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doc, err := document.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{path + ":1: port: expected a whole number, got a string"}
	if diff := cmp.Diff(want, messages(doc.Decode(&fleet{}))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}

	missing := filepath.Join(dir, "none.yaml")
	if _, err := document.Open(missing); !errors.Is(err, fs.ErrNotExist) || err.Error() != "cannot read "+missing+": no such file or directory" {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := document.Open(dir); err == nil || err.Error() != "cannot read "+dir+": is a directory" {
		t.Errorf("a directory: %v", err)
	}
}
