#!/usr/bin/env python3
"""Captures the first flights of clients: flights.py [PROTOCOL[/NAME]]...

Needs root (for a host name of its own) and the Debian packages of the table; the clients of npm need NODE_PATH.
A program that is not there says so, and its sample stays as it is.
"""

import sys
from typing import NamedTuple

import loopback


class Flight(NamedTuple):
    protocol: str
    name: str
    package: str  # of Debian, or npm:NAME
    command: str  # for sh; {port} is the listener's, {home} a folder
    greeting: bytes = b""  # for clients that wait for a server's
    port: int = 0  # 0: any
    conns: int = 1  # which connection of the client it is, for those that try several things
    patience: float = 10  # seconds until its first byte


INFO = (b'INFO {"server_id":"N","version":"2.9.10","proto":1,"go":"go1.19.8","host":"127.0.0.1","port":4222,"headers":true,'
        b'"max_payload":1048576}\r\n')

JAVA = ("""cat >H.java <<'END'
class H { public static void main(String[] a) throws Exception {
 java.security.Security.setProperty("jdk.tls.disabledAlgorithms", "");
 var s = (javax.net.ssl.SSLSocket) javax.net.ssl.SSLSocketFactory.getDefault().createSocket("127.0.0.1", {port});
 s.setEnabledProtocols(new String[]{PROTOCOLS}); /**/ s.startHandshake(); } }
END
java H.java""")

SMTP = b"220 mail.example.test ESMTP\r\n"

HAPROXY = ("printf 'defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:13129\n"
           " unique-id-format abc\n default_backend b\nbackend b\n server s 127.0.0.1:{port} SEND\n' >c; haproxy -f c & sleep 1; sleep 3 | nc.openbsd 127.0.0.1 13129")

TRACKER = f"python3 {loopback.SAMPLES}/capture/tracker.py {{port}} & sleep 1; "
OPENVPN = ("openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out ca.pem -subj /CN=example.test; printf 'alice\\nsecret\\n' >up;"
           "openvpn --client --dev null --nobind --proto tcp-client --remote 127.0.0.1 {port} --ca ca.pem --auth-user-pass up ")

FLIGHTS = [
    Flight("http", "curl", "curl", "curl -s http://127.0.0.1:{port}/a?b=c -H 'Host: example.test'"),
    Flight("http", "curl_post", "curl", "curl -s http://127.0.0.1:{port}/form -d 'name=alice&x=1'"),
    Flight("http", "wget", "wget", "wget -q -O /dev/null --tries=1 http://127.0.0.1:{port}/file"),
    Flight("http", "wget_proxy", "wget", "http_proxy=http://127.0.0.1:{port}/ wget -q -O /dev/null --tries=1 http://example.test/file"),
    Flight("http", "git", "git", "git clone -q http://127.0.0.1:{port}/repo.git"),
    Flight("http", "node", "nodejs", "node -e 'fetch(\"http://127.0.0.1:{port}/\")'"),
    Flight("http", "python", "python3", "python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:{port}/\")'"),
    Flight("http", "nghttp_upgrade", "nghttp2-client", "nghttp -u http://127.0.0.1:{port}/"),
    Flight("http", "chromium", "chromium-headless-shell",
           "chromium-headless-shell --no-sandbox --user-data-dir={home} --dump-dom http://127.0.0.1:{port}/page"),

    Flight("connect", "curl", "curl", "curl -s -x http://127.0.0.1:{port} https://example.test/"),
    Flight("connect", "curl_auth", "curl", "curl -s -x http://alice:secret@127.0.0.1:{port} -p http://example.test:8080/"),
    Flight("connect", "wget", "wget", "https_proxy=http://127.0.0.1:{port}/ wget -q --tries=1 https://example.test/"),
    Flight("connect", "openssl", "openssl", "openssl s_client -proxy 127.0.0.1:{port} -connect example.test:443"),
    Flight("connect", "ncat", "ncat", "ncat --proxy 127.0.0.1:{port} --proxy-type http example.test 22"),
    Flight("connect", "socat", "socat", "sleep 5 | socat - PROXY:127.0.0.1:example.test:22,proxyport={port}"),
    Flight("connect", "nc_openbsd", "netcat-openbsd", "sleep 5 | nc.openbsd -X connect -x 127.0.0.1:{port} example.test 22"),
    Flight("connect", "chromium", "chromium-headless-shell",
           "chromium-headless-shell --no-sandbox --user-data-dir={home} --proxy-server=127.0.0.1:{port} --dump-dom https://example.test/"),

    Flight("http2", "curl", "curl", "curl -s --http2-prior-knowledge http://127.0.0.1:{port}/"),
    Flight("http2", "nghttp", "nghttp2-client", "nghttp http://127.0.0.1:{port}/"),
    Flight("http2", "h2load", "nghttp2-client", "h2load -n1 -c1 http://127.0.0.1:{port}/"),
    Flight("http2", "node", "nodejs", "node -e 'require(\"http2\").connect(\"http://127.0.0.1:{port}\").request({}).on(\"error\",()=>0)'"),

    Flight("socks5", "curl", "curl", "curl -s --socks5-hostname 127.0.0.1:{port} http://example.test/"),
    Flight("socks5", "curl_auth", "curl", "curl -s -x socks5://alice:secret@127.0.0.1:{port} http://192.0.2.1/"),
    Flight("socks5", "ncat", "ncat", "ncat --proxy 127.0.0.1:{port} --proxy-type socks5 192.0.2.1 22"),
    Flight("socks5", "nc_openbsd", "netcat-openbsd", "sleep 5 | nc.openbsd -X 5 -x 127.0.0.1:{port} 192.0.2.1 22"),
    Flight("socks5", "torsocks", "torsocks", "torsocks -P {port} curl -s http://192.0.2.1/"),
    Flight("socks5", "proxychains", "proxychains4",
           "printf '[ProxyList]\\nsocks5 127.0.0.1 {port}\\n' > p.conf; proxychains4 -q -f p.conf curl -s http://192.0.2.1/"),
    Flight("socks5", "chromium", "chromium-headless-shell",
           "chromium-headless-shell --no-sandbox --user-data-dir={home} --proxy-server=socks5://127.0.0.1:{port} --dump-dom http://example.test/"),

    Flight("socks4", "curl", "curl", "curl -s --socks4 127.0.0.1:{port} http://192.0.2.1/"),
    Flight("socks4", "curl_4a", "curl", "curl -s -x socks4a://alice@127.0.0.1:{port} http://example.test/"),
    Flight("socks4", "socat", "socat", "sleep 5 | socat - SOCKS4:127.0.0.1:192.0.2.1:22,socksport={port},socksuser=alice"),
    Flight("socks4", "socat_4a", "socat", "sleep 5 | socat - SOCKS4A:127.0.0.1:example.test:22,socksport={port},socksuser=alice"),
    Flight("socks4", "nc_openbsd", "netcat-openbsd", "sleep 5 | nc.openbsd -X 4 -x 127.0.0.1:{port} 192.0.2.1 22"),
    Flight("socks4", "ncat", "ncat", "ncat --proxy 127.0.0.1:{port} --proxy-type socks4 192.0.2.1 22"),
    Flight("socks4", "proxychains", "proxychains4",
           "printf '[ProxyList]\\nsocks4 127.0.0.1 {port}\\n' > p.conf; proxychains4 -q -f p.conf curl -s http://192.0.2.1/"),

    Flight("ssh", "openssh", "openssh-client", "ssh -o StrictHostKeyChecking=no -p {port} alice@127.0.0.1"),
    Flight("ssh", "dropbear", "dropbear-bin", "dbclient -y -p {port} alice@127.0.0.1"),
    Flight("ssh", "putty", "putty-tools", "plink -batch -P {port} alice@127.0.0.1"),
    Flight("ssh", "paramiko", "python3-paramiko", "python3 -c 'import paramiko as p; p.Transport((\"127.0.0.1\",{port})).start_client()'"),
    Flight("ssh", "asyncssh", "python3-asyncssh",
           "python3 -c 'import asyncio,asyncssh; asyncio.run(asyncssh.get_server_host_key(\"127.0.0.1\",{port}))'"),
    Flight("ssh", "libssh2", "libssh2-1", "curl -s --insecure sftp://alice@127.0.0.1:{port}/"),
    Flight("ssh", "ssh2_node", "npm:ssh2",
           "node -e 'new (require(\"ssh2\").Client)().connect({host:\"127.0.0.1\",port:{port},username:\"alice\",password:\"x\"})'"),

    Flight("rdp", "xfreerdp", "freerdp2-x11", "xvfb-run -a xfreerdp /v:127.0.0.1:{port} /u:alice /cert:ignore"),
    Flight("rdp", "xfreerdp_rdp", "freerdp2-x11", "xvfb-run -a xfreerdp /v:127.0.0.1:{port} /u:alice /sec:rdp /cert:ignore"),
    Flight("rdp", "xfreerdp_tls", "freerdp2-x11", "xvfb-run -a xfreerdp /v:127.0.0.1:{port} /u:alice /sec:tls /cert:ignore"),
    Flight("rdp", "xfreerdp_lb", "freerdp2-x11",
           "xvfb-run -a xfreerdp /v:127.0.0.1:{port} /u:alice /load-balance-info:'Cookie: msts=3640205228.15629.0000'"),
    Flight("rdp", "rdesktop", "rdesktop", "xvfb-run -a rdesktop -u alice 127.0.0.1:{port}"),
    Flight("rdp", "rdesktop_rdp4", "rdesktop", "xvfb-run -a rdesktop -4 -u alice 127.0.0.1:{port}"),
    Flight("rdp", "nmap", "nmap", "nmap -n -Pn -p {port} --script +rdp-enum-encryption 127.0.0.1", conns=2),

    Flight("postgres", "psql", "postgresql-client-15", "psql 'host=127.0.0.1 port={port} user=alice dbname=shop sslmode=prefer'"),
    Flight("postgres", "psql_plain", "postgresql-client-15", "psql 'host=127.0.0.1 port={port} user=alice dbname=shop sslmode=disable'"),
    Flight("postgres", "pg_receivewal", "postgresql-client-15", "pg_receivewal -h 127.0.0.1 -p {port} -U alice -D {home} -n -d sslmode=disable"),
    Flight("postgres", "asyncpg", "python3-asyncpg",
           "python3 -c 'import asyncio,asyncpg; asyncio.run(asyncpg.connect(\"postgres://alice@127.0.0.1:{port}/shop?sslmode=disable\"))'"),
    Flight("postgres", "pg8000", "python3-pg8000",
           "python3 -c 'import pg8000; pg8000.connect(\"alice\",\"127.0.0.1\",None,{port},\"shop\")'"),
    Flight("postgres", "node_pg", "npm:pg",
           "node -e 'new (require(\"pg\").Client)(\"postgres://alice@127.0.0.1:{port}/shop\").connect()'"),
    Flight("postgres", "node_pg_ssl", "npm:pg",
           "node -e 'new (require(\"pg\").Client)({host:\"127.0.0.1\",port:{port},user:\"alice\",ssl:true}).connect()'"),

    Flight("tds", "tsql", "freetds-bin", "echo exit | tsql -H 127.0.0.1 -p {port} -U alice -P secret"),
    Flight("tds", "tsql_73", "freetds-bin", "echo exit | TDSVER=7.3 tsql -H 127.0.0.1 -p {port} -U alice -P secret"),
    Flight("tds", "impacket", "python3-impacket",
           "python3 -c 'from impacket import tds; m=tds.MSSQL(\"127.0.0.1\",{port}); m.connect(); m.login(None,\"alice\",\"secret\")'"),
    Flight("tds", "nmap", "nmap", "nmap -n -Pn -p {port} --script +ms-sql-info --script-args mssql.instance-port={port} 127.0.0.1", conns=2),
    Flight("tds", "tedious", "npm:tedious",
           "node -e 'new (require(\"tedious\").Connection)({server:\"127.0.0.1\",options:{port:{port}},authentication:"
           "{type:\"default\",options:{userName:\"alice\",password:\"secret\"}}}).connect()'"),

    Flight("mqtt", "mosquitto_pub", "mosquitto-clients", "mosquitto_pub -h 127.0.0.1 -p {port} -i sensor1 -t a -m b"),
    Flight("mqtt", "mosquitto_v5", "mosquitto-clients", "mosquitto_sub -V 5 -u alice -P secret -x 60 -h 127.0.0.1 -p {port} -i sensor1 -t a"),
    Flight("mqtt", "mosquitto_v31", "mosquitto-clients", "mosquitto_sub -V mqttv31 -h 127.0.0.1 -p {port} -i sensor1 -t a"),
    Flight("mqtt", "paho", "python3-paho-mqtt",
           "python3 -c 'import paho.mqtt.client as m; c=m.Client(\"sensor2\"); c.will_set(\"w\",\"gone\"); c.connect(\"127.0.0.1\",{port}); c.loop_forever()'"),
    Flight("mqtt", "mqttjs", "npm:mqtt", "node -e 'require(\"mqtt\").connect(\"mqtt://127.0.0.1:{port}\",{clientId:\"web1\"})'"),

    Flight("amqp", "librabbitmq", "amqp-tools", "amqp-publish --server=127.0.0.1 --port={port} -r q -b x"),
    Flight("amqp", "pika", "python3-pika",
           "python3 -c 'import pika; pika.BlockingConnection(pika.ConnectionParameters(\"127.0.0.1\",{port}))'"),
    Flight("amqp", "py_amqp", "python3-amqp", "python3 -c 'import amqp; amqp.Connection(\"127.0.0.1:{port}\").connect()'"),
    Flight("amqp", "proton", "python3-qpid-proton",
           "python3 -c 'from proton.utils import BlockingConnection as B; B(\"amqp://127.0.0.1:{port}\",timeout=5)'"),
    Flight("amqp", "proton_user", "python3-qpid-proton",
           "python3 -c 'from proton.utils import BlockingConnection as B; B(\"amqp://alice:secret@127.0.0.1:{port}\",timeout=5)'"),
    Flight("amqp", "amqplib_node", "npm:amqplib", "node -e 'require(\"amqplib\").connect(\"amqp://127.0.0.1:{port}\")'"),

    Flight("redis", "redis_cli", "redis-tools", "redis-cli -p {port} get key"),
    Flight("redis", "redis_cli_interactive", "redis-tools", "printf 'ping\\n' | script -qc 'redis-cli -p {port}' /dev/null"),
    Flight("redis", "redis_cli_auth", "redis-tools", "redis-cli -3 -p {port} --user alice --pass secret get key"),
    Flight("redis", "redis_benchmark", "redis-tools", "redis-benchmark -p {port} -n 1 -c 1 -t ping_inline"),
    Flight("redis", "python", "python3-redis", "python3 -c 'import redis; redis.Redis(port={port},client_name=\"shop\").get(\"key\")'"),
    Flight("redis", "ioredis", "npm:ioredis", "node -e 'new (require(\"ioredis\"))({port})'"),

    Flight("xmpp", "slixmpp", "python3-slixmpp",
           "python3 -c 'import slixmpp; c=slixmpp.ClientXMPP(\"alice@example.test\",\"x\"); c.connect((\"127.0.0.1\",{port})); c.process()'"),
    Flight("xmpp", "profanity", "profanity",
           "printf '/connect alice@example.test server 127.0.0.1 port {port}\\nx\\n' | script -qc profanity /dev/null"),
    Flight("xmpp", "go_sendxmpp", "go-sendxmpp", "echo hi | go-sendxmpp -u alice@example.test -p x -j 127.0.0.1:{port} bob@example.test"),
    Flight("xmpp", "sendxmpp", "sendxmpp", "echo hi | sendxmpp -u alice -p x -j 127.0.0.1:{port} -o example.test bob@example.test"),
    Flight("xmpp", "openssl", "openssl", "openssl s_client -starttls xmpp -name example.test -connect 127.0.0.1:{port}"),
    Flight("xmpp", "openssl_server", "openssl", "openssl s_client -starttls xmpp-server -name example.test -connect 127.0.0.1:{port}"),

    Flight("ldap", "ldapsearch", "ldap-utils", "ldapsearch -x -D cn=alice,dc=example,dc=test -w secret -H ldap://127.0.0.1:{port}"),
    Flight("ldap", "ldapsearch_starttls", "ldap-utils", "ldapsearch -ZZ -x -H ldap://127.0.0.1:{port}"),
    Flight("ldap", "ldapsearch_v2", "ldap-utils", "ldapsearch -P 2 -x -H ldap://127.0.0.1:{port}"),
    Flight("ldap", "ldapsearch_sasl", "ldap-utils", "ldapsearch -Y EXTERNAL -H ldap://127.0.0.1:{port}"),
    Flight("ldap", "ldap3", "python3-ldap3",
           "python3 -c 'import ldap3; ldap3.Connection(ldap3.Server(\"127.0.0.1\",{port}),\"cn=alice,dc=example,dc=test\",\"secret\").bind()'"),
    Flight("ldap", "perl", "libnet-ldap-perl",
           "perl -MNet::LDAP -e 'Net::LDAP->new(\"127.0.0.1:{port}\")->search(base=>\"dc=example,dc=test\",filter=>\"(uid=alice)\")'"),
    Flight("ldap", "curl", "curl", "curl -s 'ldap://127.0.0.1:{port}/dc=example,dc=test?uid?sub'"),
    Flight("ldap", "openssl", "openssl", "openssl s_client -starttls ldap -connect 127.0.0.1:{port}"),

    Flight("smb", "smbclient", "smbclient", "smbclient -s /dev/null -p {port} -U alice%secret //127.0.0.1/share"),
    Flight("smb", "smbclient_nt1", "smbclient", "smbclient -s /dev/null -m NT1 --option='client min protocol=NT1' -p {port} -U alice%secret //127.0.0.1/share"),
    Flight("smb", "impacket", "python3-impacket",
           "python3 -c 'from impacket.smbconnection import SMBConnection as S; S(\"127.0.0.1\",\"127.0.0.1\",sess_port={port})'"),
    Flight("smb", "impacket_smb2", "python3-impacket",
           "python3 -c 'from impacket.smbconnection import SMBConnection as S; S(\"127.0.0.1\",\"127.0.0.1\",sess_port={port},preferredDialect=0x0202)'"),
    Flight("smb", "curl", "curl", "curl -s -u alice:secret smb://127.0.0.1:{port}/share/file"),

    # What these say of the system that they run on is made up: a kernel's name could tell more.
    Flight("mongodb", "pymongo", "python3-pymongo",
           "python3 -c 'import platform; platform.release=lambda: \"6.1.0\"; import pymongo; "
           "pymongo.MongoClient(\"127.0.0.1\",{port},appname=\"shop\").admin.command(\"ping\")'"),
    Flight("mongodb", "node", "npm:mongodb",
           "node -e 'require(\"os\").release=()=>\"6.1.0\"; require(\"fs\").promises.access=async()=>{throw 1}; new (require(\"mongodb\").MongoClient)(\"mongodb://127.0.0.1:{port}\").connect()'"),
    Flight("mongodb", "node_balanced", "npm:mongodb",
           "node -e 'require(\"os\").release=()=>\"6.1.0\"; require(\"fs\").promises.access=async()=>{throw 1}; new (require(\"mongodb\").MongoClient)"
           "(\"mongodb://alice:secret@127.0.0.1:{port}/shop?loadBalanced=true\").connect()'"),

    Flight("dns", "dig", "bind9-dnsutils", "dig +tcp -p {port} @127.0.0.1 example.test A"),
    Flight("dns", "dig_axfr", "bind9-dnsutils", "dig -p {port} @127.0.0.1 example.test AXFR"),
    Flight("dns", "kdig", "knot-dnsutils", "kdig +tcp +dnssec -p {port} @127.0.0.1 www.example.test AAAA"),
    Flight("dns", "drill", "ldnsutils", "drill -t -p {port} @127.0.0.1 example.test MX"),
    Flight("dns", "dnspython", "python3-dnspython",
           "python3 -c 'import dns.message,dns.query as q; q.tcp(dns.message.make_query(\"example.test\",\"TXT\"),\"127.0.0.1\",port={port})'"),
    Flight("dns", "getdns", "getdns-utils", "getdns_query -s -T @127.0.0.1:{port} example.test A"),

    # Its first connection is obfuscated, which is to look like nothing. (Transmission takes no peer on loopback.)
    Flight("bittorrent", "aria2", "aria2", TRACKER + "aria2c --enable-dht=false --bt-enable-lpd=false -d {home} x.torrent", conns=2),
    Flight("bittorrent", "libtorrent", "python3-libtorrent",
           TRACKER + "python3 -c 'import libtorrent as l,time; s=l.session({\"enable_dht\":False,\"enable_lsd\":False,\"out_enc_policy\":2});"
           "h=s.add_torrent({\"ti\":l.torrent_info(\"x.torrent\"),\"save_path\":\".\"}); h.connect_peer((\"127.0.0.1\",{port})); time.sleep(9)'"),
    Flight("bittorrent", "webtorrent", "npm:bittorrent-protocol",
           "node -e 'import(process.env.NODE_PATH+\"/bittorrent-protocol/index.js\").then(({default:W})=>{const w=new W();"
           "w.pipe(require(\"net\").connect({port}));w.handshake(\"aa\".repeat(20),\"2d5757\"+\"30\".repeat(17),{dht:true})})'"),

    Flight("memcached", "memcstat", "libmemcached-tools", "memcstat --servers=127.0.0.1:{port}"),
    Flight("memcached", "memccat", "libmemcached-tools", "memccat --servers=127.0.0.1:{port} key"),
    Flight("memcached", "memccp_binary", "libmemcached-tools", "echo value >key; memccp --binary --servers=127.0.0.1:{port} key"),
    Flight("memcached", "memccp", "libmemcached-tools", "echo value >key; memccp --servers=127.0.0.1:{port} key"),
    Flight("memcached", "python", "python3-memcache", "python3 -c 'import memcache; memcache.Client([\"127.0.0.1:{port}\"],socket_timeout=9).get(\"key\")'"),
    Flight("memcached", "pymemcache", "python3-pymemcache",
           "python3 -c 'from pymemcache.client.base import Client as C; C((\"127.0.0.1\",{port})).gets(\"key\")'"),
    Flight("memcached", "memjs", "npm:memjs", "node -e 'require(\"memjs\").Client.create(\"127.0.0.1:{port}\").get(\"key\")'"),

    Flight("jdwp", "jdb", "openjdk-17-jdk-headless", "jdb -attach 127.0.0.1:{port}"),
    Flight("jdwp", "nmap", "nmap", "nmap -n -Pn -p {port} --script +jdwp-info 127.0.0.1", conns=2),

    Flight("adb", "adb", "adb", "adb -P 15037 nodaemon server & sleep 1; adb -P 15037 connect 127.0.0.1:{port}"),

    Flight("openvpn", "openvpn", "openvpn", OPENVPN),
    Flight("openvpn", "tls_auth", "openvpn", "openvpn --genkey secret ta.key;" + OPENVPN + "--tls-auth ta.key 1"),
    Flight("openvpn", "tls_crypt", "openvpn", "openvpn --genkey secret ta.key;" + OPENVPN + "--tls-crypt ta.key"),
    Flight("openvpn", "tls_crypt_v2", "openvpn",
           "openvpn --genkey tls-crypt-v2-server s.key; openvpn --tls-crypt-v2 s.key --genkey tls-crypt-v2-client c.key;" + OPENVPN + "--tls-crypt-v2 c.key"),

    Flight("git", "git", "git", "git clone -q git://127.0.0.1:{port}/alice/repo.git"),
    Flight("git", "git_v0", "git", "git -c protocol.version=0 ls-remote git://127.0.0.1:{port}/repo.git"),
    Flight("git", "git_push", "git",
           "git init -q r && cd r && git -c user.name=alice -c user.email=alice@example.test commit -q --allow-empty -m x"
           " && git push -q git://127.0.0.1:{port}/repo.git HEAD:main"),
    Flight("git", "git_archive", "git", "git archive --remote=git://127.0.0.1:{port}/repo.git HEAD"),
    Flight("git", "dulwich", "python3-dulwich",
           "python3 -c 'from dulwich.client import TCPGitClient as C; C(\"127.0.0.1\",port={port}).get_refs(b\"/repo.git\")'"),
    Flight("git", "libgit2", "python3-pygit2",
           "python3 -c 'import pygit2; pygit2.clone_repository(\"git://127.0.0.1:{port}/repo.git\",\"r\")'"),

    Flight("kafka", "kcat", "kafkacat", "kcat -b 127.0.0.1:{port} -L"),
    Flight("kafka", "kafka_python", "python3-kafka", "python3 -c 'import kafka; kafka.KafkaConsumer(bootstrap_servers=\"127.0.0.1:{port}\",client_id=\"shop\")'"),
    Flight("kafka", "kcat_legacy", "kafkacat", "kcat -b 127.0.0.1:{port} -X api.version.request=false -X broker.version.fallback=0.9.0 -X client.id=shop -L"),
    Flight("kafka", "kafkajs", "npm:kafkajs",
           "node -e 'new (require(\"kafkajs\").Kafka)({brokers:[\"127.0.0.1:{port}\"],clientId:\"shop\"}).admin().connect()'"),

    Flight("cassandra", "python", "python3-cassandra",
           "python3 -c 'from cassandra.cluster import Cluster as C; C([\"127.0.0.1\"],port={port}).connect(\"shop\")'"),
    Flight("cassandra", "python_v3", "python3-cassandra",
           "python3 -c 'from cassandra.cluster import Cluster as C; C([\"127.0.0.1\"],port={port},protocol_version=3,compression=False).connect()'"),
    Flight("cassandra", "node", "npm:cassandra-driver",
           "node -e 'new (require(\"cassandra-driver\").Client)({contactPoints:[\"127.0.0.1:{port}\"],localDataCenter:\"dc1\"}).connect()'"),

    Flight("nats", "node", "npm:nats", "node -e 'require(\"nats\").connect({servers:\"127.0.0.1:{port}\",name:\"shop\"})'",
           INFO),
    Flight("nats", "node_user", "npm:nats", "node -e 'require(\"nats\").connect({servers:\"127.0.0.1:{port}\",user:\"alice\",pass:\"secret\",verbose:true})'",
           INFO),

    # Servers of a cluster are each other's clients.
    Flight("nats", "server_route", "nats-server",
           "nats-server -a 127.0.0.1 -p -1 --cluster nats://127.0.0.1:-1 --cluster_name c --routes nats://127.0.0.1:{port}"),

    Flight("rtsp", "ffprobe", "ffmpeg", "ffprobe -rtsp_transport tcp rtsp://127.0.0.1:{port}/live/one"),
    Flight("rtsp", "gstreamer", "gstreamer1.0-plugins-good", "gst-launch-1.0 rtspsrc location=rtsp://127.0.0.1:{port}/live protocols=tcp ! fakesink"),
    Flight("rtsp", "curl", "curl", "curl -s rtsp://127.0.0.1:{port}/live"),
    Flight("rtsp", "mplayer", "mplayer", "mplayer -vo null -ao null rtsp://127.0.0.1:{port}/live"),
    Flight("rtsp", "nmap", "nmap", "nmap -n -Pn -p {port} --script +rtsp-methods 127.0.0.1", conns=2),

    Flight("sip", "sipsak", "sipsak", "sipsak -E tcp -H 127.0.0.1 -s sip:alice@127.0.0.1:{port}"),
    Flight("sip", "sipp", "sip-tester", "script -qc 'sipp -sn uac -t t1 -m 1 -i 127.0.0.1 -s alice 127.0.0.1:{port}' /dev/null"),
    Flight("sip", "nmap", "nmap", "nmap -n -Pn -p {port} --script +sip-methods 127.0.0.1", conns=2),

    Flight("proxy1", "curl", "curl", "curl -s --haproxy-protocol http://127.0.0.1:{port}/"),
    Flight("proxy1", "haproxy", "haproxy", HAPROXY.replace("SEND", "send-proxy")),
    Flight("proxy2", "haproxy", "haproxy", HAPROXY.replace("SEND", "send-proxy-v2")),
    Flight("proxy2", "haproxy_tlvs", "haproxy", HAPROXY.replace("SEND", "send-proxy-v2 proxy-v2-options unique-id,crc32c")),
    Flight("proxy2", "haproxy_ssl", "haproxy", HAPROXY.replace("SEND", "send-proxy-v2-ssl")),
    Flight("proxy1", "nginx", "libnginx-mod-stream",
           "printf 'daemon off; pid {home}/pid; error_log stderr; load_module /usr/lib/nginx/modules/ngx_stream_module.so; events{} stream { server { listen 127.0.0.1:13130;"
           " proxy_pass 127.0.0.1:{port}; proxy_protocol on; } }' >c; nginx -p {home} -c {home}/c & sleep 1; sleep 3 | nc.openbsd 127.0.0.1 13130"),


    Flight("sslv2", "java", "openjdk-17-jre-headless", JAVA.replace("PROTOCOLS", '"SSLv2Hello","TLSv1.2"'), patience=60),
    Flight("sslv2", "java_tls10", "openjdk-17-jre-headless", JAVA.replace("PROTOCOLS", '"SSLv2Hello","TLSv1"'), patience=60),
    Flight("sslv2", "java_one_suite", "openjdk-17-jre-headless",
           JAVA.replace("PROTOCOLS", '"SSLv2Hello","TLSv1.1"').replace("/**/", 's.setEnabledCipherSuites(new String[]{"TLS_RSA_WITH_AES_128_CBC_SHA"});'), patience=60),

    Flight("icap", "c_icap_client", "c-icap", "c-icap-client -i 127.0.0.1 -p {port} -s echo"),
    Flight("icap", "c_icap_client_service", "c-icap", "c-icap-client -i 127.0.0.1 -p {port} -s 'url_check?allow204=on' -x 'X-Client-IP: 192.0.2.9'"),
    Flight("icap", "squid", "squid-openssl",
           "printf 'http_port 127.0.0.1:13128\nhttp_access allow all\nicap_enable on\npid_filename none\ncache_log {home}/log\naccess_log none\n"
           "visible_hostname proxy.example.test\nicap_service s reqmod_precache icap://127.0.0.1:{port}/reqmod\nadaptation_access s allow all\n' >c;"
           " chmod 777 .; squid -N -f c & sleep 3; curl -s -x 127.0.0.1:13128 http://192.0.2.1/"),

    Flight("rsync", "rsync", "rsync", "rsync rsync://127.0.0.1:{port}/files/ d"),
    Flight("rsync", "rsync_list", "rsync", "rsync rsync://127.0.0.1:{port}/", b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n"),
    Flight("rsync", "rsync_protocol29", "rsync", "rsync --protocol=29 rsync://127.0.0.1:{port}/files/ d"),

    Flight("smtp", "swaks", "swaks", "swaks -s 127.0.0.1:{port} -f alice@example.test -t bob@example.test --ehlo client.example.test", SMTP),
    Flight("smtp", "curl", "curl", "echo hi | curl -s smtp://127.0.0.1:{port}/client.example.test --mail-from alice@example.test --mail-rcpt bob@example.test -T -", SMTP),
    Flight("lmtp", "openssl", "openssl", "openssl s_client -starttls lmtp -name client.example.test -connect 127.0.0.1:{port}", SMTP),
    Flight("lmtp", "swaks", "swaks", "swaks --protocol LMTP -s 127.0.0.1:{port} -f alice@example.test -t bob@example.test --ehlo client.example.test", SMTP),
    Flight("lmtp", "python", "python3", "python3 -c 'import smtplib; smtplib.LMTP(\"127.0.0.1\",{port},local_hostname=\"client.example.test\").ehlo()'", SMTP),
    Flight("smtp", "python", "python3", "python3 -c 'import smtplib; smtplib.SMTP(\"127.0.0.1\",{port},local_hostname=\"client.example.test\").helo()'", SMTP),

    Flight("irc", "irssi", "irssi", "script -qc 'irssi -c 127.0.0.1 -p {port} -n alice' /dev/null"),
    Flight("irc", "weechat", "weechat-headless",
           "weechat-headless -d {home} -r '/server add t 127.0.0.1/{port} -nicks=alice -username=alice -realname=Alice' -r '/connect t'"),
    Flight("irc", "ii", "ii", "ii -i {home} -s 127.0.0.1 -p {port} -n alice -f Alice"),
    Flight("irc", "sic", "sic", "sleep 5 | sic -h 127.0.0.1 -p {port} -n alice"),
    Flight("irc", "epic5", "epic5", "script -qc 'epic5 -q -n alice 127.0.0.1:{port}' /dev/null"),
    Flight("irc", "openssl", "openssl", "openssl s_client -starttls irc -connect 127.0.0.1:{port}"),
]

WIREGUARD = ("wireguard-go -f wgsample & sleep 1; wg genkey >key; wg genpsk >psk; wg set wgsample private-key key"
             " peer \"$(wg genkey | wg pubkey)\" PSK allowed-ips 192.0.2.77/32 endpoint 127.0.0.1:{port} persistent-keepalive 1;"
             " ip link set wgsample up; sleep 5")

DATAGRAMS = [
    Flight("dns", "dig", "bind9-dnsutils", "dig -p {port} @127.0.0.1 example.test A"),
    Flight("dns", "kdig", "knot-dnsutils", "kdig +dnssec -p {port} @127.0.0.1 www.example.test AAAA"),
    Flight("dns", "drill", "ldnsutils", "drill -p {port} @127.0.0.1 example.test MX"),
    Flight("dns", "c_ares", "nodejs", "node -e 'const d=require(\"dns\"); d.setServers([\"127.0.0.1:{port}\"]); d.resolveSrv(\"_xmpp._tcp.example.test\",()=>0)'"),
    Flight("dns", "dnspython", "python3-dnspython",
           "python3 -c 'import dns.message,dns.query as q; q.udp(dns.message.make_query(\"example.test\",\"TXT\"),\"127.0.0.1\",port={port})'"),
    Flight("dns", "glibc", "libc-bin", "unshare -m sh -c 'echo nameserver 127.0.0.1 >r; mount --bind r /etc/resolv.conf; getent ahosts example.test'", port=53),

    Flight("stun", "coturn", "coturn", "turnutils_stunclient -p {port} 127.0.0.1"),
    Flight("stun", "coturn_turn", "coturn", "turnutils_uclient -p {port} -u alice -w secret -y 127.0.0.1"),
    Flight("stun", "aioice", "python3-aioice",
           "python3 -c 'import asyncio,aioice; asyncio.run(aioice.Connection(ice_controlling=True,stun_server=(\"127.0.0.1\",{port})).gather_candidates())'"),
    Flight("stun", "chromium", "chromium-headless-shell",
           "echo '<script>const p=new RTCPeerConnection({iceServers:[{urls:\"stun:127.0.0.1:{port}\"}]});p.createDataChannel(\"x\");"
           "p.createOffer().then(o=>p.setLocalDescription(o))</script>' >x.html;"
           "chromium-headless-shell --no-sandbox --user-data-dir={home} --timeout=5000 --screenshot file://{home}/x.html"),

    Flight("dtls", "openssl", "openssl", "openssl s_client -dtls -connect 127.0.0.1:{port} -servername example.test"),
    Flight("dtls", "openssl_1", "openssl", "openssl s_client -dtls1 -cipher ALL:@SECLEVEL=0 -connect 127.0.0.1:{port}"),
    Flight("dtls", "gnutls", "gnutls-bin", "gnutls-cli --udp --sni-hostname example.test -p {port} 127.0.0.1"),
    Flight("dtls", "coturn", "coturn", "turnutils_uclient -S -p {port} -u alice -w secret -y 127.0.0.1"),

    Flight("quic", "kdig", "knot-dnsutils", "kdig +quic -p {port} @127.0.0.1 example.test"),
    Flight("quic", "chromium", "chromium-headless-shell",
           "chromium-headless-shell --no-sandbox --user-data-dir={home} --enable-quic --origin-to-force-quic-on=example.test:443"
           " --host-resolver-rules='MAP example.test:443 127.0.0.1:{port}' --dump-dom https://example.test/"),

    Flight("quic", "go", "golang.org/x/net/quic", f"cd {loopback.SAMPLES.parent} && go run ./testdata/capture/quic 127.0.0.1:{{port}}", patience=90),

    Flight("wireguard", "wireguard_go", "wireguard-go", WIREGUARD.replace("PSK", "")),
    Flight("wireguard", "wireguard_go_psk", "wireguard-go", WIREGUARD.replace("PSK", "preshared-key psk")),
]


def main():
    loopback.capture("flights", FLIGHTS, sys.argv[1:], lambda f: loopback.hear_stream(f.command, f.greeting, f.port, f.conns, f.patience))
    loopback.capture("datagrams", DATAGRAMS, sys.argv[1:], lambda f: loopback.hear_datagram(f.command, f.port, f.patience))


if __name__ == "__main__":
    main()
