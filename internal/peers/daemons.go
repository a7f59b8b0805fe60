package peers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The daemons of this file speak TLS, most of them in the midst of a conversation (STARTTLS), with the leaf that they are given. Each
// runs in the foreground, in its own folder, and forgets everything.

// sbin is the environment of a script that starts a server.
func sbin() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin"}
}

// script is a program that a shell starts, after what it has to prepare.
func script(lines ...string) []string {
	return []string{"-c", "set -e\n" + strings.ReplaceAll(strings.Join(lines, "\n"), "HERE", Here)}
}

// withLeaf adds a certificate and its key to the files of a program.
func withLeaf(leaf Leaf, files map[string]string) map[string]string {
	files["cert.pem"], files["key.pem"] = leaf.Cert, leaf.Key
	return files
}

// OpenSSH is an SSH server that lets root in with the key in its folder, "user", which it makes at its start.
func OpenSSH(port int) Program {
	return Program{
		Name: "sh",
		Args: script(
			"mkdir -p /run/sshd",
			"ssh-keygen -q -t ed25519 -N '' -f HERE/host", "ssh-keygen -q -t ed25519 -N '' -f HERE/user",
			"exec $(command -v sshd) -D -e -f HERE/sshd_config"),
		Env: sbin(),
		Files: map[string]string{"sshd_config": fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey @HERE@/host
AuthorizedKeysFile @HERE@/user.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
`, port)},
		Ports: []int{port},
	}
}

// Postgres is PostgreSQL with a user and database "alice", who needs no password.
func Postgres(port int, leaf Leaf) Program {
	return Program{
		Name: "sh",
		Args: script(
			"bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)",
			"$bin/initdb -D HERE/data -A trust -U alice -E UTF8 --locale=C -N >&2",
			"cp HERE/cert.pem HERE/data/server.crt", "cp HERE/key.pem HERE/data/server.key", "chmod 600 HERE/data/server.key",
			fmt.Sprintf("exec $bin/postgres -D HERE/data -p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=HERE -c ssl=on -c fsync=off", port)),
		Files:  withLeaf(leaf, map[string]string{}),
		Ports:  []int{port},
		Nobody: true,
	}
}

// MariaDB asks no one for a password.
func MariaDB(port int, leaf Leaf) Program {
	return Program{
		Name: "sh",
		Args: script(
			"mkdir HERE/data HERE/tmp",
			fmt.Sprintf("exec $(command -v mariadbd) --no-defaults --datadir=HERE/data --tmpdir=HERE/tmp --skip-grant-tables --bind-address=127.0.0.1"+
				" --port=%d --socket=HERE/socket --pid-file=HERE/pid --ssl-cert=HERE/cert.pem --ssl-key=HERE/key.pem --innodb-buffer-pool-size=8M", port)),
		Env:    sbin(),
		Files:  withLeaf(leaf, map[string]string{}),
		Ports:  []int{port},
		Nobody: true,
	}
}

// MailPorts are those of a mail server; 0 is not served.
type MailPorts struct {
	IMAP, POP3, LMTP, Sieve int
	IMAPS                   int // IMAP over TLS from the first byte
}

// Dovecot serves any user's mail, for the password "secret".
func Dovecot(ports MailPorts, leaf Leaf) Program {
	var conf strings.Builder
	var listening []int
	for _, s := range []struct {
		service, listener string
		port              int
	}{
		{"imap-login", "imap", ports.IMAP},
		{"pop3-login", "pop3", ports.POP3},
		{"lmtp", "lmtp", ports.LMTP},
		{"managesieve-login", "sieve", ports.Sieve},
	} {
		if s.port != 0 {
			listening = append(listening, s.port)
		}
		fmt.Fprintf(&conf, "service %s {\n inet_listener %s {\n  address = 127.0.0.1\n  port = %d\n }\n}\n", s.service, s.listener, s.port)
	}
	if ports.IMAPS != 0 {
		listening = append(listening, ports.IMAPS)
	}
	return Program{
		Name: "sh",
		Args: script("mkdir HERE/mail", "chown mail HERE/mail", "exec $(command -v dovecot) -F -c HERE/dovecot.conf"),
		Env:  sbin(),
		Files: withLeaf(leaf, map[string]string{"dovecot.conf": `base_dir = @HERE@/run
state_dir = @HERE@/state
log_path = /dev/stderr
protocols = imap pop3 lmtp sieve
listen = 127.0.0.1
ssl = yes
ssl_cert = <@HERE@/cert.pem
ssl_key = <@HERE@/key.pem
disable_plaintext_auth = no
mail_location = maildir:@HERE@/mail/%u
passdb {
 driver = static
 args = password=secret
}
userdb {
 driver = static
 args = uid=mail gid=mail home=@HERE@/mail/%u
}
first_valid_uid = 1
service imap-login {
 inet_listener imaps {
  address = 127.0.0.1
  port = ` + strconv.Itoa(ports.IMAPS) + `
  ssl = yes
 }
}
service pop3-login {
 inet_listener pop3s {
  port = 0
 }
}
service stats {
 unix_listener stats-writer {
  mode = 0666
 }
}
` + conf.String()}),
		Ports: listening,
	}
}

// Postfix takes mail for anybody from anybody on this machine, and discards it.
func Postfix(port int, leaf Leaf) Program {
	return Program{
		Name: "sh",
		Args: script(
			"mkdir -p HERE/conf HERE/queue HERE/data", "cp HERE/main.cf HERE/master.cf HERE/conf/", "chown postfix HERE/data",
			"postfix -c HERE/conf set-permissions 2>/dev/null || true", "postfix -c HERE/conf check >&2",
			"exec /usr/lib/postfix/sbin/master -d -c HERE/conf"),
		Env: sbin(),
		Files: withLeaf(leaf, map[string]string{
			"main.cf": `compatibility_level = 3.6
queue_directory = @HERE@/queue
data_directory = @HERE@/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
default_transport = discard
local_transport = discard
relay_transport = discard
smtpd_tls_cert_file = @HERE@/cert.pem
smtpd_tls_key_file = @HERE@/key.pem
smtpd_tls_security_level = may
smtpd_peername_lookup = no
maillog_file = /dev/stderr
maillog_file_prefixes = /dev
`,
			"master.cf": fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
discard unix - - n - - discard
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`, port),
		}),
		Ports: []int{port},
	}
}

// Aiosmtpd is an SMTP server that knows STARTTLS, takes mail for anybody from anybody, and forgets it.
func Aiosmtpd(port int, leaf Leaf) Program {
	return Program{
		Name: "aiosmtpd",
		Args: []string{
			"--nosetuid", "--listen", "127.0.0.1:" + strconv.Itoa(port), "--class", "aiosmtpd.handlers.Sink",
			"--tlscert", Here + "/cert.pem", "--tlskey", Here + "/key.pem", "--no-requiretls",
		},
		Files: withLeaf(leaf, map[string]string{}),
		Ports: []int{port},
	}
}

// Mosquitto is an MQTT broker, over TLS from the first byte, that knows everybody.
func Mosquitto(port int, leaf Leaf) Program {
	return Program{
		Name: "mosquitto",
		Args: []string{"-c", Here + "/mosquitto.conf"},
		Env:  sbin(),
		Files: withLeaf(leaf, map[string]string{"mosquitto.conf": fmt.Sprintf(`listener %d 127.0.0.1
certfile @HERE@/cert.pem
keyfile @HERE@/key.pem
allow_anonymous true
persistence false
log_dest stderr
user root
`, port)}),
		Ports: []int{port},
	}
}

// FTPConfig says what a server of files serves.
type FTPConfig struct {
	Port     int
	Passive  int // the one port of its data connections
	Leaf     Leaf
	NeedsTLS bool // to log in, and for data
}

// Vsftpd serves one file to anybody, "hello.txt": "hello from vsftpd\n".
func Vsftpd(c FTPConfig) Program {
	need := map[bool]string{true: "YES", false: "NO"}[c.NeedsTLS]
	return Program{
		Name: "sh",
		Args: script(
			"mkdir HERE/files HERE/empty", "cp HERE/hello.txt HERE/files/", "chmod -R a-w HERE/files HERE/empty", "chmod 600 HERE/key.pem",
			"exec $(command -v vsftpd) HERE/vsftpd.conf"),
		Env: sbin(),
		Files: withLeaf(c.Leaf, map[string]string{
			"hello.txt": "hello from vsftpd\n",
			"vsftpd.conf": fmt.Sprintf(`background=NO
listen=YES
listen_address=127.0.0.1
listen_port=%d
anonymous_enable=YES
anon_root=@HERE@/files
secure_chroot_dir=@HERE@/empty
no_anon_password=YES
local_enable=NO
xferlog_enable=NO
seccomp_sandbox=NO
pasv_address=127.0.0.1
pasv_min_port=%d
pasv_max_port=%d
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=%s
force_anon_data_ssl=%s
require_ssl_reuse=NO
ssl_request_cert=NO
ssl_ciphers=HIGH
rsa_cert_file=@HERE@/cert.pem
rsa_private_key_file=@HERE@/key.pem
`, c.Port, c.Passive, c.Passive, need, need),
		}),
		Ports: []int{c.Port},
	}
}

// Slapd is OpenLDAP with one entry besides its root: "cn=admin,dc=example,dc=test", whose password is "secret".
func Slapd(port int, leaf Leaf) Program {
	return Program{
		Name: "sh",
		Args: script(
			"mkdir HERE/data",
			"$(command -v slapadd) -f HERE/slapd.conf -l HERE/base.ldif",
			fmt.Sprintf("exec $(command -v slapd) -d 0 -f HERE/slapd.conf -h ldap://127.0.0.1:%d", port)),
		Env: sbin(),
		Files: withLeaf(leaf, map[string]string{
			"base.ldif": "dn: dc=example,dc=test\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n",
			"slapd.conf": `include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile @HERE@/pid
TLSCertificateFile @HERE@/cert.pem
TLSCertificateKeyFile @HERE@/key.pem
database mdb
maxsize 10485760
suffix "dc=example,dc=test"
rootdn "cn=admin,dc=example,dc=test"
rootpw secret
directory @HERE@/data
`,
		}),
		Ports: []int{port},
	}
}

// Prosody is an XMPP server for the host "localhost".
func Prosody(port int, leaf Leaf) Program {
	return Program{
		Name: "sh",
		Args: script("mkdir HERE/data", "chmod a+r HERE/key.pem", "exec prosody -F --config HERE/prosody.cfg.lua"),
		Files: withLeaf(leaf, map[string]string{"prosody.cfg.lua": fmt.Sprintf(`run_as_root = true
pidfile = "@HERE@/prosody.pid"
data_path = "@HERE@/data"
modules_enabled = { "saslauth", "tls", "disco", "roster" }
modules_disabled = { "s2s" }
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
legacy_ssl_ports = {}
s2s_ports = {}
http_ports = {}
https_ports = {}
authentication = "anonymous"
ssl = { certificate = "@HERE@/cert.pem"; key = "@HERE@/key.pem" }
log = { info = "*console" }
VirtualHost "localhost"
`, port)}),
		Ports: []int{port},
	}
}

// NNRPD is INN's server for readers of news, with the group "local.test", which is empty.
func NNRPD(port int, leaf Leaf) Program {
	return Program{
		Name: "sh",
		Args: script(
			"export INNCONF=HERE/inn.conf", "mkdir HERE/overview", "touch HERE/active.times HERE/newsgroups HERE/history", "chmod 600 HERE/key.pem",
			"/usr/lib/news/bin/tdx-util -F", // it makes the overview's index
			fmt.Sprintf("exec /usr/lib/news/bin/nnrpd -D -f -b 127.0.0.1 -p %d -c HERE/readers.conf", port)),
		Files: withLeaf(leaf, map[string]string{
			"active":       "local.test 0000000000 0000000001 y\n",
			"readers.conf": "auth all { hosts: * default: \"<reader>\" }\naccess all { users: * newsgroups: * }\n",
			"storage.conf": "method tradspool { newsgroups: * class: 0 }\n",
			"inn.conf": `domain: example.test
mta: "/bin/true %s"
hismethod: hisv6
enableoverview: true
ovmethod: tradindexed
runasuser: root
runasgroup: root
pathnews: /usr/lib/news
pathetc: @HERE@
pathdb: @HERE@
pathrun: @HERE@
pathlog: @HERE@
pathspool: @HERE@
pathoverview: @HERE@/overview
pathtmp: @HERE@
tlscertfile: @HERE@/cert.pem
tlskeyfile: @HERE@/key.pem
`,
		}),
		Ports: []int{port},
	}
}

// Xrdp is an RDP server that wants TLS, and has no session to offer behind it.
func Xrdp(port int, leaf Leaf) Program {
	return Program{
		Name: "xrdp",
		Args: []string{"--nodaemon", "--config", Here + "/xrdp.ini"},
		Env:  sbin(),
		Files: withLeaf(leaf, map[string]string{"xrdp.ini": fmt.Sprintf(`[Globals]
ini_version=1
fork=true
port=tcp://127.0.0.1:%d
security_layer=tls
crypt_level=high
certificate=@HERE@/cert.pem
key_file=@HERE@/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
allow_channels=true
max_bpp=32

[Logging]
LogFile=@HERE@/xrdp.log
LogLevel=INFO
EnableSyslog=false
`, port)}),
		Ports: []int{port},
	}
}

// InspIRCd is an IRC server that knows STARTTLS.
func InspIRCd(port int, leaf Leaf) Program {
	return Program{
		Name: "inspircd",
		Args: []string{"--nofork", "--runasroot", "--nopid", "--config", Here + "/inspircd.conf"},
		Env:  sbin(),
		Files: withLeaf(leaf, map[string]string{"inspircd.conf": fmt.Sprintf(`<server name="irc.example.test" description="test" network="Test">
<admin name="test" nick="test" email="test@example.test">
<bind address="127.0.0.1" port="%d" type="clients">
<connect allow="*" timeout="60" registertimeout="60" resolvehostnames="no" useident="no">
<options announcets="yes">
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="@HERE@/inspircd.log">
<module name="ssl_gnutls">
<module name="starttls">
<sslprofile name="Clients" provider="gnutls" certfile="@HERE@/cert.pem" keyfile="@HERE@/key.pem" hash="sha256">
<starttls sslprofile="Clients">
<gnutls starttls="Clients">
`, port)}),
		Ports: []int{port},
	}
}
