package certpage

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The media types by which browsers and phones know a certificate to install (RFC 2585 §4.1 says pkix-cert of DER,
// which Firefox and Android do not offer to install), and a file to keep.
const (
	typeCertificate = "application/x-x509-ca-cert"
	typePEM         = "application/x-pem-file"
	typeHTML        = "text/html; charset=utf-8"
	typeText        = "text/plain; charset=utf-8"
)

// Handler returns the handler of the page and the files of an authority's certificate. It is safe for concurrent
// use.
func Handler(certificate *x509.Certificate) http.Handler {
	h := &handler{certificate: certificate, fingerprint: fingerprint(certificate)}
	h.files = map[string]file{
		"/ca.cer":         {typeCertificate, `inline; filename="ca.cer"`, certificate.Raw},
		"/polarproxy.cer": {typeCertificate, `inline; filename="polarproxy.cer"`, certificate.Raw},
		"/ca.pem":         {typePEM, `attachment; filename="ca.pem"`, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})},
	}
	return h
}

type handler struct {
	certificate *x509.Certificate
	fingerprint string
	files       map[string]file // by path
}

// file is an answer that is the same for everybody.
type file struct {
	contentType string
	disposition string
	content     []byte
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store") // the next authority may have the same address
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD") // RFC 9110 §15.5.6
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	answer, ok := h.files[r.URL.Path]
	switch {
	case ok:
	case r.URL.Path == "/":
		header.Set("Vary", "Accept")
		answer = h.page(r)
	default:
		http.Error(w, "there is /, /ca.cer, /ca.pem and /polarproxy.cer", http.StatusNotFound)
		return
	}
	header.Set("Content-Type", answer.contentType)
	header.Set("Content-Length", strconv.Itoa(len(answer.content)))
	if answer.disposition != "" {
		header.Set("Content-Disposition", answer.disposition)
	}
	if answer.contentType == typeHTML {
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
	}
	w.Write(answer.content) // of a HEAD, net/http leaves it out; that a client has gone is its own affair
}

// page renders the page in the form that the client asks for.
func (h *handler) page(r *http.Request) file {
	p := newPage(h.certificate, h.fingerprint, r.Host)
	var b bytes.Buffer
	if r.URL.Query().Has("text") || prefersText(r.Header.Values("Accept")) {
		render(&b, textPage, p)
		return file{contentType: typeText, content: b.Bytes()}
	}
	render(&b, htmlPage, p)
	return file{contentType: typeHTML, content: b.Bytes()}
}

// fingerprint is the SHA-256 of a certificate in the notation of certificate viewers.
func fingerprint(certificate *x509.Certificate) string {
	pairs := make([]string, sha256.Size)
	for i, b := range sha256.Sum256(certificate.Raw) {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}
