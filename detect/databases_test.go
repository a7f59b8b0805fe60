package detect_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// databaseVerdicts are those of databases, queues, directories and debuggers.
func databaseVerdicts(t testing.TB) []verdictTest {
	yes := func(info detect.Info) detect.Verdict { return detect.Yes(info) }
	more, no := detect.More, detect.No()
	var all []verdictTest
	add := func(d detect.Detector, tests ...struct {
		name, in string
		want     detect.Verdict
	},
	) {
		for _, tt := range tests {
			all = append(all, verdictTest{tt.name, d, unhex(t, tt.in), tt.want})
		}
	}
	type test = struct {
		name, in string
		want     detect.Verdict
	}
	postgres := func(verb string) detect.Info { return detect.Info{Protocol: "postgres", Verb: verb} }
	startup := detect.Info{Protocol: "postgres", Verb: "StartupMessage", Version: "3.0"}
	alice := startup
	alice.User = "alice"
	shop := alice
	shop.Database, shop.Software = "shop", "psql"
	add(detect.Postgres(),
		test{"nothing", ``, more(8)},
		test{"StartupMessage, no parameter yet", `00 00 00 2c 00 03 00 00`, more(9)},
		test{"a version without parameters", `00 00 00 09 00 03 00 00 00`, no},
		test{"half of an SSLRequest", `00 00 00 08 04 d2`, more(8)},
		test{"SSLRequest", `00 00 00 08 04 d2 16 2f`, yes(postgres("SSLRequest"))},
		test{"GSSENCRequest", `00 00 00 08 04 d2 16 30`, yes(postgres("GSSENCRequest"))},
		test{"CancelRequest", `00 00 00 10 04 d2 16 2e 00 00 00 01 00 00 00 02`, yes(postgres("CancelRequest"))},
		test{"StartupMessage, its beginning", `00 00 00 2c 00 03 00 00 "us"`, yes(startup)},
		test{"StartupMessage, its user", `00 00 00 2c 00 03 00 00 "user" 00 "alice" 00 "data"`, yes(alice)},
		test{"StartupMessage", `00 00 00 39 00 03 00 00 "user" 00 "alice" 00 "database" 00 "shop" 00 "application_name" 00 "psql" 00 00`, yes(shop)},
		test{"a user with a control character", `00 00 00 12 00 03 00 00 "user" 00 "a" 0a 00 00`, yes(startup)},
		test{"protocol 2", `00 00 00 2c 00 02 00 00`, no},
		test{"an SSLRequest that is too long", `00 00 00 09 04 d2 16 2f`, no},
		test{"another code", `00 00 00 08 04 d2 16 31`, no},
		test{"a length that is too large", `00 00 28`, no},
	)
	add(detect.TDS(),
		test{"nothing", ``, more(13)},
		test{"PRELOGIN", `12 01 00 2f 00 00 00 00 00 00 1a 00 06 01 00 20 00 01`, yes(detect.Info{Protocol: "tds", Version: "7"})},
		test{"PRELOGIN of tedious, whole", tdsTedious, yes(detect.Info{Protocol: "tds", Version: "7"})},
		test{"PRELOGIN of tsql, whole", tdsTSQL, yes(detect.Info{Protocol: "tds", Version: "7"})},
		test{"a response, whole", tdsResponse, no},
		test{"more to come", `12 00`, no},
		test{"a length that holds no option", `12 01 00 0d`, no},
		test{"a window", `12 01 00 2f 00 00 00 01`, no},
		test{"another option first", `12 01 00 2f 00 00 00 00 01`, no},
		test{"an offset outside", `12 01 00 2f 00 00 00 00 00 01 1a 00 06`, no},
	)
	add(detect.LDAP(),
		test{"nothing", ``, more(6)},
		test{"StartTLS", `30 1d 02 01 01 77 18 80 16 "1.3.6.1.4.1.1466.20037"`, yes(detect.Info{Protocol: "ldap", Version: "3", Verb: "StartTLS"})},
		test{"half of it", `30 1d 02 01 01 77 18 80 16 "1.3.6"`, more(31)},
		test{"an anonymous bind", `30 0c 02 01 01 60 07 02 01 03 04 00 80 00`, yes(detect.Info{Protocol: "ldap", Version: "3", Verb: "bind"})},
		test{"a bind", `30 10 02 01 01 60 0b 02 01 03 04 04 "cn=a" 80 00`, yes(detect.Info{Protocol: "ldap", Version: "3", Verb: "bind", User: "cn=a"})},
		test{"a bind of LDAP 2", `30 0c 02 01 01 60 07 02 01 02 04 00 80 00`, yes(detect.Info{Protocol: "ldap", Version: "2", Verb: "bind"})},
		test{"a bind that is too long to wait for", `30 82 04 01 02 01 01 60`, yes(detect.Info{Protocol: "ldap", Verb: "bind"})},
		test{"a search", `30 84 00 00 00 2d 02 01 02 63`, yes(detect.Info{Protocol: "ldap", Version: "3", Verb: "search"})},
		test{"a response", `30 0c 02 01 01 61`, no},
		test{"an indefinite length", `30 80`, no},
		test{"no message ID", `30 0c 04`, no},
		test{"a message ID of nothing", `30 0c 02 00`, no},
	)
	add(detect.SMB(),
		test{"nothing", ``, more(9)},
		test{"SMB1", `00 00 00 9b ff "SMB" 72`, yes(detect.Info{Protocol: "smb", Version: "1", Verb: "NEGOTIATE"})},
		test{"SMB2", `00 00 00 e8 fe "SMB" 40 00 00 00 00 00 00 00 00 00`, yes(detect.Info{Protocol: "smb", Version: "2", Verb: "NEGOTIATE"})},
		test{"SMB2, half of it", `00 00 00 e8 fe "SMB" 40`, more(18)},
		test{"another command", `00 00 00 9b ff "SMB" 73`, no},
		test{"another command of SMB2", `00 00 00 e8 fe "SMB" 40 00 00 00 00 00 00 00 01 00`, no},
		test{"something encrypted", `00 00 00 9b fd`, no},
		test{"a length that is too short", `00 00 00 20`, no},
	)
	redis := func(verb string) detect.Verdict { return yes(detect.Info{Protocol: "redis", Verb: verb}) }
	add(detect.Redis(),
		test{"nothing", ``, more(5)},
		test{"an array", `"*1" 0d0a "$4" 0d0a "PING" 0d0a`, redis("PING")},
		test{"small letters", `"*2" 0d0a "$5" 0d0a "hello" 0d0a "$1"`, redis("HELLO")},
		test{"half of the word", `"*1" 0d0a "$4" 0d0a "PI"`, more(14)},
		test{"the number", `"*1"`, more(11)},
		test{"the number's line", `"*12" 0d0a`, more(12)},
		test{"PING in a line", `"PING" 0d0a`, redis("PING")},
		test{"ping, LF", `"ping" 0a`, redis("PING")},
		test{"half of PING", `"PI"`, more(5)},
		test{"AUTH with a password", `"AUTH secret" 0d0a`, redis("AUTH")},
		test{"HELLO 3", `"HELLO 3" 0d0a`, redis("HELLO")},
		test{"HELLO 3 and more", `"HELLO 3 SETNAME x" 0d0a`, redis("HELLO")},
		test{"AUTH without a line end", `"AUTH x"`, more(7)},
		test{"HELLO 4", `"HELLO 4"`, no},
		test{"HELLO 30", `"HELLO 30"`, no},
		test{"a request of HTTP", `"AUTH /x HTTP/1.1" 0d0a`, no},
		test{"a request of HTTP with the method HELLO", `"HELLO 3 HTTP/1.1" 0d0a`, no},
		test{"a request of RTSP", `"AUTH * RTSP/1.0" 0d0a`, no},
		test{"a request of SIP", `"AUTH sip:a SIP/2.0" 0d0a`, no},
		test{"a request of ICAP", `"AUTH * ICAP/1.0" 0a`, no},
		test{"PING and more", `"PING x"`, no},
		test{"no command", `"*0" 0d0a`, no},
		test{"an array of an array", `"*1" 0d0a "*"`, no},
		test{"a word that is no command", `"*1" 0d0a "$2" 0d0a "1a"`, no},
		test{"a word with a wrong length", `"*1" 0d0a "$3" 0d0a "PING"`, no},
	)
	memcached := func(version, verb string) detect.Verdict {
		return yes(detect.Info{Protocol: "memcached", Version: version, Verb: verb})
	}
	add(detect.Memcached(),
		test{"nothing", ``, more(3)},
		test{"version", `"version" 0d0a`, memcached("text", "version")},
		test{"get", `"get a b" 0d0a`, memcached("text", "get")},
		test{"set", `"set a 0 60 5" 0d0a "hello" 0d0a`, memcached("text", "set")},
		test{"set without a reply", `"set a 0 60 5 noreply" 0d0a`, memcached("text", "set")},
		test{"stats", `"stats" 0a`, memcached("text", "stats")},
		test{"get without a line end", `"get a"`, more(6)},
		test{"binary", `80 0b 0000 00 00 0000 00000000 00000000 0000000000000000`, memcached("binary", "")},
		test{"half of binary", `80 0b`, more(24)},
		test{"get without a key", `"get" 0d0a`, no},
		test{"set without a length", `"set a 0 60 x" 0d0a`, no},
		test{"a key with a slash and a dot", `"get User/v1.2" 0d0a`, memcached("text", "get")},
		test{"a request of HTTP", `"get / HTTP/1.1" 0d0a`, no},
		test{"a request of SIP", `"get sip:a SIP/2.0" 0d0a`, no},
		test{"another word", `"gut"`, no},
		test{"two spaces", `"get  a" 0d0a`, no},
		test{"a binary response", `81`, no},
		test{"a binary key that is longer than the body", `80 00 0001 00 00 0000 00000000 00000000 0000000000000000`, no},
	)
	add(detect.Cassandra(),
		test{"nothing", ``, more(9)},
		test{"OPTIONS v4", `04 00 0000 05 00000000`, yes(detect.Info{Protocol: "cassandra", Version: "4", Verb: "OPTIONS"})},
		test{"OPTIONS v5, beta", `05 10 0000 05 00000000`, yes(detect.Info{Protocol: "cassandra", Version: "5", Verb: "OPTIONS"})},
		test{"STARTUP v3", `03 00 0001 01 00000016 0001 000b "CQL_VERSION"`, yes(detect.Info{Protocol: "cassandra", Version: "3", Verb: "STARTUP"})},
		test{"STARTUP, the map to come", `03 00 0001 01 00000016`, more(11)},
		test{"a query", `04 00 0000 07`, no},
		test{"a response", `84`, no},
		test{"OPTIONS with a body", `04 00 0000 05 00000001`, no},
		test{"OPTIONS of DataStax", `42 00 0000 05 00000000`, yes(detect.Info{Protocol: "cassandra", Version: "DSE_V2", Verb: "OPTIONS"})},
		test{"OPTIONS of the older one", `41 00 0000 05 00000000`, yes(detect.Info{Protocol: "cassandra", Version: "DSE_V1", Verb: "OPTIONS"})},
		test{"OPTIONS v6, beta", `06 10 0000 05 00000000`, yes(detect.Info{Protocol: "cassandra", Version: "6", Verb: "OPTIONS"})},
		test{"half of it", `42 00 0000 05`, more(9)},
		test{"version 2, whose header is shorter", `02 00`, no},
		test{"SOCKS5", `05 01 00`, no},
		test{"SOCKS5 with a request behind it", `05 01 00 05 01 00 00 01`, no},
		test{"SOCKS5 with a tail like OPTIONS", `05 01 00 00 05 00000000`, no},
		test{"SOCKS4 with an address like OPTIONS", `04 01 0050 05 00000000`, no},
		test{"SOCKS5 with 16 methods", `05 10 00 01 02 03 04 05 06 07 08 09 80 81 82 83 84 85`, no},
		test{"RDP", `03 00 0013 0e e0 0000 0000 00`, no},
		test{"flags that are none", `04 80`, no},
	)
	add(detect.Kafka(),
		test{"nothing", ``, more(14)},
		test{"ApiVersions", `00000014 0012 0003 00000001 0004 "java" 00 00`, yes(detect.Info{Protocol: "kafka", Verb: "ApiVersions", Version: "3", Software: "java"})},
		test{"Metadata without a client ID", `0000000e 0003 0000 00000001 ffff 00000000`, yes(detect.Info{Protocol: "kafka", Verb: "Metadata", Version: "0"})},
		test{"half of the client ID", `00000014 0012 0003 00000001 0004 "ja"`, more(18)},
		test{
			"ApiVersions of a Java client before SASL", `00000014 0012 0003 7ffffff8 0004 "java" 00 00`,
			yes(detect.Info{Protocol: "kafka", Verb: "ApiVersions", Version: "3", Software: "java"}),
		},
		test{"a number that is not reserved", `00000014 0012 0003 7ffffff7`, no},
		test{"a negative number", `00000014 0012 0003 80`, no},
		test{"a StartupMessage of PostgreSQL", `00000014 0003 0000 "user"`, no},
		test{"a request that is too long to be the first", `0008`, no},
		test{"a packet of OpenVPN", `000e 38 00 0012 0003 000000 0000000000`, no},
		test{"another API", `00000014 00ff`, no},
		test{"a version of 21", `00000014 0012 0015`, no},
		test{"a client ID beyond the message", `0000000b 0012 0003 00000001 0004`, no},
		test{"a client ID that is no text", `00000014 0012 0003 00000001 0004 00`, no},
	)
	add(detect.NATS(),
		test{"nothing", ``, more(11)},
		test{
			"CONNECT", `"CONNECT {" 22 "verbose" 22 ":false," 22 "user" 22 ":" 22 "alice" 22 "," 22 "lang" 22 ":" 22 "go" 22 "}" 0d0a`,
			yes(detect.Info{Protocol: "nats", Verb: "CONNECT", User: "alice", Software: "go"}),
		},
		test{"blanks behind it", `"CONNECT {} " 090d0a`, yes(detect.Info{Protocol: "nats", Verb: "CONNECT"})},
		test{"a user with a control character", `"CONNECT {" 22 "user" 22 ":" 22 "a" 5c "n" 22 "}" 0a`, yes(detect.Info{Protocol: "nats", Verb: "CONNECT"})},
		test{"a request of HTTP", `"CONNECT {} HTTP/1.1" 0d0a`, no},
		test{"a request of RTSP", `"CONNECT {a:b} RTSP/1.0" 0d0a`, no},
		test{"no JSON", `"CONNECT {x}" 0d0a`, yes(detect.Info{Protocol: "nats", Verb: "CONNECT"})},
		test{"HTTP", `"CONNECT e"`, no},
		test{"no line end yet", `"CONNECT {}"`, more(11)},
	)
	add(detect.NATSServer(),
		test{"nothing", ``, more(6)},
		test{"INFO", `"INFO {" 22 "server_id"`, yes(detect.Info{Protocol: "nats", Verb: "INFO"})},
		test{"another word", `"INFO x"`, no},
	)
	mongo := func(verb string) detect.Verdict { return yes(detect.Info{Protocol: "mongodb", Verb: verb}) }
	add(detect.MongoDB(),
		test{"nothing", ``, more(26)},
		test{"OP_MSG", `3a010000 01000000 00000000 dd070000 00000000 00 25010000 10`, mongo("OP_MSG")},
		test{"OP_QUERY", `3a010000 01000000 00000000 d4070000 04000000 "admin.$cmd" 00`, mongo("OP_QUERY")},
		test{"OP_COMPRESSED", `3a010000 01000000 00000000 dc070000 dd070000 30010000 02 00`, mongo("OP_COMPRESSED")},
		test{"the header", `3a010000 01000000 00000000 dd070000`, more(26)},
		test{"a response", `3a010000 01000000 01`, no},
		test{"another opcode", `3a010000 01000000 00000000 01000000`, no},
		test{"a length that is too short", `10000000`, no},
		test{"a flag that is none", `3a010000 01000000 00000000 dd070000 04000000 00 25010000 10`, no},
		test{"a section that is none", `3a010000 01000000 00000000 dd070000 00000000 02 25010000 10`, no},
		test{"a section that is longer than the message", `3a010000 01000000 00000000 dd070000 00000000 00 26010000 10`, no},
		test{"a collection without a name", `3a010000 01000000 00000000 d4070000 00000000 0000000000 00`, no},
		test{"a flag of OP_QUERY that is none", `3a010000 01000000 00000000 d4070000 01000000 "admin." `, no},
		test{"something else compressed", `3a010000 01000000 00000000 dc070000 dc070000 30010000 02 00`, no},
		test{"another compressor", `3a010000 01000000 00000000 dc070000 dd070000 30010000 04 00`, no},
		test{"memcached", `800b 0000 00 00 0000 00000000 dd070000 0000000000000000 0000`, no},
		test{"261 bytes, which begin as SOCKS5 does", `05010000 01000000 00000000 dd070000 00000000 00 f0000000 10`, mongo("OP_MSG")},
		test{"260 bytes, which begin as SOCKS4 does", `04010000 01000000 00000000 dd070000 00000000 00 ef000000 10`, mongo("OP_MSG")},
		test{"66 bytes, which begin as CQL does", `42000000 05000000 00000000 dd070000 00000000 00 2d000000 10`, mongo("OP_MSG")},
	)
	add(detect.JDWP(),
		test{"a debugger", `"JDWP-Handshake"`, yes(detect.Info{Protocol: "jdwp"})},
		test{"half of it", `"JDWP"`, more(14)},
		test{"another word", `"JDWP-handshake"`, no},
		test{"a request of HTTP", `"JDWP-Handshake / HTTP/1.1" 0d0a`, yes(detect.Info{Protocol: "jdwp"})},
		test{"a request of RTSP", `"JDWP-Handshake * RTSP/1.0" 0d0a`, yes(detect.Info{Protocol: "jdwp"})},
		test{"a request of SIP", `"JDWP-Handshake sip:a SIP/2.0" 0d0a`, yes(detect.Info{Protocol: "jdwp"})},
		test{"a request of ICAP", `"JDWP-Handshake * ICAP/1.0" 0d0a`, yes(detect.Info{Protocol: "jdwp"})},
	)
	add(detect.ADB(),
		test{"nothing", ``, more(24)},
		test{"CNXN", `"CNXN" 01000001 00001000 07000000 32020000 bcb1a7b1 "host::"`, yes(detect.Info{Protocol: "adb", Verb: "CNXN"})},
		test{"a magic that is none", `"CNXN" 01000001 00001000 07000000 32020000 bcb1a7b2`, no},
		test{"another command", `"OPEN"`, no},
	)
	greeting := `4a000000 0a "5.5.5-10.11.6-MariaDB" 00 01000000 "saltsalt" 00 feff`
	add(detect.MySQLServer(),
		test{"nothing", ``, more(5)},
		test{"MariaDB", greeting, yes(detect.Info{Protocol: "mysql", Version: "10", Software: "5.5.5-10.11.6-MariaDB"})},
		test{"half of the version", `4a000000 0a "5.5"`, more(22)},
		test{"an error", `1c000000 ff 1004 "Too many connections 1234"`, yes(detect.Info{Protocol: "mysql", Verb: "ERR"})},
		test{"half of an error", `1c000000 ff 1004 "Too"`, more(32)},
		test{"an answer", `4a000001`, no},
		test{"an SSLRequest, which is the client's", mysqlSSLRequest, no},
		test{"a HandshakeResponse, which is the client's", mysqlResponse, no},
		test{"a HandshakeResponse over TLS", mysqlResponseSSL, no},
		test{"MariaDB, whole", mariaDBGreeting, yes(detect.Info{Protocol: "mysql", Version: "10", Software: "5.5.5-10.11.6-MariaDB-0+deb12u1"})},
		test{"MySQL 8, whole", mysql8Greeting, yes(detect.Info{Protocol: "mysql", Version: "10", Software: "8.0.36"})},
		test{"MySQL without TLS, whole", mysqlPlainGreeting, yes(detect.Info{Protocol: "mysql", Version: "10", Software: "5.7.44"})},
		test{"protocol 9", `4a000000 09`, no},
		test{"no version", `4a000000 0a 00`, no},
		test{"a filler that is none", `4a000000 0a "8.0" 00 01000000 "saltsalt" 01`, no},
		test{"an error that is none", `1c000000 ff 0001 "x"`, no},
	)
	return all
}

func FuzzPostgres(f *testing.F)    { detecttest.Fuzz(f, detect.Postgres(), openings(f)...) }
func FuzzTDS(f *testing.F)         { detecttest.Fuzz(f, detect.TDS(), openings(f)...) }
func FuzzLDAP(f *testing.F)        { detecttest.Fuzz(f, detect.LDAP(), openings(f)...) }
func FuzzSMB(f *testing.F)         { detecttest.Fuzz(f, detect.SMB(), openings(f)...) }
func FuzzRedis(f *testing.F)       { detecttest.Fuzz(f, detect.Redis(), openings(f)...) }
func FuzzMemcached(f *testing.F)   { detecttest.Fuzz(f, detect.Memcached(), openings(f)...) }
func FuzzCassandra(f *testing.F)   { detecttest.Fuzz(f, detect.Cassandra(), openings(f)...) }
func FuzzKafka(f *testing.F)       { detecttest.Fuzz(f, detect.Kafka(), openings(f)...) }
func FuzzNATS(f *testing.F)        { detecttest.Fuzz(f, detect.NATS(), openings(f)...) }
func FuzzNATSServer(f *testing.F)  { detecttest.Fuzz(f, detect.NATSServer(), openings(f)...) }
func FuzzMongoDB(f *testing.F)     { detecttest.Fuzz(f, detect.MongoDB(), openings(f)...) }
func FuzzJDWP(f *testing.F)        { detecttest.Fuzz(f, detect.JDWP(), openings(f)...) }
func FuzzADB(f *testing.F)         { detecttest.Fuzz(f, detect.ADB(), openings(f)...) }
func FuzzMySQLServer(f *testing.F) { detecttest.Fuzz(f, detect.MySQLServer(), openings(f)...) }

func FuzzParsePostgresRequest(f *testing.F) {
	fuzzParser(f, detect.ParsePostgresRequest, func(t *testing.T, b []byte, _ detect.PostgresRequest, _ int, err error) {
		if err == nil && detect.Postgres().Detect(detect.Input{Client: b}).Kind != detect.Match {
			t.Errorf("%q is parsed, and not detected", b)
		}
	})
}

func FuzzParseMySQLGreeting(f *testing.F) {
	fuzzParser(f, detect.ParseMySQLGreeting, func(t *testing.T, b []byte, _ detect.MySQLGreeting, _ int, err error) {
		if err == nil && detect.MySQLServer().Detect(detect.Input{Server: b}).Kind != detect.Match {
			t.Errorf("%q is parsed, and not detected", b)
		}
	})
}

func FuzzParseMySQLResponse(f *testing.F) {
	fuzzParser(f, detect.ParseMySQLResponse, func(t *testing.T, b []byte, m detect.MySQLResponse, n int, err error) {
		if err == nil && m.SSLRequest != (n == 36 && m.Capabilities&detect.MySQLClientSSL != 0) {
			t.Errorf("%q is %+v", b, m)
		}
	})
}

func FuzzParseTDSPrelogin(f *testing.F) {
	fuzzParser(f, detect.ParseTDSPrelogin, func(*testing.T, []byte, detect.TDSPrelogin, int, error) {})
}

func FuzzParseLDAPMessage(f *testing.F) {
	fuzzParser(f, detect.ParseLDAPMessage, func(*testing.T, []byte, detect.LDAPMessage, int, error) {})
}
