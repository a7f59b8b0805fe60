package certpage

import (
	"crypto/x509"
	_ "embed" // of the templates
	"html/template"
	"io"
	"strings"
	texttemplate "text/template"
	"time"
)

//go:embed page.html.tmpl
var htmlSource string

//go:embed page.txt.tmpl
var textSource string

// The templates are parsed once, and not changed.
var (
	htmlPage = template.Must(template.New("html").Parse(htmlSource))
	textPage = texttemplate.Must(texttemplate.New("text").Parse(textSource))
)

// page is what the templates show.
type page struct {
	Subject     string
	Fingerprint string
	NotAfter    string
	Base        string // of the files' addresses
	Platforms   []platform
}

// platform is how a kind of clients is made to trust the authority.
type platform struct {
	ID, Name string
	Steps    []step
}

// step is a sentence, and the commands that do what it says.
type step struct {
	Text     string
	Commands []string
}

func newPage(certificate *x509.Certificate, fingerprint, host string) page {
	return page{
		Subject:     printable(certificate.Subject.String()),
		Fingerprint: fingerprint,
		NotAfter:    certificate.NotAfter.UTC().Format(time.DateOnly),
		Base:        "http://" + safeHost(host),
		Platforms:   platforms("http://" + safeHost(host)),
	}
}

// render can fail in the template only, which the tests run.
func render(w io.Writer, t interface{ Execute(io.Writer, any) error }, p page) {
	if err := t.Execute(w, p); err != nil {
		panic(err)
	}
}

// safeHost returns the Host that a client has asked, which becomes part of commands that people paste into a shell:
// with anything in it that is not of a name, an address or a port, it is not repeated.
func safeHost(host string) string {
	ordinary := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-:[]", r)
	}
	if host == "" || host[0] == '-' || len(host) > 260 || strings.Trim(host, ".-:[]") == "" || strings.ContainsFunc(host, func(r rune) bool { return !ordinary(r) }) {
		return "PROXY:PORT"
	}
	return host
}

// printable leaves a subject's letters as they are, and nothing that a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r <= 0x9f || r == 0x2028 || r == 0x2029 || 0x202a <= r && r <= 0x202e {
			return '\uFFFD'
		}
		return r
	}, s)
}
