package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"golang.org/x/net/nettest"
)

// proxied is a flow between real sockets that a Writer sees with all views.
func proxied(t *testing.T, w *Writer, talk func(client, server *net.TCPConn)) *bridge.Flow {
	t.Helper()
	dialled, accepted := bridgetest.TCPPair(t)
	ours, far := bridgetest.TCPPair(t)
	var flow *bridge.Flow
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(),
		Hop:     bridge.FixedHop(bridge.AddrOf(far.LocalAddr())),
		Dial: func(_ context.Context, _ bridge.Addr, f *bridge.Flow) (net.Conn, error) {
			flow = f
			return w.Wire().ServerLeg(ours, f), nil
		},
		Observer: w.Observer(),
	}
	talked := make(chan struct{})
	go func() {
		defer close(talked)
		talk(dialled, far)
	}()
	proxy.ServeConn(t.Context(), w.Wire().ClientLeg(accepted))
	<-talked
	return flow
}

// say writes on one socket and reads the same on the other.
func say(t *testing.T, from, to net.Conn, text string) {
	io.WriteString(from, text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestSocketsAreViewsOfTheirFlow(t *testing.T) {
	s := start(t, Config{Format: PCAPNG, Views: []View{ViewServer, ViewClient, ViewDecrypted}, All: true})
	var ends [4]string // of the client's socket, then of the server's
	f := proxied(t, s.Writer, func(c, far *net.TCPConn) {
		ends = [4]string{c.LocalAddr().String(), c.RemoteAddr().String(), far.RemoteAddr().String(), far.LocalAddr().String()}
		say(t, c, far, "hello")
		say(t, far, c, "welcome")
		c.CloseWrite()
		io.Copy(io.Discard, far)
		far.Close()
		io.Copy(io.Discard, c)
	})
	all := s.blocks()
	want := map[View]string{
		ViewClient:    ends[0] + " > " + ends[1],
		ViewServer:    ends[2] + " > " + ends[3],
		ViewDecrypted: ends[0] + " > " + ends[3],
	}
	for view, between := range want {
		got := follow(t, of(view, all))
		if len(got) != 1 {
			t.Fatalf("%s: %d conversations", view, len(got))
		}
		c := got[0]
		if got := fmt.Sprintf("%v > %v", c.client, c.server); got != between {
			t.Errorf("%s: %s, want %s", view, got, between)
		}
		if string(c.streams[client]) != "hello" || string(c.streams[server]) != "welcome" || c.end != "fin by client" {
			t.Errorf("%s: %q, end %q", view, c.streams, c.end)
		}
		if text := outline(all); !strings.Contains(text, fmt.Sprintf("%s S flow=%s view=%s", view, f.ID(), view)) {
			t.Errorf("%s: not linked to flow %s:\n%s", view, f.ID(), text)
		}
	}
	if got := s.Stats(); got.Flows != 1 || got.Payload != 3*12 {
		t.Errorf("stats %+v", got)
	}
}

func TestOnlyTheViewsThatAreAskedForAreWritten(t *testing.T) {
	s := startNg(t, ViewClient)
	proxied(t, s.Writer, func(c, far *net.TCPConn) {
		say(t, c, far, "hello")
		c.Close()
		io.Copy(io.Discard, far)
		far.Close()
	})
	all := s.blocks()
	if got := follow(t, of(ViewClient, all)); len(got) != 1 || len(of(ViewServer, all))+len(of(ViewDecrypted, all)) > 0 {
		t.Errorf("conversations %+v of the client, and others", got)
	}
}

// legPair is a socket that is seen, and its peer.
func legPair(t *testing.T, s *session) (seen net.Conn, peer *net.TCPConn, f *bridge.Flow) {
	t.Helper()
	a, b := bridgetest.TCPPair(t)
	f = web().make(t)
	return s.Wire().ServerLeg(a, f), b, f
}

func TestHowASocketEndsIsHowItsViewEnds(t *testing.T) {
	eof := func(seen net.Conn) { io.Copy(io.Discard, seen) }
	for _, tt := range []struct {
		name string
		end  func(seen net.Conn, peer *net.TCPConn)
		want string
	}{
		{"the peer ends first", func(seen net.Conn, peer *net.TCPConn) { peer.CloseWrite(); eof(seen) }, "fin by server"},
		{"we end first", func(seen net.Conn, peer *net.TCPConn) {
			seen.(interface{ CloseWrite() error }).CloseWrite()
			io.Copy(io.Discard, peer)
			peer.Close()
			eof(seen)
		}, "fin by client"},
		{"we close", func(net.Conn, *net.TCPConn) {}, "fin by client"},
		{"the peer resets", func(seen net.Conn, peer *net.TCPConn) { peer.SetLinger(0); peer.Close(); eof(seen) }, "rst by server"},
		{"we reset", func(seen net.Conn, peer *net.TCPConn) {
			peer.CloseWrite()
			eof(seen)
			seen.(interface{ SetLinger(int) error }).SetLinger(0)
		}, "rst by client"},
		{"a deadline passes", func(seen net.Conn, peer *net.TCPConn) {
			seen.SetReadDeadline(time.Unix(1, 0))
			seen.Read(make([]byte, 1))
		}, "fin by client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startNg(t, ViewServer)
			seen, peer, _ := legPair(t, s)
			say(t, seen, peer, "hello")
			tt.end(seen, peer)
			seen.Close()
			seen.Close()
			if got := follow(t, of(ViewServer, s.blocks())); len(got) != 1 || got[0].end != tt.want {
				t.Errorf("%+v, want the end %q", got, tt.want)
			}
		})
	}
}

// A ServerHello and what is encrypted after it come in one read, and the secrets for that
// are known once the hello was read.
func TestSecretsComeBeforeWhatTheyDecrypt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startNg(t, ViewServer)
		a, peer := net.Pipe()
		f := web().make(t)
		seen := s.Wire().ServerLeg(a, f)
		go io.WriteString(peer, "ServerHello and more")
		seen.Read(make([]byte, 100))
		<-time.After(2 * autoflush)
		fmt.Fprint(s.Wire().KeyLog(f), "A 01 02\n")
		go io.WriteString(seen, "Finished")
		io.ReadFull(peer, make([]byte, 8))
		seen.Close()
		peer.Close()
		var order []string
		for _, b := range s.blocks() {
			if b.secrets != "" || len(b.segment.payload) > 0 {
				order = append(order, strings.TrimSpace(b.secrets)+string(b.segment.payload))
			}
		}
		if got, want := strings.Join(order, ", "), "A 01 02, ServerHello and more, Finished"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	})
}

func TestWhatIsReadBeforeTheSocketClosesIsShown(t *testing.T) {
	s := startNg(t, ViewServer)
	seen, peer, _ := legPair(t, s)
	io.WriteString(peer, "last words")
	io.ReadFull(seen, make([]byte, 10))
	seen.Close()
	seen.Write([]byte("too late"))
	if c := follow(t, of(ViewServer, s.blocks()))[0]; string(c.streams[server]) != "last words" || len(c.streams[client]) > 0 {
		t.Errorf("streams %q", c.streams)
	}
}

// A socket may be accepted when the proxy takes no more flows.
func TestASocketWithoutAFlowIsNotWritten(t *testing.T) {
	s := startNg(t, ViewClient)
	a, b := bridgetest.TCPPair(t)
	seen := s.Wire().ClientLeg(a)
	say(t, b, seen, "hello")
	seen.Close()
	s.accepted.Range(func(k, _ any) bool {
		t.Errorf("%v is still waited for", k)
		return true
	})
	if got := of(ViewClient, s.blocks()); len(got) > 0 {
		t.Errorf("packets %v", got)
	}
}

func TestAWireThatNobodyListensToIsFree(t *testing.T) {
	pcap, decrypted := start(t, Config{}), startNg(t)
	defer pcap.Close()
	defer decrypted.Close()
	f := web().make(t)
	for name, w := range map[string]*Wire{"none": nil, "of none": Wires(nil, nil), "of a pcap": pcap.Wire()} {
		conn := fakeConn{}
		if w.ClientLeg(conn) != net.Conn(conn) || w.ServerLeg(conn, f) != net.Conn(conn) || w.KeyLog(f) != nil {
			t.Errorf("%s: a conn is wrapped, or secrets are taken", name)
		}
	}
	conn := fakeConn{remote: "192.0.2.1:1", local: "192.0.2.1:2"}
	if w := decrypted.Wire(); w.ClientLeg(conn) != net.Conn(conn) || w.ServerLeg(conn, f) != net.Conn(conn) {
		t.Error("a conn is wrapped for a view that nobody wants")
	}
}

func TestWiresShowEverythingToEach(t *testing.T) {
	one, two := startNg(t, ViewServer), startNg(t, ViewClient, ViewServer)
	w := Wires(one.Wire(), nil, two.Wire())
	f := web().make(t)
	fmt.Fprint(w.KeyLog(f), "A 01 02\n")
	a, b := bridgetest.TCPPair(t)
	seen := w.ServerLeg(a, f)
	say(t, seen, b, "hello")
	seen.Close()
	a, b = bridgetest.TCPPair(t)
	seen = w.ClientLeg(a)
	say(t, b, seen, "nobody's")
	seen.Close()
	for i, s := range []*session{one, two} {
		all := s.blocks()
		if got := follow(t, of(ViewServer, all)); len(got) != 1 || string(got[0].streams[client]) != "hello" || !strings.Contains(outline(all), "A 01 02") {
			t.Errorf("%d: %+v\n%s", i, got, outline(all))
		}
	}
}

func TestReadersOverIPSeeSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	feed := Serve(l, OverIP{}, Config{Format: PCAPNG, Views: []View{ViewServer}, Log: (&logs{}).logger()})
	if f := web().make(t); feed.Wire().ServerLeg(fakeConn{}, f) != net.Conn(fakeConn{}) {
		t.Error("a conn is wrapped for nobody")
	}
	r, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, len(Config{Format: PCAPNG, Views: []View{ViewServer}}.format().header()))
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	f := web().make(t)
	fmt.Fprint(feed.Wire().KeyLog(f), "A 01 02\n")
	a, b := bridgetest.TCPPair(t)
	seen := feed.Wire().ServerLeg(a, f)
	say(t, seen, b, "hello")
	seen.Close()
	rest := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r)
		rest <- b
	}()
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	all := readNg(t, append(head, <-rest...))
	if got := follow(t, of(ViewServer, all)); len(got) != 1 || string(got[0].streams[client]) != "hello" || !strings.Contains(outline(all), "A 01 02") {
		t.Errorf("%+v\n%s", got, outline(all))
	}
}

// errConn fails in one way.
type errConn struct {
	fakeConn
	err error
}

func (c errConn) Read([]byte) (int, error)  { return 0, c.err }
func (c errConn) Write([]byte) (int, error) { return 0, c.err }

func TestAConnThatCannotDoMoreIsOneWithoutIt(t *testing.T) {
	s := startNg(t, ViewServer)
	f := web().make(t)
	inner := errConn{fakeConn{local: "192.0.2.1:1", remote: "192.0.2.2:2"}, syscall.ECONNRESET}
	c := s.Wire().ServerLeg(inner, f).(*legConn)
	if c.NetConn() != net.Conn(inner) {
		t.Error("NetConn() is not the socket")
	}
	if err := c.SetLinger(0); err != nil {
		t.Errorf("SetLinger() = %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Write() = %v", err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Errorf("CloseWrite() = %v", err)
	}
	if got := follow(t, of(ViewServer, s.blocks())); len(got) != 1 || got[0].end != "rst by server" {
		t.Errorf("%+v, want a reset by the peer", got)
	}
}

func TestASeenSocketIsAConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		s := startNg(t, ViewServer)
		seen, peer, _ := legPair(t, s)
		return seen, peer, func() {
			seen.Close()
			peer.Close()
			s.Close()
		}, nil
	})
}
