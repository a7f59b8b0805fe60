package mirror

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// Pieces of a server's answer.

func record(kind byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(payload))), payload...)
}

func alert(a utls.AlertError) []byte { return record(21, []byte{2, byte(a)}) }

func extension(id uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

// answer is a ServerHello to a hello with its session identifier.
func answer(hello *detect.ClientHello, random string, suite uint16, extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, random...)
	body = append(append(body, byte(len(hello.SessionID))), hello.SessionID...)
	body = append(binary.BigEndian.AppendUint16(body, suite), 0)
	all := slices.Concat(extensions...)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(all))), all...)
	return record(22, append([]byte{2, 0, byte(len(body) >> 8), byte(len(body))}, body...))
}

const (
	anyRandom   = "0123456789abcdef0123456789abcdef"
	retryRandom = "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91" +
		"\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C"
)

var tls13 = extension(extSupportedVersions, 3, 4)

// answered is how Handshake fails when a server answers the hello with what say returns, and leaves.
func answered(t *testing.T, hello *detect.ClientHello, config Config, say func(sent *detect.ClientHello) []byte) (rest []byte, err error) {
	t.Helper()
	near, far := tcpPair(t)
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		far.Write(say(parse(t, readHello(t, far))))
		far.(interface{ CloseWrite() error }).CloseWrite()
		rest, _ = io.ReadAll(far)
	}()
	_, _, err = Handshake(t.Context(), near, hello, config)
	near.Close()
	<-done
	return rest, err
}

// saying is a server that says one thing.
func saying(b []byte) func(*detect.ClientHello) []byte {
	return func(*detect.ClientHello) []byte { return b }
}

func helloing(random string, suite uint16, extensions ...[]byte) func(*detect.ClientHello) []byte {
	return func(sent *detect.ClientHello) []byte { return answer(sent, random, suite, extensions...) }
}

func then(say func(*detect.ClientHello) []byte, more []byte) func(*detect.ClientHello) []byte {
	return func(sent *detect.ClientHello) []byte { return append(say(sent), more...) }
}

func TestTheEvidenceSaysWhatMayHelp(t *testing.T) {
	const (
		retry    = "retry" // with the changes of the case
		hopeless = "unbridgeable"
		theirs   = "theirs"
	)
	const cbc = utls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
	for _, tt := range []struct {
		name    string
		hello   string
		say     func(*detect.ClientHello) []byte
		how     string
		changes Changes
	}{
		{"an alert at once", "curl", saying(alert(40)), theirs, 0},
		{"an alert at once about a parameter", "curl", saying(alert(47)), theirs, 0},
		{"an alert at once about a parameter that we made up", "ossl_ffdhe", saying(alert(47)), retry, KnownGroups},
		{"another alert at once, when we made up a parameter", "ossl_ffdhe", saying(alert(40)), theirs, 0},
		{"an end at once", "ossl_ffdhe", saying(nil), theirs, 0},
		{"encrypt_then_mac", "curl", helloing(anyRandom, cbc, extension(extEncryptThenMAC)), retry, WithoutEncryptThenMAC},
		{
			"encrypt_then_mac without a MAC", "curl",
			then(helloing(anyRandom, utls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, extension(extEncryptThenMAC)), alert(80)), theirs, 0,
		},
		{"a retry with the hybrid group", "node24_hrr", helloing(retryRandom, 0x1301, tls13, extension(extKeyShare, 0x11, 0xec)), retry, HybridShare},
		{"a retry with a group that is not known", "ossl", helloing(retryRandom, 0x1301, tls13, extension(extKeyShare, 0, 30)), retry, KnownGroups},
		{"a retry with a group that nobody has offered", "ossl", helloing(retryRandom, 0x1301, tls13, extension(extKeyShare, 0x12, 0x34)), theirs, 0},
		{
			"a retry with encrypted_client_hello", "chromium.0",
			helloing(retryRandom, 0x1301, tls13, extension(extKeyShare, 0, 23), extension(extECH, 1, 2, 3, 4, 5, 6, 7, 8)), retry, WithoutECH,
		},
		{"a share of a group that is not known", "ossl_ffdhe", helloing(anyRandom, 0x1301, tls13, extension(extKeyShare, 1, 0, 0, 1, 9)), retry, KnownGroups},
		{"a suite of TLS 1.3 that is not known", "gnutls", helloing(anyRandom, 0x1304, tls13, extension(extKeyShare, 0, 23, 0, 1, 9)), retry, KnownSuites},
		{"a suite of TLS 1.2 that is not known", "curl", helloing(anyRandom, 0x009e), retry, KnownSuites},
		{"a suite that nobody has offered", "curl", helloing(anyRandom, 0x1234), theirs, 0},
		{
			"what is not known, in TLS 1.2", "ossl_nextproto",
			then(helloing(anyRandom, utls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, extension(13172)), alert(10)), hopeless, 0,
		},
		{
			"what is known, in TLS 1.2", "ossl_nextproto",
			then(helloing(anyRandom, utls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, extension(extExtendedMaster)), alert(10)), theirs, 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := answered(t, parse(t, realHellos(t)[tt.hello]), Config{}, tt.say)
			again, cannot := (*Retry)(nil), (*Unbridgeable)(nil)
			how := theirs
			switch {
			case errors.As(err, &again):
				how = retry
			case errors.As(err, &cannot):
				how = hopeless
			}
			if err == nil || how != tt.how || how == retry && again.Changes != tt.changes {
				t.Errorf("%v (%s, %+v); want %s, %s", err, how, again, tt.how, tt.changes)
			}
		})
	}
}

// A change that has been made is not asked for again.
func TestARetryAsksForWhatIsNew(t *testing.T) {
	say := helloing(anyRandom, utls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, extension(extEncryptThenMAC))
	_, err := answered(t, parse(t, realHellos(t)["curl"]), Config{Changes: WithoutEncryptThenMAC}, say)
	if retry := (*Retry)(nil); err == nil || errors.As(err, &retry) {
		t.Errorf("%v, want no retry", err)
	}
}

// encrypt_then_mac is noticed before anything depends on it, and above all before anybody is asked for a certificate.
func TestNothingFollowsEncryptThenMAC(t *testing.T) {
	say := helloing(anyRandom, utls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, extension(extEncryptThenMAC))
	if rest, _ := answered(t, parse(t, realHellos(t)["curl"]), Config{}, say); len(rest) > 0 {
		t.Errorf("the server is sent %x after the hello", rest)
	}
}

// A server that knows a key of the client's need not have a certificate at all. A ticket is no such key: we have
// none of the client's, and its server has a certificate.
func TestAClientsOwnKeyMayBeWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  uint32 // obfuscated_ticket_age
		want bool
	}{{"a key", 0, true}, {"a ticket", 0x12345678, false}} {
		identity := append([]byte{0, 3}, "key"...)
		identity = binary.BigEndian.AppendUint32(identity, tt.age)
		data := append(binary.BigEndian.AppendUint16(nil, uint16(len(identity))), identity...)
		data = append(append(data, 0, 33, 32), bytes.Repeat([]byte{7}, 32)...)
		hello := *parse(t, realHellos(t)["curl"])
		hello.Extensions = append(slices.Clone(hello.Extensions), detect.Extension{ID: extPreSharedKey, Data: data})
		own := parse(t, encode(&hello))
		_, err := answered(t, own, Config{}, saying(alert(40)))
		if cannot := (*Unbridgeable)(nil); errors.As(err, &cannot) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
		for n := range data {
			own.Extensions[len(own.Extensions)-1].Data = data[:n]
			if hasExternalKey(own) && n < 2+len(identity) {
				t.Errorf("%s: %d bytes of it are enough", tt.name, n)
			}
		}
	}
}

func TestAnswersAreReadAsFarAsTheyGo(t *testing.T) {
	hello := &detect.ClientHello{SessionID: []byte("12345678")}
	for id, want := range map[uint16]bool{13172: false, 4: false, extEncryptThenMAC: true, extRenegotiationInfo: true} {
		message := answer(hello, anyRandom, 0xc02b, extension(extSessionTicket), extension(id))[recordHeaderLen:]
		for n := range message {
			if !knowsAll(message[:n]) {
				t.Errorf("extension %d: %d bytes are enough", id, n)
			}
		}
		if got := knowsAll(message); got != want {
			t.Errorf("extension %d: %v, want %v", id, got, want)
		}
	}
}
