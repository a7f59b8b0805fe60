package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// lineError says where in a file something is wrong.
type lineError struct {
	file string
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// at is an error of a line, whose file is not known yet.
func at(line int, format string, args ...any) error {
	return &lineError{line: line, err: fmt.Errorf(format, args...)}
}

// in names the file of an error of a line.
func in(file string, err error) error {
	if e := (*lineError)(nil); errors.As(err, &e) && e.file == "" {
		e.file = file
	}
	return err
}

// node is a value of JSON (RFC 8259) with the line on which it begins.
type node struct {
	line  int
	value any // nil, bool, string, json.Number, []node, *fields
}

// fields are the members of a JSON object in order. A member that was taken is no longer there.
type fields struct {
	line    int
	members []member
}

type member struct {
	name  string
	line  int
	value node
}

// maxDepth is how deep the values of a file may be nested: no rule file goes beyond five.
const maxDepth = 16

// parseJSON parses a file that is one value of JSON.
func parseJSON(text []byte) (node, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	r := &jsonReader{text: text, decoder: json.NewDecoder(bytes.NewReader(text))}
	r.decoder.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return node{}, err
	}
	if token, err := r.decoder.Token(); err == nil {
		return node{}, at(r.line(), "%v after the end of the rules: want one object", token)
	} else if !errors.Is(err, io.EOF) {
		return node{}, r.fails(err)
	}
	return n, nil
}

type jsonReader struct {
	text    []byte
	decoder *json.Decoder
	counted int64 // how far lines were counted
	lines   int
}

// line is the line of the token that was read last, which has no line break in it.
func (r *jsonReader) line() int {
	return r.lineOf(r.decoder.InputOffset())
}

func (r *jsonReader) lineOf(offset int64) int {
	if offset = min(offset, int64(len(r.text))); offset > r.counted {
		r.lines += bytes.Count(r.text[r.counted:offset], []byte("\n"))
		r.counted = offset
	}
	return r.lines + 1
}

func (r *jsonReader) fails(err error) error {
	offset := r.decoder.InputOffset()
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		offset = max(offset, syntax.Offset-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err, offset = errors.New("the file ends in the middle"), int64(len(r.text))
	}
	return at(r.lineOf(offset), "not JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
}

func (r *jsonReader) value(depth int) (node, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return node{}, r.fails(err)
	}
	n := node{line: r.line(), value: token}
	if delim, ok := token.(json.Delim); ok {
		if depth == maxDepth {
			return node{}, at(n.line, "nested too deep")
		}
		if delim == '{' {
			n.value, err = r.object(n.line, depth)
		} else {
			n.value, err = r.array(depth)
		}
	}
	return n, err
}

func (r *jsonReader) object(line, depth int) (*fields, error) {
	f := &fields{line: line}
	seen := make(map[string]bool)
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, r.fails(err)
		}
		name, line := token.(string), r.line() // the decoder lets nothing else be a name
		if seen[name] {
			return nil, at(line, "%q is there twice", name)
		}
		seen[name] = true
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		f.members = append(f.members, member{name, line, value})
	}
	return f, r.end()
}

func (r *jsonReader) array(depth int) ([]node, error) {
	nodes := []node{}
	for r.decoder.More() {
		n, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, r.end()
}

func (r *jsonReader) end() error {
	if _, err := r.decoder.Token(); err != nil {
		return r.fails(err)
	}
	return nil
}

// take removes the member of that name and returns its value.
func (f *fields) take(name string) (node, bool) {
	for i, m := range f.members {
		if m.name == name {
			f.members = slices.Delete(f.members, i, i+1)
			return m.value, true
		}
	}
	return node{line: f.line}, false
}

// finish is an error when members are left that nobody knows.
func (f *fields) finish(what string, known ...string) error {
	if len(f.members) == 0 {
		return nil
	}
	m := f.members[0]
	return at(m.line, "%s has no %q: want %s", what, m.name, oneOf(known))
}

// oneOf writes choices: a, b or c.
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (n node) object(what string) (*fields, error) {
	f, ok := n.value.(*fields)
	if !ok {
		return nil, at(n.line, "%s is %s: want an object", what, n)
	}
	return f, nil
}

// text returns the string that a member is; "" when it is not there, or null.
func (f *fields) text(name string) (string, error) {
	n, ok := f.take(name)
	if !ok || n.value == nil {
		return "", nil
	}
	s, ok := n.value.(string)
	if !ok {
		return "", at(n.line, "%s is %s: want a string", name, n)
	}
	return s, nil
}

// flag returns the truth value that a member is, and whether it is there.
func (f *fields) flag(name string) (value, has bool, err error) {
	n, ok := f.take(name)
	if !ok || n.value == nil {
		return false, false, nil
	}
	value, ok = n.value.(bool)
	if !ok {
		return false, false, at(n.line, "%s is %s: want true or false", name, n)
	}
	return value, true, nil
}

// number returns the whole number that a member is, also one in a string, or what it is when it is not there.
func (f *fields) number(name string, least, most, otherwise int64) (int64, error) {
	n, ok := f.take(name)
	if !ok || n.value == nil {
		return otherwise, nil
	}
	return n.number(name, least, most)
}

func (n node) number(name string, least, most int64) (int64, error) {
	var number json.Number
	switch v := n.value.(type) {
	case json.Number:
		number = v
	case string:
		number = json.Number(v)
	}
	i, err := number.Int64()
	if err != nil || i < least || i > most {
		return 0, at(n.line, "%s is %s: want a whole number from %d to %d", name, n, least, most)
	}
	return i, nil
}

// String shows a value in an error.
func (n node) String() string {
	switch v := n.value.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%q", shortened(v))
	case json.Number:
		return shortened(v.String())
	case []node:
		return "an array"
	case *fields:
		return "an object"
	}
	return fmt.Sprint(n.value)
}

// shortened keeps what somebody has written at a length at which errors stay one line.
func shortened(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
