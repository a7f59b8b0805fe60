package peers

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A TLSEndpoint is one port of a TLS server that agrees to one thing only, so that the
// outcome of a handshake is known before it.
type TLSEndpoint struct {
	Port    int
	Leaf    Leaf
	Version string // "1.2" or "1.3"
	ALPN    string // "h2", "http/1.1", or "" for a server that does not know the extension
}

// PagePath is what a client asks such a server for. All of them answer with the page
// that they were made with, which should be plain text and longer than a TLS record.
const PagePath = "/page"

// Ed25519Leaf makes an Ed25519 certificate.
func (a *Authority) Ed25519Leaf(names ...string) (Leaf, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Leaf{}, err
	}
	return a.issue(key, names, time.Now().Add(24*time.Hour))
}

// NginxTLS is one nginx with several endpoints. It knows ALPN always: one without a
// protocol chooses http/1.1 for a client that offers it.
func NginxTLS(page string, endpoints ...TLSEndpoint) Program {
	p := Program{
		Name:  "nginx",
		Args:  []string{"-e", "stderr", "-p", Here, "-c", Here + "/nginx.conf"},
		Files: map[string]string{"page": page},
	}
	var servers strings.Builder
	for i, e := range endpoints {
		p.addLeaf(i, e)
		h2 := ""
		if e.ALPN == "h2" {
			h2 = " http2"
		}
		fmt.Fprintf(&servers, `	server {
		listen 127.0.0.1:%d ssl%s; ssl_protocols TLSv%s; ssl_ciphers ALL@SECLEVEL=0;
		ssl_certificate %s/%d.cert.pem; ssl_certificate_key %[4]s/%[5]d.key.pem;
		location = %s { alias %[4]s/page; }
	}
`, e.Port, h2, e.Version, Here, i, PagePath)
	}
	p.Files["nginx.conf"] = strings.NewReplacer("SERVERS", servers.String()).Replace(nginxTLSConf)
	return p
}

const nginxTLSConf = `daemon off; master_process off; pid @HERE@/pid; error_log stderr warn;
events { worker_connections 512; }
http {
	access_log off; default_type text/plain; server_tokens off;
	client_body_temp_path @HERE@/body; proxy_temp_path @HERE@/proxy; fastcgi_temp_path @HERE@/fastcgi;
	uwsgi_temp_path @HERE@/uwsgi; scgi_temp_path @HERE@/scgi;
SERVERS}
`

// NodeTLS is one node with several endpoints.
func NodeTLS(page string, endpoints ...TLSEndpoint) Program {
	p := Program{
		Name:  "node",
		Args:  []string{Here + "/server.js"},
		Files: map[string]string{"page": page, "server.js": nodeServer},
	}
	type endpoint struct {
		Port          int
		Version, ALPN string
	}
	var list []endpoint
	for i, e := range endpoints {
		p.addLeaf(i, e)
		list = append(list, endpoint{e.Port, "TLSv" + e.Version, e.ALPN})
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // numbers and strings only
	}
	p.Files["endpoints.json"] = string(text)
	return p
}

// A node that serves HTTP without ALPN is a TLS server that hands its connections to
// an HTTP server: the one for HTTPS would choose http/1.1.
const nodeServer = `
const fs = require("fs"), http = require("http"), tls = require("tls");
const here = name => fs.readFileSync(__dirname + "/" + name);
const page = here("page");
const answer = (req, res) => {
	res.writeHead(req.url === "` + PagePath + `" ? 200 : 404, {"content-type": "text/plain", "content-length": page.length});
	res.end(page);
};
JSON.parse(here("endpoints.json")).forEach(({Port, Version, ALPN}, i) => {
	const options = {
		key: here(i + ".key.pem"), cert: here(i + ".cert.pem"), minVersion: Version, maxVersion: Version, ciphers: "ALL:@SECLEVEL=0",
	};
	const http1 = http.createServer(answer);
	const server = {
		"h2": () => require("http2").createSecureServer(options, answer),
		"http/1.1": () => require("https").createServer(options, answer),
		"": () => tls.createServer(options, socket => http1.emit("connection", socket)),
	}[ALPN]();
	server.on("tlsClientError", () => {});
	server.on("sessionError", () => {});
	server.on("error", e => { console.error(e); process.exit(1); });
	server.listen(Port, "127.0.0.1");
});
`

// OpenSSLPage is openssl s_server with the page as its file. It serves one connection
// after the other, and speaks HTTP/1 whatever was agreed on.
func OpenSSLPage(page string, e TLSEndpoint) Program {
	args := []string{"-WWW", "-http_server_binmode", "-tls" + strings.ReplaceAll(e.Version, ".", "_"), "-cipher", "ALL:@SECLEVEL=0"}
	if e.ALPN != "" {
		args = append(args, "-alpn", e.ALPN)
	}
	p := OpenSSLServer(e.Port, e.Leaf, args...)
	p.Args = slices.DeleteFunc(p.Args, func(arg string) bool { return arg == "-www" }) // a page about the handshake
	p.Files[strings.TrimPrefix(PagePath, "/")] = page
	return p
}

// GnuTLSServer is gnutls-serv, which answers everything with the page, and speaks
// HTTP/1 whatever was agreed on. It can't be told to listen on loopback only.
func GnuTLSServer(page string, e TLSEndpoint) Program {
	p := Program{
		Name: "gnutls-serv",
		Args: []string{
			"--quiet", "--http", "--httpdata", Here + "/page", "--port", strconv.Itoa(e.Port), "--disable-client-cert",
			"--x509certfile", Here + "/0.cert.pem", "--x509keyfile", Here + "/0.key.pem",
			"--priority", "NORMAL:-VERS-ALL:+VERS-TLS" + e.Version,
		},
		Files: map[string]string{"page": page},
	}
	if e.ALPN != "" {
		p.Args = append(p.Args, "--alpn", e.ALPN)
	}
	p.addLeaf(0, e)
	return p
}

// addLeaf adds the files of the i-th endpoint, and its port.
func (p *Program) addLeaf(i int, e TLSEndpoint) {
	p.Files[fmt.Sprintf("%d.cert.pem", i)] = e.Leaf.Cert
	p.Files[fmt.Sprintf("%d.key.pem", i)] = e.Leaf.Key
	p.Ports = append(p.Ports, e.Port)
}
