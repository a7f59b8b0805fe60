package detect

import "bytes"

const maxGitRequest = 1024

// gitServices are what a client may ask a daemon for.
var gitServices = [...]string{"git-upload-pack ", "git-receive-pack ", "git-upload-archive "}

// Git detects the request of a client of the git protocol (gitprotocol-pack, "Git Transport"), whole packet line. Verb
// is the service, Path the repository, Host and Port the virtual host, Version the one that the client prefers, if it
// says so.
func Git() Detector {
	return scanned("git", maxGitRequest, func(b []byte) result {
		_, r := gitRequest(b)
		return r
	}, func(b []byte) Info {
		line, _ := gitRequest(b)
		service, rest, _ := bytes.Cut(line, []byte{' '})
		path, rest, _ := bytes.Cut(rest, []byte{0})
		info := Info{Protocol: "git", Verb: string(service), Path: clean(path)}
		for parameter := range bytes.SplitSeq(rest, []byte{0}) {
			if host, found := bytes.CutPrefix(parameter, []byte("host=")); found {
				info.Host, info.Port = gitHost(string(host))
			}
			if version, found := bytes.CutPrefix(parameter, []byte("version=")); found {
				info.Version = ascii(version)
			}
		}
		return info
	})
}

// gitHost splits a host-parameter, which may lack a port.
func gitHost(s string) (string, uint16) {
	host, port, ok := SplitAuthority(s)
	if !ok {
		host, port, _ = SplitAuthority(s + ":9418")
	}
	return host, port
}

// gitRequest scans a length in four hexadecimal digits (gitprotocol-common, "pkt-line Format"), which counts them, too,
// and the line.
func gitRequest(b []byte) ([]byte, result) {
	n := 0
	for i := range min(len(b), 4) {
		digit := hexDigit(b[i])
		if digit < 0 {
			return nil, bad("pkt-len", i)
		}
		n = n<<4 | digit
	}
	if len(b) < 4 {
		return nil, short(4 + len(gitServices[0]) + 1)
	}
	for _, service := range gitServices {
		r := fixed(b, 4, service, "service")
		switch {
		case r.field != "" || n < 4+len(service)+1:
			continue
		case n > maxGitRequest:
			return nil, bad("pkt-len", 0)
		}
		return gitPathname(b, n, 4+len(service))
	}
	return nil, bad("service", 4)
}

// gitPathname scans a line of n bytes from its pathname on, which ends with NUL. Without that, and with control
// characters, it could be the request line of another protocol.
func gitPathname(b []byte, n, start int) ([]byte, result) {
	end := start
	for end < min(len(b), n) && b[end] >= ' ' {
		end++
	}
	switch {
	case end == n, end < len(b) && b[end] != 0:
		return nil, bad("pathname", min(end, n-1))
	case len(b) < n:
		return nil, short(n)
	}
	return b[4:n], complete(n)
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
