package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// mutations is how many hellos TestMutatedHellosEndTheirFlowsAlone sends: MITM_MUTATIONS, or
// 5,000.
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

// Whatever a hello says, nothing comes of it but the end of its own flow: no panic escapes,
// nothing stays, and the next client is served. It is FuzzRelayHello without chance, and with
// mutations that know what a hello is made of: the engine's seldom get past the parser.
func TestMutatedHellosEndTheirFlowsAlone(t *testing.T) {
	bridgetest.Baseline(t)
	config := &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA"), *certificate("RSA")},
		MinVersion:   tls.VersionTLS10, CipherSuites: allSuites(), NextProtos: []string{"h2", "http/1.1", "foo"},
	}
	handler, hellos := bridge.Chain(Relay(Config{Minter: &remembering{}, Tickets: NewTickets(nil), Sessions: NewSessions()})), realHellos(t)
	names := slices.Sorted(maps.Keys(hellos))
	random := rand.New(rand.NewPCG(1, 2))
	send := func(n int) {
		var flows sync.WaitGroup
		running := make(chan struct{}, 16)
		for i := range n {
			hello := mutated(t, random, hellos[names[i%len(names)]])
			running <- struct{}{}
			flows.Go(func() {
				testHello(t, handler, config, hello)
				<-running
			})
		}
		flows.Wait()
	}
	n := mutations(t)
	send(n / 10) // fills the caches, which are bounded
	before := heap()
	send(n - n/10)
	const most = 32 << 20
	if after := heap(); after > before+most {
		t.Errorf("%d bytes in use after %d hellos, %d before most of them", after, n, before)
	}
	addr, _ := echoTLS(t, config)
	l := newLab(t, handler, addr, bridge.Limits{})
	roundtrip(t, tls.Client(l.dial(t), clientConfig()))
	if flow, _ := l.ends(t); !flow.Decrypted() {
		t.Errorf("after them, a flow has the frames %+v", flow.Frames())
	}
}

// heap is the number of bytes that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mutated returns a hello that is different: in a few bytes, or in what it is made of.
func mutated(t *testing.T, random *rand.Rand, hello []byte) []byte {
	if random.IntN(4) == 0 {
		return mutatedBytes(random, hello)
	}
	h, _, err := detect.ParseClientHello(hello)
	if err != nil {
		t.Fatal(err)
	}
	m := *h
	m.Extensions = slices.Clone(h.Extensions)
	for range 1 + random.IntN(3) {
		mutateParts(random, &m)
	}
	return encode(&m)
}

// mutatedBytes changes a few bytes of a hello, or leaves a piece of it out or doubles it.
func mutatedBytes(random *rand.Rand, hello []byte) []byte {
	out := bytes.Clone(hello)
	for range 1 + random.IntN(4) {
		i := random.IntN(len(out))
		n := min(random.IntN(16), len(out)-i)
		switch random.IntN(6) {
		case 0:
			out = slices.Delete(out, i, i+n)
		case 1:
			out = slices.Insert(out, i, out[i:i+n]...)
		default:
			out[i] = byte(random.IntN(256))
		}
	}
	return out
}

// mutateParts changes a field of a hello, or its extensions.
func mutateParts(random *rand.Rand, m *detect.ClientHello) {
	pick := func() int { return random.IntN(max(len(m.Extensions), 1)) }
	if len(m.Extensions) == 0 {
		m.LegacyVersion = uint16(0x0300 + random.IntN(6))
		return
	}
	i, j := pick(), pick()
	switch random.IntN(10) {
	case 0:
		m.Extensions = slices.Delete(m.Extensions, i, i+1)
	case 1:
		m.Extensions = slices.Insert(m.Extensions, j, m.Extensions[i])
	case 2:
		m.Extensions[i], m.Extensions[j] = m.Extensions[j], m.Extensions[i]
	case 3:
		m.Extensions[i].ID = uint16([]int{0, 10, 13, 16, 27, 35, 41, 42, 43, 44, 51, 65037, 17513, 0x0a0a, random.IntN(1 << 16)}[random.IntN(15)])
	case 4:
		m.Extensions[i].Data = m.Extensions[i].Data[:random.IntN(len(m.Extensions[i].Data)+1)]
	case 5:
		m.Extensions[i].Data = append(bytes.Clone(m.Extensions[i].Data), make([]byte, random.IntN(40))...)
	case 6:
		m.SessionID = make([]byte, random.IntN(33))
	case 7:
		m.CipherSuites = append([]uint16{uint16(random.IntN(1 << 16))}, m.CipherSuites[random.IntN(len(m.CipherSuites)):]...)
	case 8:
		m.LegacyVersion = uint16(0x0300 + random.IntN(6))
	case 9:
		if data := bytes.Clone(m.Extensions[i].Data); len(data) > 0 {
			data[random.IntN(len(data))] = byte(random.IntN(256))
			m.Extensions[i].Data = data
		}
	}
}

// encode returns the records of a hello.
func encode(m *detect.ClientHello) []byte {
	body := binary.BigEndian.AppendUint16(nil, m.LegacyVersion)
	body = append(body, m.Random...)
	body = append(append(body, byte(len(m.SessionID))), m.SessionID...)
	body = binary.BigEndian.AppendUint16(body, uint16(2*len(m.CipherSuites)))
	for _, id := range m.CipherSuites {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	body = append(append(body, byte(len(m.CompressionMethods))), m.CompressionMethods...)
	var extensions []byte
	for _, e := range m.Extensions {
		extensions = binary.BigEndian.AppendUint16(extensions, e.ID)
		extensions = binary.BigEndian.AppendUint16(extensions, uint16(len(e.Data)))
		extensions = append(extensions, e.Data...)
	}
	body = binary.BigEndian.AppendUint16(body, uint16(len(extensions)))
	body = append(body, extensions...)
	message := append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	record := binary.BigEndian.AppendUint16([]byte{contentTypeHandshake, 3, 1}, uint16(len(message)))
	return append(record, message...)
}
