package db_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// generated parses the generated files.
func generated(t *testing.T) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob("internal/dbsqlc/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %v, %v", paths, err)
	}
	var files []*ast.File
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// typeNames answers the exported types that a file declares.
func typeNames(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		for _, spec := range group.Specs {
			if name := spec.(*ast.TypeSpec).Name; name.IsExported() {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// TestEveryGeneratedTypeHasAnAlias keeps the packages above from needing the
// generated one.
func TestEveryGeneratedTypeHasAnAlias(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "types.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	aliases := map[string]bool{"DBTX": true} // how the queries reach SQLite is this package's business
	for _, name := range typeNames(file) {
		aliases[name] = true
	}
	var missing []string
	for _, file := range generated(t) {
		for _, name := range typeNames(file) {
			if !aliases[name] {
				missing = append(missing, "\t"+name+" = dbsqlc."+name)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("types.go lacks:\n%s", strings.Join(missing, "\n"))
	}
}
