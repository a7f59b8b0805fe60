package mitm

import (
	"fmt"
	"os"
	"strings"
)

// ReadSecret reads a value that may be kept elsewhere: "env:NAME" is the value of an
// environment variable, "file:PATH" what is in a file, without the line's end. Any other
// is the secret itself. An error does not repeat it.
func ReadSecret(v string) (string, error) {
	if name, ok := strings.CutPrefix(v, "env:"); ok {
		value, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return value, nil
	}
	if path, ok := strings.CutPrefix(v, "file:"); ok {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	return v, nil
}

// SplitFile splits "FILE" or "FILE:PASS", where both may have colons: what names a file
// that exists is FILE, the longest if there are several. If there is none, FILE is all
// before the first colon, or the second after the letter of a drive. PASS is as
// ReadSecret takes it.
func SplitFile(v string) (file, pass string) {
	for end := len(v); end > 0; end = strings.LastIndexByte(v[:end], ':') {
		if info, err := os.Stat(v[:end]); err == nil && !info.IsDir() {
			return v[:end], strings.TrimPrefix(v[end:], ":")
		}
	}
	if len(v) > 2 && v[1] == ':' && (v[2] == '\\' || v[2] == '/') {
		file, pass, _ = strings.Cut(v[2:], ":")
		return v[:2] + file, pass
	}
	file, pass, _ = strings.Cut(v, ":")
	return file, pass
}
