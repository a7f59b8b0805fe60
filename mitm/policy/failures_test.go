package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

func TestFailuresWithinAPeriodMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := load(t, one(`{"type": "decrypt_fail", "expression": 2, "period": 60}`))
		want := func(when string, f policy.Facts, blocked bool) {
			t.Helper()
			if got := r.Decide(f).Action == policy.Block; got != blocked {
				t.Errorf("%s: matches %v, want %v", when, got, blocked)
			}
			sameAsExplained(t, r, f)
		}
		f := hello(nil)
		want("before it has failed", f, false)
		r.Failed(f, tlsbridge.UnknownCA)
		want("when it has failed once", f, false)
		time.Sleep(50 * time.Second)
		r.Failed(f, tlsbridge.SilentAfterHandshake)
		r.Failed(f, tlsbridge.ECHRequired)
		want("when its handshake was finished, or it comes again", f, false)
		r.Failed(f, tlsbridge.ClosedOnCertificate)
		want("when it has failed twice", f, true)
		for name, change := range map[string]func(*policy.Facts){
			"another client":      func(f *policy.Facts) { f.Client = f.Client.Next() },
			"another name":        func(f *policy.Facts) { f.SNI = "example.org" },
			"no name":             func(f *policy.Facts) { f.SNI = "" },
			"another fingerprint": func(f *policy.Facts) { f.JA4 = "t13d1516h2_8daaf6152771_02713d6af862" },
		} {
			want(name, hello(change), false)
		}
		want("the name in another case", hello(func(f *policy.Facts) { f.SNI = "www.example.COM" }), true)
		time.Sleep(20 * time.Second)
		want("when the first is long ago", f, false)
		r.Failed(f, tlsbridge.BadCertificate)
		want("when another is not", f, true)
		time.Sleep(time.Hour)
		want("when all are", f, false)
	})
}

// Ways to fail are counted apart, however many there are of others.
func TestFailuresByTheirErrorCode(t *testing.T) {
	r := load(t, one(`{"type": "decrypt_fail_errorcode", "expression": "0x0A000418", "period": 60, "count": 2}`))
	f := hello(nil)
	r.Failed(f, tlsbridge.UnknownCA)
	for range 200 {
		r.Failed(f, tlsbridge.BadCertificate)
	}
	if r.Decide(f).Action == policy.Block {
		t.Error("matches after one unknown_ca")
	}
	r.Failed(f, tlsbridge.UnknownCA)
	if r.Decide(f).Action != policy.Block {
		t.Error("does not match after two")
	}
}

// What clients have done is not forgotten when rules are loaded again.
func TestFailuresOutliveRules(t *testing.T) {
	folder := t.TempDir()
	text := one(`{"type": "decrypt_fail_errorcode", "expression": "silent"}`)
	r := loadFrom(t, policy.Sources{Ruleset: write(t, folder, "rules.json", text)})
	r.Failed(hello(nil), tlsbridge.SilentAfterHandshake)
	write(t, folder, "rules.json", strings.Replace(text, "inspect", "bypass", 1))
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := r.Decide(hello(nil)); d.Action != policy.Block {
		t.Errorf("%+v", d)
	}
}

func TestParseRefusal(t *testing.T) {
	for text, want := range map[string]policy.Refusal{
		"48": "unknown_ca", "unknown_ca": "unknown_ca", "Unknown_CA": "unknown_ca",
		"0x0A000418": "unknown_ca", "0x0a000412": "bad_certificate", "0X0A000412": "bad_certificate", // OpenSSL 3
		"0x14094418": "unknown_ca", "0x14094416": "certificate_unknown", // OpenSSL 1.1
		"0": "close_notify", "0x0A0003E8": "close_notify", "121": "ech_required", "116": "certificate_required",
		"closed": "closed", "silent": "silent",
		"": "", "-1": "", "1": "", "256": "", "304": "", "unknown ca": "", "0x": "", "0x30": "", "0x0A000030": "",
		"0x0A0003E7": "", "0x0A0003E9": "", "0x14094": "", "0x1F000418": "", "0x0A00041800": "", "4 8": "", "0xzz": "",
	} {
		if got, ok := policy.ParseRefusal(text); got != want || ok != (want != "") {
			t.Errorf("ParseRefusal(%q) = %q, %v, want %q", text, got, ok, want)
		}
	}
	for _, how := range []policy.Refusal{
		tlsbridge.UnknownCA, tlsbridge.CertificateUnknown, tlsbridge.BadCertificate, tlsbridge.CertificateExpired,
		tlsbridge.CertificateRevoked, tlsbridge.UnsupportedCert, tlsbridge.ECHRequired, tlsbridge.ClosedOnCertificate,
		tlsbridge.SilentAfterHandshake,
	} {
		if got, ok := policy.ParseRefusal(string(how)); got != how || !ok {
			t.Errorf("ParseRefusal(%q) = %q, %v", how, got, ok)
		}
	}
}

func TestFactsOfAFlow(t *testing.T) {
	b := newBridge(policy.NewBypass(1, period, 8))
	b.Push(bridge.Frame{Proto: "socks5", Dst: bridge.Addr{Host: "example.com", Port: 8443}})
	f := policy.FactsOf(b.Flow(), &detect.ClientHello{ServerName: "www.example.com", ALPN: []string{"h2"}, HasECH: true})
	if got, want := fmt.Sprintf("%v %q %q %v %v %v %s", f.NonTLS, f.SNI, f.ALPN, f.ECH, f.Client, f.Destination, f.Path), `false "www.example.com" ["h2"] true 192.0.2.1 example.com:8443 socks5`; got != want {
		t.Errorf("a hello: %s, want %s", got, want)
	}
	if len(f.JA3) != 32 || len(f.JA4) != 36 {
		t.Errorf("fingerprints %q, %q", f.JA3, f.JA4)
	}
	f = policy.FactsOf(b.Flow(), nil)
	if got, want := fmt.Sprintf("%v %q %q %q %q %v %v %s", f.NonTLS, f.SNI, f.ALPN, f.JA3, f.JA4, f.Client, f.Destination, f.Path), `true "" [] "" "" 192.0.2.1 example.com:8443 socks5`; got != want {
		t.Errorf("no hello: %s, want %s", got, want)
	}
}
