package detect

import (
	"bytes"
	"strings"
)

// maxSSHLine is the length of the longest identification string, its line end included (RFC 4253 §4.2).
const maxSSHLine = 255

// SSHIdentification is the identification string of either peer (RFC 4253 §4.2).
type SSHIdentification struct {
	ProtoVersion    string // 2.0, 1.99, 1.5
	SoftwareVersion string // printable ASCII
	Comments        string // without control characters; often empty
}

// ParseSSHIdentification parses the identification string at the beginning of buf, up to and with its CR LF, or LF as
// old implementations send it. Lines that a server may send before it are the caller's to skip.
func ParseSSHIdentification(buf []byte) (SSHIdentification, int, error) {
	r := scanSSH(buf)
	if !r.isComplete() {
		return SSHIdentification{}, 0, r.err("ssh")
	}
	line := strings.TrimSuffix(string(buf[len("SSH-"):r.n-1]), "\r")
	proto, rest, _ := strings.Cut(line, "-")
	software, comments, _ := strings.Cut(rest, " ")
	return SSHIdentification{ProtoVersion: proto, SoftwareVersion: software, Comments: comments}, r.n, nil
}

// scanSSH checks SSH-protoversion-softwareversion [SP comments] and the line end. Dashes in softwareversion are
// forbidden and common.
func scanSSH(b []byte) result {
	const magic = "SSH-"
	for i := range min(len(b), len(magic)) {
		if b[i] != magic[i] {
			return bad("identification", i)
		}
	}
	const shortest = len(magic) + len("2.0-x\n")
	if len(b) <= len(magic) {
		return short(shortest)
	}
	software, r := scanSSHVersion(b, len(magic))
	if !r.isComplete() {
		return r
	}
	return scanSSHLine(b, software)
}

// scanSSHVersion checks protoversion, 2.0 or 1. and digits, and returns where softwareversion begins.
func scanSSHVersion(b []byte, start int) (int, result) {
	dot := start + 1
	end := dot + 1
	for end < len(b) && '0' <= b[end] && b[end] <= '9' {
		end++
	}
	switch {
	case b[start] != '1' && b[start] != '2':
		return 0, bad("protoversion", start)
	case len(b) > dot && b[dot] != '.':
		return 0, bad("protoversion", dot)
	case b[start] == '2' && len(b) > dot+1 && b[dot+1] != '0':
		return 0, bad("protoversion", dot+1)
	case b[start] == '2' && end > dot+2, end > dot+3:
		return 0, bad("protoversion", end-1)
	case end >= len(b):
		return 0, short(max(len(b)+len("-x\n"), dot+len(".0-x\n")))
	case end == dot+1 || b[end] != '-':
		return 0, bad("protoversion", end)
	}
	return end + 1, complete(end + 1)
}

// scanSSHLine checks the rest of the line.
func scanSSHLine(b []byte, software int) result {
	line := b[:min(len(b), maxSSHLine)]
	lf := bytes.IndexByte(line, '\n')
	end := lf
	if lf < 0 {
		end = len(line)
	}
	if end > software && line[end-1] == '\r' {
		end--
	}
	comments := false
	for i := software; i < end; i++ {
		c := line[i]
		if c < ' ' || c == 0x7f || c == ' ' && i == software || c >= 0x80 && !comments {
			return bad("softwareversion", i)
		}
		comments = comments || c == ' '
	}
	switch {
	case end == software && end < len(line):
		return bad("softwareversion", software)
	case lf >= 0:
		return complete(lf + 1)
	case end == software:
		return short(software + 2)
	}
	return shortWithin(maxSSHLine, len(b)+1)
}

// SSH detects a client's identification string, the whole line.
func SSH() Detector {
	return Func("ssh", maxSSHLine, detectSSH)
}

// SSHServer detects a server's identification string when it is the first line that the server sends. It is for a
// conversation in which the server spoke first: many clients wait for it.
func SSHServer() Detector {
	return Detector{
		Name: "ssh-server", Limit: maxSSHLine, ServerFirst: true,
		Func: func(in Input) Verdict { return detectSSH(in.Server) },
	}
}

func detectSSH(b []byte) Verdict {
	if r := scanSSH(b); !r.isComplete() {
		return r.undecided()
	}
	id, _, err := ParseSSHIdentification(b)
	if err != nil {
		return No()
	}
	return Yes(Info{Protocol: "ssh", Version: id.ProtoVersion, Software: id.SoftwareVersion})
}
