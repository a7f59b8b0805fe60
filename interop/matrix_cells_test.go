package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A cell of the matrix is a TLS client that gets a page from a TLS server through mitm.
// A server is one for each version, key and ALPN, and agrees to nothing else.
type cell struct {
	client  string // of tlsClients
	server  string // nginx, s_server, gnutls-serv, node, go
	version string // 1.2, 1.3
	key     string // of the server's certificate: ecdsa (P-256), rsa (2048 bits), ed25519
	alpn    string // what is agreed on: h2, h1, none
	path    string // direct, socks5, connect: what the client's TLS is below
}

func (c cell) String() string {
	return strings.Join([]string{c.client, c.server, c.version, c.key, c.alpn, c.path}, "/")
}

func parseCell(text string) (cell, error) {
	words := strings.Split(text, "/")
	if len(words) != 6 {
		return cell{}, fmt.Errorf("parse cell %q: %d words, want 6", text, len(words))
	}
	c := cell{words[0], words[1], words[2], words[3], words[4], words[5]}
	for i, values := range dimensions() {
		if !slices.Contains(values, words[i]) {
			return cell{}, fmt.Errorf("parse cell %q: there is no %s", text, words[i])
		}
	}
	return c, nil
}

// An origin is the server of a cell.
type origin struct{ server, version, key, alpn string }

func (c cell) origin() origin { return origin{c.server, c.version, c.key, c.alpn} }

func (o origin) String() string {
	return strings.Join([]string{o.server, o.version, o.key, o.alpn}, "/")
}

// dimensions are the values of each field of a cell, in the order of the fields.
func dimensions() [6][]string {
	return [6][]string{
		clientNames(),
		{"nginx", "s_server", "gnutls-serv", "node", "go"},
		{"1.2", "1.3"},
		{"ecdsa", "rsa", "ed25519"},
		{"h2", "h1", "none"},
		{"direct", "socks5", "connect"},
	}
}

// opensslVariants are the hellos that s_client can be made to send, and the arguments
// that make it.
func opensslVariants() map[string][]string {
	const cbc = "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
	return map[string][]string{
		"openssl":              nil,
		"openssl-all":          {"-cipher", "ALL:@SECLEVEL=0", "-legacy_renegotiation"},
		"openssl-cbc":          {"-tls1_2", "-cipher", cbc},
		"openssl-ffdhe":        {"-groups", "ffdhe2048:P-256"},
		"openssl-maxfraglen":   {"-maxfraglen", "1024"},
		"openssl-no_etm":       {"-tls1_2", "-cipher", cbc, "-no_etm"},
		"openssl-no_middlebox": {"-no_middlebox"},
		"openssl-no_ticket":    {"-no_ticket"},
		"openssl-noservername": {"-noservername"},
		"openssl-p384":         {"-groups", "P-384"},
		"openssl-pha":          {"-enable_pha"},
		"openssl-rsa":          {"-tls1_2", "-cipher", "AES128-GCM-SHA256"},
		"openssl-status":       {"-status"},
		"openssl-tls1_2":       {"-tls1_2"},
		"openssl-tls1_3":       {"-tls1_3"},
		"openssl-x448":         {"-groups", "X448:P-256"},
	}
}

func clientNames() []string {
	names := []string{"chromium", "curl", "firefox", "gnutls-cli", "go", "java", "node", "python", "wget"}
	for name := range opensslVariants() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// family is the program that a client is: that of openssl's variants is openssl.
func family(client string) string {
	if strings.HasPrefix(client, "openssl") {
		return "openssl"
	}
	return client
}

// unable says why a client and a server don't work together without us, or "". It is
// not taken at its word: a run tries each pair, and fails when they disagree.
func (c cell) unable() string {
	browser := c.client == "chromium" || c.client == "firefox"
	only12 := slices.Contains([]string{"openssl-cbc", "openssl-no_etm", "openssl-rsa", "openssl-tls1_2"}, c.client)
	http1Server := c.server == "s_server" || c.server == "gnutls-serv"
	switch {
	case only12 && c.version != "1.2", c.client == "openssl-tls1_3" && c.version != "1.3":
		return "the client has another version"
	case c.client == "openssl-rsa" && c.key != "rsa":
		return "the client's cipher suites need an RSA key"
	case c.client == "openssl-p384" && c.version == "1.2" && c.key == "ecdsa":
		return "before TLS 1.3 the groups limit the certificate's curve, too"
	case browser && c.key == "ed25519":
		return "the client does not verify Ed25519"
	case c.client == "openssl-maxfraglen" && c.server == "gnutls-serv" && c.version == "1.2":
		return "the server's records are longer than s_client has asked for"
	case slices.Contains([]string{"openssl-cbc", "openssl-no_etm", "openssl-rsa"}, c.client) && c.server == "go" && c.alpn == "h2":
		return "the server refuses a cipher suite that RFC 9113 §9.2.2 prohibits"
	case c.client == "wget" && c.alpn != "none":
		return "the client offers no ALPN"
	case browser && c.alpn == "none" && c.server == "nginx":
		return "the client always offers ALPN, and the server always answers"
	case (c.client == "curl" || c.client == "chromium") && c.alpn == "h2" && http1Server:
		return "the client wants HTTP/2 after ALPN, which the server does not speak"
	}
	return ""
}

// allCells is the whole matrix, in the order of its servers, so that each of them is
// needed for a while only.
func allCells() []cell {
	d := dimensions()
	var cells []cell
	for _, server := range d[1] {
		for _, version := range d[2] {
			for _, key := range d[3] {
				for _, alpn := range d[4] {
					for _, client := range d[0] {
						for _, path := range d[5] {
							cells = append(cells, cell{client, server, version, key, alpn, path})
						}
					}
				}
			}
		}
	}
	return cells
}

func TestACellIsItsName(t *testing.T) {
	cells := allCells()
	if want := 25 * 5 * 2 * 3 * 3 * 3; len(cells) != want {
		t.Errorf("%d cells, want %d", len(cells), want)
	}
	for _, c := range cells {
		if got, err := parseCell(c.String()); err != nil || got != c {
			t.Fatalf("parseCell(%s) = %v, %v", c, got, err)
		}
	}
	for _, bad := range []string{"", "curl/nginx/1.3/rsa/h2", "curl/nginx/1.3/rsa/h2/direct/", "curl/nginx/1.1/rsa/h2/direct", "nginx/curl/1.3/rsa/h2/direct"} {
		if c, err := parseCell(bad); err == nil || c != (cell{}) {
			t.Errorf("parseCell(%q) = %v, %v, want an error", bad, c, err)
		}
	}
}
