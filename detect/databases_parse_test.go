package detect_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// Whole packets of the connection phase: version, thread ID, challenge, capabilities, charset, status, capabilities,
// length of the challenge, reserved, the rest of the challenge, plugin.
const (
	mariaDBGreeting = `63000000 0a "5.5.5-10.11.6-MariaDB-0+deb12u1" 00 1f000000 "saltsalt" 00 feff 2d 0200 ff81 15
		000000000000 1d000000 "saltsaltsalt" 00 "mysql_native_password" 00`
	mysql8Greeting = `4a000000 0a "8.0.36" 00 08000000 "saltsalt" 00 ffff ff 0200 ffdf 15
		00000000000000000000 "saltsaltsalt" 00 "mysql_native_password" 00`
	mysqlPlainGreeting = `4a000000 0a "5.7.44" 00 08000000 "saltsalt" 00 fff7 08 0200 ff81 15
		00000000000000000000 "saltsaltsalt" 00 "mysql_native_password" 00`
	mysqlSSLRequest = `20000001 85aeff19 00000001 2d 0000000000000000000000000000000000000000000000`
	mysqlResponse   = `26000001 85a6ff19 00000001 2d 0000000000000000000000000000000000000000000000 "alice" 00`
	// A client that has asked for TLS says it again within, and is then longer.
	mysqlResponseSSL = `26000001 85aeff19 00000001 2d 0000000000000000000000000000000000000000000000 "alice" 00`
	// As captured, of tsql 1.3 and of tedious, which has TRACEID and FEDAUTHREQUIRED besides.
	tdsTSQL = `12 01 003a 0000 00 00 00 001a 0006 01 0020 0001 02 0021 000c 03 002d 0004 04 0031 0001 ff
		09 00 00 00 00 00 00 "MSSQLServer" 00 cb730000 00`
	tdsTedious = `12 01 005e 0000 01 00 00 0024 0006 01 002a 0001 02 002b 0001 03 002c 0004 04 0030 0001 05 0031 0024 06 0055 0001 ff
		13 02 00 02 00 00 01 00 00000000 00 b27bbd16163ec2a2852f9ed8e8148318c5e563823916a93a467d37c58fa2af275bf360f3 01`
	tdsResponse = `04 01 002b 0000 01 00 00 001a 0006 01 0020 0001 02 0021 0001 03 0022 0000 04 0022 0001 ff
		0f 00 10 71 00 00 03 00 00`
)

// parseTest is what a parser says of a message. The message is followed by bytes of the next one.
type parseTest[M comparable] struct {
	name, in string
	want     M
	broken   string // the field that is malformed
}

func (tt parseTest[M]) run(t *testing.T, parse func([]byte) (M, int, error)) {
	t.Run(tt.name, func(t *testing.T) {
		b := unhex(t, tt.in)
		got, n, err := parse(append(b[:len(b):len(b)], 0x16, 0x03))
		if tt.broken != "" {
			wantMalformed(t, err, tt.broken)
			return
		}
		if err != nil || got != tt.want || n != len(b) {
			t.Errorf("parse(%x) = %+v, %d, %v, want %+v, %d", b, got, n, err, tt.want, len(b))
		}
		if _, _, err := parse(b[:len(b)-1]); err != detect.ErrShort {
			t.Errorf("parse of all bytes but one = %v, want ErrShort", err)
		}
	})
}

func TestParsePostgresRequest(t *testing.T) {
	for _, tt := range []parseTest[detect.PostgresRequest]{
		{name: "SSLRequest", in: `00000008 04d2162f`, want: detect.PostgresRequest{Code: detect.PostgresSSLRequest}},
		{name: "GSSENCRequest", in: `00000008 04d21630`, want: detect.PostgresRequest{Code: detect.PostgresGSSENCRequest}},
		{name: "CancelRequest", in: `00000010 04d2162e 00000001 00000002`, want: detect.PostgresRequest{Code: detect.PostgresCancelRequest}},
		{
			name: "StartupMessage", in: `00000034 00030000 "database" 00 "shop" 00 "user" 00 "alice" 00 "application_name" 00 00 00`,
			want: detect.PostgresRequest{Code: 3 << 16, User: "alice", Database: "shop"},
		},
		{
			name: "the first of two users", in: `0000001b 00030002 "user" 00 "a" 00 "user" 00 "b" 00 "x" 00 "y" 00 00`,
			want: detect.PostgresRequest{Code: 3<<16 | 2, User: "a"},
		},
		{name: "a StartupMessage without its end", in: `0000000f 00030000 "user" 00 "al"`, broken: "StartupMessage"},
		{name: "protocol 2", in: `00000010 00020000 "12345678"`, broken: "code"},
		{name: "a key of no bytes", in: `0000000c 04d2162e 00000001`, broken: "code"},
		{name: "a length that is too large", in: `00002800 00030000 "user"`, broken: "length"},
	} {
		tt.run(t, detect.ParsePostgresRequest)
	}
}

func TestParseMySQLGreeting(t *testing.T) {
	for _, tt := range []parseTest[detect.MySQLGreeting]{
		{name: "MariaDB", in: mariaDBGreeting, want: detect.MySQLGreeting{Version: "5.5.5-10.11.6-MariaDB-0+deb12u1", Capabilities: 0x81fffffe}},
		{name: "MySQL 8", in: mysql8Greeting, want: detect.MySQLGreeting{Version: "8.0.36", Capabilities: 0xdfffffff}},
		{name: "without TLS", in: mysqlPlainGreeting, want: detect.MySQLGreeting{Version: "5.7.44", Capabilities: 0x81fff7ff}},
		{name: "an error", in: `1c000000 ff 1004 "Too many connections 1234"`, broken: "protocol_version"},
		{name: "a greeting of MySQL 3, which ends early", in: `10000000 0a "3" 00 01000000 "saltsalt" 00`, broken: "payload_length"},
	} {
		tt.run(t, detect.ParseMySQLGreeting)
	}
	for name, offered := range map[string]bool{mariaDBGreeting: true, mysql8Greeting: true, mysqlPlainGreeting: false} {
		if g, _, err := detect.ParseMySQLGreeting(unhex(t, name)); err != nil || g.Capabilities&detect.MySQLClientSSL != 0 != offered {
			t.Errorf("%s offers TLS: %t, %v, want %t", g.Version, !offered, err, offered)
		}
	}
}

func TestParseMySQLResponse(t *testing.T) {
	for _, tt := range []parseTest[detect.MySQLResponse]{
		{name: "SSLRequest", in: mysqlSSLRequest, want: detect.MySQLResponse{Capabilities: 0x19ffae85, SSLRequest: true}},
		{name: "HandshakeResponse", in: mysqlResponse, want: detect.MySQLResponse{Capabilities: 0x19ffa685}},
		{name: "HandshakeResponse with CLIENT_SSL", in: mysqlResponseSSL, want: detect.MySQLResponse{Capabilities: 0x19ffae85}},
		{name: "a packet of the server", in: `20000000`, broken: "sequence_id"},
		{name: "a packet that is too short", in: `1f000001`, broken: "payload_length"},
	} {
		tt.run(t, detect.ParseMySQLResponse)
	}
}

func TestParseTDSPrelogin(t *testing.T) {
	const request = `12 01 0024 0000 00 00 00 0010 0006 01 0016 0001 04 0017 0001 ff 08000155 0000`
	for _, tt := range []parseTest[detect.TDSPrelogin]{
		{
			name: "a request that asks for TLS", in: request + `01 00 00000000`,
			want: detect.TDSPrelogin{Encryption: detect.TDSEncryptOn, Version: [4]byte{8, 0, 1, 0x55}},
		},
		{
			name: "a request that has none", in: request + `02 00 00000000`,
			want: detect.TDSPrelogin{Encryption: detect.TDSEncryptNotSup, Version: [4]byte{8, 0, 1, 0x55}},
		},
		{name: "tedious", in: tdsTedious, want: detect.TDSPrelogin{Encryption: detect.TDSEncryptOn, Version: [4]byte{0x13, 2, 0, 2}}},
		{name: "tsql", in: tdsTSQL, want: detect.TDSPrelogin{Version: [4]byte{9, 0, 0, 0}}},
		{
			name: "a response that requires TLS", in: tdsResponse,
			want: detect.TDSPrelogin{Response: true, Encryption: detect.TDSEncryptReq, Version: [4]byte{0x0f, 0, 0x10, 0x71}},
		},
		{name: "a login", in: `10 01 0024`, broken: "Type"},
		{name: "an option outside", in: `12 01 001b 0000 00 00 00 000b 0006 01 0014 0001 ff 000000000000 000000`, broken: "PL_OFFSET"},
		{name: "options without an end", in: `12 01 0019 0000 00 00 00 000b 0006 01 0000 0000 00 0000000000 00`, broken: "PL_OPTION_TOKEN"},
	} {
		tt.run(t, detect.ParseTDSPrelogin)
	}
}

func TestParseLDAPMessage(t *testing.T) {
	const startTLS = `"1.3.6.1.4.1.1466.20037"`
	response := func(code int) detect.LDAPMessage {
		return detect.LDAPMessage{ID: 1, Op: detect.LDAPExtendedResponse, ResultCode: code}
	}
	named := response(0)
	named.Name = detect.LDAPStartTLS
	for _, tt := range []parseTest[detect.LDAPMessage]{
		{
			name: "StartTLS", in: `30 1d 02 01 01 77 18 80 16 ` + startTLS,
			want: detect.LDAPMessage{ID: 1, Op: detect.LDAPExtendedRequest, Name: detect.LDAPStartTLS},
		},
		{
			name: "StartTLS, with lengths of four bytes", in: `30 84 00000029 02 02 0100 77 84 0000001f 80 82 0016 ` + startTLS + ` 81 03 "abc"`,
			want: detect.LDAPMessage{ID: 256, Op: detect.LDAPExtendedRequest, Name: detect.LDAPStartTLS},
		},
		{
			name: "a bind", in: `30 10 02 01 05 60 0b 02 01 03 04 04 "cn=a" 80 00`,
			want: detect.LDAPMessage{ID: 5, Op: detect.LDAPBindRequest, Version: 3, Name: "cn=a"},
		},
		{name: "a response", in: `30 0c 02 01 01 78 07 0a 01 00 04 00 04 00`, want: response(0)},
		{name: "a response with a name", in: `30 24 02 01 01 78 1f 0a 01 00 04 00 04 00 8a 16 ` + startTLS, want: named},
		{name: "a response with controls behind it", in: `30 10 02 01 01 78 07 0a 01 00 04 00 04 00 a0 02 30 00`, want: response(0)},
		{name: "protocolError", in: `30 0c 02 01 01 78 07 0a 01 02 04 00 04 00`, want: response(2)},
		{name: "success in two bytes", in: `30 0d 02 01 01 78 08 0a 02 0000 04 00 04 00`, want: response(0)},
		{name: "a code above 255", in: `30 0d 02 01 01 78 08 0a 02 1000 04 00 04 00`, want: response(4096)},
		{name: "no code", in: `30 09 02 01 01 78 04 04 00 04 00`, want: response(-1)},
		{name: "a code that ends outside", in: `30 08 02 01 01 78 03 0a 02 00`, want: response(-1)},
		{name: "a notice, without an ID", in: `30 0c 02 01 00 78 07 0a 01 34 04 00 04 00`, want: detect.LDAPMessage{Op: detect.LDAPExtendedResponse, ResultCode: 52}},
		{name: "no sequence", in: `31 0c`, broken: "LDAPMessage"},
		{name: "an indefinite length", in: `30 80 02 01 01 77`, broken: "length"},
		{name: "a length above 64 KiB", in: `30 84 00010001`, broken: "length"},
		{name: "a negative ID", in: `30 0f 02 04 ff000000 78 07 0a 01 00`, broken: "messageID"},
	} {
		tt.run(t, detect.ParseLDAPMessage)
	}
}
