package detect

// TDSPrelogin is a PRELOGIN message of TDS 7.x (MS-TDS §2.2.6.5), of either peer.
type TDSPrelogin struct {
	Response   bool
	Encryption TDSEncryption
	Version    [4]byte // of the peer's program: major, minor, build
}

// TDSEncryption is the ENCRYPTION option.
type TDSEncryption byte

// The values of ENCRYPTION.
const (
	TDSEncryptOff    TDSEncryption = 0 // only the login is encrypted
	TDSEncryptOn     TDSEncryption = 1
	TDSEncryptNotSup TDSEncryption = 2
	TDSEncryptReq    TDSEncryption = 3
)

// Types of packets (MS-TDS §2.2.3.1.1).
const (
	TDSResponse       = 0x04
	TDSPreloginPacket = 0x12
)

// TDSHeaderLen is the length of a packet's header: Type, Status, Length, SPID, PacketID, Window.
const TDSHeaderLen = 8

const (
	maxTDSPrelogin  = 4096
	tdsOptionLen    = 5
	tdsLeast        = TDSHeaderLen + tdsOptionLen
	tdsVersion      = 0x00
	tdsEncryption   = 0x01
	tdsTerminator   = 0xff
	tdsEndOfMessage = 1
)

// ParseTDSPrelogin parses a client's PRELOGIN, or the server's answer to one, at the beginning of buf.
func ParseTDSPrelogin(buf []byte) (TDSPrelogin, int, error) {
	response := len(buf) > 0 && buf[0] == TDSResponse
	kind := byte(TDSPreloginPacket)
	if response {
		kind = TDSResponse
	}
	r := scanTDS(buf, kind)
	if r.isComplete() {
		length := be16(buf[2:])
		if len(buf) >= length {
			p, r := tdsOptions(buf[TDSHeaderLen:length])
			p.Response = response
			if !r.isComplete() {
				return TDSPrelogin{}, 0, r.err("tds")
			}
			return p, length, nil
		}
		r = short(length)
	}
	return TDSPrelogin{}, 0, r.err("tds")
}

// tdsOptions reads the option table.
func tdsOptions(body []byte) (p TDSPrelogin, r result) {
	for at := 0; ; at += tdsOptionLen {
		if at < len(body) && body[at] == tdsTerminator {
			return p, complete(at + 1)
		}
		if at+tdsOptionLen > len(body) {
			return TDSPrelogin{}, bad("PL_OPTION_TOKEN", TDSHeaderLen+at)
		}
		offset, length := be16(body[at+1:]), be16(body[at+3:])
		if offset+length > len(body) {
			return TDSPrelogin{}, bad("PL_OFFSET", TDSHeaderLen+at+1)
		}
		data := body[offset : offset+length]
		switch {
		case body[at] == tdsVersion && len(data) >= 4:
			p.Version = [4]byte(data)
		case body[at] == tdsEncryption && len(data) == 1:
			p.Encryption = TDSEncryption(data[0])
		}
	}
}

// scanTDS scans the header of a packet, and the first option, which is VERSION.
func scanTDS(b []byte, kind byte) result {
	switch {
	case len(b) > 0 && b[0] != kind:
		return bad("Type", 0)
	case len(b) > 1 && b[1] != tdsEndOfMessage:
		return bad("Status", 1)
	case len(b) > 2 && b[2] > maxTDSPrelogin>>8:
		return bad("Length", 2)
	case len(b) > 3 && (be16(b[2:]) < TDSHeaderLen+tdsOptionLen+1+6 || be16(b[2:]) > maxTDSPrelogin):
		return bad("Length", 2)
	case len(b) > 7 && b[7] != 0:
		return bad("Window", 7)
	case len(b) > 8 && b[8] != tdsVersion:
		return bad("PL_OPTION_TOKEN", 8)
	case len(b) < tdsLeast:
		return short(tdsLeast)
	}
	if offset, length := be16(b[9:]), be16(b[11:]); offset < tdsOptionLen+1 || length != 6 || TDSHeaderLen+offset+length > be16(b[2:]) {
		return bad("PL_OFFSET", 9)
	}
	return complete(tdsLeast)
}

// TDS detects the PRELOGIN of a client of Microsoft SQL Server that speaks TDS 7. TDS 8 begins with TLS.
func TDS() Detector {
	return scanned("tds", maxTDSPrelogin, func(b []byte) result { return scanTDS(b, TDSPreloginPacket) }, func([]byte) Info {
		return Info{Protocol: "tds", Version: "7"}
	})
}
