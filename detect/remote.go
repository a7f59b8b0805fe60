package detect

// VNCServer detects the ProtocolVersion message of a server of remote framebuffers (RFC 6143 §7.1.1). Version is 3.8 or
// as it says.
func VNCServer() Detector {
	const length = len("RFB 003.008\n")
	return scannedServer("vnc-server", length, func(b []byte) result {
		const shape = "RFB 000.000\n"
		for i := range min(len(b), length) {
			if shape[i] == '0' && '0' <= b[i] && b[i] <= '9' || shape[i] != '0' && b[i] == shape[i] {
				continue
			}
			return bad("ProtocolVersion", i)
		}
		if len(b) < length {
			return short(length)
		}
		return complete(length)
	}, func(b []byte) Info {
		return Info{Protocol: "vnc", Version: plain(b[4:7]) + "." + plain(b[8:11])}
	})
}

// plain is a number without zeros before it.
func plain(digits []byte) string {
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	return string(digits)
}

// RsyncServer detects the greeting of an rsync daemon (rsync, "THE DAEMON PROTOCOL"): @RSYNCD: and its version, which
// both peers say.
func RsyncServer() Detector {
	return scannedServer("rsync-server", maxRsyncLine, scanRsync, rsyncInfo)
}

// Rsync detects a client that does not wait for the greeting.
func Rsync() Detector { return scanned("rsync", maxRsyncLine, scanRsync, rsyncInfo) }

const (
	rsyncMark    = "@RSYNCD: "
	maxRsyncLine = 256
)

func scanRsync(b []byte) result {
	if r := fixed(b, 0, rsyncMark, "greeting"); !r.isComplete() {
		if r.need > 0 {
			r.need += len("0\n")
		}
		return r
	}
	line, r := textLine(b, len(rsyncMark), "version")
	switch {
	case len(line) > 0 && (line[0] < '0' || line[0] > '9'), r.isComplete() && len(line) == 0:
		return bad("version", len(rsyncMark))
	case r.need > 0:
		r.need = max(r.need, len(rsyncMark)+len("0\n"))
	}
	return r
}

func rsyncInfo(b []byte) Info {
	line, _ := textLine(b, len(rsyncMark), "version")
	n := 0
	for n < len(line) && (line[n] == '.' || '0' <= line[n] && line[n] <= '9') {
		n++
	}
	return Info{Protocol: "rsync", Version: string(line[:n])}
}

// TelnetServer detects a telnet server that negotiates options at once (RFC 854, "TELNET command structure"): IAC, DO or
// WILL or their denials, and an option.
func TelnetServer() Detector {
	return scannedServer("telnet-server", 3, func(b []byte) result {
		switch {
		case len(b) > 0 && b[0] != 0xff:
			return bad("IAC", 0)
		case len(b) > 1 && b[1] < 0xfb:
			return bad("command", 1)
		case len(b) > 1 && b[1] == 0xff:
			return bad("command", 1)
		case len(b) < 3:
			return short(3)
		case b[2] > 49 && b[2] != 0xff:
			return bad("option", 2)
		}
		return complete(3)
	}, func([]byte) Info { return Info{Protocol: "telnet"} })
}
