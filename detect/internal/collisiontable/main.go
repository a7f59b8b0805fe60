// Command collisiontable writes COLLISIONS.md in the folder of package detect: the detectors in order of priority, and
// which of them may match the same bytes. Run it with go generate.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

func main() {
	log.SetFlags(0)
	table, err := render(".")
	if err == nil {
		err = os.WriteFile("COLLISIONS.md", table, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}

const intro = `# Which detectors there are, and which may collide

<!-- Written by go generate ./detect; a test fails when it is stale. -->

Detectors are asked in this order, and the first match counts as soon as none before it is undecided. *Limit* is the most
bytes that a detector wants to see. The *weak* ones know a protocol by a word at the start of a line, so that text of
another protocol may look the same. Two detectors match the same bytes only where the last table says so: the tests hold
all others to it, on all their samples and under fuzzing.
`

// family is a list of detectors that are asked together, and the function of package detect that returns it.
type family struct {
	title, list string
	detectors   []detect.Detector
}

func families() []family {
	return []family{
		{"What a client says first", "Clients", detect.Clients()},
		{"What a server says first", "Servers", detect.Servers()},
		{"A client's first datagram", "Datagrams", detect.Datagrams()},
	}
}

// render returns the file, with what the documentation in the folder dir says of each detector.
func render(dir string) ([]byte, error) {
	src, err := read(dir)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(intro)
	for _, f := range families() {
		constructors, err := src.calls(f.list)
		if err != nil {
			return nil, err
		}
		if len(constructors) != len(f.detectors) {
			return nil, fmt.Errorf("%s returns %d detectors, and its source names %d", f.list, len(f.detectors), len(constructors))
		}
		fmt.Fprintf(&out, "\n## %s: `%s()`\n\n| | name | limit | weak | made by | what it is |\n|---|---|---|---|---|---|\n", f.title, f.list)
		for i, d := range f.detectors {
			c := src.funcs[constructors[i]]
			what := strings.TrimPrefix(c.synopsis, constructors[i]+" detects ")
			fmt.Fprintf(&out, "| %d | %s | %d | %s | [`%s`](%s) | %s |\n", i+1, d.Name, d.MaxBytes(), mark(d.Weak), constructors[i], c.file, what)
		}
	}
	out.WriteString("\n## Pairs that may match the same bytes: `Collisions()`\n\n| first | second | why |\n|---|---|---|\n")
	for _, c := range detect.Collisions() {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", c.First, c.Second, c.Why)
	}
	return out.Bytes(), nil
}

func mark(weak bool) string {
	if weak {
		return "weak"
	}
	return ""
}

// source is what the generator takes from the files of package detect: its functions.
type source struct{ funcs map[string]function }

type function struct {
	decl     *ast.FuncDecl
	file     string // without a folder
	synopsis string // of its documentation, the first sentence
}

func read(dir string) (source, error) {
	src := source{funcs: map[string]function{}}
	files, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil {
		return src, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments)
		if err != nil {
			return src, err
		}
		for _, d := range f.Decls {
			if decl, ok := d.(*ast.FuncDecl); ok && decl.Recv == nil {
				src.funcs[decl.Name.Name] = function{decl, name, synopsis(decl)}
			}
		}
	}
	return src, nil
}

// synopsis is the first sentence of a function's documentation, with links to others as code.
func synopsis(f *ast.FuncDecl) string {
	return strings.NewReplacer("[", "`", "]", "`").Replace(new(doc.Package).Synopsis(f.Doc.Text()))
}

// calls returns which functions are called for the elements of the list that a function returns.
func (s source) calls(list string) ([]string, error) {
	f, ok := s.funcs[list]
	if !ok {
		return nil, fmt.Errorf("find %s: no such function", list)
	}
	var names []string
	ast.Inspect(f.decl.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if name, ok := call.Fun.(*ast.Ident); ok {
				names = append(names, name.Name)
			}
		}
		return true
	})
	return names, nil
}
