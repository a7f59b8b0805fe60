package peers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Microsocks is a SOCKS5 server, with a password unless user is "".
func Microsocks(port int, user, password string) Program {
	p := Program{
		Name:  "microsocks",
		Args:  []string{"-i", "127.0.0.1", "-p", strconv.Itoa(port)},
		Ports: []int{port},
	}
	if user != "" {
		p.Args = append(p.Args, "-u", user, "-P", password)
	}
	return p
}

// Dante is a SOCKS4 and SOCKS5 server. With a user it demands SOCKS5 and that
// password, whose crypt(3) hash is given (openssl passwd -6 makes one).
//
// Dante knows no users but the system's. So that the machine's are left alone, it
// runs in a mount namespace of its own, where files with one more user lie over
// passwd and shadow; without root, in a user namespace too.
func Dante(port int, user, hash string) (Program, error) {
	p := Program{Name: "danted", Args: []string{"-f", Here + "/danted.conf", "-p", Here + "/pid"}, Ports: []int{port}}
	method, roles := "none", ""
	if os.Getuid() == 0 {
		roles = "user.privileged: root\nuser.unprivileged: nobody\n"
	}
	p.Files = map[string]string{}
	if user != "" {
		if _, err := find("danted"); err != nil {
			return Program{}, err
		}
		passwd, err := os.ReadFile("/etc/passwd")
		if err != nil {
			return Program{}, fmt.Errorf("add a user for dante: %w", err)
		}
		p.Files["passwd"] = fmt.Sprintf("%s%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", passwd, user, nobody-1, nobody)
		p.Files["shadow"] = fmt.Sprintf("%s:%s:20000:0:99999:7:::\n", user, hash)
		script := fmt.Sprintf("mount --bind %s/passwd /etc/passwd && mount --bind %s/shadow /etc/shadow && PATH=$PATH:/usr/sbin exec danted %s",
			Here, Here, strings.Join(p.Args, " "))
		spaces := "-m"
		if os.Getuid() != 0 {
			spaces = "-rm"
		}
		p.Name, p.Args, method = "unshare", []string{spaces, "sh", "-c", script}, "username"
	}
	p.Files["danted.conf"] = fmt.Sprintf(`logoutput: stderr
internal: 127.0.0.1 port = %d
external: lo
clientmethod: none
socksmethod: %s
%sclient pass { from: 0.0.0.0/0 to: 0.0.0.0/0 log: error }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 log: connect error }
`, port, method, roles)
	return p, nil
}

// Squid is an HTTP proxy that demands Basic credentials (407), unless user is "".
// The password is given as an htpasswd hash (openssl passwd -apr1 makes one).
func Squid(port int, user, hash string) Program {
	access := "http_access allow all\n"
	if user != "" {
		access = fmt.Sprintf(`auth_param basic program /usr/lib/squid/basic_ncsa_auth %s/passwd
auth_param basic realm test
auth_param basic children 1 startup=1 idle=1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
`, Here)
	}
	name := "peer" + strconv.Itoa(port)
	return Program{
		Name:   "squid",
		Args:   []string{"-n", name, "-N", "-f", Here + "/squid.conf", "-d", "1"},
		Ports:  []int{port},
		Nobody: true, // it refuses to be root
		Files: map[string]string{
			"passwd": user + ":" + hash + "\n",
			"squid.conf": fmt.Sprintf(`http_port 127.0.0.1:%d
visible_hostname squid.test
pid_filename none
cache deny all
cache_mem 8 MB
cache_log %s/cache.log
access_log stdio:%s/access.log
cache_store_log none
coredump_dir %s
netdb_filename none
pinger_enable off
dns_nameservers 127.0.0.1
%s`, port, Here, Here, Here, access),
		},
		// Its clean end takes two seconds; killed, it leaves these.
		Debris: []string{
			"/dev/shm/" + name + "-cf__metadata.shm", "/dev/shm/" + name + "-cf__queues.shm", "/dev/shm/" + name + "-cf__readers.shm",
		},
	}
}

// Tinyproxy is an HTTP proxy without credentials.
func Tinyproxy(port int) Program {
	return Program{
		Name:  "tinyproxy",
		Args:  []string{"-d", "-c", Here + "/tinyproxy.conf"},
		Ports: []int{port},
		Files: map[string]string{
			"tinyproxy.conf": fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 600\nAllow 127.0.0.1\nMaxClients 200\nLogLevel Info\nViaProxyName \"tinyproxy\"\n", port),
		},
	}
}

// An HAProxyConfig says how HAProxy hands connections on, byte by byte.
type HAProxyConfig struct {
	Listen int
	Server string // host:port that it connects to
	Send   string // words after the server: "send-proxy", "send-proxy-v2 proxy-v2-options crc32c"
	Dst    int    // port on loopback that its header names; 0: the one that its client connected to
	Leaf   *Leaf  // ends TLS with it; nil: does not look
	Client string // with Leaf: clients must show a certificate by this authority, in PEM
	Flows  int    // how many it takes at once; 0 means 4000
	Silent bool   // logs nothing
	Splice bool   // moves bytes in the kernel, through pipes of 1 MiB
}

// HAProxy is the balancer, in TCP mode, with the buffers that it has by default.
func HAProxy(c HAProxyConfig) Program {
	var global, defaults strings.Builder
	if c.Flows == 0 {
		c.Flows = 4000
	}
	fmt.Fprintf(&global, "\tmaxconn %d\n", c.Flows)
	if !c.Silent {
		global.WriteString("\tlog stdout format raw local0\n")
		defaults.WriteString("\tlog global\n\toption tcplog\n")
	}
	if c.Splice {
		global.WriteString("\ttune.pipesize 1048576\n")
		defaults.WriteString("\toption splice-request\n\toption splice-response\n")
	}
	bind := fmt.Sprintf("bind 127.0.0.1:%d", c.Listen)
	files := map[string]string{}
	if c.Leaf != nil {
		bind += " ssl crt " + Here + "/leaf.pem alpn h2,http/1.1"
		files["leaf.pem"] = c.Leaf.Cert + c.Leaf.Key
		if c.Client != "" {
			bind += " ca-file " + Here + "/clients.pem verify required"
			files["clients.pem"] = c.Client
		}
	}
	if c.Dst != 0 {
		bind += fmt.Sprintf("\n\ttcp-request connection set-dst ipv4(127.0.0.1)\n\ttcp-request connection set-dst-port int(%d)", c.Dst)
	}
	files["haproxy.cfg"] = fmt.Sprintf(`global
%sdefaults
	mode tcp
%s	timeout connect 10s
	timeout client 600s
	timeout server 600s
frontend in
	%s
	unique-id-format %%{+X}o\ %%ci:%%cp_%%fi:%%fp_%%Ts_%%rt:%%pid
	default_backend out
backend out
	server one %s %s
`, &global, &defaults, bind, c.Server, c.Send)
	return Program{
		Name:  "haproxy",
		Args:  []string{"-db", "-f", Here + "/haproxy.cfg"},
		Ports: []int{c.Listen},
		Files: files,
	}
}

// An NginxStreamConfig says how nginx hands connections on, byte by byte.
type NginxStreamConfig struct {
	Listen  int
	Server  string // host:port that it connects to
	Leaf    *Leaf  // ends TLS with it; nil: does not look
	Encrypt bool   // speaks TLS to the server, whose certificate it does not verify
	Flows   int    // how many it takes at once; 0 means 4000
}

// streamModule is where Debian's package puts the module. Debian also enables it, but
// in a configuration that is not ours.
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// NginxStream is nginx as a proxy of TCP. It logs no connection.
func NginxStream(c NginxStreamConfig) (Program, error) {
	if _, err := os.Stat(streamModule); err != nil {
		return Program{}, fmt.Errorf("find the stream module of nginx: %w: run scripts/install-peers, or apt-get install libnginx-mod-stream", err)
	}
	if c.Flows == 0 {
		c.Flows = 4000
	}
	listen := fmt.Sprintf("listen 127.0.0.1:%d", c.Listen)
	files, tls := map[string]string{}, ""
	if c.Leaf != nil {
		listen += " ssl"
		tls = fmt.Sprintf("ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem; ssl_protocols TLSv1.2 TLSv1.3;\n", Here, Here)
		files["cert.pem"], files["key.pem"] = c.Leaf.Cert, c.Leaf.Key
	}
	if c.Encrypt {
		tls += "\t\tproxy_ssl on; proxy_ssl_protocols TLSv1.2 TLSv1.3;\n"
	}
	// Each flow is two connections, and nginx counts both.
	files["nginx.conf"] = fmt.Sprintf(`load_module %s;
daemon off; master_process off; pid @HERE@/pid; error_log stderr warn;
events { worker_connections %d; }
stream {
	server {
		%s; %sproxy_pass %s;
		proxy_timeout 600s;
	}
}
`, streamModule, 2*c.Flows+16, listen, tls, c.Server)
	return Program{
		Name:  "nginx",
		Args:  []string{"-e", "stderr", "-p", Here, "-c", Here + "/nginx.conf"},
		Ports: []int{c.Listen},
		Files: files,
	}, nil
}
