package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// secretsLimit bounds the secrets of a flow. TLS 1.3 has about a kilobyte of them on each
// side; more come where a server was dialled again.
const secretsLimit = 64 << 10

// story is what is known of a flow besides its bytes.
type story struct {
	flow      *bridge.Flow
	decrypted *conversation // nil: it is not tapped

	mu      sync.Mutex
	secrets []byte       // lines of a TLS key log
	size    atomic.Int64 // of secrets

	// The rest belongs to the writing goroutine.
	counted bool // it is one of Stats.Flows
	inFile  int  // the file that its secrets were written to last
	told    int  // how many bytes of them are in that
}

// story returns the one of a flow. It is forgotten when the flow ends.
func (w *Writer) story(f *bridge.Flow) *story {
	if s, ok := w.flows.Load(f); ok {
		return s.(*story)
	}
	s, _ := w.flows.LoadOrStore(f, &story{flow: f})
	return s.(*story)
}

// keep adds a line of the key log. What is none that other programs could read is left
// out, as is what is too much.
func (s *story) keep(line []byte) {
	if !isKeyLogLine(line) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.secrets)+len(line) <= secretsLimit {
		s.secrets = append(s.secrets, line...)
		s.size.Store(int64(len(s.secrets)))
	}
}

// isKeyLogLine reports whether b is one line of three words (RFC 9850 §2).
func isKeyLogLine(b []byte) bool {
	line, ended := strings.CutSuffix(string(b), "\n")
	unprintable := strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' })
	return ended && !unprintable && strings.Count(line, " ") == 2
}

// untold returns the secrets that are not in a file yet, and takes them for written.
func (s *story) untold(file int) []byte {
	if s.inFile != file {
		s.inFile, s.told = file, 0
	}
	if s.size.Load() == int64(s.told) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.secrets[s.told:]
	s.told = len(s.secrets)
	return lines
}

// comment says in words name=value what is known of the flow, for the first packet of one
// of its conversations in a file.
func (c *conversation) comment() string {
	f := c.story.flow
	var w words
	w.add("flow", f.ID())
	w.add("view", string(c.view))
	if c.tcp.open {
		w.add("continued", "true") // from another file
	}
	w.add("client", addrText(f.Client()))
	w.add("server", addrText(f.Server()))
	w.add("target", addrText(f.Target()))
	w.add("path", f.Path())
	tls := tlsbridge.Innermost(f.Frames())
	if tls == nil {
		w.add("action", "allow")
		return w.text()
	}
	w.add("action", string(tlsbridge.TreatmentOf(tls)))
	w.add("sni", tls.SNI)
	w.add("alpn", tls.ALPN)
	w.add("note", tls.Note)
	if info, ok := tls.Detail.(*tlsbridge.Info); ok {
		w.tls(info)
	}
	return w.text()
}

// words are name=value each.
type words []string

// add adds a value that is there. It is quoted where it could be taken for something else.
func (w *words) add(name, value string) {
	if value == "" {
		return
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		value = fmt.Sprintf("%+q", value)
	}
	*w = append(*w, name+"="+value)
}

func (w words) text() string { return strings.Join(w, " ") }

func (w *words) tls(info *tlsbridge.Info) {
	w.add("ja3", info.ClientJA3)
	w.add("ja4", info.ClientJA4)
	w.add("server_ja3", info.ServerJA3)
	w.add("server_ja4", info.ServerJA4)
	w.add("rung", info.Rung)
	w.add("ech", info.ECH)
	w.add("server_sha256", info.ServerLeaf.String())
	w.add("leaf_sha256", info.MintedLeaf.String())
	w.add("verdict", info.Verdict)
	w.add("rule", info.Rule)
}

// addrText returns an address, and nothing for one that is not there.
func addrText(a bridge.Addr) string {
	if a.IsZero() {
		return ""
	}
	return a.String()
}

// name returns the address of the flow's server as it is written in the conversation, and
// its name: the target's, else the server_name; "" when there is none that may be shown.
func (c *conversation) name() (netip.Addr, string) {
	f := c.story.flow
	addr := c.ends[bridge.Server].Addr()
	if c.view == ViewClient || addr.IsUnspecified() || len(f.Originated()) > 0 {
		return addr, "" // it is that of somebody else
	}
	if target := f.Target(); !isIP(target) && bridge.IsHostName(target.Host) {
		return addr, target.Host
	}
	for _, frame := range slices.Backward(f.Frames()) {
		if bridge.IsHostName(frame.SNI) {
			return addr, frame.SNI
		}
	}
	return addr, ""
}

func isIP(a bridge.Addr) bool {
	_, ok := a.IP()
	return ok
}
