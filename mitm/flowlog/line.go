package flowlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bridgeio/bridgeio/bridge"
)

// Line returns a flow that has ended as a line for people, without a newline: when it
// began, in the zone of its time, the client, the path, the target, the bytes of each
// side, how long it took, and why it ended. What is missing is a dash; what came from the
// wire and is not plain text is quoted, so that it can't be taken for something else or
// reach the terminal.
//
//	15:04:05.123  198.51.100.2:50122  socks5>tls(h2)  example.com:443  1234 B up  48211 B down  812ms  eof by client
func Line(f *bridge.Flow, out bridge.Outcome) string {
	fields := []string{
		f.Start().Format("15:04:05.000"),
		word(f.Client().String()),
		word(f.Path()),
		word(f.Target().String()),
		fmt.Sprintf("%d B up", f.Bytes(bridge.Client)),
		fmt.Sprintf("%d B down", f.Bytes(bridge.Server)),
		round(out.Duration).String(),
		fmt.Sprintf("%s by %s", out.Reason, out.EndedBy),
	}
	line := strings.Join(fields, "  ")
	if out.Err != nil {
		line += ": " + sentence(out.Err.Error())
	}
	return line
}

// round leaves as much of a duration as is worth reading.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// word returns s, quoted when it is not one printable word.
func word(s string) string {
	if s == "" {
		return "-"
	}
	if strings.Contains(s, " ") {
		return strconv.Quote(s)
	}
	return sentence(s)
}

// sentence returns s, quoted when it is not printable throughout.
func sentence(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unusual) {
		return strconv.Quote(s)
	}
	return s
}

// unusual reports whether a rune is not for printing, or would make quoted text and
// text that looks like it the same.
func unusual(r rune) bool { return !strconv.IsPrint(r) || r == '"' || r == '\\' }
