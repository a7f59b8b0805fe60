package tlsbridge

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// realHellos returns the captured hellos by client.
func realHellos(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../testdata/hellos/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hellos: %v", err)
	}
	hellos := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		hellos[strings.TrimSuffix(filepath.Base(file), ".bin")] = data
	}
	return hellos
}

func TestTheOfferToTheServerIsPartOfTheClients(t *testing.T) {
	for name, data := range realHellos(t) {
		t.Run(name, func(t *testing.T) {
			hello, _, err := detect.ParseClientHello(data)
			if err != nil {
				t.Fatal(err)
			}
			o, possible := offerOf(hello)
			if !possible {
				t.Fatal("nothing can be offered")
			}
			if o.max > hello.MaxVersion() || o.min > o.max {
				t.Errorf("versions %x to %x, of a client that offers up to %x", o.min, o.max, hello.MaxVersion())
			}
			for _, id := range o.suites {
				if !slices.Contains(hello.CipherSuites, id) {
					t.Errorf("suite %04x is not the client's", id)
				}
			}
			for _, g := range o.groups {
				if !slices.Contains(hello.SupportedGroups, uint16(g)) {
					t.Errorf("group %04x is not the client's", g)
				}
			}
		})
	}
}

func TestWhatIsOfferedToTheServer(t *testing.T) {
	const grease, scsv, dhe = 0x8a8a, 0x00ff, 0x009e
	const ecdhe, rsa, tls13 = utls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, utls.TLS_RSA_WITH_AES_128_CBC_SHA, utls.TLS_AES_128_GCM_SHA256
	x25519, hybrid := uint16(utls.X25519), uint16(utls.X25519MLKEM768)
	for name, c := range map[string]struct {
		hello    detect.ClientHello
		want     offer
		possible bool
	}{
		"a TLS 1.3 client": {
			detect.ClientHello{LegacyVersion: 0x303, SupportedVersions: []uint16{grease, 0x304, 0x303}, CipherSuites: []uint16{grease, tls13, ecdhe, scsv}, SupportedGroups: []uint16{grease, hybrid, x25519}},
			offer{0x303, 0x304, []uint16{ecdhe}, []utls.CurveID{utls.X25519MLKEM768, utls.X25519}, false},
			true,
		},
		"a TLS 1.3 client without older suites": {
			detect.ClientHello{LegacyVersion: 0x303, SupportedVersions: []uint16{0x304, 0x303}, CipherSuites: []uint16{tls13}, SupportedGroups: []uint16{x25519}},
			offer{0x304, 0x304, nil, []utls.CurveID{utls.X25519}, false},
			true,
		},
		"a TLS 1.3 client with groups that are not known": {
			detect.ClientHello{LegacyVersion: 0x303, SupportedVersions: []uint16{0x304, 0x303}, CipherSuites: []uint16{tls13, rsa}, SupportedGroups: []uint16{0x001e}},
			offer{0x303, 0x303, []uint16{rsa}, nil, true},
			true,
		},
		"a client that names no versions": {
			detect.ClientHello{LegacyVersion: 0x302, CipherSuites: []uint16{ecdhe, rsa, dhe}, SupportedGroups: []uint16{x25519}},
			offer{0x301, 0x302, []uint16{ecdhe, rsa}, []utls.CurveID{utls.X25519}, true},
			true,
		},
		"a client that names no groups": {
			detect.ClientHello{LegacyVersion: 0x303, CipherSuites: []uint16{ecdhe, rsa}},
			offer{0x301, 0x303, []uint16{rsa}, nil, true},
			true,
		},
		"a client with hybrid groups alone below TLS 1.3": {
			detect.ClientHello{LegacyVersion: 0x303, CipherSuites: []uint16{ecdhe}, SupportedGroups: []uint16{hybrid}},
			offer{0x301, 0x303, nil, []utls.CurveID{utls.X25519MLKEM768}, true},
			false,
		},
		"a client of SSL 3.0": {
			detect.ClientHello{LegacyVersion: 0x300, CipherSuites: []uint16{rsa}},
			offer{0x301, 0x300, []uint16{rsa}, nil, false},
			false,
		},
		"a client of a version to come": {
			detect.ClientHello{LegacyVersion: 0x303, SupportedVersions: []uint16{0x305}, CipherSuites: []uint16{tls13}, SupportedGroups: []uint16{x25519}},
			offer{0x305, 0, nil, []utls.CurveID{utls.X25519}, true},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, possible := offerOf(&c.hello)
			if got.min != c.want.min || got.max != c.want.max || !slices.Equal(got.suites, c.want.suites) ||
				!slices.Equal(got.groups, c.want.groups) || got.less != c.want.less || possible != c.possible {
				t.Errorf("offerOf = %+v, %t; want %+v, %t", got, possible, c.want, c.possible)
			}
		})
	}
}
