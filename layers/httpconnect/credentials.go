package httpconnect

import (
	"encoding/base64"
	"strings"
	"unicode"
)

// credentials are those of a Proxy-Authorization field (RFC 9110 §11.7.2).
type credentials struct {
	scheme         string // in lower case; empty without the field
	user, password string // of Basic
	ok             bool   // there is one field, and it holds a user and a password
}

// parseCredentials parses the values of all Proxy-Authorization fields. Of two nobody knows which counts.
func parseCredentials(fields []string) credentials {
	if len(fields) == 0 {
		return credentials{}
	}
	scheme, rest, _ := strings.Cut(fields[0], " ")
	c := credentials{scheme: strings.ToLower(scheme)}
	if c.scheme != "basic" || len(fields) > 1 {
		return c
	}
	// RFC 7617 §2: user-id ":" password, and "a user-id containing a colon character is invalid".
	text, err := base64.StdEncoding.DecodeString(strings.Trim(rest, " "))
	if err != nil {
		return c
	}
	c.user, c.password, c.ok = strings.Cut(string(text), ":")
	return c
}

// isChallenge reports whether the scheme answers a challenge, which a new connection would not repeat.
func (c credentials) isChallenge() bool {
	return c.scheme != "" && c.scheme != "basic" && c.scheme != "bearer"
}

// printable replaces control characters, invisible ones, and what is not UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
