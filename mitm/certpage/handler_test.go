package certpage

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(tb testing.TB, h http.Handler, method, target string, header http.Header) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "proxy.test:10080"
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheFiles(t *testing.T) {
	certificate := newCertificate(t, "a CA")
	h := Handler(certificate)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	for _, tt := range []struct {
		path, contentType, disposition string
		want                           []byte
	}{
		{"/ca.cer", "application/x-x509-ca-cert", `inline; filename="ca.cer"`, certificate.Raw},
		{"/polarproxy.cer", "application/x-x509-ca-cert", `inline; filename="polarproxy.cer"`, certificate.Raw},
		{"/ca.pem", "application/x-pem-file", `attachment; filename="ca.pem"`, text},
	} {
		w := ask(t, h, "GET", tt.path, nil)
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), tt.want) {
			t.Errorf("%s: %d with %d bytes, want 200 with %d", tt.path, w.Code, w.Body.Len(), len(tt.want))
		}
		if got := w.Header().Get("Content-Type"); got != tt.contentType {
			t.Errorf("%s: Content-Type %q, want %q", tt.path, got, tt.contentType)
		}
		if got := w.Header().Get("Content-Disposition"); got != tt.disposition {
			t.Errorf("%s: Content-Disposition %q, want %q", tt.path, got, tt.disposition)
		}
	}
}

func TestThePageIsHTMLOrText(t *testing.T) {
	certificate := newCertificate(t, "a CA")
	h := Handler(certificate)
	for _, tt := range []struct{ name, target, accept, want string }{
		{"nothing is said", "/", "", "text/html; charset=utf-8"},
		{"by a browser", "/", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"},
		{"by curl", "/", "*/*", "text/html; charset=utf-8"},
		{"text is preferred", "/", "text/plain", "text/plain; charset=utf-8"},
		{"the address says text", "/?text", "text/html", "text/plain; charset=utf-8"},
		{"the address says something else", "/?lang=en", "", "text/html; charset=utf-8"},
	} {
		w := ask(t, h, "GET", tt.target, http.Header{"Accept": {tt.accept}})
		if got := w.Header().Get("Content-Type"); w.Code != 200 || got != tt.want {
			t.Errorf("%s: %d, %q; want 200, %q", tt.name, w.Code, got, tt.want)
		}
		body := w.Body.String()
		for _, part := range []string{fingerprint(certificate), "CN=a CA", "http://proxy.test:10080/ca.pem", "update-ca-certificates", "NODE_EXTRA_CA_CERTS"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s: %q is not on the page", tt.name, part)
			}
		}
		if strings.Contains(body, "PRIVATE KEY") || strings.Contains(body, "<no value>") {
			t.Errorf("%s: the page is\n%s", tt.name, body)
		}
	}
}

// The page is whole without scripts, and without anything from elsewhere.
func TestThePageLoadsNothing(t *testing.T) {
	w := ask(t, Handler(newCertificate(t, "a CA")), "GET", "/", nil)
	for _, part := range []string{"<script", "<link", "<img", "<iframe", "url(", "@import", "src=", `href="http`} {
		if strings.Contains(w.Body.String(), part) {
			t.Errorf("%q is on the page", part)
		}
	}
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; style-src 'unsafe-inline'") {
		t.Errorf("Content-Security-Policy %q", got)
	}
}

func TestEachPlatformIsOnThePageOnce(t *testing.T) {
	body := ask(t, Handler(newCertificate(t, "a CA")), "GET", "/", nil).Body.String()
	for _, p := range platforms("http://proxy.test") {
		if strings.Count(body, `id="`+p.ID+`"`) != 1 || strings.Count(body, `href="#`+p.ID+`"`) != 1 {
			t.Errorf("%s: there is not one section with one link to it", p.Name)
		}
		for _, s := range p.Steps {
			if s.Text == "" {
				t.Errorf("%s: a step says nothing", p.Name)
			}
		}
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	h := Handler(newCertificate(t, "a CA"))
	for _, path := range []string{"/ca.key", "/ca.p12", "/ca.pem/", "/CA.CER", "/../ca.key", "/favicon.ico", "//"} {
		if w := ask(t, h, "GET", path, nil); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", path, w.Code)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"} {
		w := ask(t, h, method, "/", nil)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q; want 405 and GET, HEAD", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// What a client says of itself does not become a part of commands, nor does a name become markup.
func TestTheHostAndTheSubjectAreHarmless(t *testing.T) {
	for host, want := range map[string]string{
		"proxy.test": "proxy.test", "192.0.2.1:10080": "192.0.2.1:10080", "[2001:db8::1]:80": "[2001:db8::1]:80",
		"": "PROXY:PORT", "-o": "PROXY:PORT", "x;reboot": "PROXY:PORT", "$(reboot)": "PROXY:PORT", "a b": "PROXY:PORT", "...": "PROXY:PORT",
		"x`id`": "PROXY:PORT", "<script>": "PROXY:PORT", "bücher.test": "PROXY:PORT", strings.Repeat("a", 300): "PROXY:PORT",
	} {
		if got := safeHost(host); got != want {
			t.Errorf("safeHost(%q) = %q, want %q", host, got, want)
		}
	}
	h := Handler(newCertificate(t, "<b>&\x1b[2J\u202e"))
	html, text := ask(t, h, "GET", "/", nil).Body.String(), ask(t, h, "GET", "/?text", nil).Body.String()
	if strings.Contains(html, "<b>") || !strings.Contains(html, "&lt;b") {
		t.Error("the subject is markup")
	}
	if strings.ContainsAny(html+text, "\x1b\u202e") {
		t.Error("the subject can write to a terminal")
	}
}

func TestPrefersText(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                    false,
		"*/*":                                 false,
		"text/*":                              false,
		"text/html":                           false,
		"text/plain":                          true,
		"TEXT/Plain; charset=utf-8":           true,
		"text/plain, text/html":               false,
		"text/plain, text/html;q=0.9":         true,
		"text/plain;q=0.5, text/html;q=0.4":   true,
		"text/plain;q=0, */*":                 false,
		"text/html;q=0, */*":                  true,
		"text/html;q=0, text/*;q=0.1":         true,
		"*/*;q=0.1, text/plain;q=0.2":         true,
		"text/plain;q=2, text/html;q=0.1":     false,
		"text/plain;q=NaN":                    false,
		"/, ;;, text/plain":                   true,
		"application/json, text/plain;q=0.01": true,
	} {
		if got := prefersText([]string{accept}); got != want {
			t.Errorf("prefersText(%q) = %v, want %v", accept, got, want)
		}
	}
	if !prefersText([]string{"text/html;q=0.1", "text/plain"}) {
		t.Error("the second field is not heeded")
	}
}

// Whatever a client asks, it gets one of four answers, and never two forms at once.
func FuzzHandler(f *testing.F) {
	h := Handler(newCertificate(f, "a CA"))
	f.Add("/", "text/plain", "proxy.test")
	f.Add("/ca.cer", "*/*;q=0.1, text/html;q=a", "x`id`")
	f.Fuzz(func(t *testing.T, path, accept, host string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.Host = path, host
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 404 || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d with %v", w.Code, w.Header())
		}
	})
}
