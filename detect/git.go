package detect

import (
	"bytes"
	"strings"
)

const maxGitRequest = 1024

// gitServices are what a client may ask a daemon for.
var gitServices = [...]string{"git-upload-pack ", "git-receive-pack ", "git-upload-archive "}

// Git detects the request of a client of the git protocol (gitprotocol-pack, "Git Transport"), whole packet line. Verb
// is the service, Path the repository, Host and Port the virtual host.
func Git() Detector {
	return scanned("git", maxGitRequest, func(b []byte) result {
		_, r := gitRequest(b)
		return r
	}, func(b []byte) Info {
		line, _ := gitRequest(b)
		service, rest, _ := bytes.Cut(line, []byte{' '})
		path, rest, _ := bytes.Cut(rest, []byte{0})
		info := Info{Protocol: "git", Verb: string(service), Path: clean(path)}
		if host, found := bytes.CutPrefix(rest, []byte("host=")); found {
			host, _, _ = bytes.Cut(host, []byte{0})
			name, port, ok := SplitAuthority(string(host))
			if !ok {
				name, port, _ = SplitAuthority(string(host) + ":9418")
			}
			info.Host, info.Port = name, port
		}
		return info
	})
}

// gitRequest scans a length in four hexadecimal digits, and the line.
func gitRequest(b []byte) ([]byte, result) {
	n := 0
	for i := range min(len(b), 4) {
		digit := strings.IndexByte("0123456789abcdef", b[i])
		if digit < 0 {
			return nil, bad("pkt-len", i)
		}
		n = n<<4 | digit
	}
	const least = 4 + len("git-upload-pack /") + 1
	switch {
	case len(b) < 4:
		return nil, short(least)
	case n < least-1 || n > maxGitRequest:
		return nil, bad("pkt-len", 0)
	}
	for _, service := range gitServices {
		r := fixed(b, 4, service, "service")
		switch {
		case r.field != "":
			continue
		case r.need > 0, len(b) < n:
			return nil, short(max(n, r.need))
		}
		return b[4:n], complete(n)
	}
	return nil, bad("service", 4)
}
