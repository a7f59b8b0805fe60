package interop

import (
	"fmt"
	"strings"
	"testing"
)

// What --verify and --leafcert make of a server's certificate that is wrong, in the words
// of curl.
func TestTLSWhatIsMadeOfBrokenCertificates(t *testing.T) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	root := writeFile(t, "root.pem", known.pem)
	list := faults(t, known)
	ports := map[string]int{}
	for _, f := range list {
		ports[f.name] = serveWith(t, f.leaf)
	}
	const (
		fine     = ""
		expired  = "(60) SSL certificate problem: certificate has expired"
		early    = "(60) SSL certificate problem: certificate is not yet valid"
		elseName = "(60) SSL: no alternative certificate subject name matches"
		unknown  = "(60) SSL certificate problem: unable to get local issuer certificate"
	)
	signed := func(f fault) string { // copied faults stay
		switch {
		case f.name == "not valid yet":
			return early
		case strings.Contains(f.name, "expired") && !strings.Contains(f.name, "intermediate"):
			return expired
		case f.verdict == "wrong host":
			return elseName
		}
		return fine
	}
	for _, tt := range []struct {
		flags []string
		want  func(fault) string
	}{
		{[]string{"--verify", "ignore"}, signed},
		{[]string{"--leafcert", "sign"}, signed},
		{[]string{"--leafcert", "noclone"}, func(f fault) string {
			if f.verdict == "ok" {
				return fine
			}
			return unknown
		}},
		{[]string{"--leafcert", "noclone", "--verify", "ignore"}, func(fault) string { return fine }},
		{[]string{"--verify", "refuse"}, refusal},
		{[]string{"--verify", "refuse", "--leafcert", "sign"}, refusal},
	} {
		t.Run(fmt.Sprint(tt.flags), func(t *testing.T) {
			t.Parallel()
			m := startTLSMitm(t, root, tt.flags...)
			for _, f := range list {
				res := run(t, "", "curl", curlArgs("--cacert", m.root, "-x", "socks5h://"+m.addrs[0], "https://"+at(ports[f.name])+"/")...)
				want := tt.want(f)
				if (res.Code == 0) != (want == fine) || !strings.Contains(res.Stderr, want) || res.Code == 0 && res.Stdout != "a page" {
					t.Errorf("%s: curl ends with %+v, want %q", f.name, res, want)
				}
				flow, action := m.flow(t), "inspect"
				if tt.flags[1] == "refuse" && f.verdict != "ok" {
					action = "block"
				}
				if flow.Action != action || flow.TLS == nil || flow.TLS.Certificate.Verdict != f.verdict {
					t.Errorf("%s: flow %+v, %+v, want %s, and verdict %s, whatever was made of it", f.name, flow, flow.TLS, action, f.verdict)
				}
			}
		})
	}
}

// refusal is what curl says of the alert that it is sent in the place of a certificate. Of
// certificate_expired it says what it says of its own findings.
func refusal(f fault) string {
	return map[string]string{
		"ok": "", "expired": "(60) SSL certificate verification failed", "unknown issuer": "alert unknown ca", "self-signed": "alert unknown ca",
		"wrong host": "alert bad certificate", "bad signature": "alert bad certificate",
	}[f.verdict]
}
