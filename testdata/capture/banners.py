#!/usr/bin/env python3
"""Captures the greetings of servers: banners.py [PROTOCOL[/NAME]]...

Needs root and the Debian packages of the table; some of them exclude each other, so install one, capture, install the next.
A program that is not there says so, and its sample stays as it is. Those made for inetd are run by socat.
"""

import sys
from typing import NamedTuple

import loopback


class Banner(NamedTuple):
    protocol: str
    name: str
    package: str
    command: str  # for sh; {port} is the server's, {home} a folder of its own


DOVECOT = """cat >dovecot.conf <<'END'
base_dir = {home}/run
state_dir = {home}/state
log_path = /dev/stderr
protocols = PROTOCOL
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{home}/mail
login_greeting = Dovecot ready.
passdb {
 driver = static
 args = password=secret
}
userdb {
 driver = static
 args = uid=mail gid=mail home={home}/mail
}
first_valid_uid = 1
service SERVICE {
 inet_listener LISTENER {
  port = {port}
 }
}
END
exec dovecot -F -c dovecot.conf
"""


def dovecot(protocol, service, listener):
    return DOVECOT.replace("PROTOCOL", protocol).replace("SERVICE", service).replace("LISTENER", listener)


def inetd(command):
    return f"exec socat TCP-LISTEN:{{port}},bind=127.0.0.1,reuseaddr,fork 'EXEC:{command}'"


POSTFIX = """
mkdir conf queue data; chown postfix data
cat >conf/main.cf <<'END'
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.test
inet_interfaces = 127.0.0.1
smtpd_peername_lookup = no
maillog_file = /dev/stderr
maillog_file_prefixes = /dev
END
cat >conf/master.cf <<'END'
127.0.0.1:{port} inet n - n - 1 POSTSCREEN
smtpd pass - - n - - smtpd
anvil unix - - n - 1 anvil
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
rewrite unix - - n - - trivial-rewrite
postlog unix-dgram n - n - 1 postlogd
END
postfix -c {home}/conf check
exec /usr/lib/postfix/sbin/master -d -c {home}/conf
"""

VSFTPD = """mkdir e; cat >c <<'END'
background=NO
listen=YES
listen_address=127.0.0.1
listen_port={port}
anonymous_enable=YES
secure_chroot_dir={home}/e
seccomp_sandbox=NO
END
"""

PROFTPD = """cat >c <<'END'
ServerName "Files of Alice"
ServerType standalone
DefaultAddress 127.0.0.1
UseIPv6 off
Port {port}
PidFile {home}/pid
ScoreboardFile {home}/board
User nobody
Group nogroup
AuthPAM off
WtmpLog off
END
exec proftpd -n -q -c {home}/c
"""

MARIADB = ("mkdir d t; chown -R mysql .; exec mariadbd --no-defaults --user=mysql --datadir={home}/d --tmpdir={home}/t --bind-address=127.0.0.1"
           " --port={port} --socket={home}/s --pid-file={home}/pid --innodb-buffer-pool-size=8M ")

SSH_KEY = "mkdir -p /run/sshd; ssh-keygen -q -t rsa -m PEM -N '' -f {home}/key;"

BANNERS = [
    Banner("smtp", "postfix", "postfix", POSTFIX.replace("POSTSCREEN", "smtpd")),
    Banner("smtp", "postfix_postscreen", "postfix",
           POSTFIX.replace("POSTSCREEN", "postscreen").replace("END\ncat >conf/master", "postscreen_greet_banner = Wait a moment\nEND\ncat >conf/master")),
    Banner("smtp", "exim4", "exim4-daemon-light",
           "printf 'primary_hostname = mail.example.test\\ndaemon_smtp_ports = {port}\\nlocal_interfaces = 127.0.0.1\\n"
           "spool_directory = {home}/spool\\nlog_file_path = {home}/%%slog\\npid_file_path = {home}/pid\\n' >c; chmod 777 .; exec exim4 -bdf -C {home}/c"),
    Banner("smtp", "opensmtpd", "opensmtpd",
           "printf 'listen on 127.0.0.1 port {port} hostname mail.example.test\\naction a relay\\nmatch for any action a\\n' >c; exec smtpd -d -f {home}/c"),
    Banner("smtp", "aiosmtpd", "python3-aiosmtpd", "exec aiosmtpd -n -l 127.0.0.1:{port}"),
    Banner("smtp", "twisted", "python3-twisted",
           "exec python3 -c 'from twisted.mail import smtp; from twisted.internet import reactor as r; r.listenTCP({port},smtp.SMTPFactory()); r.run()'"),

    Banner("lmtp", "dovecot", "dovecot-lmtpd", dovecot("lmtp", "lmtp", "lmtp")),
    Banner("lmtp", "aiosmtpd", "python3-aiosmtpd",
           "exec python3 -c 'import asyncio,aiosmtpd.lmtp as l,aiosmtpd.handlers as h; o=asyncio.new_event_loop(); asyncio.set_event_loop(o);"
           "o.run_until_complete(o.create_server(lambda:l.LMTP(h.Sink()),\"127.0.0.1\",{port})); o.run_forever()'"),
    Banner("lmtp", "mailutils", "mailutils-mda", inetd("lmtpd --inetd")),

    Banner("ftp", "vsftpd", "vsftpd", VSFTPD + "exec vsftpd {home}/c"),
    Banner("ftp", "vsftpd_banner", "vsftpd", VSFTPD + "echo 'ftpd_banner=Welcome to the files of example.test' >>c; exec vsftpd {home}/c"),
    Banner("ftp", "vsftpd_lines", "vsftpd", VSFTPD + "printf 'Welcome\\nto the files\\n' >b; echo 'banner_file={home}/b' >>c; exec vsftpd {home}/c"),
    Banner("ftp", "proftpd", "proftpd-core", PROFTPD),
    Banner("ftp", "pure_ftpd", "pure-ftpd", "exec pure-ftpd -S 127.0.0.1,{port}"),
    Banner("ftp", "pyftpdlib", "python3-pyftpdlib", "exec python3 -m pyftpdlib -i 127.0.0.1 -p {port}"),
    Banner("ftp", "inetutils", "inetutils-ftpd", inetd("ftpd -A")),
    Banner("ftp", "twisted", "python3-twisted", "exec twistd3 -n --pidfile= ftp -p {port} -r {home}"),

    Banner("pop3", "dovecot", "dovecot-pop3d", dovecot("pop3", "pop3-login", "pop3")),
    Banner("pop3", "courier", "courier-pop", inetd("/usr/lib/courier/courier/courierpop3login /usr/lib/courier/authlib")),
    Banner("pop3", "popa3d", "popa3d", inetd("popa3d")),
    Banner("pop3", "mailutils", "mailutils-pop3d", inetd("pop3d --inetd")),
    Banner("pop3", "twisted", "python3-twisted",
           "exec python3 -c 'from twisted.mail import pop3; from twisted.internet import reactor as r, protocol as p;"
           "f=p.ServerFactory(); f.protocol=pop3.POP3; r.listenTCP({port},f); r.run()'"),

    Banner("imap", "dovecot", "dovecot-imapd", dovecot("imap", "imap-login", "imap")),
    Banner("imap", "courier", "courier-imap",
           inetd("env PROTOCOL=IMAP IMAP_CAPABILITY=IMAP4rev1 TCPREMOTEIP=127.0.0.1 /usr/bin/imapd {home}")),
    Banner("imap", "mailutils", "mailutils-imap4d", inetd("imap4d --inetd")),
    Banner("imap", "twisted", "python3-twisted",
           "exec python3 -c 'from twisted.mail import imap4; from twisted.internet import reactor as r, protocol as p;"
           "f=p.ServerFactory(); f.protocol=imap4.IMAP4Server; r.listenTCP({port},f); r.run()'"),

    Banner("nntp", "inn2", "inn2", inetd("/usr/lib/news/bin/nnrpd -c {home}/readers.conf").replace(
        "exec", "printf 'auth a { hosts: \"*\" default: \"<u>\" }\\naccess a { users: \"*\" newsgroups: \"*\" }\\n' >readers.conf; exec")),
    Banner("nntp", "sn", "sn", inetd("snntpd")),

    Banner("sieve", "dovecot", "dovecot-managesieved", dovecot("sieve", "managesieve-login", "sieve")),
    Banner("sieve", "dovecot_named", "dovecot-managesieved",
           dovecot("sieve", "managesieve-login", "sieve").replace("first_valid", "protocol sieve {\n managesieve_implementation_string = Cyrus timsieved v3.0.8\n}\nfirst_valid")),

    Banner("mysql", "mariadb", "mariadb-server", MARIADB + "--skip-grant-tables"),
    Banner("mysql", "mariadb_native", "mariadb-server", MARIADB + "--skip-grant-tables --version=5.7.40-log --skip-ssl"),
    Banner("mysql", "sphinxsearch", "sphinxsearch",
           "printf 'index x { type=rt\\n rt_field=a\\n rt_attr_uint=b\\n path={home}/x\\n}\\nsearchd {\\n listen=127.0.0.1:{port}:mysql41\\n pid_file={home}/pid\\n"
           " log={home}/log\\n binlog_path=\\n}\\n' >c; exec searchd --nodetach -c {home}/c"),

    Banner("ssh", "openssh", "openssh-server", SSH_KEY + "exec /usr/sbin/sshd -D -e -f /dev/null -h {home}/key -o ListenAddress=127.0.0.1:{port} -o PidFile=none"),
    Banner("ssh", "openssh_addendum", "openssh-server",
           SSH_KEY + "exec /usr/sbin/sshd -D -e -f /dev/null -h {home}/key -o ListenAddress=127.0.0.1:{port} -o PidFile=none -o DebianBanner=no -o VersionAddendum='hello there'"),
    Banner("ssh", "dropbear", "dropbear-bin", "exec dropbear -F -E -R -P {home}/pid -p 127.0.0.1:{port}"),
    Banner("ssh", "paramiko", "python3-paramiko",
           SSH_KEY + "exec python3 -c 'import paramiko as p,socket; s=socket.create_server((\"127.0.0.1\",{port}));\nwhile 1:"
           "\n t=p.Transport(s.accept()[0]); t.add_server_key(p.RSAKey(filename=\"key\")); t.start_server(server=p.ServerInterface())'"),
    Banner("ssh", "asyncssh", "python3-asyncssh",
           SSH_KEY + "exec python3 -c 'import asyncio,asyncssh; o=asyncio.new_event_loop();"
           "o.run_until_complete(asyncssh.listen(\"127.0.0.1\",{port},server_host_keys=[\"key\"])); o.run_forever()'"),
    Banner("ssh", "twisted", "python3-twisted",
           "exec python3 -c 'from twisted.conch.ssh import factory as f,keys; from twisted.internet import reactor as r;"
           "from cryptography.hazmat.primitives.asymmetric import rsa; k=keys.Key(rsa.generate_private_key(65537,2048));"
           "s=f.SSHFactory(); s.publicKeys={b\"ssh-rsa\":k.public()}; s.privateKeys={b\"ssh-rsa\":k}; s.getPrimes=lambda:None; r.listenTCP({port},s); r.run()'"),

    Banner("vnc", "tigervnc", "tigervnc-standalone-server", "exec Xtigervnc :77 -rfbport {port} -localhost -SecurityTypes None"),
    Banner("vnc", "x11vnc", "x11vnc", "Xvfb :78 & sleep 1; x11vnc -display :78 -rfbport {port} -localhost -nopw -forever -noipv6"),

    Banner("rsync", "rsync", "rsync", "printf '[files]\\npath={home}\\n' >c; exec rsync --daemon --no-detach --address=127.0.0.1 --port={port} --config=c --log-file=l"),
    Banner("rsync", "rsync_motd", "rsync",
           "echo 'Welcome to the files' >m; printf 'motd file={home}/m\\n[files]\\npath={home}\\n' >c;"
           "exec rsync --daemon --no-detach --address=127.0.0.1 --port={port} --config=c --log-file=l"),
    Banner("rsync", "rsync_protocol30", "rsync",
           "printf '[files]\\npath={home}\\n' >c; exec rsync --daemon --no-detach --protocol=30 --address=127.0.0.1 --port={port} --config=c --log-file=l"),

    Banner("telnet", "inetutils", "inetutils-telnetd", inetd("/usr/sbin/telnetd")),
    Banner("telnet", "twisted", "python3-twisted",
           "exec python3 -c 'from twisted.conch import telnet as t; from twisted.internet import reactor as r, protocol as p;"
           "f=p.ServerFactory(); f.protocol=lambda:t.TelnetTransport(t.TelnetBootstrapProtocol,type(\"P\",(t.TelnetProtocol,),{})); r.listenTCP({port},f); r.run()'"),

    Banner("irc", "ngircd", "ngircd",
           "printf '[Global]\\nName = irc.example.test\\nInfo = test\\nPorts = {port}\\nListen = 127.0.0.1\\nServerUID = irc\\nServerGID = irc\\n"
           "[Options]\\nDNS = no\\nIdent = no\\nPAM = no\\nNoticeBeforeRegistration = yes\\n' >c; exec ngircd -n -f {home}/c"),
    Banner("irc", "inspircd", "inspircd",
           "printf '<server name=\"irc.example.test\" description=\"test\" network=\"Test\"><admin name=\"a\" nick=\"a\" email=\"a@example.test\">"
           "<bind address=\"127.0.0.1\" port=\"{port}\" type=\"clients\"><connect allow=\"*\" resolvehostnames=\"yes\">"
           "<log method=\"file\" type=\"*\" level=\"default\" target=\"{home}/log\">' >c; exec inspircd --nofork --runasroot --nopid --config {home}/c"),
    Banner("irc", "bitlbee", "bitlbee", inetd("bitlbee -I -d {home} -c /dev/null")),

    Banner("nats", "nats_server", "nats-server", "exec nats-server -a 127.0.0.1 -p {port}"),
    Banner("nats", "nats_server_auth", "nats-server", "exec nats-server -a 127.0.0.1 -p {port} --user alice --pass secret --js -sd {home}"),
    Banner("nats", "nats_server_tls", "nats-server",
           "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=example.test; exec nats-server -a 127.0.0.1 -p {port} --tls --tlscert c --tlskey k"),
]


def main():
    loopback.capture("banners", BANNERS, sys.argv[1:], lambda b: loopback.hear_banner(b.command))


if __name__ == "__main__":
    main()
