package peers

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// An NginxConfig says what an nginx serves: the same site on each of its ports.
//
//	/        "hello from nginx"
//	/status  one line of key=value: what nginx saw of the request and its TLS
//	/large   [Large]
//	/ws      handed to Backend, upgrade included
//	/upload  handed to Backend, of any size
type NginxConfig struct {
	Plain     int    // port for HTTP/1; 0: none
	TLS       int    // port for HTTP/2 and HTTP/1 over TLS; 0: none
	Leaf      Leaf   // the certificate for TLS
	Protocols string // of ssl_protocols; "" means "TLSv1.2 TLSv1.3"
	Backend   string // host:port of an HTTP/1 server for /ws and /upload; "" means none

	// Proxied says that each connection must begin with a PROXY header. Its addresses are then
	// the client's, in the log too, and /status says "client" and "server" with their ports.
	Proxied bool
}

// Nginx is the HTTP server.
func Nginx(c NginxConfig) Program {
	var listen, ws strings.Builder
	var ports []int
	proxied, address := "", "client=$remote_addr"
	if c.Proxied {
		proxied = " proxy_protocol"
		address = "client=$remote_addr:$remote_port server=$proxy_protocol_server_addr:$proxy_protocol_server_port"
		listen.WriteString("set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;\n\t\t")
	}
	if c.Plain != 0 {
		ports = append(ports, c.Plain)
		fmt.Fprintf(&listen, "listen 127.0.0.1:%d%s;\n", c.Plain, proxied)
	}
	if c.TLS != 0 {
		ports = append(ports, c.TLS)
		protocols := c.Protocols
		if protocols == "" {
			protocols = "TLSv1.2 TLSv1.3"
		}
		// OpenSSL's security level 1 forbids what TLS 1.0 and 1.1 sign with.
		fmt.Fprintf(&listen, `listen 127.0.0.1:%d ssl http2%s;
			ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;
			ssl_protocols %s; ssl_ciphers DEFAULT@SECLEVEL=0; ssl_session_tickets on;
`, c.TLS, proxied, Here, Here, protocols)
	}
	if c.Backend != "" {
		fmt.Fprintf(&ws, `location /ws {
			proxy_pass http://%s; proxy_http_version 1.1; proxy_set_header Host $http_host;
			proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
		}
		location /upload {
			proxy_pass http://%s; proxy_http_version 1.1; proxy_set_header Host $http_host;
			client_max_body_size 0; proxy_request_buffering off;
		}`, c.Backend, c.Backend)
	}
	return Program{
		Name:  "nginx",
		Args:  []string{"-e", "stderr", "-p", Here, "-c", Here + "/nginx.conf"},
		Ports: ports,
		Files: map[string]string{
			"cert.pem": c.Leaf.Cert, "key.pem": c.Leaf.Key, "large": Large(),
			"nginx.conf": strings.NewReplacer("LISTEN", listen.String(), "WEBSOCKET", ws.String(), "ADDRESS", address).Replace(nginxConf),
		},
	}
}

// HAProxyPage is HAProxy as a server that takes only connections which begin with a PROXY
// header, with TLS behind it if there is a leaf. It answers with one line of key=value: the
// client's and the server's address by that header, and its authority and unique-id, "-" where
// there is none.
func HAProxyPage(port int, leaf *Leaf) Program {
	bind, files := fmt.Sprintf("bind 127.0.0.1:%d accept-proxy", port), map[string]string{}
	if leaf != nil {
		bind += " ssl crt " + Here + "/leaf.pem alpn h2,http/1.1"
		files["leaf.pem"] = leaf.Cert + leaf.Key
	}
	files["haproxy.cfg"] = fmt.Sprintf(`global
	maxconn 1000
defaults
	mode http
	timeout connect 10s
	timeout client 600s
	timeout server 600s
frontend in
	%s
	http-request return status 200 content-type text/plain lf-string "client=%%[src]:%%[src_port] server=%%[dst]:%%[dst_port] authority=%%[fc_pp_authority] id=%%[fc_pp_unique_id,hex]\n"
`, bind)
	return Program{
		Name:  "haproxy",
		Args:  []string{"-db", "-f", Here + "/haproxy.cfg"},
		Ports: []int{port},
		Files: files,
	}
}

// One process in the foreground: no workers that outlive it.
const nginxConf = `user root; daemon off; master_process off; pid @HERE@/pid; error_log stderr warn;
events { worker_connections 512; }
http {
	access_log @HERE@/access.log; default_type text/plain; server_tokens off; keepalive_timeout 60;
	client_body_temp_path @HERE@/body; proxy_temp_path @HERE@/proxy; fastcgi_temp_path @HERE@/fastcgi;
	uwsgi_temp_path @HERE@/uwsgi; scgi_temp_path @HERE@/scgi;
	server {
		LISTEN
		location = / { return 200 "hello from nginx\n"; }
		location = /status { return 200 "scheme=$scheme protocol=$server_protocol tls=$ssl_protocol cipher=$ssl_cipher alpn=$ssl_alpn_protocol sni=$ssl_server_name host=$http_host ADDRESS\n"; }
		location = /large { alias @HERE@/large; }
		WEBSOCKET
	}
}
`

// Large returns what /large serves: 4 MiB, the same in every run, which no
// compression shortens.
func Large() string {
	b := make([]byte, 4<<20)
	src := rand.NewChaCha8([32]byte{})
	src.Read(b) // never fails
	return string(b)
}

// OpenSSLServer is openssl s_server: it answers each request with a page about the
// handshake. Further arguments choose versions, cipher suites and ALPN.
func OpenSSLServer(port int, leaf Leaf, args ...string) Program {
	return Program{
		Name: "openssl",
		Args: append([]string{
			"s_server", "-accept", "127.0.0.1:" + strconv.Itoa(port),
			"-cert", Here + "/cert.pem", "-key", Here + "/key.pem", "-www", "-naccept", "1000",
		}, args...),
		Files: map[string]string{"cert.pem": leaf.Cert, "key.pem": leaf.Key},
		Ports: []int{port},
	}
}

// Dropbear is an SSH server. It lets in one user with a password, whose crypt(3) hash
// is given (openssl passwd -6 makes one), with a home in the program's folder.
//
// The user is root by another name, and known to Dropbear only: see [Dante].
func Dropbear(port int, user, hash string) (Program, error) {
	if _, err := find("dropbear"); err != nil {
		return Program{}, err
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return Program{}, fmt.Errorf("add a user for dropbear: %w", err)
	}
	// -F: foreground; -E: log to stderr; -R: make the host key when it is needed.
	script := fmt.Sprintf(`mount --bind %[1]s/passwd /etc/passwd && mount --bind %[1]s/shadow /etc/shadow &&
dropbearkey -t ed25519 -f %[1]s/host >&2 && exec dropbear -F -E -r %[1]s/host -P %[1]s/pid -p 127.0.0.1:%[2]d`, Here, port)
	return Program{
		Name: "unshare",
		Args: []string{"-m", "sh", "-c", script},
		Env:  []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin"},
		Files: map[string]string{
			"passwd": fmt.Sprintf("%s%s:x:0:0::%s:/bin/sh\n", passwd, user, Here),
			"shadow": fmt.Sprintf("%s:%s:20000:0:99999:7:::\n", user, hash),
		},
		Ports: []int{port},
	}, nil
}
