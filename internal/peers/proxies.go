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
	Leaf   *Leaf  // ends TLS with it; nil: does not look
}

// HAProxy is the balancer, in TCP mode.
func HAProxy(c HAProxyConfig) Program {
	bind := fmt.Sprintf("bind 127.0.0.1:%d", c.Listen)
	files := map[string]string{}
	if c.Leaf != nil {
		bind += " ssl crt " + Here + "/leaf.pem alpn h2,http/1.1"
		files["leaf.pem"] = c.Leaf.Cert + c.Leaf.Key
	}
	files["haproxy.cfg"] = fmt.Sprintf(`global
	log stdout format raw local0
	maxconn 4000
defaults
	mode tcp
	log global
	option tcplog
	timeout connect 10s
	timeout client 600s
	timeout server 600s
frontend in
	%s
	unique-id-format %%{+X}o\ %%ci:%%cp_%%fi:%%fp_%%Ts_%%rt:%%pid
	default_backend out
backend out
	server one %s %s
`, bind, c.Server, c.Send)
	return Program{
		Name:  "haproxy",
		Args:  []string{"-db", "-f", Here + "/haproxy.cfg"},
		Ports: []int{c.Listen},
		Files: files,
	}
}
