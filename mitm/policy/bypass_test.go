package policy_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

const period = 15 * time.Minute

// curl is a client and a name; what the fingerprint is does not matter.
var curl = policy.Key{Client: "192.0.2.1", JA4: "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6", Name: "example.com"}

// A client that pins fails once, and gets through then; another is inspected all along.
func Example() {
	memory := policy.NewBypass(1, 15*time.Minute, policy.DefaultSize)
	app := policy.Key{Client: "192.0.2.7", JA4: "t13d1411h2_1234567890ab_cdef12345678", Name: "api.example"}
	browser := policy.Key{Client: "192.0.2.7", JA4: "t13d1517h2_8daaf6152771_cb7bf5808d99", Name: "api.example"}

	fmt.Println("app:", memory.Bypassed(app))
	memory.Refused(app, tlsbridge.BadCertificate, "ok")
	fmt.Println("app:", memory.Bypassed(app))
	fmt.Println("browser:", memory.Bypassed(browser))
	for _, e := range memory.List() {
		fmt.Println(e.Client, e.Name, e.Last, e.Bypassed)
	}
	// Output:
	// app: false
	// app: true
	// browser: false
	// 192.0.2.7 api.example bad_certificate true
}

func TestHowManyRefusalsLetAClientThrough(t *testing.T) {
	const never = 0
	for _, tt := range []struct {
		how               tlsbridge.Refusal
		byDefault, ofFive int // refusals with a count of 1, and of 5
	}{
		{tlsbridge.UnknownCA, 1, 5},
		{tlsbridge.CertificateUnknown, 1, 5},
		{tlsbridge.BadCertificate, 1, 5},
		{tlsbridge.CertificateRevoked, 1, 5},
		{tlsbridge.UnsupportedCert, 1, 5},
		{tlsbridge.CertificateExpired, 3, 15},
		{tlsbridge.ClosedOnCertificate, 3, 15},
		{tlsbridge.SilentAfterHandshake, 4, 20},
		{tlsbridge.ECHRequired, never, never},
		{tlsbridge.NotRefused, never, never},
		{"a refusal of a kind to come", never, never},
	} {
		for count, want := range map[int]int{1: tt.byDefault, 5: tt.ofFive} {
			b := policy.NewBypass(count, period, 8)
			got := never
			for i := 1; i <= 100 && got == never; i++ {
				begins := b.Refused(curl, tt.how, "ok")
				if begins != b.Bypassed(curl) {
					t.Fatalf("%q: Refused says %v, Bypassed %v", tt.how, begins, b.Bypassed(curl))
				}
				if begins {
					got = i
				}
			}
			if got != want {
				t.Errorf("%q: bypassed after %d refusals with a count of %d, want %d", tt.how, got, count, want)
			}
		}
	}
}

func TestEvidenceOfAllKindsAddsUp(t *testing.T) {
	b := policy.NewBypass(2, period, 8)
	for i, how := range []tlsbridge.Refusal{
		tlsbridge.ClosedOnCertificate, tlsbridge.SilentAfterHandshake, tlsbridge.UnknownCA, tlsbridge.ECHRequired, tlsbridge.SilentAfterHandshake,
	} {
		if b.Refused(curl, how, "ok") {
			t.Errorf("bypassed after %d refusals that weigh less than two", i+1)
		}
	}
	want := policy.Entry{Key: curl, Refusals: 4, Last: tlsbridge.SilentAfterHandshake, Weight: 1 + 1./3 + 1./2}
	if got := b.List(); len(got) != 1 || withoutTime(got[0]) != want {
		t.Errorf("list %+v, want %+v", got, want)
	}
	if !b.Refused(curl, tlsbridge.ClosedOnCertificate, "ok") {
		t.Error("not bypassed after refusals that weigh more than two")
	}
}

func withoutTime(e policy.Entry) policy.Entry {
	e.Until = time.Time{}
	return e
}

func TestARefusalOfAnInvalidCertificateNeverCounts(t *testing.T) {
	b := policy.NewBypass(1, period, 8)
	for _, verdict := range []string{
		ca.UnknownIssuer.String(), ca.SelfSigned.String(), ca.Expired.String(), ca.WrongHost.String(), "", "OK", "not ok",
	} {
		if b.Refused(curl, tlsbridge.UnknownCA, verdict) || b.Bypassed(curl) || len(b.List()) != 0 {
			t.Errorf("a refusal counts when the verdict on the server's certificate is %q", verdict)
		}
	}
	if !b.Refused(curl, tlsbridge.UnknownCA, ca.OK.String()) {
		t.Errorf("a refusal does not count when the verdict is %q", ca.OK)
	}
}

func TestOnlyTheClientThatRefusesIsLetThrough(t *testing.T) {
	b := policy.NewBypass(1, period, 8)
	b.Refused(curl, tlsbridge.UnknownCA, "ok")
	for name, change := range map[string]func(*policy.Key){
		"address":     func(k *policy.Key) { k.Client = "192.0.2.2" },
		"fingerprint": func(k *policy.Key) { k.JA4 = "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6" },
		"name":        func(k *policy.Key) { k.Name = "www.example.com" },
	} {
		other := curl
		change(&other)
		if b.Bypassed(other) {
			t.Errorf("a client with another %s is let through", name)
		}
	}
}

func TestABypassEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policy.NewBypass(1, period, 8)
		b.Refused(curl, tlsbridge.UnknownCA, "ok")
		end := time.Now().Add(period)

		time.Sleep(period - time.Second)
		if b.Refused(curl, tlsbridge.UnknownCA, "ok") {
			t.Error("a bypass begins while there is one")
		}
		if list := b.List(); len(list) != 1 || !list[0].Bypassed || !list[0].Until.Equal(end) {
			t.Errorf("list %+v, want a bypass until %v", list, end)
		}
		time.Sleep(time.Second)
		if b.Bypassed(curl) || len(b.List()) != 0 {
			t.Error("the bypass goes on after its end")
		}
		if !b.Refused(curl, tlsbridge.UnknownCA, "ok") {
			t.Error("the client that is tried again and refuses again is not let through again")
		}
	})
}

func TestCountingBeginsAgainAfterThePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policy.NewBypass(3, period, 8)
		b.Refused(curl, tlsbridge.UnknownCA, "ok")
		time.Sleep(period - time.Second)
		b.Refused(curl, tlsbridge.UnknownCA, "ok")
		time.Sleep(time.Second)
		for i := range 3 {
			if begins := b.Refused(curl, tlsbridge.UnknownCA, "ok"); begins != (i == 2) {
				t.Errorf("refusal %d of the second counting: bypass begins %v", i+1, begins)
			}
		}
	})
}

func TestTheBypassLastsFromTheLastRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policy.NewBypass(2, period, 8)
		b.Refused(curl, tlsbridge.UnknownCA, "ok")
		time.Sleep(period - time.Second)
		b.Refused(curl, tlsbridge.UnknownCA, "ok")
		time.Sleep(period - time.Second)
		if !b.Bypassed(curl) {
			t.Error("the bypass ended with the counting")
		}
	})
}

func TestWhatAcceptingClears(t *testing.T) {
	const hard, weak = tlsbridge.UnknownCA, tlsbridge.SilentAfterHandshake
	for _, tt := range []struct {
		name     string
		refusals []tlsbridge.Refusal
		count    int
		weight   float64 // of what is left
		bypassed bool
	}{
		{"nothing", nil, 1, 0, false},
		{"some silence", []tlsbridge.Refusal{weak, weak, weak}, 1, 0, false},
		{"a bypass for silence", []tlsbridge.Refusal{weak, weak, weak, weak}, 1, 0, false},
		{"no alert", []tlsbridge.Refusal{hard}, 2, 1, false},
		{"the silence besides an alert", []tlsbridge.Refusal{weak, hard, weak}, 2, 1, false},
		{"a bypass that silence has a part in", []tlsbridge.Refusal{hard, weak, weak, weak, weak}, 2, 1, false},
		{"no bypass for alerts", []tlsbridge.Refusal{hard, hard}, 2, 2, true},
		{"no bypass for alerts with silence before", []tlsbridge.Refusal{weak, hard}, 1, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := policy.NewBypass(tt.count, period, 8)
			for _, how := range tt.refusals {
				b.Refused(curl, how, "ok")
			}
			b.Accepted(curl)
			var weight float64
			for _, e := range b.List() {
				weight += e.Weight
			}
			if weight != tt.weight || b.Bypassed(curl) != tt.bypassed {
				t.Errorf("weight %v, bypassed %v, want %v, %v", weight, b.Bypassed(curl), tt.weight, tt.bypassed)
			}
		})
	}
}

func TestAcceptingDoesNotProlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policy.NewBypass(1, period, 8)
		b.Refused(curl, tlsbridge.UnknownCA, "ok")
		time.Sleep(period - time.Second)
		b.Accepted(curl)
		time.Sleep(time.Second)
		if b.Bypassed(curl) {
			t.Error("the bypass goes on after its end")
		}
	})
}

func TestTheMemoryIsBounded(t *testing.T) {
	b := policy.NewBypass(1, period, 100)
	for i := range 1000 {
		k := curl
		k.Name = fmt.Sprintf("n%d.example", i)
		b.Refused(k, tlsbridge.UnknownCA, "ok")
		b.Bypassed(curl)
		k.JA4 = fmt.Sprint(i)
		b.Accepted(k)
	}
	list := b.List()
	if len(list) != 100 || list[0].Name != "n999.example" || list[99].Name != "n900.example" {
		t.Errorf("%d entries, the first %+v, the last %+v; want the last 100", len(list), list[0].Key, list[len(list)-1].Key)
	}
}

func TestClearForgets(t *testing.T) {
	b := policy.NewBypass(1, period, 8)
	b.Refused(curl, tlsbridge.UnknownCA, "ok")
	b.Clear()
	if b.Bypassed(curl) || len(b.List()) != 0 {
		t.Errorf("after Clear: %+v", b.List())
	}
}

func TestNilRemembersNothing(t *testing.T) {
	var b *policy.Bypass
	b.Accepted(curl)
	b.Clear()
	if b.Refused(curl, tlsbridge.UnknownCA, "ok") || b.Bypassed(curl) || b.List() != nil {
		t.Error("a nil Bypass remembers")
	}
}

func TestWhatNewBypassRefuses(t *testing.T) {
	for _, tt := range []struct {
		count  int
		period time.Duration
		size   int
	}{{0, 1, 1}, {-1, 1, 1}, {policy.MaxCount + 1, 1, 1}, {1, 0, 1}, {1, -1, 1}, {1, 1, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewBypass(%d, %d, %d) does not panic", tt.count, tt.period, tt.size)
				}
			}()
			policy.NewBypass(tt.count, tt.period, tt.size)
		}()
	}
}

// Of the refusals of many flows at once, exactly one begins the bypass.
func TestOneRefusalBeginsTheBypass(t *testing.T) {
	const flows = 64
	b := policy.NewBypass(flows, period, 8)
	begins := make(chan bool, 2*flows)
	var wg sync.WaitGroup
	for i := range 2 * flows {
		wg.Go(func() {
			other := curl
			other.Name = fmt.Sprint(i % 4)
			b.Accepted(curl)
			b.Refused(other, tlsbridge.SilentAfterHandshake, "ok")
			begins <- b.Refused(curl, tlsbridge.UnknownCA, "ok")
			for _, e := range b.List() {
				b.Bypassed(e.Key)
			}
		})
	}
	wg.Wait()
	close(begins)
	n := 0
	for begin := range begins {
		if begin {
			n++
		}
	}
	if n != 1 || !b.Bypassed(curl) {
		t.Errorf("%d refusals began the bypass, which is %v; want 1", n, b.Bypassed(curl))
	}
}

// conn has addresses, and nothing else is asked of it.
type conn struct {
	net.Conn
	remote netip.AddrPort
}

func (c conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }
func (c conn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.9:8080"))
}

func TestKeyOf(t *testing.T) {
	record, err := os.ReadFile("../../testdata/hellos/curl.bin")
	if err != nil {
		t.Fatal(err)
	}
	hello, _, err := detect.ParseClientHello(record)
	if err != nil {
		t.Fatal(err)
	}
	const ja4 = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"
	for _, tt := range []struct {
		name, remote, sni string
		frames            []bridge.Frame
		want              policy.Key
	}{
		{"a name", "192.0.2.1:50000", "example.com", nil, policy.Key{Client: "192.0.2.1", JA4: ja4, Name: "example.com"}},
		{"a name in capitals with a final dot", "192.0.2.1:50000", "EXAMPLE.Com.", nil, policy.Key{Client: "192.0.2.1", JA4: ja4, Name: "example.com"}},
		{"no name", "192.0.2.1:50000", "", nil, policy.Key{Client: "192.0.2.1", JA4: ja4, Name: "203.0.113.9:443"}},
		{"a name that is a dot", "192.0.2.1:50000", ".", nil, policy.Key{Client: "192.0.2.1", JA4: ja4, Name: "203.0.113.9:443"}},
		{"an IPv6 client", "[2001:db8::1]:50000", "example.com", nil, policy.Key{Client: "2001:db8::1", JA4: ja4, Name: "example.com"}},
		{
			"a client that a trusted layer names", "192.0.2.1:50000", "example.com",
			[]bridge.Frame{{Proto: "proxy2", Verb: bridge.VerbTerminate, Src: bridge.Addr{Host: "198.51.100.7", Port: 1}}},
			policy.Key{Client: "198.51.100.7", JA4: ja4, Name: "example.com"},
		},
		{
			"a target that a layer names", "192.0.2.1:50000", "",
			[]bridge.Frame{{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: "inner.example", Port: 993}}},
			policy.Key{Client: "192.0.2.1", JA4: ja4, Name: "inner.example:993"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bridge.Bridge{Client: bridge.NewStream(conn{remote: netip.MustParseAddrPort(tt.remote)})}
			b.SetHop(bridge.Addr{Host: "203.0.113.9", Port: 443})
			for _, f := range tt.frames {
				b.Push(f)
			}
			h := *hello
			h.ServerName = tt.sni
			if got := policy.KeyOf(b.Flow(), &h); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("KeyOf = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func BenchmarkBypass(b *testing.B) {
	memory := policy.NewBypass(1, period, policy.DefaultSize)
	b.Run("accepted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			memory.Accepted(curl)
		}
	})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		k := curl
		for i := 0; b.Loop(); i++ {
			k.Name = fmt.Sprintf("n%d.example", i)
			memory.Refused(k, tlsbridge.UnknownCA, "ok")
		}
	})
}
