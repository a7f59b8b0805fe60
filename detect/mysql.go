package detect

import "bytes"

// MySQLGreeting is the server's first packet, HandshakeV10 (MySQL Internals, "Connection Phase Packets").
type MySQLGreeting struct {
	Version      string // raw
	Capabilities uint32
}

// MySQLResponse is the client's first packet: an SSLRequest, after which TLS begins without an answer of the server, or
// a HandshakeResponse.
type MySQLResponse struct {
	Capabilities uint32
	SSLRequest   bool
}

// MySQLClientSSL is CLIENT_SSL, the capability to change to TLS.
const MySQLClientSSL = 0x800

const (
	mysqlHeaderLen     = 4
	maxMySQLVersion    = 64
	maxMySQLGreeting   = 1024
	mysqlSSLRequestLen = 32
)

// ParseMySQLGreeting parses a HandshakeV10 packet at the beginning of buf.
func ParseMySQLGreeting(buf []byte) (MySQLGreeting, int, error) {
	end, r := scanMySQLGreeting(buf)
	if r.isComplete() {
		length := mysqlHeaderLen + mysqlLength(buf)
		if len(buf) >= length {
			at := end + 1 + 4 + 8 + 1 // behind version, thread ID, the first part of the challenge, filler
			capabilities := uint32(le16(buf[at:])) | uint32(le16(buf[at+5:]))<<16
			return MySQLGreeting{Version: string(buf[mysqlHeaderLen+1 : end]), Capabilities: capabilities}, length, nil
		}
		r = short(length)
	}
	return MySQLGreeting{}, 0, r.err("mysql")
}

// ParseMySQLResponse parses the client's first packet at the beginning of buf.
func ParseMySQLResponse(buf []byte) (MySQLResponse, int, error) {
	r := complete(0)
	switch {
	case len(buf) > 3 && buf[3] != 1:
		r = bad("sequence_id", 3)
	case len(buf) < mysqlHeaderLen:
		r = short(mysqlHeaderLen + mysqlSSLRequestLen)
	case mysqlLength(buf) < mysqlSSLRequestLen || mysqlLength(buf) > 1<<16:
		r = bad("payload_length", 0)
	case len(buf) < mysqlHeaderLen+mysqlLength(buf):
		r = short(mysqlHeaderLen + mysqlLength(buf))
	}
	if err := r.err("mysql"); err != nil {
		return MySQLResponse{}, 0, err
	}
	flags := le32(buf[mysqlHeaderLen:])
	return MySQLResponse{
		Capabilities: flags, SSLRequest: flags&MySQLClientSSL != 0 && mysqlLength(buf) == mysqlSSLRequestLen,
	}, mysqlHeaderLen + mysqlLength(buf), nil
}

func mysqlLength(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// scanMySQLHeader scans the header of the server's first packet.
func scanMySQLHeader(b []byte) result {
	switch {
	case len(b) > 1 && b[1] > maxMySQLGreeting>>8, len(b) > 2 && b[2] != 0:
		return bad("payload_length", min(len(b), 3)-1)
	case len(b) > 3 && b[3] != 0:
		return bad("sequence_id", 3)
	case len(b) < mysqlHeaderLen+1:
		return short(mysqlHeaderLen + 1)
	}
	return complete(mysqlHeaderLen)
}

// scanMySQLGreeting scans up to the filler behind the version, and returns where the version ends.
func scanMySQLGreeting(b []byte) (versionEnd int, r result) {
	if r := scanMySQLHeader(b); !r.isComplete() {
		return 0, r
	}
	const fixedLen = 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10 // behind the version
	if b[mysqlHeaderLen] != 10 {
		return 0, bad("protocol_version", mysqlHeaderLen)
	}
	start := mysqlHeaderLen + 1
	for i := start; i < len(b); i++ {
		switch {
		case b[i] == 0 && i > start:
			filler := i + 1 + 4 + 8
			switch {
			case mysqlHeaderLen+mysqlLength(b) < i+1+fixedLen:
				return 0, bad("payload_length", 0)
			case len(b) <= filler:
				return 0, short(filler + 1)
			case b[filler] != 0:
				return 0, bad("filler", filler)
			}
			return i, complete(filler + 1)
		case b[i] < ' ' || b[i] > '~' || i-start > maxMySQLVersion:
			return 0, bad("server_version", i)
		}
	}
	return 0, short(max(len(b), start+1) + 1 + 4 + 8 + 1)
}

// scanMySQLError scans an ERR packet as a server greets clients with that it does not want.
func scanMySQLError(b []byte) result {
	if r := scanMySQLHeader(b); !r.isComplete() {
		return r
	}
	end := mysqlHeaderLen + mysqlLength(b)
	switch {
	case b[mysqlHeaderLen] != 0xff:
		return bad("header", mysqlHeaderLen)
	case end < mysqlHeaderLen+8 || end > mysqlHeaderLen+600:
		return bad("payload_length", 0)
	}
	const message = mysqlHeaderLen + 3
	if len(b) >= message {
		if code := le16(b[mysqlHeaderLen+1:]); code < 1000 || code >= 5000 {
			return bad("error_code", mysqlHeaderLen+1)
		}
	}
	for i := message; i < min(len(b), end); i++ {
		if b[i] < ' ' || b[i] == 0x7f {
			return bad("error_message", i)
		}
	}
	if len(b) < end {
		return short(end)
	}
	return complete(end)
}

// MySQLServer detects the greeting of a MySQL or MariaDB server; Software is its version. Verb is ERR when it greets with
// an error.
func MySQLServer() Detector {
	scan := func(b []byte) result {
		if len(b) > mysqlHeaderLen && b[mysqlHeaderLen] == 0xff {
			return scanMySQLError(b)
		}
		_, r := scanMySQLGreeting(b)
		return r
	}
	return scannedServer("mysql-server", maxMySQLGreeting, scan, func(b []byte) Info {
		if b[mysqlHeaderLen] == 0xff {
			return Info{Protocol: "mysql", Verb: "ERR"}
		}
		version, _, _ := bytes.Cut(b[mysqlHeaderLen+1:], []byte{0})
		return Info{Protocol: "mysql", Version: "10", Software: string(version)}
	})
}
