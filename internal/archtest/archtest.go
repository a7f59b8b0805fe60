// Package archtest holds the project to its import rule: imports point one way,
// from the command down to the packages that know nothing of ours.
//
//	bridge, detect, internal/expiring  <-  layers, layers/*  <-  mitm/*  <-  mitm  <-  cmd/mitm
//
// [Check] parses the files itself. A test that asks the go command instead is
// served from the test cache when only an import changed, and hides the violation
// that it was written for. Files named _test.go may import what they like.
//
// The rule is policy: the table in rules.go changes together with ARCHITECTURE.md.
package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// File is one Go source file: where it is, and what it imports.
type File struct {
	Path    string // slash-separated, relative to the module's root
	Imports []string
}

// Root returns the folder of the nearest go.mod at or above dir.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find go.mod: none at or above the working directory")
		}
		dir = parent
	}
}

// Module returns the module path that go.mod in root declares.
func Module(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("read go.mod: no module line")
}

// Files returns every Go file of the module in root that is not a test, whatever
// its build constraints. Nested modules, testdata and hidden folders are left out,
// as the go command leaves them out.
func Files(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && skipped(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		imports, err := parse(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, File{Path: filepath.ToSlash(rel), Imports: imports})
		return nil
	})
	return files, err
}

func skipped(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parse(name string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []string
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		imports = append(imports, imported)
	}
	return imports, nil
}

// Check returns one line for each import that breaks the rule, and one for each
// package that the rule does not know.
func Check(module string, files []File) []string {
	var violations []string
	for _, f := range files {
		dir := path.Dir(f.Path)
		r, ok := ruleFor(dir)
		if !ok {
			violations = append(violations, fmt.Sprintf("%s: no rule for package %s", f.Path, dir))
			continue
		}
		for _, imported := range f.Imports {
			if !r.allows(module, dir, imported) {
				violations = append(violations, fmt.Sprintf("%s: imports %s; %s may import %s", f.Path, imported, r.pkg, r))
			}
		}
	}
	return violations
}

// allows reports whether a file of the package in dir may import the named package.
func (r rule) allows(module, dir, imported string) bool {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		return matchAny(r.ours, ours) || within(ownTree(r.pkg, dir), ours)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return imported != "C" // no cgo: the command builds with CGO_ENABLED=0
	}
	if !r.tests && matchAny(testOnly, imported) {
		return false
	}
	return matchAny(r.third, imported)
}

// ownTree returns the folder below which a package's own sub-packages live, or ""
// when the rule names one package alone: layers/socks/... belongs to layers/socks.
func ownTree(pattern, dir string) string {
	if !strings.HasSuffix(pattern, "/*/...") {
		return ""
	}
	parts := strings.SplitN(dir, "/", 3)
	return path.Join(parts[0], parts[1])
}

func within(tree, name string) bool {
	return tree != "" && (name == tree || strings.HasPrefix(name, tree+"/"))
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, name) })
}

// match knows two wildcards: "*" is one element, and "/..." at the end is any
// number of further elements, none included. The pattern "..." matches everything.
func match(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	p, n := strings.Split(pattern, "/"), strings.Split(name, "/")
	if p[len(p)-1] == "..." {
		p = p[:len(p)-1]
		n = n[:min(len(n), len(p))]
	}
	return slices.EqualFunc(p, n, func(p, n string) bool { return p == "*" || p == n })
}
