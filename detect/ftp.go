package detect

// FTPServer detects the greeting of an FTP server (RFC 959 §5.4) that names its protocol or its program, which have FTP
// in their names; see [Reply220]. Software is the text.
func FTPServer() Detector {
	return scannedServer("ftp-server", maxReplyLine, scanFTPGreeting, func(b []byte) Info {
		text, _ := greetingLine(b)
		return Info{Protocol: "ftp", Software: ascii(text)}
	})
}

func scanFTPGreeting(b []byte) result {
	text, r := greetingLine(b)
	switch {
	case r.isComplete() && (mailWord(text, true) != "" || !namesFTP(text)):
		return bad("greeting", 0)
	case r.need > 0:
		r.need = max(r.need, len("220 FTP\n"))
	}
	return r
}

// namesFTP looks for FTP in any case, and for a server that goes by another name.
func namesFTP(text []byte) bool {
	for i := range text {
		if rest := text[i:]; len(rest) >= 3 && equalASCII(rest[:3], "FTP") || len(rest) >= 9 && equalASCII(rest[:9], "FileZilla") {
			return true
		}
	}
	return false
}

// Reply220 detects what begins as the greetings of SMTP, LMTP and FTP servers do. It is weak, and for greetings that name
// no protocol: the client's first command tells then. Protocol is 220.
func Reply220() Detector {
	return weak(scannedServer("220", maxReplyLine, func(b []byte) result { return scanReply(b, replyReady) }, func([]byte) Info {
		return Info{Protocol: "220"}
	}))
}
