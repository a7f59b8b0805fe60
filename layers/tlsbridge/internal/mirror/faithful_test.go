package mirror

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"slices"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// masked returns a hello in which all that must be fresh is zero, and what must not be repeated is gone.
func masked(h *detect.ClientHello) []byte {
	b := binary.BigEndian.AppendUint16(nil, h.LegacyVersion)
	b = append(b, byte(len(h.SessionID)))
	for _, id := range h.CipherSuites {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	b = append(b, h.CompressionMethods...)
	for _, e := range h.Extensions {
		data := bytes.Clone(e.Data)
		switch e.ID {
		case extPreSharedKey, extEarlyData, extCookie:
			continue
		case extSessionTicket:
			data = nil
		case extKeyShare:
			for rest := data[2:]; len(rest) >= 4; {
				n := 4 + int(binary.BigEndian.Uint16(rest[2:]))
				if !detect.IsGREASE(binary.BigEndian.Uint16(rest)) {
					clear(rest[4:n])
				}
				rest = rest[n:]
			}
		case extECH:
			if enc, payload, ok := outerECH(data); ok {
				clear(data[5:6])
				clear(enc)
				clear(payload)
			}
		}
		b = binary.BigEndian.AppendUint16(b, e.ID)
		b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
		b = append(b, data...)
	}
	return b
}

// outerECH returns what is random in an encrypted_client_hello of the outer kind (RFC 9849 §5): besides config_id, enc
// and payload.
func outerECH(data []byte) (enc, payload []byte, ok bool) {
	if len(data) < 8 || data[0] != 0 {
		return nil, nil, false
	}
	vector := func(b []byte) (v, rest []byte) {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			ok = false
			return nil, nil
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		return b[2:n], b[n:]
	}
	ok = true
	enc, rest := vector(data[6:])
	payload, rest = vector(rest)
	return enc, payload, ok && len(rest) == 0
}

// fresh returns the parts of a hello that must not be the client's.
func fresh(h *detect.ClientHello) [][]byte {
	parts := [][]byte{h.Random}
	if len(h.SessionID) > 0 {
		parts = append(parts, h.SessionID)
	}
	if shares, ok := h.Extension(extKeyShare); ok {
		for _, s := range split(shares) {
			if !detect.IsGREASE(s.group) {
				parts = append(parts, s.data)
			}
		}
	}
	if data, ok := h.Extension(extECH); ok {
		enc, payload, _ := outerECH(data)
		parts = append(parts, enc, payload)
	}
	return parts
}

// reuses reports whether X25519's half of the hybrid share is also X25519's own share.
func reuses(h *detect.ClientHello) bool {
	data, ok := h.Extension(extKeyShare)
	if !ok {
		return false
	}
	var half, own []byte
	for _, s := range split(data) {
		switch s.group {
		case hybrid:
			half = s.data[mlkemPublic:]
		case uint16(utls.X25519):
			own = s.data
		}
	}
	return half != nil && bytes.Equal(half, own)
}

// capture returns the first records that Handshake sends.
func capture(t *testing.T, hello *detect.ClientHello, config Config) []byte {
	t.Helper()
	near, far := tcpPair(t)
	defer far.Close()
	done := make(chan error, 1)
	go func() {
		_, _, err := Handshake(t.Context(), near, hello, config)
		done <- err
	}()
	wire := readHello(t, far)
	far.Close()
	if err := <-done; err == nil {
		t.Error("a handshake with nobody succeeds")
	}
	near.Close()
	return wire
}

func readHello(t *testing.T, c net.Conn) []byte {
	t.Helper()
	var wire []byte
	for {
		buf := make([]byte, 16<<10)
		n, err := c.Read(buf)
		if wire = append(wire, buf[:n]...); err != nil {
			t.Errorf("after %d bytes of a hello: %v", len(wire), err)
			return wire
		}
		if _, _, err := detect.ParseClientHello(wire); err == nil {
			return wire
		}
	}
}

func TestTheHelloIsTheClientsButForWhatMustBeFresh(t *testing.T) {
	for name, wire := range realHellos(t) {
		t.Run(name, func(t *testing.T) {
			theirs := parse(t, wire)
			sent := capture(t, theirs, Config{})
			ours := parse(t, sent)
			if got, want := masked(ours), masked(theirs); !bytes.Equal(got, want) {
				t.Errorf("sent\n%x, want\n%x", got, want)
			}
			if ours.RecordVersion != theirs.RecordVersion || ours.Records != theirs.Records {
				t.Errorf("%d records of version %x, want %d of %x", ours.Records, ours.RecordVersion, theirs.Records, theirs.RecordVersion)
			}
			isResuming := theirs.HasPreSharedKey || theirs.HasEarlyData
			if !isResuming && (ours.JA3() != theirs.JA3() || ours.JA4() != theirs.JA4()) {
				t.Errorf("JA3 %s, JA4 %s; want %s, %s", ours.JA3(), ours.JA4(), theirs.JA3(), theirs.JA4())
			}
			if got, want := reuses(ours), reuses(theirs); got != want {
				t.Errorf("the X25519 key is used twice: %v, want %v", got, want)
			}
			again := parse(t, capture(t, theirs, Config{}))
			for i, part := range fresh(ours) {
				if bytes.Equal(part, fresh(theirs)[i]) {
					t.Errorf("part %d is the client's: %x", i, part)
				}
				if bytes.Equal(part, fresh(again)[i]) {
					t.Errorf("part %d is the same twice: %x", i, part)
				}
			}
		})
	}
}

// A hello that came in several records leaves in as many.
func TestTheHelloIsCutLikeTheClients(t *testing.T) {
	hello := parse(t, realHellos(t)["chromium.0"])
	for n := 1; n <= 64; n++ {
		cut := appendRecords(nil, hello.RecordVersion, hello.Raw, n)
		if got := parse(t, capture(t, parse(t, cut), Config{})); got.Records != n {
			t.Errorf("%d records, want %d", got.Records, n)
		}
	}
}

// One that is longer than a record is written by utls in pieces.
func TestAHelloMayBeLongerThanARecord(t *testing.T) {
	theirs := *parse(t, realHellos(t)["curl"])
	theirs.Extensions = append(slices.Clone(theirs.Extensions), detect.Extension{ID: 0x1234, Data: make([]byte, 40_000)})
	for _, n := range []int{3, 9} {
		theirs.Records = n
		hello := parse(t, encode(&theirs))
		ours := parse(t, capture(t, hello, Config{}))
		if !bytes.Equal(masked(ours), masked(hello)) || ours.Records != n || ours.RecordVersion != hello.RecordVersion {
			t.Errorf("%d records of version %x, want %d of %x", ours.Records, ours.RecordVersion, n, hello.RecordVersion)
		}
	}
}

// What a server must refuse is left for it to refuse.
func TestSharesOfAWrongLengthKeepIt(t *testing.T) {
	for _, name := range []string{"chromium.0", "firefox.0", "go", "gnutls", "ossl_ffdhe"} {
		for _, size := range []int{1, 2, 31, 33, 1215, 1217} {
			theirs := *parse(t, realHellos(t)[name])
			theirs.Extensions = slices.Clone(theirs.Extensions)
			var want []int
			for i, e := range theirs.Extensions {
				if e.ID != extKeyShare {
					continue
				}
				var list []byte
				for _, s := range split(e.Data) {
					list = append(list, extension(s.group, make([]byte, size)...)...)
					want = append(want, size)
				}
				theirs.Extensions[i].Data = append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
			}
			data, _ := parse(t, capture(t, parse(t, encode(&theirs)), Config{})).Extension(extKeyShare)
			var got []int
			for _, s := range split(data) {
				got = append(got, len(s.data))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: shares of %d bytes, want %d", name, got, want)
			}
		}
	}
}

// RFC 8446 §4.2.8: the shares are in the order of supported_groups.
func TestAShareIsAddedInItsPlace(t *testing.T) {
	hello := parse(t, realHellos(t)["node24_hrr"])
	ours := parse(t, capture(t, hello, Config{Changes: HybridShare}))
	var want []uint16
	for _, g := range hello.SupportedGroups {
		if g == hybrid || slices.Contains(hello.KeyShareGroups, g) {
			want = append(want, g)
		}
	}
	if len(want) < 2 || !slices.Equal(ours.KeyShareGroups, want) {
		t.Errorf("shares of %d, want %d", ours.KeyShareGroups, want)
	}
}

func TestNothingIsKnownOfSomeHellos(t *testing.T) {
	hello := *parse(t, realHellos(t)["curl"])
	hello.CipherSuites, hello.SupportedGroups = []uint16{0x1304, 0x00ff}, []uint16{30}
	hello.Extensions = []detect.Extension{{ID: extKeyShare, Data: []byte{0, 0}}}
	old := *parse(t, realHellos(t)["ossl_10"])
	old.LegacyVersion = 0x0300
	for _, tt := range []struct {
		name    string
		hello   *detect.ClientHello
		changes Changes
	}{{"its suites", &hello, KnownSuites}, {"its groups", &hello, KnownGroups}, {"its version", &old, 0}} {
		_, _, err := Handshake(t.Context(), nil, tt.hello, Config{Changes: tt.changes})
		if cannot := (*Unbridgeable)(nil); !errors.As(err, &cannot) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestChangesChangeWhatTheyName(t *testing.T) {
	for name, wire := range realHellos(t) {
		t.Run(name, func(t *testing.T) {
			hello := parse(t, wire)
			for _, e := range hello.Extensions {
				change := without(e.ID)
				if change == 0 {
					continue
				}
				ours := parse(t, capture(t, hello, Config{Changes: change}))
				if _, there := ours.Extension(e.ID); there {
					t.Errorf("%s: extension %d is there", change, e.ID)
				}
			}
			ours := parse(t, capture(t, hello, Config{Changes: KnownGroups | KnownSuites}))
			for _, g := range append(slices.Clone(ours.SupportedGroups), ours.KeyShareGroups...) {
				if !detect.IsGREASE(g) && !isKnownGroup(g) {
					t.Errorf("group %d is there", g)
				}
			}
			for _, id := range ours.CipherSuites {
				if !detect.IsGREASE(id) && !detect.IsSignalling(id) && !knownSuites[id] {
					t.Errorf("suite %04x is there", id)
				}
			}
			if slices.Contains(hello.SupportedGroups, hybrid) {
				ours := parse(t, capture(t, hello, Config{Changes: HybridShare}))
				if !slices.Contains(ours.KeyShareGroups, hybrid) {
					t.Error("there is no hybrid share")
				}
			}
		})
	}
}

// OpenSSL and GnuTLS check that a share of a finite field is a square.
func TestTheFillerOfAFiniteFieldIsASquare(t *testing.T) {
	for range 20 {
		b := filler(0x0100, 256)
		n := new(big.Int).SetBytes(b)
		if root := new(big.Int).Sqrt(n); len(b) != 256 || n.Sign() == 0 || root.Mul(root, root).Cmp(n) != 0 {
			t.Fatalf("%x is no square", b)
		}
	}
	if a, b := filler(30, 56), filler(30, 56); len(a) != 56 || bytes.Equal(a, b) {
		t.Errorf("the filler of X448 is %x and %x", a, b)
	}
}
