package interop

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// nginxTLS starts an nginx with one server that speaks TLS, whose other directives are
// given, and returns its port. In the directives and files @HERE@ is its folder.
func nginxTLS(t *testing.T, leaf peers.Leaf, files map[string]string, directives ...string) int {
	t.Helper()
	port := reserve(t)
	nginxOn(t, port, leaf, files, directives...)
	return port
}

// nginxOn is nginxTLS on a port that is reserved already.
func nginxOn(t *testing.T, port int, leaf peers.Leaf, files map[string]string, directives ...string) *peers.Process {
	t.Helper()
	text := strings.Join(directives, "\n\t\t")
	if !strings.Contains(text, "ssl_protocols") {
		text = "ssl_protocols TLSv1.2 TLSv1.3; " + text
	}
	p := peers.Program{
		Name:  "nginx",
		Args:  []string{"-e", "stderr", "-p", peers.Here, "-c", peers.Here + "/nginx.conf"},
		Ports: []int{port},
		Files: map[string]string{
			"cert.pem": leaf.Cert, "key.pem": leaf.Key,
			"nginx.conf": fmt.Sprintf(nginxTLSConf, port, text),
		},
	}
	maps.Copy(p.Files, files)
	return start(t, p)
}

const nginxTLSConf = `daemon off; master_process off; pid @HERE@/pid; error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off; default_type text/plain; server_tokens off;
	client_body_temp_path @HERE@/body; proxy_temp_path @HERE@/proxy; fastcgi_temp_path @HERE@/fastcgi;
	uwsgi_temp_path @HERE@/uwsgi; scgi_temp_path @HERE@/scgi;
	server {
		listen 127.0.0.1:%d ssl http2; ssl_certificate @HERE@/cert.pem; ssl_certificate_key @HERE@/key.pem;
		%s
	}
}
`
