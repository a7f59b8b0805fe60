package mirror

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// deaf is a server that hears a hello and leaves.
type deaf struct {
	net.Conn
	heard bytes.Buffer
}

func (d *deaf) Write(p []byte) (int, error) { return d.heard.Write(p) }
func (d *deaf) Read([]byte) (int, error)    { return 0, io.EOF }
func (d *deaf) Close() error                { return nil }
func (d *deaf) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

// checkSent holds what is sent for a client's hello to the law: either nothing at all, because it can't be mirrored, or
// the hello itself but for what must be fresh.
func checkSent(t *testing.T, theirs *detect.ClientHello, wire []byte, err error) {
	t.Helper()
	if caught := (*Panic)(nil); errors.As(err, &caught) {
		t.Errorf("%x: %v\n%s", theirs.Raw, caught, caught.Stack)
	}
	if cannot := (*Unbridgeable)(nil); errors.As(err, &cannot) && len(wire) == 0 {
		return
	}
	ours, _, parsed := detect.ParseClientHello(wire)
	if parsed != nil {
		t.Fatalf("%x: sent %x: %v (%v)", theirs.Raw, wire, parsed, err)
	}
	if got, want := masked(ours), masked(theirs); !bytes.Equal(got, want) {
		t.Errorf("%x: sent\n%x, want\n%x", theirs.Raw, got, want)
	}
	if ours.RecordVersion != theirs.RecordVersion || len(ours.Random) != len(theirs.Random) || bytes.Equal(ours.Random, theirs.Random) {
		t.Errorf("%x: records of version %x, random %x", theirs.Raw, ours.RecordVersion, ours.Random)
	}
}

// FuzzTheHelloIsTheClients holds every hello that is one to the law.
func FuzzTheHelloIsTheClients(f *testing.F) {
	for _, hello := range realHellos(f) {
		f.Add(hello, uint16(0))
	}
	f.Fuzz(func(t *testing.T, wire []byte, changes uint16) {
		hello, _, err := detect.ParseClientHello(wire)
		if err != nil {
			return
		}
		server := &deaf{}
		_, _, err = Handshake(t.Context(), server, hello, Config{Sessions: &drawer{}})
		checkSent(t, hello, server.heard.Bytes(), err)
		_, _, err = Handshake(t.Context(), &deaf{}, hello, Config{Changes: Changes(changes)})
		if caught := (*Panic)(nil); errors.As(err, &caught) {
			t.Errorf("%s: %v\n%s", Changes(changes), caught, caught.Stack)
		}
	})
}

// mutations is how many hellos TestMutatedHellos sends: MITM_MUTATIONS, or 5,000.
func mutations(t *testing.T) int {
	text := os.Getenv("MITM_MUTATIONS")
	if text == "" {
		return 5_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MITM_MUTATIONS=%q: want a number from 1", text)
	}
	return n
}

// listening notes what is written to a conn.
type listening struct {
	net.Conn
	wrote bytes.Buffer
}

func (l *listening) Write(p []byte) (int, error) {
	l.wrote.Write(p)
	return l.Conn.Write(p)
}

// A hello that is not like any client's is sent like any client's: utls may make of it and of the server's answer what it
// can, but it does not panic.
func TestMutatedHellos(t *testing.T) {
	hellos, random := realHellos(t), rand.New(rand.NewPCG(3, 4))
	names, config := slices.Sorted(maps.Keys(hellos)), server()
	var parsed, agreed int
	for i := range mutations(t) {
		wire := mutated(random, parse(t, hellos[names[i%len(names)]]))
		hello, _, err := detect.ParseClientHello(wire)
		if err != nil {
			continue
		}
		parsed++
		near, far := bridgetest.Pipe(1 << 20)
		done := make(chan struct{})
		go serveOnce(far, config, done)
		server := &listening{Conn: near}
		_, _, err = Handshake(t.Context(), server, hello, Config{})
		near.Close()
		<-done
		if err == nil {
			agreed++
		}
		first := server.wrote.Bytes()
		if _, n, err := detect.ParseClientHello(first); err == nil {
			first = first[:n]
		}
		checkSent(t, hello, first, err)
	}
	// Mutations that nobody understands would be no test.
	if parsed < agreed || agreed < mutations(t)/20 {
		t.Errorf("of %d hellos %d parse, and %d lead to a session", mutations(t), parsed, agreed)
	}
}

func serveOnce(c net.Conn, config *tls.Config, done chan<- struct{}) {
	defer close(done)
	defer c.Close()
	io.Copy(io.Discard, tls.Server(c, config))
}

// mutated returns the records of a hello of which one to three parts are different.
func mutated(random *rand.Rand, hello *detect.ClientHello) []byte {
	m := *hello
	m.Extensions = slices.Clone(hello.Extensions)
	for range 1 + random.IntN(3) {
		if len(m.Extensions) > 0 && random.IntN(4) > 0 {
			mutateExtensions(random, &m)
			continue
		}
		switch random.IntN(5) {
		case 0:
			m.SessionID = make([]byte, random.IntN(33))
		case 1:
			m.CipherSuites = append([]uint16{uint16(random.Uint32())}, m.CipherSuites[random.IntN(len(m.CipherSuites)):]...)
		case 2:
			m.LegacyVersion = uint16(0x0300 + random.IntN(6))
		case 3:
			m.CompressionMethods = []byte{byte(random.IntN(3)), 0}
		case 4:
			m.Records = 1 + random.IntN(5)
		}
	}
	return encode(&m)
}

func mutateExtensions(random *rand.Rand, m *detect.ClientHello) {
	known := []uint16{0, 5, 10, 13, 16, 17, 18, 22, 23, 27, 28, 34, 35, 41, 42, 43, 44, 45, 49, 51, 17513, 17613, 0xfe0d, 0x0a0a, 0xff01}
	i, j := random.IntN(len(m.Extensions)), random.IntN(len(m.Extensions))
	data := bytes.Clone(m.Extensions[i].Data)
	switch random.IntN(7) {
	case 0:
		m.Extensions = slices.Delete(m.Extensions, i, i+1)
	case 1:
		m.Extensions = slices.Insert(m.Extensions, j, m.Extensions[i])
	case 2:
		m.Extensions[i], m.Extensions[j] = m.Extensions[j], m.Extensions[i]
	case 3:
		m.Extensions[i].ID = known[random.IntN(len(known))]
	case 4:
		m.Extensions[i].Data = data[:random.IntN(len(data)+1)]
	case 5:
		m.Extensions[i].Data = append(data, make([]byte, random.IntN(40))...)
	case 6:
		if len(data) > 0 {
			data[random.IntN(len(data))] = byte(random.Uint32())
			m.Extensions[i].Data = data
		}
	}
}
