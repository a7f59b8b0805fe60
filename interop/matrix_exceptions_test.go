package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// An outcome is what became of a cell.
type outcome struct {
	cell
	direct  error // why the pair does not work without us; then it was not bridged
	bridged error // why it was not bridged as it should be
}

// An exception says that some cells can't be bridged with the client's own hello. That
// they are bridged is not excepted.
type exception struct{ pattern, reason, reference string }

// matches reports whether a cell is meant: each word of the pattern is the cell's, or a
// list with commas that has it, or * for any.
func (e exception) matches(c cell) bool {
	words := strings.Split(c.String(), "/")
	for i, allowed := range strings.Split(e.pattern, "/") {
		if allowed != "*" && !slices.Contains(strings.Split(allowed, ","), words[i]) {
			return false
		}
	}
	return true
}

// checkPattern finds words that no cell has.
func checkPattern(pattern string) error {
	words := strings.Split(pattern, "/")
	values := dimensions()
	if len(words) != len(values) {
		return fmt.Errorf("pattern %q: %d words, want %d", pattern, len(words), len(values))
	}
	for i := range words {
		for word := range strings.SplitSeq(words[i], ",") {
			if word != "*" && !slices.Contains(values[i], word) {
				return fmt.Errorf("pattern %q: there is no %s", pattern, word)
			}
		}
	}
	return nil
}

// readExceptions reads lines of three columns between bars: a pattern of cells, the
// reason, and where it is documented.
func readExceptions(text string) ([]exception, error) {
	var list []exception
	for line := range entries(text) {
		columns := strings.Split(line, "|")
		if len(columns) != 3 {
			return nil, fmt.Errorf("exception %q: %d columns, want 3", line, len(columns))
		}
		for i := range columns {
			if columns[i] = strings.TrimSpace(columns[i]); columns[i] == "" {
				return nil, fmt.Errorf("exception %q: column %d is empty", line, i+1)
			}
		}
		e := exception{columns[0], columns[1], columns[2]}
		if err := checkPattern(e.pattern); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// readCells reads a cell from each line.
func readCells(text string) ([]cell, error) {
	var cells []cell
	for line := range entries(text) {
		c, err := parseCell(line)
		if err != nil {
			return nil, err
		}
		cells = append(cells, c)
	}
	return cells, nil
}

// entries yields the lines that are neither empty nor comments.
func entries(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

// judgeMatrix returns what is wrong with a run. A whole run also finds exceptions that no
// cell needs.
func judgeMatrix(outcomes []outcome, exceptions []exception, whole bool) []string {
	var wrong []string
	needed := make([]bool, len(exceptions))
	for _, o := range outcomes {
		i := slices.IndexFunc(exceptions, func(e exception) bool { return e.matches(o.cell) })
		switch why := o.unable(); {
		case o.direct != nil && why == "":
			wrong = append(wrong, fmt.Sprintf("%s: does not work without us: %v", o.cell, o.direct))
		case o.direct == nil && why != "":
			wrong = append(wrong, fmt.Sprintf("%s: works without us, but: %s", o.cell, why))
		case o.direct != nil:
		case o.bridged != nil && (i < 0 || !isOtherHello(o.bridged)):
			wrong = append(wrong, fmt.Sprintf("%s: %v", o.cell, o.bridged))
		case o.bridged == nil && i >= 0:
			wrong = append(wrong, fmt.Sprintf("%s: is bridged, but an exception says: %s", o.cell, exceptions[i].reason))
		case i >= 0:
			needed[i] = true
		}
	}
	for i, e := range exceptions {
		if whole && !needed[i] {
			wrong = append(wrong, fmt.Sprintf("exception %s: no cell needs it", e.pattern))
		}
	}
	return wrong
}

func isOtherHello(err error) bool {
	_, ok := errors.AsType[*otherHello](err)
	return ok
}

// matrixExceptions are those that are committed.
func matrixExceptions(t *testing.T) []exception {
	t.Helper()
	list, err := readExceptions(readText(t, "testdata/matrix-exceptions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestARunIsJudged(t *testing.T) {
	bad, other := os.ErrInvalid, &otherHello{"another hello"}
	works := cell{"curl", "nginx", "1.3", "rsa", "h2", "direct"}
	works2 := works
	works2.path = "socks5"
	unable := cell{"wget", "nginx", "1.3", "rsa", "h2", "direct"}
	curl := exception{"curl/nginx/*/*/*/*", "so it is", "RFC"}
	tests := []struct {
		name       string
		outcomes   []outcome
		exceptions []exception
		whole      bool
		want       []string
	}{
		{"all is well", []outcome{{works, nil, nil}, {unable, bad, nil}}, nil, true, nil},
		{"a cell fails", []outcome{{works, nil, bad}}, nil, false, []string{"curl/nginx/1.3/rsa/h2/direct: invalid argument"}},
		{"a cell has another hello", []outcome{{works, nil, other}}, nil, false, []string{"curl/nginx/1.3/rsa/h2/direct: another hello"}},
		{"a cell has another hello, as is known", []outcome{{works, nil, other}}, []exception{curl}, true, nil},
		{"a cell that is excepted fails otherwise", []outcome{{works2, nil, other}, {works, nil, bad}}, []exception{curl}, true, []string{"curl/nginx/1.3/rsa/h2/direct: invalid argument"}},
		{"another cell fails", []outcome{{works, nil, bad}}, []exception{{"curl/go/*/*/*/*", "x", "x"}}, false, []string{"curl/nginx/1.3/rsa/h2/direct: invalid argument"}},
		{"an exception is bridged", []outcome{{works, nil, nil}, {works2, nil, other}}, []exception{curl}, true, []string{"curl/nginx/1.3/rsa/h2/direct: is bridged, but an exception says: so it is"}},
		{"an exception is not needed", []outcome{{unable, bad, nil}}, []exception{curl}, true, []string{"exception curl/nginx/*/*/*/*: no cell needs it"}},
		{"an exception of a list", []outcome{{works, nil, other}}, []exception{{"wget,curl/*/*/*/*/*", "x", "x"}}, true, nil},
		{"an exception is not met by a sample", []outcome{{unable, bad, nil}}, []exception{curl}, false, nil},
		{"a pair should work", []outcome{{works, bad, nil}}, nil, false, []string{"curl/nginx/1.3/rsa/h2/direct: does not work without us: invalid argument"}},
		{"a pair should not work", []outcome{{unable, nil, nil}}, nil, false, []string{"wget/nginx/1.3/rsa/h2/direct: works without us, but: the client offers no ALPN"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := judgeMatrix(tt.outcomes, tt.exceptions, tt.whole); !slices.Equal(got, tt.want) {
				t.Errorf("judgeMatrix() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadExceptions(t *testing.T) {
	got, err := readExceptions("# comment\n\n curl,wget/*/1.2/*/*/* | why | RFC 1 §2 \n")
	if want := []exception{{"curl,wget/*/1.2/*/*/*", "why", "RFC 1 §2"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("readExceptions() = %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"*/*/*/*/*/*", "*/*/*/*/*/*|b", "*/*/*/*/*/*|b|", "*/*/*/*/*/*|b|c|d", "*/*|b|c", "*/*/*/*/*/*/*|b|c", "curl,/*/*/*/*/*|b|c", "*/*/1.1/*/*/*|b|c"} {
		if _, err := readExceptions(bad); err == nil {
			t.Errorf("readExceptions(%q): no error", bad)
		}
	}
}
