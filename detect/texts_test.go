package detect_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// lineTest is text of a peer, and what a detector says to it.
type lineTest struct {
	name, in string
	want     detect.Verdict
}

func lineVerdicts(d detect.Detector, tests ...lineTest) []verdictTest {
	var all []verdictTest
	for _, tt := range tests {
		all = append(all, verdictTest{tt.name, d, []byte(tt.in), tt.want})
	}
	return all
}

// greetingVerdicts are those of servers that speak first.
func greetingVerdicts(testing.TB) []verdictTest {
	more, no := detect.More, detect.No()
	yes := func(info detect.Info) detect.Verdict { return detect.Yes(info) }
	var all []verdictTest
	add := func(d detect.Detector, tests ...lineTest) { all = append(all, lineVerdicts(d, tests...)...) }
	add(detect.SMTPServer(),
		lineTest{"nothing", "", more(11)},
		lineTest{"Postfix", "220 mail.example.test ESMTP Postfix (Debian/GNU)\r\n", yes(detect.Info{Protocol: "smtp", Host: "mail.example.test", Software: "Postfix (Debian/GNU)"})},
		lineTest{"LMTP", "220 mail.example.test LMTP Dovecot ready.\r\n", yes(detect.Info{Protocol: "lmtp", Host: "mail.example.test", Software: "Dovecot ready."})},
		lineTest{"a teaser", "220-mail.example.test SMTP\r\n", yes(detect.Info{Protocol: "smtp", Host: "mail.example.test"})},
		lineTest{"a name that is none", "220 [192.0.2.1]! esmtp x\n", yes(detect.Info{Protocol: "smtp", Software: "x"})},
		lineTest{"a product before the protocol", "220 mail.example.test Python SMTP 1.4\r\n", yes(detect.Info{Protocol: "smtp", Host: "mail.example.test", Software: "Python SMTP 1.4"})},
		lineTest{"the word and no line end", "220 mail.example.test ESMTP Post", yes(detect.Info{Protocol: "smtp", Host: "mail.example.test"})},
		lineTest{"two words: the first counts", "220 mail.example.test LMTP not SMTP\r\n", yes(detect.Info{Protocol: "lmtp", Host: "mail.example.test", Software: "not SMTP"})},
		lineTest{"rubbish behind the word", "220 a ESMTP \x00", yes(detect.Info{Protocol: "smtp", Host: "a"})},
		lineTest{"the end of the word is to come", "220 mail.example.test ESMTP", more(28)},
		lineTest{"a longer word", "220 mail.example.test ESMTPX\r\n", no},
		lineTest{"a code alone", "220", more(11)},
		lineTest{"a word and a NUL", "220 a ESMTP\x00", no},
		lineTest{"no protocol", "220 mail.example.test ready\r\n", no},
		lineTest{"the protocol in the name", "220 SMTP ready\r\n", no},
		lineTest{"another code", "221", no},
		lineTest{"no space", "220x", no},
		lineTest{"a NUL", "220 mail\x00", no},
	)
	add(detect.FTPServer(),
		lineTest{"nothing", "", more(8)},
		lineTest{"vsftpd", "220 (vsFTPd 3.0.3)\r\n", yes(detect.Info{Protocol: "ftp", Software: "(vsFTPd 3.0.3)"})},
		lineTest{"FileZilla", "220-FileZilla Server 1.7.0\r\n", yes(detect.Info{Protocol: "ftp", Software: "FileZilla Server 1.7.0"})},
		lineTest{"ProFTPD", "220 ProFTPD Server (Debian) [::ffff:127.0.0.1]\r\n", yes(detect.Info{Protocol: "ftp", Software: "ProFTPD Server (Debian) [::ffff:127.0.0.1]"})},
		lineTest{"mail for a host of that name", "220 ftp.example.test ESMTP x\r\n", no},
		lineTest{"nothing of it", "220 ready\r\n", no},
		lineTest{"no line end yet", "220 FTP", more(8)},
	)
	add(detect.Reply220(),
		lineTest{"nothing", "", more(4)},
		lineTest{"ready", "220 ", yes(detect.Info{Protocol: "220"})},
		lineTest{"more lines", "220-", yes(detect.Info{Protocol: "220"})},
		lineTest{"another", "421 ", no},
	)
	add(detect.POP3Server(),
		lineTest{"nothing", "", more(4)},
		lineTest{"its beginning", "+OK ", yes(detect.Info{Protocol: "pop3"})},
		lineTest{"Dovecot", "+OK Dovecot (Debian) ready.\r\n", yes(detect.Info{Protocol: "pop3", Software: "Dovecot (Debian) ready."})},
		lineTest{"APOP", "+OK POP3 ready <1896.697170952@example.test>\r\n", yes(detect.Info{Protocol: "pop3", Software: "POP3 ready"})},
		lineTest{"nothing more", "+OK\r\n", yes(detect.Info{Protocol: "pop3"})},
		lineTest{"a word", "+OKAY", no},
		lineTest{"an error", "-ERR", no},
	)
	add(detect.IMAPServer(),
		lineTest{"nothing", "", more(5)},
		lineTest{"OK", "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", yes(detect.Info{Protocol: "imap", Verb: "OK", Software: "ready"})},
		lineTest{"PREAUTH", "* PREAUTH ", yes(detect.Info{Protocol: "imap", Verb: "PREAUTH"})},
		lineTest{"bye", "* bye ", yes(detect.Info{Protocol: "imap", Verb: "BYE"})},
		lineTest{"an asterisk", "* ", more(5)},
		lineTest{"half of PREAUTH", "* P", more(10)},
		lineTest{"half of BYE", "* b", more(6)},
		lineTest{"a greeting without a code", "* OK Dovecot ready.\r\n", yes(detect.Info{Protocol: "imap", Verb: "OK", Software: "Dovecot ready."})},
		lineTest{"a list", "* LIST", no},
		lineTest{"a tag", "a1 OK", no},
	)
	add(detect.NNTPServer(),
		lineTest{"nothing", "", more(4)},
		lineTest{"posting", "200 ", yes(detect.Info{Protocol: "nntp"})},
		lineTest{"no posting", "201 news.example.test ready (no posting)\r\n", yes(detect.Info{Protocol: "nntp", Software: "news.example.test ready (no posting)"})},
		lineTest{"another code", "202", no},
		lineTest{"a dash", "200-", no},
	)
	add(detect.SieveServer(),
		lineTest{"nothing", "", more(16)},
		lineTest{"Dovecot", "\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SIEVE\" \"fileinto\"\r\n", yes(detect.Info{Protocol: "sieve", Software: "Dovecot Pigeonhole"})},
		lineTest{"its beginning", "\"Implementation\"", yes(detect.Info{Protocol: "sieve"})},
		lineTest{"another capability", "\"SASL\"", no},
	)
	add(detect.VNCServer(),
		lineTest{"nothing", "", more(12)},
		lineTest{"3.8", "RFB 003.008\n", yes(detect.Info{Protocol: "vnc", Version: "3.8"})},
		lineTest{"3.889", "RFB 003.889\n", yes(detect.Info{Protocol: "vnc", Version: "3.889"})},
		lineTest{"letters", "RFB 003.x", no},
		lineTest{"too many lines", "RFB 003.008\r", no},
	)
	rsync := []lineTest{
		{"nothing", "", more(11)},
		{"31.0", "@RSYNCD: 31.0 sha512 md5\n", yes(detect.Info{Protocol: "rsync", Version: "31.0"})},
		{"no line end yet", "@RSYNCD: 31", more(12)},
		{"no version", "@RSYNCD: x", no},
		{"another word", "@RSYNC ", no},
	}
	add(detect.RsyncServer(), rsync...)
	add(detect.Rsync(), rsync...)
	add(detect.TelnetServer(),
		lineTest{"nothing", "", more(3)},
		lineTest{"DO", "\xff\xfd\x18\xff\xfd\x20", yes(detect.Info{Protocol: "telnet"})},
		lineTest{"WILL", "\xff\xfb\x01", yes(detect.Info{Protocol: "telnet"})},
		lineTest{"subnegotiation", "\xff\xfa", no},
		lineTest{"a byte FF", "\xff\xff", no},
		lineTest{"an option that is none", "\xff\xfd\x40", no},
	)
	add(detect.IRCServer(),
		lineTest{"nothing", "", more(9)},
		lineTest{"a notice", ":irc.example.test NOTICE * :*** Looking up your hostname...\r\n", yes(detect.Info{Protocol: "irc", Verb: "NOTICE", Host: "irc.example.test"})},
		lineTest{"an old notice", "NOTICE AUTH :*** Looking up your hostname\r\n", yes(detect.Info{Protocol: "irc", Verb: "NOTICE"})},
		lineTest{"half of a name", ":irc.exam", more(19)},
		lineTest{"half of a notice", ":a NOTICE", more(12)},
		lineTest{"half of an old notice", "NOTICE A", more(12)},
		lineTest{"a colon", ":", more(12)},
		lineTest{"no name", ": NOTICE * ", no},
		lineTest{"a control character in the name", ":\x01", no},
		lineTest{"something else", ":a 001 ", no},
		lineTest{"no command", ":a\r\n", no},
	)
	return all
}

// textVerdicts are those of clients that speak in lines.
func textVerdicts(testing.TB) []verdictTest {
	more, no := detect.More, detect.No()
	yes := func(info detect.Info) detect.Verdict { return detect.Yes(info) }
	var all []verdictTest
	add := func(d detect.Detector, tests ...lineTest) { all = append(all, lineVerdicts(d, tests...)...) }
	add(detect.SMTP(),
		lineTest{"nothing", "", more(7)},
		lineTest{"EHLO", "EHLO client.example.test\r\n", yes(detect.Info{Protocol: "smtp", Verb: "EHLO", Host: "client.example.test"})},
		lineTest{"LHLO", "lhlo [192.0.2.1]\n", yes(detect.Info{Protocol: "lmtp", Verb: "LHLO"})},
		lineTest{"no name", "HELO \r\n", no},
		lineTest{"two names", "HELO a b\r\n", no},
		lineTest{"another verb", "MAIL", no},
		lineTest{"no line end yet", "EHLO abc", more(9)},
	)
	add(detect.IRC(),
		lineTest{"nothing", "", more(7)},
		lineTest{"CAP alone", "CAP LS\n", yes(detect.Info{Protocol: "irc", Verb: "CAP"})},
		lineTest{"all at once", "CAP LS 302\r\nNICK alice\r\nUSER alice 0 * :Alice\r\n", yes(detect.Info{Protocol: "irc", Verb: "CAP", User: "alice"})},
		lineTest{"half of the next line", "CAP LS 302\r\nNICK al", yes(detect.Info{Protocol: "irc", Verb: "CAP"})},
		lineTest{"a list", "cap list\r\n", yes(detect.Info{Protocol: "irc", Verb: "CAP"})},
		lineTest{"an end", "CAP END\r\n", yes(detect.Info{Protocol: "irc", Verb: "CAP"})},
		lineTest{"a request", "CAP REQ :sasl tls\r\n", yes(detect.Info{Protocol: "irc", Verb: "CAP"})},
		lineTest{"half of a request", "CAP REQ ", more(9)},
		lineTest{"half of CAP's word", "CAP L", more(7)},
		lineTest{"a request of HTTP, LS", "CAP LS HTTP/1.1\r\n", no},
		lineTest{"a request of HTTP, REQ", "CAP REQ HTTP/1.1\r\n", no},
		lineTest{"a request of HTTP, NICK", "NICK / HTTP/1.1\r\n", no},
		lineTest{"a word behind END", "CAP END x", no},
		lineTest{"no subcommand", "CAP\r\n", no},
		lineTest{"no nick", "NICK \r\n", no},
		lineTest{"STARTTLS of something", "STARTTLS x", no},
		lineTest{"the start of STARTTLS", "STARTT", more(9)},
		lineTest{"the start of USER", "US", more(13)},
		lineTest{"a NUL", "NICK \x00", no},
		lineTest{"CAP", "CAP LS 302\r\n", yes(detect.Info{Protocol: "irc", Verb: "CAP"})},
		lineTest{"NICK", "NICK alice\r\n", yes(detect.Info{Protocol: "irc", Verb: "NICK", User: "alice"})},
		lineTest{"USER", "USER alice 0 * :Alice A.\r\n", yes(detect.Info{Protocol: "irc", Verb: "USER"})},
		lineTest{"PASS", "PASS secret\n", yes(detect.Info{Protocol: "irc", Verb: "PASS"})},
		lineTest{"STARTTLS", "STARTTLS\r\n", yes(detect.Info{Protocol: "irc", Verb: "STARTTLS"})},
		lineTest{"half a verb", "NI", more(7)},
		lineTest{"no line end yet", "NICK alice", more(11)},
		lineTest{"FTP's USER", "USER alice\r\n", no},
		lineTest{"two nicks", "NICK a b", no},
		lineTest{"another CAP", "CAP x\r\n", no},
		lineTest{"another verb", "JOIN", no},
	)
	add(detect.XMPP(),
		lineTest{"nothing", "", more(15)},
		lineTest{
			"a header", "<stream:stream xmlns='jabber:client' to='example.test' version='1.0' xmlns:stream='http://etherx.jabber.org/streams'>",
			yes(detect.Info{Protocol: "xmpp", Host: "example.test", Version: "1.0"}),
		},
		lineTest{
			"a declaration", "<?xml version=\"1.0\"?>\n<stream:stream from=\"alice@example.test\" to=\"example.test\">",
			yes(detect.Info{Protocol: "xmpp", Host: "example.test", User: "alice@example.test"}),
		},
		lineTest{"half of a header", "<stream:stream to='exa", yes(detect.Info{Protocol: "xmpp"})},
		lineTest{"a name alone", "<stream:stream>", yes(detect.Info{Protocol: "xmpp"})},
		lineTest{"spaces about an attribute", "<stream:stream\n to = \"example.test\"\tversion\r\n= '1.0' ", yes(detect.Info{Protocol: "xmpp", Host: "example.test", Version: "1.0"})},
		lineTest{"an attribute in an attribute", "<stream:stream id='> to=\"a.test\"' to='b.test'>", yes(detect.Info{Protocol: "xmpp", Host: "b.test"})},
		lineTest{"attributes of the next element", "<stream:stream ><auth to='a.test'>", yes(detect.Info{Protocol: "xmpp"})},
		lineTest{"twice the same", "<stream:stream to='a.test' to='b.test'>", yes(detect.Info{Protocol: "xmpp", Host: "a.test"})},
		lineTest{"a name that is none", "<stream:stream to='a b'>", yes(detect.Info{Protocol: "xmpp"})},
		lineTest{"an attribute without quotes", "<stream:stream to=a.test>", yes(detect.Info{Protocol: "xmpp"})},
		lineTest{"a NUL behind it all", "<?xml version='1.0'?><stream:stream >\x00", yes(detect.Info{Protocol: "xmpp"})},
		lineTest{"a declaration that goes on", "<?xml version='1.0'?", more(36)},
		lineTest{"the start of a declaration", "<?", more(23)},
		lineTest{"a declaration that ends badly", "<?xml version='1.0'>", no},
		lineTest{"an instruction", "<?xml-stylesheet", no},
		lineTest{"half of a name", "<stream:str", more(15)},
		lineTest{"half of a declaration", "<?xml version", more(30)},
		lineTest{"another document", "<?xml version='1.0'?><html>", no},
		lineTest{"another tag", "<html", no},
		lineTest{"another name", "<stream:streamer", no},
		lineTest{"a space first", " <stream:stream ", no},
	)
	add(detect.Git(),
		lineTest{"nothing", "", more(21)},
		lineTest{
			"upload-pack", "0033git-upload-pack /project.git\x00host=myserver.com\x00",
			yes(detect.Info{Protocol: "git", Verb: "git-upload-pack", Path: "/project.git", Host: "myserver.com", Port: 9418}),
		},
		lineTest{
			"a port and a version", "0033git-upload-pack /a\x00host=a.test:9419\x00\x00version=2\x00xyz=",
			yes(detect.Info{Protocol: "git", Verb: "git-upload-pack", Path: "/a", Host: "a.test", Port: 9419, Version: "2"}),
		},
		lineTest{
			"no host, capitals in the length", "001Agit-receive-pack /abc\x000000",
			yes(detect.Info{Protocol: "git", Verb: "git-receive-pack", Path: "/abc"}),
		},
		lineTest{"a pathname that does not end", "001Agit-receive-pack /abcd", no},
		lineTest{"a request line", "0032git-upload-pack rtsp://h/x HTTP/1.1\r", no},
		lineTest{"too short for the service", "0017git-upload-archive /x", no},
		lineTest{"too long", "ffffgit-upload-pack ", no},
		lineTest{"half of a service", "0033git-u", more(51)},
		lineTest{"half of it", "0033git-upload-pack /pro", more(51)},
		lineTest{"another service", "0033git-shell-", no},
		lineTest{"a length that is none", "00x", no},
		lineTest{"a length that is too short", "0010", no},
	)
	add(detect.HTTP09(),
		lineTest{"nothing", "", more(6)},
		lineTest{"a page", "GET /index.html?x=1\r\n", yes(detect.Info{Protocol: "http", Version: "0.9", Verb: "GET", Path: "/index.html"})},
		lineTest{"the shortest", "GET /\n", yes(detect.Info{Protocol: "http", Version: "0.9", Verb: "GET", Path: "/"})},
		lineTest{"no line end yet", "GET /index", more(11)},
		lineTest{"the start of a slash", "GET", more(6)},
		lineTest{"a version", "GET / HTTP/1.0", no},
		lineTest{"no slash", "GET x", no},
		lineTest{"another method", "PUT /", no},
		lineTest{"a control character", "GET /\x01", no},
	)
	add(detect.RTSP(),
		lineTest{"nothing", "", more(13)},
		lineTest{"OPTIONS", "OPTIONS * RTSP/1.0\r\n", yes(detect.Info{Protocol: "rtsp", Verb: "OPTIONS", Version: "1.0"})},
		lineTest{"DESCRIBE", "DESCRIBE rtsp://cam.example.test/live RTSP/1.0\r\n", yes(detect.Info{Protocol: "rtsp", Verb: "DESCRIBE", Version: "1.0", Host: "cam.example.test", Port: 554})},
		lineTest{"HTTP", "GET / HTTP", no},
		lineTest{"no URI", "GET x RTSP/1.0\r\n", no},
		lineTest{"SSH with a comment", "SSH-2.0-x * RTSP/1.0\r\n", no},
		lineTest{"a version that is none", "OPTIONS * RTSP/1.00\r\n", no},
	)
	add(detect.SIP(),
		lineTest{"nothing", "", more(12)},
		lineTest{"REGISTER", "REGISTER sip:example.test SIP/2.0\r\n", yes(detect.Info{Protocol: "sip", Verb: "REGISTER", Version: "2.0", Host: "example.test", Port: 5060})},
		lineTest{
			"INVITE", "INVITE sips:bob:x@192.0.2.4:5061;transport=tcp SIP/2.0\r\n",
			yes(detect.Info{Protocol: "sip", Verb: "INVITE", Version: "2.0", Host: "192.0.2.4", Port: 5061, User: "bob"}),
		},
		lineTest{"no version", "INVITE sip:a\r\n", no},
	)
	add(detect.ICAP(),
		lineTest{"REQMOD", "REQMOD icap://icap.example.test/scan ICAP/1.0\r\n", yes(detect.Info{Protocol: "icap", Verb: "REQMOD", Version: "1.0", Host: "icap.example.test", Port: 1344})},
	)
	return all
}

func FuzzSMTPServer(f *testing.F)   { detecttest.Fuzz(f, detect.SMTPServer(), openings(f)...) }
func FuzzFTPServer(f *testing.F)    { detecttest.Fuzz(f, detect.FTPServer(), openings(f)...) }
func FuzzReply220(f *testing.F)     { detecttest.Fuzz(f, detect.Reply220(), openings(f)...) }
func FuzzPOP3Server(f *testing.F)   { detecttest.Fuzz(f, detect.POP3Server(), openings(f)...) }
func FuzzIMAPServer(f *testing.F)   { detecttest.Fuzz(f, detect.IMAPServer(), openings(f)...) }
func FuzzNNTPServer(f *testing.F)   { detecttest.Fuzz(f, detect.NNTPServer(), openings(f)...) }
func FuzzSieveServer(f *testing.F)  { detecttest.Fuzz(f, detect.SieveServer(), openings(f)...) }
func FuzzVNCServer(f *testing.F)    { detecttest.Fuzz(f, detect.VNCServer(), openings(f)...) }
func FuzzRsyncServer(f *testing.F)  { detecttest.Fuzz(f, detect.RsyncServer(), openings(f)...) }
func FuzzTelnetServer(f *testing.F) { detecttest.Fuzz(f, detect.TelnetServer(), openings(f)...) }
func FuzzIRCServer(f *testing.F)    { detecttest.Fuzz(f, detect.IRCServer(), openings(f)...) }
func FuzzRsync(f *testing.F)        { detecttest.Fuzz(f, detect.Rsync(), openings(f)...) }
func FuzzSMTP(f *testing.F)         { detecttest.Fuzz(f, detect.SMTP(), openings(f)...) }
func FuzzIRC(f *testing.F)          { detecttest.Fuzz(f, detect.IRC(), openings(f)...) }
func FuzzXMPP(f *testing.F)         { detecttest.Fuzz(f, detect.XMPP(), openings(f)...) }
func FuzzGit(f *testing.F)          { detecttest.Fuzz(f, detect.Git(), openings(f)...) }
func FuzzRTSP(f *testing.F)         { detecttest.Fuzz(f, detect.RTSP(), openings(f)...) }
func FuzzSIP(f *testing.F)          { detecttest.Fuzz(f, detect.SIP(), openings(f)...) }
func FuzzHTTP09(f *testing.F)       { detecttest.Fuzz(f, detect.HTTP09(), openings(f)...) }
func FuzzICAP(f *testing.F)         { detecttest.Fuzz(f, detect.ICAP(), openings(f)...) }
